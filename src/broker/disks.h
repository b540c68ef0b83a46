/* Disks for the /work of jobs, from joblet-scratch: its life, and the few that lie ready here so that a start need not
 * wait. Nothing here blocks. Without loop devices or ext4 on this host, found by trying at the start, /work lies in
 * memory, within the job's memory limit: the size holds in either case. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "broker/loop.h"

struct broker;

/* What a job has for its /work. */
struct disk_grant {
    bool is_held;
    bool on_disk; /* false: a file system in memory, made by joblet-init */
    uint32_t generation;
    uint64_t id;
    uint64_t bytes;
    uint64_t inodes;
    int fd; /* the detached mount, until the job has it; -EBADF */
};

struct disks_ready {
    struct disks_ready *next;
    uint64_t id;
    uint32_t generation;
    int fd;
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
/* A job more, or less, that waits. */
void disks_wait(struct disks *disks, int more);
/* The job is gone with all its mounts. Nothing when @grant is not held. */
void disks_give_back(struct disks *disks, struct disk_grant *grant);
