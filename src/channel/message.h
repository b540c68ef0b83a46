/* The privileged channel: one SOCK_SEQPACKET pair between joblet (root) and joblet-api (no rights). One struct a
 * packet, at most CHANNEL_MESSAGE_MAX bytes, each operation with one fixed size and a fixed number of descriptors.
 *
 * Never an operand: a path, a uid, a capability, a mount flag, a filter, a sysctl, a program to run on the host, a file
 * to read by name, configuration. Jobs are named by their 16-byte id, looked up in joblet's own table.
 *
 * A request carries a sequence number that its reply repeats. Replies come in any order (a start takes a while; others
 * are answered meanwhile). An unknown operation, a wrong size, a wrong number of descriptors or an operation out of
 * phase closes the channel, and joblet starts a new joblet-api. */
#pragma once

#include <stdint.h>

#include "base/cpulist.h"
#include "base/error.h"
#include "channel/view.h"
#include "plan/plan.h"
#include "plan/record.h"

#define CHANNEL_VERSION 2U
#define CHANNEL_MESSAGE_MAX 1024U
#define CHANNEL_FDS_MAX 8U

enum channel_operation {
    /* joblet-api → joblet; each is answered by one channel_reply or the struct named here */
    CHANNEL_HELLO = 1,       /* first and once; reply channel_hello_reply */
    CHANNEL_LIST_JOBS = 2,   /* the jobs that joblet knows, one at a time; reply channel_job_reply */
    CHANNEL_JOB_START = 3,   /* 1 descriptor: the sealed spec; reply channel_start_reply when it runs or failed */
    CHANNEL_JOB_SIGNAL = 4,  /* reply: channel_reply */
    CHANNEL_JOB_RELEASE = 5, /* the end is recorded in the API's database: forget the job, free its slot */
    CHANNEL_JOB_REMOVE = 6,  /* delete the files of a released job; reply: channel_reply */
    CHANNEL_JOB_LOOK = 7,    /* what the kernel says of a running job, now; reply: channel_look_reply */
    /* Builds and our own programs are jobs too: started by these, then signalled, listed, ended and released as jobs.
     */
    CHANNEL_BUILD_START = 8,     /* 1 descriptor: the sealed spec, a recipe; reply channel_start_reply */
    CHANNEL_TOOL_START = 9,      /* the same: collect of a build that ended with 0, or verify of a runtime */
    CHANNEL_BUILD_PUBLISH = 10,  /* the collected tree becomes NAME/VERSION; reply channel_reply */
    CHANNEL_RUNTIME_REMOVE = 11, /* refused while a job uses it; reply channel_reply. Its tree goes by itself */
    CHANNEL_HOST_STATE = 12,     /* what builds rest on; reply channel_host_reply */
    CHANNEL_AUDIT_APPEND = 13,   /* 1 descriptor: sealed facts (audit/record.h); reply channel_reply, when they are on
                                  * the disk */
    CHANNEL_BASE_FIND = 14,      /* a base that a build can begin with; reply channel_base_reply */
    CHANNEL_BASE_SEAL = 15,      /* the disk of a build that ended with 0 becomes one; reply channel_reply */
    CHANNEL_OPERATION_COUNT,
    /* joblet → joblet-api, without a request */
    CHANNEL_EVENT_JOB_ENDED = 64, /* channel_job_ended; again after a restart until released */
    CHANNEL_EVENT_SHUTDOWN = 65,  /* channel_header alone: stop accepting, let streams end, exit */
    CHANNEL_EVENT_JOB_VIEW = 66,  /* channel_job_view: before the reply to its start; again with each listing */
};

struct channel_header {
    uint16_t operation; /* enum channel_operation; a reply repeats the request's */
    uint16_t size;      /* of the whole message */
    uint32_t sequence;  /* of the request; 0 in events */
};

struct channel_hello {
    struct channel_header header;
    uint32_t version; /* CHANNEL_VERSION */
    uint32_t reserved;
};

struct channel_list_jobs {
    struct channel_header header;
    uint32_t cursor; /* 0 first, then channel_job_reply.next */
    uint32_t reserved;
};

