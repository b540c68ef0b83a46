/* Id ranges for running jobs. A slot is a range of 65,536 host ids and two user namespaces over it: "join", which the
 * job enters, and "disk", which is only the idmap of what lies on disk (A9). A slot is used by one job at a time (or by
 * a build's jobs, one after the other), last given back first taken, and its namespaces are made on first use and kept.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

struct slots;

struct slot {
    uint32_t index;
    uint32_t base;       /* first host id */
    uint32_t generation; /* how often it was taken: tells two users of one range apart */
    int join_fd;         /* borrowed */
    int disk_fd;         /* borrowed */
};

/* @count slots from id @start on; at most @limit of them in use at a time (0: all). @disk_start: owner of the first id
 * on disk. 0 or -ENOMEM. */
int slots_new(uint32_t start, uint32_t count, uint32_t limit, uint32_t disk_start, struct slots **ret_slots);
void slots_free(struct slots *slots);

/* Takes a free slot. 0; -EAGAIN with @error when all are in use; -errno with @error. */
int slots_take(struct slots *slots, struct slot *ret_slot, struct error *error);
/* Takes the slot whose range starts at @base, for a job that runs in it already. 0; -ENOENT: no range of ours starts
 * there; -EBUSY: taken. */
int slots_adopt(struct slots *slots, uint32_t base, uint32_t *ret_index);
/* The slot @index, which is taken, once more: for a second job with its ids. 0 or -EINVAL. */
int slots_look(const struct slots *slots, uint32_t index, struct slot *ret_slot);
/* Gives it back. Nothing may run with its ids any more. */
void slots_give(struct slots *slots, uint32_t index);

uint32_t slots_capacity(const struct slots *slots);
