/* Texts, each with a number from 0 on, found by a keyed hash: whoever chooses the texts (names of packages, paths of a
 * hostile tree) cannot choose them so that they collide. Texts are copied, need no NUL, and stay where they are. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define MAP_NONE UINT32_MAX

struct map {
    uint64_t key[2];
    uint32_t *slots; /* number + 1, 0 = free */
    size_t slot_count;
    const char **texts; /* by number, each ended by NUL */
    uint32_t *sizes;
    uint32_t count;
    uint32_t room;
    uint32_t max;
    struct map_block *blocks; /* where the texts lie */
};

/* A map for at most @max texts. 0 or -errno. */
int map_init(struct map *map, uint32_t max);
void map_done(struct map *map);

/* The number of a text, or MAP_NONE. */
uint32_t map_find(const struct map *map, const char *text, size_t size);
/* The same, added when it is not there: then the number is the old count. 0; -E2BIG; -ENOMEM. */
int map_add(struct map *map, const char *text, size_t size, uint32_t *ret_number);
