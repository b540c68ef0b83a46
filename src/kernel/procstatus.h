/* What the kernel says of a process in /proc/PID: ids, capabilities, seccomp, id maps, namespaces, groups. It is read
 * through the descriptor of the /proc/PID directory, so that a pid that was given away meanwhile is an error (ESRCH)
 * and never another process. Both sides use it: joblet-init on itself, joblet from outside. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

/* More groups than this are an error: a job's process has none. */
#define PROCSTATUS_GROUPS_MAX 64U

struct procstatus {
    uint32_t uid[4]; /* real, effective, saved, file system; as the reader's user namespace sees them */
    uint32_t gid[4];
    uint32_t group_count; /* supplementary groups */
    uint32_t groups[PROCSTATUS_GROUPS_MAX];
    uint64_t cap_inheritable;
    uint64_t cap_permitted;
    uint64_t cap_effective;
    uint64_t cap_bounding;
    uint64_t cap_ambient;
    uint32_t no_new_privs;
    uint32_t seccomp; /* 0 none, 1 strict, 2 filter */
    uint32_t seccomp_filters;
    uint32_t threads;
    uint32_t tracer_pid;
    uint32_t parent_pid;
    uint32_t inner_pid; /* in the innermost PID namespace: the last of NSpid */
};

/* Opens /proc/@pid as a directory, O_PATH. A descriptor or -errno (-ENOENT, -ESRCH: no such process). */
int procstatus_open(pid_t pid);

/* Reads "status" below @proc_fd. 0; -EBADMSG when a field is missing or malformed; -errno. Any thread. */
int procstatus_read(int proc_fd, struct procstatus *ret_status, struct error *error);
/* The same over text in memory: for tests. */
int procstatus_parse(const char *text, struct procstatus *ret_status, struct error *error);

/* The start time of the process, in clock ticks since boot: with the pid and the boot id it names a process for good.
 * Field 22 of "stat"; the command name in it may hold anything. 0, -EBADMSG or -errno. */
int procstatus_read_start_time(int proc_fd, uint64_t *ret_ticks);
int procstatus_parse_start_time(const char *text, uint64_t *ret_ticks);

/* One of the maps "uid_map" and "gid_map". */
struct procstatus_id_map {
    uint32_t lines; /* how many it has; the rest is the first */
    uint32_t inside;
    uint32_t outside;
    uint32_t count;
};
/* Reads the map @name below @proc_fd. 0, -EBADMSG when it is malformed or empty, -errno. */
int procstatus_read_id_map(int proc_fd, const char *name, struct procstatus_id_map *ret_map);
int procstatus_parse_id_map(const char *text, struct procstatus_id_map *ret_map);

/* Of /proc/PID/limits; PROCSTATUS_UNLIMITED where it says so. 0, -EBADMSG or -errno. */
#define PROCSTATUS_UNLIMITED UINT64_MAX
struct procstatus_limits {
    uint64_t open_files_soft;
    uint64_t open_files_hard;
    uint64_t core_bytes_soft;
    uint64_t core_bytes_hard;
};
int procstatus_read_limits(int proc_fd, struct procstatus_limits *ret_limits);
int procstatus_parse_limits(const char *text, struct procstatus_limits *ret_limits);

/* True (1) when @name ("uid_map" or "gid_map") below @proc_fd is the one line that maps 0 to @base for @size ids, 0
 * when it is anything else. 1, 0 or -errno. */
int procstatus_check_id_map(int proc_fd, const char *name, uint32_t base, uint32_t size);

enum procstatus_ns {
    PROCSTATUS_NS_PID,
    PROCSTATUS_NS_MNT,
    PROCSTATUS_NS_UTS,
    PROCSTATUS_NS_IPC,
    PROCSTATUS_NS_NET,
    PROCSTATUS_NS_CGROUP,
    PROCSTATUS_NS_USER,
    PROCSTATUS_NS_COUNT,
};
/* "pid", "mnt" and so on, as in /proc/PID/ns. */
const char *procstatus_ns_name(enum procstatus_ns ns);

/* The inode numbers of the process's namespaces (all lie on one nsfs, so the number is the identity). Needs the right
 * to trace the process, or the process itself. 0 or -errno. */
struct procstatus_namespaces {
    uint64_t inode[PROCSTATUS_NS_COUNT];
};
int procstatus_read_namespaces(int proc_fd, struct procstatus_namespaces *ret_namespaces, struct error *error);
