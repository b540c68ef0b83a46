/* Control groups on hosts with version 2, version 1 and both. For each controller the hierarchy that has it is found by
 * what is mounted; a job has one group of the same name in each hierarchy that matters.
 *
 * All groups of one prefix lie below one parent of ours, below the group that joblet was started in:
 *
 *     v2   OWN/joblet-HASH/service    joblet and joblet-api: a group with controllers may hold no process itself (A25)
 *          OWN/joblet-HASH/job-UUID
 *     v1   OWN/joblet-HASH/job-UUID   in each hierarchy; joblet stays where it is
 *
 * A v1 hierarchy with nothing but cpusets holds only the jobs that asked for CPUs: entering one costs, and most ask for
 * none.
 *
 * On v1 nothing is ever written to another process's membership: moving a foreign process takes a lock of the whole
 * machine and waits for a grace period. joblet-init moves itself, through descriptors of the "tasks" files. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cpulist.h"

struct error;

enum cgroup_controller {
    CGROUP_CPU,
    CGROUP_CPUACCT, /* v1 only: what was used */
    CGROUP_MEMORY,
    CGROUP_PIDS,
    CGROUP_CPUSET, /* optional: without it cpu_cores is refused */
    CGROUP_IO,     /* v2 only, optional: without it an I/O limit is refused */
    CGROUP_CONTROLLER_COUNT,
};

#define CGROUP_HIERARCHIES_MAX 6U /* one for each controller, and v2 beside them */
#define CGROUP_PATH_MAX 512U
#define CGROUP_NAME_MAX 48U
#define CGROUP_DISKS_MAX 2U

struct cgroup_hierarchy {
    bool v2;
    uint32_t controllers;            /* bits of 1 << enum cgroup_controller that are ours to use here */
    uint32_t enabled;                /* v2: what we handed down in the group that we were started in */
    int parent_fd;                   /* our parent group's directory */
    char directory[CGROUP_PATH_MAX]; /* its path in the file system */
    char shown[CGROUP_PATH_MAX];     /* its path as /proc/PID/cgroup shows it to us */
    char list[64];                   /* the hierarchy's name there: "cpu,cpuacct"; "" for v2 */
};

/* The host's hierarchies with our parent group in each. */
struct cgroup_host {
    unsigned count;
    struct cgroup_hierarchy hierarchies[CGROUP_HIERARCHIES_MAX];
    int v2;                                   /* index of the v2 hierarchy, or -1 */
    int controllers[CGROUP_CONTROLLER_COUNT]; /* index of the hierarchy with the controller, or -1 */
    bool swap;                                /* the host has swap, so a memory limit has to cover it */
    struct cpulist cpus;                      /* what jobs can be given; not filled in by cgroup_host_reopen */
};

/* Finds the hierarchies and makes the parent group @name in each; on v2 with controllers moves the calling process into
 * the leaf "service" and hands the controllers down. 0 or -errno with @error, which says what to do when the host does
 * not let us. Single-threaded process. */
int cgroup_host_open(const char *name, struct cgroup_host *ret_host, struct error *error);
/* The host as an earlier joblet found it, maybe started in another group: @host holds v2, controllers, directory, shown
 * and list of each hierarchy; only the descriptors are opened. 0 or -errno. */
int cgroup_host_reopen(struct cgroup_host *host);
void cgroup_host_done(struct cgroup_host *host);
/* Removes our parent groups, as far as nothing is left in them; with @leave the calling process is in the leaf and gets
 * out of it first. The descriptors are closed. */
void cgroup_host_remove(struct cgroup_host *host, bool leave);
/* The same of a host that stays open. */
void cgroup_host_prune(const struct cgroup_host *host, bool leave);
/* True when both lie in the same directories. */
bool cgroup_host_equal(const struct cgroup_host *one, const struct cgroup_host *other);

/* What a job may use. 0 = no limit, but processes, which always has one. */
struct cgroup_limits {
    uint64_t memory_bytes;
    uint32_t cpu_percent; /* of one core */
    uint32_t processes;
    struct cpulist cpus; /* empty: any */
    uint64_t io_bps;     /* bytes a second read from each of @disks, and as many written to it */
    /* Whole block devices (kernel/disk.h). The first is that of the jobs' files: 0, not known, makes an I/O limit an
     * error. The second, if not 0, lies upon it: the job's own. */
    dev_t disks[CGROUP_DISKS_MAX];
};

/* Makes the groups @name with all limits set. A limit that cannot be set is an error that names it. On failure nothing
 * is left. 0 or -errno with @error. */
int cgroup_make(
        const struct cgroup_host *host, const char *name, const struct cgroup_limits *limits, struct error *error);
/* Removes them. 0 also when there are none; -EBUSY while a process is still on its way out: try again later. */
int cgroup_remove(const struct cgroup_host *host, const char *name);

/* v2: the group's directory, for CLONE_INTO_CGROUP. A descriptor; -ENOENT when the host has no v2; -errno. */
int cgroup_open_v2(const struct cgroup_host *host, const char *name);
/* v1: opens the "tasks" files to write "0" to. Returns their number (0 on pure v2) or -errno with @error. */
int cgroup_open_tasks(
        const struct cgroup_host *host, const char *name, int ret_fds[CGROUP_HIERARCHIES_MAX], struct error *error);
/* v1: an eventfd that counts when the group is out of memory. A descriptor; -ENOENT without @error when memory is on
 * v2 (there the kernel ends the group as a unit); -errno with @error. */
int cgroup_open_oom_event(const struct cgroup_host *host, const char *name, struct error *error);

/* True (1) when the process is in the group @name in every hierarchy; 0 when not; -errno. @proc_fd: /proc/PID. */
int cgroup_check_member(const struct cgroup_host *host, const char *name, int proc_fd);

struct cgroup_usage {
    uint64_t cpu_ns;
    uint64_t memory_peak_bytes;
    uint64_t oom_kills;
    uint64_t pids_refused; /* forks refused by the process limit */
};
/* What the group has used; what the kernel does not say stays 0. */
void cgroup_read_usage(const struct cgroup_host *host, const char *name, struct cgroup_usage *ret_usage);

/* The processes in the group, as pids at most @max. Their number (cut at @max) or -errno. */
int cgroup_list_processes(const struct cgroup_host *host, const char *name, pid_t pids[], unsigned max);
/* Ends every process of the group: cgroup.kill where it is, else one by one. 0 or -errno. */
int cgroup_kill(const struct cgroup_host *host, const char *name);

/* Calls @found with the name of each job group ("job-...") below our parents; it may see a name more than once. */
int cgroup_walk(const struct cgroup_host *host, void (*found)(const char *name, void *user), void *user);
