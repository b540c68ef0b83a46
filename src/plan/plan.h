/* The plan of one sandbox: the fixed-size part that joblet writes and joblet-init reads while it still has host root's
 * rights (A33 in the kernel facts: nothing of a client's is parsed before the drop). What the client sent travels
 * apart, in the spec (spec.h), and is opened only after the drop.
 *
 * The descriptors of joblet-init stand at fixed numbers, set up by joblet between clone3 and execveat. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define PLAN_MAGIC 0x4e4c504aU /* "JPLN" */
#define PLAN_VERSION 4U

/* Ids inside a job. The command's id comes from the configuration; the supervisor's is never given to a job (A4). */
#define PLAN_RANGE_SIZE 65536U
#define PLAN_COMMAND_ID_DEFAULT 65534U
#define PLAN_SUPERVISOR_ID 65535U

/* A program needs a few. */
#define PLAN_OPEN_FILES_MIN 16U

/* No file system of a job is larger; beyond it, sizes in pages or as text would wrap around to "no limit". */
#define PLAN_SIZE_MAX (1ULL << 50)

/* What a sandbox is for. Fixed by the operation that was called, never an operand (P1). */
enum plan_type {
    PLAN_TYPE_STANDARD = 1, /* a client's command in the production root */
    PLAN_TYPE_BUILD,        /* joblet-builder's "install" in the builder root, as mapped root with nine capabilities */
    /* Our own program over what a build wrote, as mapped root with CHOWN, DAC_OVERRIDE and FOWNER, without a network;
     * nothing of the client's is executed. */
    PLAN_TYPE_COLLECT, /* makes the runtime's tree out of a finished build */
    PLAN_TYPE_VERIFY,  /* holds a runtime's tree against its manifest */
    PLAN_TYPE_SWEEP,   /* deletes a tree */
};
/* "standard", "runtime-build" and so on; "unknown". Static text. */
const char *plan_type_name(uint32_t type);
/* The capabilities that the command of a sandbox of @type keeps, as a set of bits; 0 for standard. */
uint64_t plan_type_capabilities(uint32_t type);

/* The steps of making a sandbox, in the only order that is permitted. Used in errors ("stage"), by the order guard of
 * joblet-init and by the tests that swap two of them. plan_stage_name gives the text for people. */
enum plan_stage {
    PLAN_STAGE_NONE = 0,
    /* joblet */
    PLAN_STAGE_PREPARE, /* slot, directories, log files */
    PLAN_STAGE_CGROUP,  /* the job's groups and limits */
    PLAN_STAGE_CLONE,   /* clone3 and execveat of joblet-init */
    /* joblet-init, host root's rights, old root */
    PLAN_STAGE_START,         /* environment, PID 1, no chroot, the plan itself */
    PLAN_STAGE_PROPAGATION,   /* the mount tree made private */
    PLAN_STAGE_CGROUP_ATTACH, /* v1: into each controller's group */
    PLAN_STAGE_CGROUP_NS,     /* v1: unshare the cgroup namespace after the attach */
    PLAN_STAGE_ROOT,          /* root, /dev, /proc, /work, /tmp, masks */
    PLAN_STAGE_NETWORK,       /* loopback up, sysctls of the network namespace */
    PLAN_STAGE_HOSTNAME,
    PLAN_STAGE_RLIMITS,
    PLAN_STAGE_KEYRING, /* a new session keyring */
    PLAN_STAGE_PIVOT,   /* pivot_root, old root detached */
    /* joblet-init, in the job's user namespace */
    PLAN_STAGE_USERNS,    /* setns(CLONE_NEWUSER), last of all namespaces */
    PLAN_STAGE_NS_LIMITS, /* max_*_namespaces = 0 */
    PLAN_STAGE_BOUNDING,  /* bounding set emptied */
    PLAN_STAGE_GROUPS,
    PLAN_STAGE_IDS,
    PLAN_STAGE_CAPABILITIES,
    PLAN_STAGE_AMBIENT,
    PLAN_STAGE_NO_NEW_PRIVS,
    PLAN_STAGE_DUMPABLE,
    PLAN_STAGE_FDS,   /* everything closed but the listed ones */
    PLAN_STAGE_PROOF, /* P5, first part: read back from the kernel */
    PLAN_STAGE_LANDLOCK,
    PLAN_STAGE_SPEC, /* only now the client's bytes are read */
    PLAN_STAGE_FORK,
    PLAN_STAGE_COMMAND_IDS,    /* in the command's process: its own id */
    PLAN_STAGE_COMMAND_FILTER, /* its seccomp filter */
    PLAN_STAGE_COMMAND_PROOF,  /* P5 for the command's process */
    PLAN_STAGE_FILTER,         /* joblet-init's own, smaller filter */
    PLAN_STAGE_PROOF_LAST,     /* P5, second part */
    PLAN_STAGE_OUTSIDE_PROOF,  /* joblet's look from outside */
    PLAN_STAGE_EXEC,
    PLAN_STAGE_COUNT,
};