/* The limits of one job. joblet refuses what is above the configured ceiling; 0 = the configured default. */
struct channel_limits {
    uint64_t memory_bytes;
    uint64_t timeout_ns;
    uint32_t cpu_percent; /* of one core, at most 10000 */
    uint32_t processes;
    uint64_t io_bps;     /* bytes a second read from the disk of the jobs' files, and as many written; 0 = none */
    uint32_t open_files; /* of each process */
    uint32_t reserved;
    struct cpulist cpus; /* empty = any */
};

/* A runtime of the store: both empty, or both names as plan_name_is_valid has them, ended and filled with NUL. */
struct channel_runtime {
    char name[PLAN_NAME_MAX];
    char version[PLAN_VERSION_TEXT_MAX];
    char reserved[6];
};

struct channel_job_start {
    struct channel_header header;
    uint8_t job_id[16];
    struct channel_limits limits;
    struct channel_runtime runtime; /* the root; empty: the base root */
};

/* A base is what a build of packages alone left: the disk of one that was started to become it, ended with 0 and was
 * sealed. It is known by a key of joblet-api's, the host's state, which joblet looks at itself, and what the
 * configuration hides. */
enum channel_base_use {
    CHANNEL_BASE_NONE,
    CHANNEL_BASE_MAKE, /* the build is to become the base @base_key */
    CHANNEL_BASE_USE,  /* it begins with it */
};
#define CHANNEL_BASE_KEY_SIZE 32U
/* What joblet-api has to remember of a base: joblet keeps it beside the disk and does not read it. */
#define CHANNEL_BASE_NOTES_SIZE 512U

struct channel_build_start {
    struct channel_header header;
    uint8_t build_id[16];
    struct channel_limits limits;
    struct channel_runtime runtime; /* what is built: no other build of the same may be there */
    char language[16];              /* a name as in struct channel_runtime */
    uint32_t dry_run;               /* 1: nothing will be collected, so another build of the same does not matter */
    uint32_t base;                  /* enum channel_base_use */
    uint8_t base_key[CHANNEL_BASE_KEY_SIZE]; /* zero without one */
};

struct channel_base_find {
    struct channel_header header;
    uint8_t key[CHANNEL_BASE_KEY_SIZE];
};

struct channel_base_seal {
    struct channel_header header;
    uint8_t build_id[16]; /* started to become one, and ended with 0 */
    uint8_t notes[CHANNEL_BASE_NOTES_SIZE];
};

enum channel_tool {
    CHANNEL_TOOL_COLLECT = 1, /* of the build @build_id, which must have ended with 0 and not be released */
    CHANNEL_TOOL_VERIFY = 2,  /* of @runtime; an end with 0 lets jobs use it until the service ends */
    CHANNEL_TOOL_LOOK = 3, /* at the build @build_id, which ended otherwise: a collect of which nothing can be made */
};

struct channel_tool_start {
    struct channel_header header;
    uint8_t job_id[16];
    struct channel_limits limits;
    uint32_t tool; /* enum channel_tool */
    uint32_t reserved;
    uint8_t build_id[16];           /* COLLECT, LOOK; otherwise zero */
    struct channel_runtime runtime; /* VERIFY; otherwise empty */
};

struct channel_build_publish {
    struct channel_header header;
    uint8_t build_id[16]; /* collected with 0 */
    uint32_t replace;     /* 1: one that is there makes way; jobs that use it keep it until they end */
    uint32_t reserved;
};

struct channel_runtime_remove {
    struct channel_header header;
    struct channel_runtime runtime;
};

enum channel_signal {
    CHANNEL_SIGNAL_TERMINATE = 1, /* SIGTERM to every process of the job but joblet-init */
    CHANNEL_SIGNAL_KILL = 2,      /* the whole tree, at once; ends with an event */
};

struct channel_job_signal {
    struct channel_header header;
    uint8_t job_id[16];
    uint32_t signal; /* enum channel_signal */
    uint32_t reserved;
};

struct channel_job_id { /* JOB_RELEASE, JOB_REMOVE, JOB_LOOK */
    struct channel_header header;
    uint8_t job_id[16];
};

