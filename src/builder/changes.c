#include "builder/changes.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "builder/collect.h"
#include "builder/json.h"
#include "builder/rules.h"
#include "plan/recipe.h"

int changes_init(struct changes *changes)
{
    *changes = (struct changes){0};
    return map_init(&changes->paths, CHANGES_MAX);
}

void changes_done(struct changes *changes)
{
    free(changes->items);
    map_done(&changes->paths);
    *changes = (struct changes){0};
}

int changes_add(struct changes *changes, const char *path, struct change change)
{
    uint32_t number;
    uint32_t before = changes->paths.count;
    if (before == changes->room) {
        uint32_t room = changes->room ? changes->room * 2 : 4096;
        struct change *items = realloc(changes->items, room * sizeof(*items));
        if (!items)
            return -ENOMEM;
        changes->items = items;
        changes->room = room;
    }
    int r = map_add(&changes->paths, path, strlen(path), &number);
    if (r == 0 && number == before)
        changes->items[number] = change;
    return r;
}

static int compare_paths(const void *a, const void *b, void *context)
{
    const struct map *paths = context;
    return strcmp(paths->texts[*(const uint32_t *)a], paths->texts[*(const uint32_t *)b]);
}

/* True when what stands there is the build's: at the same path, or laid over the root from isolated/. */
static bool is_kept(struct collect *collect, const char *path, const struct change *change)
{
    char canonical[PATH_MAX];
    if (change->kind == CHANGE_REMOVED)
        return false;
    const struct tree_entry *entry = tree_find(&collect->tree, path);
    if (entry)
        return entry->source == TREE_MERGED;
    size_t size = strlen(collect->runtime_dir);
    if (size == 0 || !rules_is_below(path, collect->runtime_dir) ||
            !rules_is_below(path + size, "/" RECIPE_DIRECTORY_ROOT))
        return false;
    const char *over = path + size + strlen("/" RECIPE_DIRECTORY_ROOT);
    if (!*over || tree_resolve(&collect->tree, TREE_TEXT, over, change->owner, canonical) != 0)
        return false;
    entry = tree_find(&collect->tree, canonical);
    return entry && entry->source == TREE_ISOLATED;
}

static void write_change(struct json *json, struct collect *collect, uint32_t number)
{
    static const char *const names[] = {"added", "changed", "removed"};
    const char *path = collect->changes.paths.texts[number];
    const struct change *change = &collect->changes.items[number];
    char origin[COLLECT_ORIGIN_MAX];
    collect_format_owner(collect, change->owner, origin);
    json_begin(json);
    json_text(json, "path", path);
    json_text(json, "change", names[change->kind]);
    json_bool(json, "kept", is_kept(collect, path, change));
    json_text(json, "origin", origin);
    json_end(json);
}

int changes_write(struct collect *collect)
{
    const struct map *paths = &collect->changes.paths;
    uint32_t *order = malloc((paths->count + 1U) * sizeof(uint32_t));
    struct json json;
    if (!order)
        return error_errno(collect->error, ENOMEM, "what the build changed");
    for (uint32_t i = 0; i < paths->count; i++)
        order[i] = i;
    qsort_r(order, paths->count, sizeof(uint32_t), compare_paths, (void *)(uintptr_t)paths);
    int r = json_open(&json, collect->stage_fd, RECIPE_FILE_CHANGES);
    for (uint32_t i = 0; r == 0 && i < paths->count; i++)
        write_change(&json, collect, order[i]);
    if (r == 0)
        r = json_close(&json, NULL);
    free(order);
    return r < 0 ? error_errno(collect->error, -r, "write '%s'", RECIPE_FILE_CHANGES) : 0;
}
