/* The look from outside (P5): before joblet says go it asks the kernel whether joblet-init and the command's process
 * are what the plan says. It does not believe what they say of themselves. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "kernel/cgroup.h"
#include "kernel/procstatus.h"

struct outside_plan {
    const struct procstatus_namespaces *own; /* joblet's, to differ from */
    const struct cgroup_host *cgroups;
    const char *group;
    uint32_t id_base;
    uint32_t command_id;
    dev_t root_device; /* of the base root's directory */
    ino_t root_inode;
    dev_t work_device; /* of what is mounted at /work; 0: it is made by joblet-init */
    ino_t work_inode;
};

/* Checks both processes: ids, groups, the five capability sets, no-new-privileges, filter, id maps, namespaces (not
 * ours, and the same for both), root, /work, control groups, parenthood. 0 and the start time of joblet-init, or -errno
 * with
 * @error, its stage set. */
int outside_check(const struct outside_plan *plan, pid_t init_pid, pid_t command_pid, uint64_t *ret_start_ticks,
        struct error *error);
