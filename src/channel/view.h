/* What the kernel says of a job, read from outside by joblet: the protections and limits that are in force, not those
 * that were asked for. Read once before the command is executed (that is kept in the job's record), and again whenever
 * somebody asks about a running job. */
#pragma once

#include <stdint.h>

/* In place of a number: there is no limit; the kernel has no such limit here, or does not say. */
#define CHANNEL_VIEW_NO_LIMIT UINT64_MAX
#define CHANNEL_VIEW_NOT_SET (UINT64_MAX - 1)

#define CHANNEL_VIEW_NAMESPACES 7U /* in the order of enum procstatus_ns */
#define CHANNEL_VIEW_CPUS_MAX 64U
#define CHANNEL_VIEW_CGROUPS_MAX 256U
#define CHANNEL_VIEW_DEVICES_MAX 2U

/* /proc/PID/uid_map or gid_map. */
struct channel_view_map {
    uint32_t lines; /* of which this is the first; a job has one */
    uint32_t inside;
    uint32_t outside; /* as joblet's user namespace counts */
    uint32_t count;
};

struct channel_view_process {
    uint32_t pid; /* on the host; 0: not there any more, and all else is 0 */
    uint32_t inner_pid;
    uint32_t uid[4]; /* real, effective, saved, file system; on the host */
    uint32_t gid[4];
    struct channel_view_map uid_map;
    struct channel_view_map gid_map;
    uint32_t group_count;
    uint32_t no_new_privs;
    uint32_t seccomp; /* 0 none, 1 strict, 2 filter */
    uint32_t seccomp_filters;
    uint64_t cap_inheritable;
    uint64_t cap_permitted;
    uint64_t cap_effective;
    uint64_t cap_bounding;
    uint64_t cap_ambient;
    uint32_t namespaces[CHANNEL_VIEW_NAMESPACES]; /* inode numbers */
    uint32_t own_namespaces;                      /* bit n: the nth is another than joblet's */
};

/* Bytes a second to and from one device. */
struct channel_view_device {
    uint32_t major;
    uint32_t minor;
    uint64_t read_bps;
    uint64_t write_bps;
};

/* Numbers may be CHANNEL_VIEW_NO_LIMIT or CHANNEL_VIEW_NOT_SET. */
struct channel_view_limits {
    uint64_t memory_bytes;
    uint64_t swap_bytes; /* beside the memory */
    uint64_t cpu_percent;
    uint64_t processes;
    uint64_t open_files_soft; /* of the command's process, as the next three */
    uint64_t open_files_hard;
    uint64_t core_bytes_soft;
    uint64_t core_bytes_hard;
    char cpus[CHANNEL_VIEW_CPUS_MAX]; /* the processors that its groups leave it ("0-3,8"), or "" */
    struct channel_view_device devices[CHANNEL_VIEW_DEVICES_MAX];
    uint32_t device_count; /* there may be more than fit */
    uint32_t reserved;
};

struct channel_kernel_view {
    int64_t taken_unix_ns;
    uint32_t before_start; /* 1: read before the command was executed; 0: of the running job */
    uint32_t reserved;
    struct channel_view_process init; /* joblet-init */
    struct channel_view_process command;
    struct channel_view_limits limits;
    /* The groups of the command's process, as /proc/PID/cgroup shows them to joblet: "LISTS PATH\n" for each path,
     * LISTS separated by commas ("memory", "cpu,cpuacct", "v2"). A path too long for it has "..." for its beginning. */
    char cgroups[CHANNEL_VIEW_CGROUPS_MAX];
};
