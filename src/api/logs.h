/* GetJobLogs: followers of jobs' logs. A follower reads the files itself, at its own pace, and never more than its
 * connection takes; one inotify instance wakes all that have caught up. A slow one costs a buffer of bounded size and
 * nobody else anything. */
#pragma once

#include <uv.h>

#include "grpc/server.h"
#include "state/job.h"

struct logs;

/* The followers of one job that has not ended: a member of the job's live part. Zeroed = none. */
struct logs_followed {
    struct logs_follower *followers;
    struct logs_followed *next; /* all that are watched */
    const char *uuid;
    int watch; /* inotify's number; meaningful while watched */
    bool watched;
    bool started; /* the files are there */
    /* Set by who has no calls that follow: the index has changed. logs_watch is theirs to call. */
    void (*changed)(struct logs_followed *followed);
};

/* @jobs_fd is borrowed; the process's working directory must be that directory (inotify takes a path). @chunk_bytes:
 * the largest payload. 0 or -errno with @error. */
int logs_new(uv_loop_t *loop, int jobs_fd, uint32_t chunk_bytes, struct logs **ret_logs, struct error *error);
/* Closes its handles; the memory goes with the loop's next turn. All followers must be gone. NULL is fine. */
void logs_close(struct logs *logs);

/* Opens a file of the job for reading, when it is a regular one. The descriptor or -errno. */
int logs_open(const struct logs *logs, const char *uuid, const char *name);
/* From here on changes of the log are told to @followed; the files are there. 0, also when it is so already; -errno
 * when the kernel has no watch left. */
int logs_watch(struct logs *logs, struct logs_followed *followed);
void logs_unwatch(struct logs *logs, struct logs_followed *followed);

/* Answers @call with the log of @job: to its end at once when @followed is NULL (the job has ended), else as it grows.
 * The call is the follower's from here on. */
void logs_follow(
        struct logs *logs, const struct state_job *job, struct logs_followed *followed, struct grpc_call *call);
/* The job's files are there now. */
void logs_started(struct logs *logs, struct logs_followed *followed);
/* The job has ended and nothing more is written: followers get what is left and their end. @followed is empty then. */
void logs_ended(struct logs *logs, struct logs_followed *followed);