/* "pivot root" and the like; "unknown" for a number that is none. Static text. */
const char *plan_stage_name(uint32_t stage);

/* Descriptors of joblet-init at exec. All but 0-2 are close-on-exec again as soon as it runs. */
enum plan_fd {
    PLAN_FD_NULL = 0,    /* 0, 1, 2: /dev/null */
    PLAN_FD_PLAN = 3,    /* sealed memfd: struct plan */
    PLAN_FD_CONTROL = 4, /* SOCK_SEQPACKET to joblet: struct plan_message, until the command runs */
    PLAN_FD_USERNS = 5,  /* the user namespace to join */
    /* Detached tree, idmapped, read-only, nosuid, nodev. Standard: the root. Collect: the base root, mounted at /base.
     * Otherwise closed. */
    PLAN_FD_ROOT = 6,
    PLAN_FD_SPEC = 7,         /* sealed memfd: spec.h */
    PLAN_FD_LOG = 8,          /* the log's bytes, write-only, not O_APPEND (splice refuses that) */
    PLAN_FD_INDEX = 9,        /* the log's index, write-only: joblog/format.h */
    PLAN_FD_RECORD = 10,      /* the exit record, write-only: record.h */
    PLAN_FD_STDOUT_READ = 11, /* the command's output pipes; joblet keeps the read ends too */
    PLAN_FD_STDOUT_WRITE = 12,
    PLAN_FD_STDERR_READ = 13,
    PLAN_FD_STDERR_WRITE = 14,
    PLAN_FD_OOM = 15, /* v1: eventfd of memory.oom_control; otherwise closed (plan.cgroup_oom_eventfd = 0) */
    /* Standard: detached tree, /work on disk, idmapped; otherwise closed (plan.work_on_disk = 0). Build, collect: the
     * build's disk, detached, the whole file system, not idmapped: owners on it are the host ids of the range. */
    PLAN_FD_WORK = 16,
    PLAN_FD_PROGRAM = 17, /* not standard: O_PATH of joblet-builder, which is the command */
    /* Collect, sweep: detached tree, idmapped, nosuid, nodev, writable: what is filled or emptied. Verify: the same,
     * read-only, the runtime's directory. Mounted at /stage. */
    PLAN_FD_STAGE = 18,
    /* Build: downloads of earlier builds, detached, idmapped, read-only, the lower of /var/cache/apt/archives. Collect:
     * the same, writable, mounted at /cache. Closed when there is no cache (plan.has_cache = 0). */
    PLAN_FD_CACHE = 19,
    PLAN_FD_HOST_LINK = 20, /* build: a route socket of the host's network namespace; closed by the step NETWORK */
    /* Build, collect: the disk of a finished base, detached, read-only, the whole file system, its owners mapped to the
     * job's range. Closed when the build begins with the host alone (plan.has_base = 0). */
    PLAN_FD_BASE_DISK = 21,
    /* Build: the list of suspects (suspects.h) to look at, and the file for what this one finds, both in memory, the
     * first sealed. Closed when there is none (plan.has_list = 0, plan.wants_list = 0). */
    PLAN_FD_LIST = 22,
    PLAN_FD_NEW_LIST = 23,
    PLAN_FD_CGROUP_FIRST = 24, /* v1: the "tasks" files to attach to, plan.cgroup_tasks of them */
    PLAN_FD_CGROUP_MAX = 8,
};

/* Room for a component of a path and its NUL; see plan_name_is_valid. */
#define PLAN_NAME_MAX 65U
#define PLAN_VERSION_TEXT_MAX 33U
#define PLAN_PATH_MAX 128U
#define PLAN_PATHS_MAX 8U
#define PLAN_ROUTES_MAX 256U
#define PLAN_RESOLVERS_MAX 3U

/* IPv4, host byte order. */
struct plan_route {
    uint32_t address;
    uint32_t prefix_length;
};

/* The network of a build: a pair of links between its namespace and a bridge of ours. */
struct plan_network {
    uint32_t is_set; /* 0: loopback alone */
    uint32_t bridge; /* number of the bridge's link in the host's namespace */
    uint32_t address;
    uint32_t prefix_length;
    uint32_t gateway;
    uint32_t mtu;
    char host_link[16];                         /* name of the host's end */
    uint32_t refused_count;                     /* what is unreachable from inside, beside the host's own rules */
    struct plan_route refused[PLAN_ROUTES_MAX]; /* link-local, the host's addresses, other networks of ours */
    uint32_t resolver_count;
    char resolvers[PLAN_RESOLVERS_MAX][46]; /* texts of addresses, for /etc/resolv.conf */
    char search[256];                       /* "search ..." without its newline, or "" */
};

