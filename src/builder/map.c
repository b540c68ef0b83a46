#include "builder/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define BLOCK_SIZE 65536U
#define SLOTS_FIRST 1024U

struct map_block {
    struct map_block *next;
    size_t used;
    size_t size;
    char bytes[];
};

static uint64_t rotate(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* SipHash-1-3. */
static uint64_t hash(const uint64_t key[2], const char *text, size_t size)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575ULL, key[1] ^ 0x646f72616e646f6dULL, key[0] ^ 0x6c7967656e657261ULL,
            key[1] ^ 0x7465646279746573ULL};
    for (size_t at = 0; at <= size; at += 8) {
        uint64_t word = 0;
        size_t part = size - at < 8 ? size - at : 8;
        memcpy(&word, text + at, part);
        if (part < 8)
            word |= (uint64_t)size << 56;
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

int map_init(struct map *map, uint32_t max)
{
    *map = (struct map){.max = max, .slot_count = SLOTS_FIRST};
    if (getrandom(map->key, sizeof(map->key), 0) != (ssize_t)sizeof(map->key))
        return -EIO;
    map->slots = calloc(map->slot_count, sizeof(uint32_t));
    return map->slots ? 0 : -ENOMEM;
}

void map_done(struct map *map)
{
    while (map->blocks) {
        struct map_block *next = map->blocks->next;
        free(map->blocks);
        map->blocks = next;
    }
    free(map->slots);
    free(map->texts);
    free(map->sizes);
    *map = (struct map){0};
}

/* The slot of the text, or the free one where it belongs. */
static size_t find_slot(const struct map *map, const char *text, size_t size)
{
    size_t at = hash(map->key, text, size) & (map->slot_count - 1);
    for (; map->slots[at] != 0; at = (at + 1) & (map->slot_count - 1)) {
        uint32_t number = map->slots[at] - 1;
        if (map->sizes[number] == size && memcmp(map->texts[number], text, size) == 0)
            break;
    }
    return at;
}

uint32_t map_find(const struct map *map, const char *text, size_t size)
{
    if (!map->slots)
        return MAP_NONE;
    uint32_t slot = map->slots[find_slot(map, text, size)];
    return slot == 0 ? MAP_NONE : slot - 1;
}

static int grow_slots(struct map *map)
{
    uint32_t *old = map->slots;
    size_t count = map->slot_count * 2;
    uint32_t *larger = calloc(count, sizeof(uint32_t));
    if (!larger)
        return -ENOMEM;
    map->slots = larger;
    map->slot_count = count;
    for (uint32_t i = 0; i < map->count; i++)
        map->slots[find_slot(map, map->texts[i], map->sizes[i])] = i + 1;
    free(old);
    return 0;
}

static int grow_texts(struct map *map)
{
    uint32_t room = map->room ? map->room * 2 : 512;
    const char **texts = realloc(map->texts, room * sizeof(*texts));
    if (!texts)
        return -ENOMEM;
    map->texts = texts;
    uint32_t *sizes = realloc(map->sizes, room * sizeof(*sizes));
    if (!sizes)
        return -ENOMEM;
    map->sizes = sizes;
    map->room = room;
    return 0;
}

static char *keep_text(struct map *map, const char *text, size_t size)
{
    struct map_block *block = map->blocks;
    if (!block || block->size - block->used < size + 1) {
        size_t room = size + 1 > BLOCK_SIZE ? size + 1 : BLOCK_SIZE;
        block = malloc(sizeof(*block) + room);
        if (!block)
            return NULL;
        *block = (struct map_block){.next = map->blocks, .size = room};
        map->blocks = block;
    }
    char *copy = block->bytes + block->used;
    memcpy(copy, text, size);
    copy[size] = '\0';
    block->used += size + 1;
    return copy;
}

int map_add(struct map *map, const char *text, size_t size, uint32_t *ret_number)
{
    size_t slot = find_slot(map, text, size);
    if (map->slots[slot] != 0) {
        *ret_number = map->slots[slot] - 1;
        return 0;
    }
    if (map->count == map->max || size >= UINT32_MAX)
        return -E2BIG;
    if (map->count == map->room && grow_texts(map) < 0)
        return -ENOMEM;
    const char *copy = keep_text(map, text, size);
    if (!copy)
        return -ENOMEM;
    map->texts[map->count] = copy;
    map->sizes[map->count] = (uint32_t)size;
    *ret_number = map->count++;
    map->slots[slot] = map->count;
    if (map->count * 2ULL > map->slot_count)
        return grow_slots(map);
    return 0;
}