/* error.code = 0: done. */
struct channel_reply {
    struct channel_header header;
    struct error error;
};

struct channel_hello_reply {
    struct channel_header header;
    uint32_t version;
    uint32_t max_jobs; /* how many can run at the same time */
    struct error error;
};

struct channel_start_reply {
    struct channel_header header;
    int64_t started_unix_ns;
    struct channel_limits limits; /* in force, defaults filled in */
    struct error error;           /* stage and text of a setup failure */
};

enum channel_job_phase { CHANNEL_JOB_STARTING = 1, CHANNEL_JOB_RUNNING, CHANNEL_JOB_ENDED };

struct channel_job_reply {
    struct channel_header header;
    uint32_t next;  /* cursor of the next call; 0 = this reply holds no job, the list is at its end */
    uint32_t phase; /* enum channel_job_phase */
    uint32_t type;  /* enum plan_type */
    uint32_t reserved;
    uint8_t job_id[16];
    int64_t started_unix_ns;
};

struct channel_job_ended {
    struct channel_header header;
    struct record record;
    uint64_t cpu_ns;            /* used by all its processes */
    uint64_t memory_peak_bytes; /* 0 when the kernel does not say */
};

/* The error is where channel_reply has it. */
struct channel_host_reply {
    struct channel_header header;
    struct error error;      /* why nothing can be built here: package database locked, broken ... */
    uint8_t fingerprint[32]; /* changes when packages, package sources or their lists do */
    uint64_t free_bytes;     /* of the prefix's file system */
    char distribution[32];   /* ID of os-release */
    char distribution_like[64];
    char distribution_version[32];
    char architecture[16]; /* as uname has it */
};

/* The error is where channel_reply has it; ENOENT, ESTALE: there is none, and the text says why. */
struct channel_base_reply {
    struct channel_header header;
    struct error error;
    uint8_t build_id[16]; /* of the build that it is */
    int64_t made_unix_ns;
    uint8_t notes[CHANNEL_BASE_NOTES_SIZE];
};

/* The error is where channel_reply has it. */
struct channel_look_reply {
    struct channel_header header;
    struct error error;
    struct channel_kernel_view view;
};

/* What joblet saw before it said go. */
struct channel_job_view {
    struct channel_header header;
    uint8_t job_id[16];
    struct channel_kernel_view view;
};

_Static_assert(sizeof(struct channel_job_ended) <= CHANNEL_MESSAGE_MAX, "channel_job_ended fits a message");
_Static_assert(sizeof(struct channel_look_reply) <= CHANNEL_MESSAGE_MAX, "channel_look_reply fits a message");
_Static_assert(sizeof(struct channel_job_view) <= CHANNEL_MESSAGE_MAX, "channel_job_view fits a message");

/* The exact size of a message joblet-api → joblet, or 0 when @operation is none; and its number of descriptors. */
uint16_t channel_request_size(uint16_t operation);
unsigned channel_request_fds(uint16_t operation);

/* Sends one message with @fd_count descriptors (borrowed). Never blocks: 0; -EAGAIN when the queue is full; -EPIPE when
 * the peer is gone; -errno. */
int channel_send(int socket, const void *message, const int fds[], unsigned fd_count);

/* Receives one message into @buffer. On success the descriptors (all close-on-exec) are the caller's. 0; -EAGAIN when
 * there is none; -ENODATA when the peer closed; -EPROTO when truncated, too many descriptors, or header.size is not the
 * size received (all descriptors are closed then); -errno. */
struct channel_received {
    union {
        struct channel_header header;
        uint8_t bytes[CHANNEL_MESSAGE_MAX];
        uint64_t align;
    };
    int fds[CHANNEL_FDS_MAX];
    unsigned fd_count;
};
int channel_receive(int socket, struct channel_received *ret_message);
/* Closes what was not taken (taken = set to -EBADF), and never waits for it. */
void channel_received_done(struct channel_received *message);
/* Closes the channel and the descriptors that still lie in it, one by one: left to the kernel, a connection among them
 * that lingers would hold us up. Returns -EBADF, to be assigned. */
int channel_close(int socket);
