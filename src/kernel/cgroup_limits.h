/* The limits of a job's control groups as the kernel has them, read back from its files: what is in force, not what was
 * asked for. And the groups of a process, for people. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernel/cgroup.h"

/* In place of a number: no limit; the file is not there (the controller is not ours) or says something else. */
#define CGROUP_NO_LIMIT UINT64_MAX
#define CGROUP_NOT_SET (UINT64_MAX - 1)

#define CGROUP_CPUS_MAX 64U
#define CGROUP_DEVICES_MAX 2U

struct cgroup_device_limit {
    uint32_t major;
    uint32_t minor;
    uint64_t read_bps;
    uint64_t write_bps;
};

struct cgroup_limits_in_force {
    uint64_t memory_bytes;
    uint64_t swap_bytes; /* beside the memory: on version 1 what memory and swap may be together, less the memory */
    uint64_t cpu_percent;
    uint64_t processes;
    char cpus[CGROUP_CPUS_MAX]; /* "0-3,8", cut; "" without the controller */
    struct cgroup_device_limit devices[CGROUP_DEVICES_MAX];
    uint32_t device_count; /* also of those that did not fit; version 2 only */
};

/* Reads them for the groups @name. 0; -errno when a file that is there cannot be read. */
int cgroup_read_limits(const struct cgroup_host *host, const char *name, struct cgroup_limits_in_force *ret_limits);

/* What /proc/PID/cgroup (@proc_fd) says of the hierarchies in @host: "LISTS PATH\n" for each different path, LISTS
 * separated by commas, "v2" for version 2. Paths that do not fit @size lose their beginning to "...". 0, -ENOSPC or
 * -errno. */
int cgroup_read_paths(const struct cgroup_host *host, int proc_fd, char *ret_text, size_t size);
/* The same over text in memory, which is changed: for tests. */
int cgroup_parse_paths(const struct cgroup_host *host, char *text, char *ret_text, size_t size);

/* One line of io.max: "8:0 rbps=1048576 wbps=max riops=max wiops=max". 0 or -EBADMSG. */
int cgroup_parse_device(const char *line, struct cgroup_device_limit *ret_limit);
