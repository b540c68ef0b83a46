/* A job of joblet's that is no client's: a build, one of our own tools over what a build wrote, the test of a runtime.
 * It is in no table of ours, and lives no longer than what it is part of. Its log is read while it grows; what it wrote
 * is all given before its end is told.
 *
 * Callbacks never come from within the functions here. */
#pragma once

#include "api/api.h"
#include "joblog/reader.h"
#include "plan/record.h"

struct task;

/* How it ended: record.reason is RECORD_REASON_SETUP_FAILURE, with the error, when it was never executed. */
struct task_end {
    struct record record;
    uint64_t cpu_ns;
    uint64_t memory_peak_bytes;
};

struct task_events {
    /* It runs. May be NULL. */
    void (*started)(struct task *task, int64_t started_unix_ns);
    /* A piece of its log of one stream (enum joblog_stream). */
    void (*output)(struct task *task, const char *bytes, size_t size, uint32_t stream);
    /* It has ended: task_release follows, then or later. */
    void (*ended)(struct task *task, const struct task_end *end);
};

struct task {
    struct api *api;
    const struct task_events *events;
    void *user;
    uint8_t id[16];
    char uuid[TEXT_UUID_MAX];

    /* Its own. */
    struct task *next;
    struct logs_followed followed;
    uv_timer_t timer;      /* the next turn of reading */
    uv_timer_t kill_timer; /* until the end comes */
    unsigned handles;      /* that are not closed yet */
    int log_fd;
    int index_fd;
    struct joblog_reader reader;
    bool open;
    bool started;
    bool kill_wanted;
    bool end_known;
    bool end_told;
    struct task_end end;
    void (*released)(void *user);
    void *released_user;
};

/* What is started. */
struct task_request {
    /* A channel_job_start, channel_build_start or channel_tool_start with all but its id, which all three have at one
     * place; it is filled in. */
    void *message;
    const uint8_t *id;                      /* 16 bytes; NULL: a new one */
    const struct runtime_list *words;       /* [0] is the mode, or the command; NULL: spec_fd says it */
    const struct runtime_list *environment; /* "NAME=VALUE" */
    const char *work_dir;                   /* of what is executed: tools have no /work */
    int spec_fd;                            /* taken when there are no words */
};

/* 0, with the task in @ret_task (freed by its release); -errno with @error. */
int task_start(struct api *api, const struct task_request *request, const struct task_events *events, void *user,
        struct task **ret_task, struct error *error);
/* Ends it at once; its end is told as any. Once more: nothing. */
void task_kill(struct task *task);
/* After its end: joblet forgets it, its files go. The task is gone; @done (may be NULL) follows. */
void task_release(struct task *task, void (*done)(void *user), void *user);
/* "exited with 3", "was killed by signal 9", "time limit" and so on. */
#define TASK_END_TEXT_MAX 320
void task_end_format(const struct task_end *end, char ret_text[TASK_END_TEXT_MAX]);

/* An event of the channel. True when the job is a task's. */
bool task_on_ended(struct api *api, const struct channel_job_ended *ended);
