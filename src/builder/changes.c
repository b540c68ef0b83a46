#include "builder/changes.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "builder/collect.h"
#include "builder/json.h"
#include "builder/rules.h"
#include "builder/say.h"
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

static const char *const names[] = {"added", "changed", "removed"};

static void write_change(struct json *json, struct collect *collect, uint32_t number)
{
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

/* The numbers of all, by path; the caller's. NULL without memory. */
static uint32_t *new_order(struct collect *collect)
{
    const struct map *paths = &collect->changes.paths;
    uint32_t *order = malloc((paths->count + 1U) * sizeof(uint32_t));
    if (!order) {
        (void)error_errno(collect->error, ENOMEM, "what the build changed");
        return NULL;
    }
    for (uint32_t i = 0; i < paths->count; i++)
        order[i] = i;
    qsort_r(order, paths->count, sizeof(uint32_t), compare_paths, (void *)(uintptr_t)paths);
    return order;
}

/* Packages are named elsewhere; what hooks and other steps did is what somebody looks for. */
static void tell_some(const struct collect *collect, const uint32_t *order, bool of_packages, unsigned *told)
{
    char origin[COLLECT_ORIGIN_MAX];
    for (uint32_t i = 0; i < collect->changes.paths.count && *told < COLLECT_CHANGES_TOLD; i++) {
        const struct change *change = &collect->changes.items[order[i]];
        if ((change->owner.origin == ORIGIN_PACKAGE) != of_packages)
            continue;
        collect_format_owner(collect, change->owner, origin);
        char *blank = strchr(origin, ' ');
        if (blank)
            *blank = ':';
        say_changed(names[change->kind], origin, collect->changes.paths.texts[order[i]]);
        (*told)++;
    }
}

int changes_tell(struct collect *collect)
{
    unsigned told = 0;
    uint32_t *order = new_order(collect);
    if (!order)
        return -ENOMEM;
    tell_some(collect, order, /* of_packages= */ false, &told);
    tell_some(collect, order, /* of_packages= */ true, &told);
    say_count("changed", collect->changes.paths.count);
    free(order);
    return 0;
}

int changes_write(struct collect *collect)
{
    const struct map *paths = &collect->changes.paths;
    struct json json;
    uint32_t *order = new_order(collect);
    if (!order)
        return -ENOMEM;
    int r = json_open(&json, collect->stage_fd, RECIPE_FILE_CHANGES);
    for (uint32_t i = 0; r == 0 && i < paths->count; i++)
        write_change(&json, collect, order[i]);
    if (r == 0)
        r = json_close(&json, NULL);
    free(order);
    return r < 0 ? error_errno(collect->error, -r, "write '%s'", RECIPE_FILE_CHANGES) : 0;
}
