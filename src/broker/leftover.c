#include "broker/leftover.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "broker/leftover_private.h"

/* The kinds, in the order in which they are found and removed. A finder stands with the first of the kinds that it
 * tells. */
static const struct kind {
    const char *name;
    int (*find)(struct leftover_place *place, struct leftover_list *list, struct error *error);
    int (*remove)(struct leftover_place *place, const struct leftover *item, struct error *error);
} kinds[LEFTOVER_KIND_COUNT] = {
        [LEFTOVER_JOB] = {"job", leftover_find_jobs, leftover_remove_job},
        [LEFTOVER_ENDED_JOB] = {"ended job", NULL, NULL},
        [LEFTOVER_JOB_FILES] = {"job's files", NULL, leftover_remove_job_files},
        [LEFTOVER_NOTE] = {"note", NULL, leftover_remove_note},
        [LEFTOVER_GROUP] = {"control group", leftover_find_groups, leftover_remove_group},
        [LEFTOVER_PARENT] = {"group parent", NULL, leftover_remove_parent},
        [LEFTOVER_TREE] = {"tree", leftover_find_store, leftover_remove_tree},
        [LEFTOVER_NAME] = {"runtime's name", NULL, leftover_remove_name},
        [LEFTOVER_BASE] = {"base root", leftover_find_files, leftover_remove_base},
        [LEFTOVER_HALF_FILE] = {"half-written", NULL, leftover_remove_half_file},
        [LEFTOVER_RUN_FILE] = {"run file", NULL, leftover_remove_run_file},
        [LEFTOVER_DEVICE] = {"loop device", leftover_find_devices, leftover_remove_device},
        [LEFTOVER_BRIDGE] = {"bridge", leftover_find_network, leftover_remove_network},
        [LEFTOVER_TABLE] = {"nftables table", NULL, leftover_remove_network},
        [LEFTOVER_FORWARDING] = {"forwarding", NULL, leftover_remove_network},
};

const char *leftover_kind_name(enum leftover_kind kind)
{
    return kinds[kind].name;
}

struct leftover *leftover_add(struct leftover_list *list, enum leftover_kind kind, const char *format, ...)
{
    if (list->count >= LEFTOVERS_MAX) {
        list->is_cut = true;
        return NULL;
    }
    if ((list->count & (list->count - 1)) == 0) { /* full up to a power of two */
        void *grown = reallocarray(list->items, list->count == 0 ? 1 : list->count * 2UL, sizeof(*list->items));
        if (!grown) {
            list->is_cut = true;
            return NULL;
        }
        list->items = grown;
    }
    struct leftover *item = &list->items[list->count++];
    *item = (struct leftover){.kind = kind};
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(item->name, sizeof(item->name), format, arguments);
    va_end(arguments);
    return item;
}

bool leftover_is_younger(const struct leftover_place *place, const struct stat *status)
{
    int64_t changed_ns = (int64_t)status->st_ctim.tv_sec * 1000000000 + status->st_ctim.tv_nsec;
    return place->served_since_ns != 0 && changed_ns >= place->served_since_ns;
}

/* What names no job, build or service of its own lies in the prefix or below its groups. Of a device nobody knows more
 * than that the number is ours. */
static void name_owners(struct leftover_list *list)
{
    for (unsigned i = 0; i < list->count; i++) {
        struct leftover *item = &list->items[i];
        if (!item->owner[0] && item->verdict != LEFTOVER_NOT_OURS)
            (void)snprintf(item->owner, sizeof(item->owner), "%s",
                    item->kind == LEFTOVER_DEVICE ? "a service that is dead" : "this prefix");
    }
}

int leftovers_find(struct leftover_place *place, struct leftover_list *list, struct error *error)
{
    int result = 0;
    for (unsigned i = 0; i < ELEMENTS(kinds); i++) {
        struct error own = {0};
        /* The start has looked for them already. */
        if (!kinds[i].find || (place->is_start && i == LEFTOVER_DEVICE))
            continue;
        int r = kinds[i].find(place, list, &own);
        if (r < 0 && result == 0) {
            result = r;
            *error = own;
        }
    }
    name_owners(list);
    return result;
}

int leftovers_find_devices(struct leftover_place *place, struct leftover_list *list, struct error *error)
{
    int r = leftover_find_devices(place, list, error);
    name_owners(list);
    return r;
}

unsigned leftovers_remove(struct leftover_place *place, struct leftover_list *list)
{
    unsigned failed = 0;
    for (unsigned i = 0; i < list->count; i++) {
        struct leftover *item = &list->items[i];
        if (item->verdict != LEFTOVER_GOES)
            continue;
        int r = kinds[item->kind].remove(place, item, &item->failure);
        item->is_removed = r == 0;
        failed += r < 0;
    }
    return failed;
}

void leftovers_done(struct leftover_list *list)
{
    free(list->items);
    *list = (struct leftover_list){0};
}
