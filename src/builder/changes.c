#include "builder/changes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "builder/collect.h"
#include "builder/json.h"
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

static void write_change(struct json *json, const struct collect *collect, uint32_t number)
{
    static const char *const names[] = {"added", "changed", "removed"};
    const char *path = collect->changes.paths.texts[number];
    const struct change *change = &collect->changes.items[number];
    const struct tree_entry *entry = tree_find(&collect->tree, path);
    char origin[COLLECT_ORIGIN_MAX];
    collect_format_owner(collect, change->owner, origin);
    json_begin(json);
    json_text(json, "path", path);
    json_text(json, "change", names[change->kind]);
    json_bool(json, "kept", change->kind != CHANGE_REMOVED && entry && entry->source == TREE_MERGED);
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
