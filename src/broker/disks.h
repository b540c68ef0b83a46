/* Disks for the /work of jobs and for builds, from joblet-scratch: its life, and the few that lie ready here so that a
 * start need not wait. Nothing here blocks. Without loop devices or ext4 on this host, found by trying at the start,
 * /work lies in memory, within the job's memory limit: the size holds in either case. A build cannot do without: what
 * it writes has no place in memory. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "broker/loop.h"

struct broker;

/* What a job has for its /work, or a build for all that it writes. */
struct disk_grant {
    bool is_held;
    bool on_disk; /* false: a file system in memory, made by joblet-init */
    uint32_t generation;
    uint64_t id;
    uint64_t bytes;
    uint64_t inodes;
    int fd;       /* the detached mount, until the job has it; -EBADF */
    int again_fd; /* build: another one, until the collect has it; -EBADF */
    int image_fd; /* build: its file; -EBADF */
};

struct disks_ready {
    struct disks_ready *next;
    uint64_t id;
    uint32_t generation;
    int fd;
    int again_fd; /* of a build; these are also not all of one size */
    int image_fd;
    uint64_t bytes;
    uint64_t inodes;
};

enum disks_mode { DISKS_UNKNOWN, DISKS_ON_DISK, DISKS_IN_MEMORY };

struct disks {
    struct broker *broker;
    int exec_fd; /* O_PATH of joblet-scratch */
    uint32_t generation;
    pid_t pid;
    struct loop_source process;
    struct loop_source channel;
    struct loop_timer timer; /* the next start */
    int64_t started_ns;
    uint64_t backoff_ns;
    unsigned failures; /* in a row: it ended soon */
    bool is_leaving;

    enum disks_mode mode;
    bool is_told; /* of the mode, in the log */
    uint64_t bytes;
    uint64_t inodes;
    struct disks_ready *first;
    struct disks_ready *last;
    unsigned waiting; /* jobs */

    struct error reason; /* DISKS_IN_MEMORY: what this host does not have */
    struct disks_ready *first_build;
    unsigned build_count;  /* that lie ready */
    unsigned builds_asked; /* and are not answered */
    unsigned builds_waiting;
};

/* Opens joblet-scratch at @path. 0 or -errno with @error. */
int disks_prepare(struct disks *disks, struct broker *broker, const char *path, struct error *error);
/* Starts it; it is started again whenever it ends. 0 or -errno with @error. */
int disks_start(struct disks *disks, struct error *error);
/* Ends it, and waits for a moment until the host is as before. */
void disks_done(struct disks *disks);

/* Takes one for a job. 0; 1: there is none now, job_resume comes (the caller counts itself in with disks_wait); -errno
 * with @error. */
int disks_take(struct disks *disks, struct disk_grant *ret_grant, struct error *error);
/* The same for a build. */
int disks_take_build(struct disks *disks, struct disk_grant *ret_grant, struct error *error);
/* Asks for the disk that lies in the file @image_fd (borrowed), once: build_on_base tells, with the same @token. 0;
 * -EAGAIN: joblet-scratch is not there now; -errno. */
int disks_ask_base(struct disks *disks, int image_fd, uint64_t token);
/* A job more, or less, of @type (enum plan_type), that waits. */
void disks_wait(struct disks *disks, uint32_t type, int more);
/* The job is gone with all its mounts. Nothing when @grant is not held. */
void disks_give_back(struct disks *disks, struct disk_grant *grant);
