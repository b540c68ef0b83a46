/* Several processes that walk one layer, because most of a build's start is spent there: the caller, which leads, and
 * short-lived copies of it. All go through the upper levels of the tree; each directory at a certain depth is walked by
 * the one that claims it first. Nothing is divided up before, so that a host that changes meanwhile cannot make a
 * directory fall between two of them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct error;

#define MASKS_CREW_MAX 8U

struct masks_crew {
    unsigned index; /* 0: the leader */
    unsigned count;
    struct masks_crew_shared *shared; /* NULL: the leader is alone */
};

/* Starts at most @wanted processes, the caller among them; fewer, and at worst none more, where the job's limits or the
 * memory do not permit it. Returns in each of them; all but the leader must end with masks_crew_leave. */
void masks_crew_start(unsigned wanted, struct masks_crew *ret_crew);
/* How many are of use: one for each processor that this process may run on, at most. */
unsigned masks_crew_useful(uint32_t cpu_percent);

/* True when the caller is to walk the directory @inode: nobody has claimed it yet, or there is no room to note it. */
bool masks_crew_claim(const struct masks_crew *crew, uint64_t inode);

/* Ends a process that is not the leader: @r and, when negative, @error are the leader's to find. */
__attribute__((noreturn)) void masks_crew_leave(const struct masks_crew *crew, int r, const struct error *error);
/* The leader waits for the others. 0, or the error of one of them, or -ECHILD when one has died. */
int masks_crew_join(struct masks_crew *crew, struct error *error);