/* What a builder root is made of, beside the compiled-in list of the OS's directories. */
struct plan_build {
    char name[PLAN_NAME_MAX]; /* of the runtime */
    char version[PLAN_VERSION_TEXT_MAX];
    char language[16]; /* RUNTIME_TYPE */
    /* Absolute paths below listed directories: what is hidden beside the presets; what is shown although others may not
     * read it. An empty text ends each list. */
    char hidden[PLAN_PATHS_MAX][PLAN_PATH_MAX];
    char shown[PLAN_PATHS_MAX][PLAN_PATH_MAX];
    /* The prefix, and /opt/joblet when that is another: directories that are not there, under whatever name. */
    uint64_t absent_device[2];
    uint64_t absent_inode[2]; /* 0 = none */
};

struct plan {
    uint32_t magic;
    uint32_t version;
    uint32_t type; /* enum plan_type */
    uint8_t job_id[16];
    uint32_t id_base;            /* first host id of the job's range of PLAN_RANGE_SIZE */
    uint32_t command_id;         /* uid and gid of the command inside, 1..65534 */
    uint32_t cgroup_tasks;       /* v1: number of descriptors from PLAN_FD_CGROUP_FIRST; 0 on pure v2 */
    uint32_t cgroup_unshare;     /* 1: unshare the cgroup namespace after the attach; 0: clone3 made it */
    uint32_t cgroup_oom_eventfd; /* 1: PLAN_FD_OOM is there */
    uint32_t landlock_abi;       /* what this host has, at least 1; found by joblet at its start */
    uint32_t open_files;         /* RLIMIT_NOFILE, soft and hard */
    uint32_t work_on_disk;       /* 1: PLAN_FD_WORK is there, ext4 of exactly the sizes below; 0: tmpfs */
    uint64_t work_bytes;         /* sizes of the file systems of the job; each tmpfs within the memory limit */
    uint64_t work_inodes;
    uint64_t tmp_bytes;
    uint64_t tmp_inodes;
    uint64_t shm_bytes;
    uint64_t timeout_ns;      /* 0 = none; counted from the exec of the command */
    uint64_t log_quota_bytes; /* 0 = none */
    /* For the command's environment (behaviour.md part 5): what is in force. 0 = none. */
    uint64_t memory_bytes;
    uint32_t cpu_percent;
    uint32_t processes;
    uint32_t has_cache;          /* 1: PLAN_FD_CACHE is there */
    uint32_t has_base;           /* 1: PLAN_FD_BASE_DISK is there */
    uint32_t has_list;           /* 1: PLAN_FD_LIST is there */
    uint32_t wants_list;         /* 1: PLAN_FD_NEW_LIST is there */
    struct plan_network network; /* build; otherwise zero */
    struct plan_build build;     /* build and collect; otherwise zero */
#ifdef JOBLET_TEST_HOOKS
    /* Only in test builds: the two steps to swap (0 = none), or the step to leave out. */
    uint32_t swap_first;
    uint32_t swap_second;
    uint32_t leave_out;
    uint32_t reserved_test;
#endif
};

/* Checks magic, version, type, ranges and that nothing reserved is set. 0 or -EINVAL with @error. Any thread. */
int plan_check(const struct plan *plan, struct error *error);

/* True for one component of a path that is meant as a name: `[a-z0-9][a-z0-9.+_-]*`, shorter than @size, and so neither
 * "." nor "..". */
bool plan_name_is_valid(const char *text, size_t size);

/* Between joblet and joblet-init, until the command runs. One struct a packet, both directions. */
#define PLAN_MESSAGE_MAGIC 0x4753504aU
enum plan_message_type {
    PLAN_MESSAGE_FAILED = 1,    /* init → joblet: error holds stage, errno, text; nothing was executed */
    PLAN_MESSAGE_COMMAND_READY, /* command's process → joblet: proven, waits; its pid comes as SCM_CREDENTIALS */
    PLAN_MESSAGE_READY,         /* init → joblet: proven, waits for GO */
    PLAN_MESSAGE_GO,            /* joblet → init */
    PLAN_MESSAGE_STARTED,       /* init → joblet: execve succeeded */
    PLAN_MESSAGE_NOT_STARTED,   /* init → joblet: execve failed (126, 127); the record follows */
};
struct plan_message {
    uint32_t magic;
    uint32_t type;
    int64_t started_unix_ns; /* STARTED: when */
    struct error error;      /* FAILED, NOT_STARTED */
};
