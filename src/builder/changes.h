/* What a build made, changed or removed in its root: every entry, whether it was kept or not. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "builder/map.h"
#include "builder/tree.h"

#define CHANGES_MAX (1U << 20)

enum change_kind { CHANGE_ADDED, CHANGE_CHANGED, CHANGE_REMOVED };

struct change {
    enum change_kind kind;
    struct tree_owner owner;
};

struct changes {
    struct map paths;
    struct change *items;
    uint32_t room;
};

int changes_init(struct changes *changes);
void changes_done(struct changes *changes);
/* Remembers one; of several for a path the first counts. 0; -E2BIG; -ENOMEM. */
int changes_add(struct changes *changes, const char *path, struct change change);
