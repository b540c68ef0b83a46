/* The look from outside (P5): before joblet says go it asks the kernel whether joblet-init and the command's process
 * are what the plan says. It does not believe what they say of themselves. What it saw is kept as the job's view. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "channel/message.h"
#include "kernel/cgroup.h"
#include "kernel/procstatus.h"

/* A directory that both processes must see at @path below their root ("." is the root). */
struct outside_place {
    const char *path;
    dev_t device;
    ino_t inode; /* 0: any of the device */
};
#define OUTSIDE_PLACES_MAX 3U

struct outside_plan {
    const struct procstatus_namespaces *own; /* joblet's, to differ from */
    const struct cgroup_host *cgroups;
    const char *group;
    uint32_t id_base;
    uint32_t command_id;
    uint64_t capabilities; /* of the command, and the bounding set of both; joblet-init has none */
    const struct outside_place *places;
    unsigned place_count;
    dev_t work_device;                   /* of its own disk; 0: it has none */
    const struct channel_limits *limits; /* that the kernel has to have, as it says itself */
    dev_t disk;                          /* of the limit of disk traffic, beside work_device */
};

/* Checks both processes: ids, groups, the five capability sets, no-new-privileges, filter, id maps, namespaces (not
 * ours, and the same for both), root and other places, control groups, parenthood, and each limit read back. 0, the
 * start time of joblet-init and what was seen, or -errno with @error, its stage set. */
int outside_check(const struct outside_plan *plan, pid_t init_pid, pid_t command_pid, uint64_t *ret_start_ticks,
        struct channel_kernel_view *ret_view, struct error *error);

/* Looks at a running job and judges nothing. @before: what was seen before the go, and @start_ticks: joblet-init's
 * start time then; both name the processes. Without the command's process (it has just ended) the rest is told. Of
 * @plan the ids, the root and the limits are not used. 0 or -errno with @error. */
int outside_look(const struct outside_plan *plan, const struct channel_kernel_view *before, uint64_t start_ticks,
        struct channel_kernel_view *ret_view, struct error *error);
