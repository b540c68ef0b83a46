#include "broker/slots.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/fd.h"
#include "kernel/userns.h"

#define RANGE_SIZE 65536U

struct entry {
    int join_fd;
    int disk_fd;
    uint32_t generation;
    bool taken;
};

struct slots {
    uint32_t start;
    uint32_t count;
    uint32_t limit;
    uint32_t disk_start;
    uint32_t used;
    uint32_t free_count;
    uint32_t *free; /* a stack of indices */
    struct entry *entries;
};

int slots_new(uint32_t start, uint32_t count, uint32_t limit, uint32_t disk_start, struct slots **ret_slots)
{
    struct slots *slots = calloc(1, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    slots->entries = calloc(count, sizeof(*slots->entries));
    slots->free = calloc(count, sizeof(*slots->free));
    if (!slots->entries || !slots->free) {
        slots_free(slots);
        return -ENOMEM;
    }
    slots->start = start;
    slots->count = count;
    slots->limit = limit > 0 && limit < count ? limit : count;
    slots->disk_start = disk_start;
    for (uint32_t i = 0; i < count; i++) {
        slots->entries[i] = (struct entry){.join_fd = -EBADF, .disk_fd = -EBADF};
        slots->free[slots->free_count++] = count - 1 - i;
    }
    *ret_slots = slots;
    return 0;
}

void slots_free(struct slots *slots)
{
    if (!slots)
        return;
    for (uint32_t i = 0; i < slots->count; i++) {
        (void)fd_close(slots->entries[i].join_fd);
        (void)fd_close(slots->entries[i].disk_fd);
    }
    free(slots->entries);
    free(slots->free);
    free(slots);
}

static int make_namespaces(const struct slots *slots, uint32_t base, struct entry *entry, struct error *error)
{
    if (entry->join_fd < 0) {
        const struct userns_map join = {.inside = 0, .outside = base, .count = RANGE_SIZE};
        int fd = userns_new(&join, error);
        if (fd < 0)
            return fd;
        entry->join_fd = fd;
    }
    if (entry->disk_fd < 0) {
        const struct userns_map disk = {.inside = slots->disk_start, .outside = base, .count = RANGE_SIZE};
        int fd = userns_new(&disk, error);
        if (fd < 0)
            return fd;
        entry->disk_fd = fd;
    }
    return 0;
}

int slots_take(struct slots *slots, struct slot *ret_slot, struct error *error)
{
    if (slots->used >= slots->limit || slots->free_count == 0)
        return error_text(error, EAGAIN, "%u jobs run already, no more can run at the same time", slots->used);
    uint32_t index = slots->free[slots->free_count - 1];
    struct entry *entry = &slots->entries[index];
    uint32_t base = slots->start + index * RANGE_SIZE;
    int r = make_namespaces(slots, base, entry, error);
    if (r < 0)
        return r;
    slots->free_count--;
    slots->used++;
    entry->taken = true;
    *ret_slot = (struct slot){.index = index,
            .base = base,
            .generation = ++entry->generation,
            .join_fd = entry->join_fd,
            .disk_fd = entry->disk_fd};
    return 0;
}

int slots_adopt(struct slots *slots, uint32_t base, uint32_t *ret_index)
{
    if (base < slots->start || (base - slots->start) % RANGE_SIZE != 0 ||
            (base - slots->start) / RANGE_SIZE >= slots->count)
        return -ENOENT;
    uint32_t index = (base - slots->start) / RANGE_SIZE;
    if (slots->entries[index].taken)
        return -EBUSY;
    uint32_t at = 0;
    while (slots->free[at] != index)
        at++;
    slots->free_count--;
    for (; at < slots->free_count; at++)
        slots->free[at] = slots->free[at + 1];
    slots->entries[index].taken = true;
    slots->entries[index].generation++;
    slots->used++;
    *ret_index = index;
    return 0;
}

int slots_look(const struct slots *slots, uint32_t index, struct slot *ret_slot)
{
    if (index >= slots->count || !slots->entries[index].taken || slots->entries[index].join_fd < 0)
        return -EINVAL;
    const struct entry *entry = &slots->entries[index];
    *ret_slot = (struct slot){.index = index,
            .base = slots->start + index * RANGE_SIZE,
            .generation = entry->generation,
            .join_fd = entry->join_fd,
            .disk_fd = entry->disk_fd};
    return 0;
}

void slots_give(struct slots *slots, uint32_t index)
{
    assert(index < slots->count && slots->entries[index].taken);
    slots->entries[index].taken = false;
    slots->free[slots->free_count++] = index;
    slots->used--;
}

uint32_t slots_capacity(const struct slots *slots)
{
    return slots->limit;
}
