/* The part of a job that exists while joblet knows it: from its acceptance to its release. What waits for something of
 * the job (calls, followers, a deletion) hangs here, and the steps from running to released are made here: stop, end
 * stored, release, followers and waiting calls answered. */
#pragma once

#include "api/api.h"
#include "api/durable.h"
#include "api/verify.h"
#include "plan/record.h"

struct deleting;
struct waiter;

/* Outlives the job when that cannot be stored. */
struct intent {
    struct live *live; /* NULL: it is gone */
};

struct live {
    struct api *api;
    struct state_job *job;      /* job->user points back */
    int spec_fd;                /* until it is started */
    struct intent *intent;      /* RunJob's, on its way to the audit log, or NULL */
    struct grpc_call *run_call; /* RunJob that waits, or NULL */
    struct waiter *stoppers;    /* StopJob calls that wait */
    struct deleting *deleting;  /* asked for between the end and the release, or NULL */
    struct logs_followed followed;
    uv_timer_t timer; /* grace period, or the next try to store */
    bool stored;      /* the row is on disk */
    bool unrecorded;  /* the intent is not in the audit log, failure says why: it is not started */
    bool stop_wanted; /* asked for before it was */
    bool started;     /* joblet has it running: signals reach it */
    bool stopping;    /* TERM was sent */
    bool ending;      /* the end is being stored */
    uint8_t *view;    /* what the kernel said before the command ran, packed (view.h), or NULL */
    size_t view_size;
    bool verified; /* its runtime was, for it */
    struct verify_waiter verification;
    struct error failure;      /* why the start failed; code = 0: it did not */
    struct state_progress end; /* while ending */
    struct durable_item log;   /* while ending */
};

/* 0 or -errno. */
int live_new(struct api *api, struct state_job *job, struct live **ret_live);
/* The job stays, without its live part. The memory goes with the loop's next turn. */
void live_free(struct live *live);

/* Answers @call with StopJobResponse when the job has ended. */
void live_wait_stopped(struct live *live, struct grpc_call *call);
/* All that wait for the stop are answered with @status and "@text: UUID". */
void live_refuse_stoppers(struct live *live, enum grpc_status status, const char *text);
/* Stores the intent to stop; the signals follow when it is on disk. Once more: nothing. 0 or -ENOMEM. */
int live_stop(struct live *live);
/* The signals, when the intent is stored already. */
void live_stop_signals(struct live *live);

/* Stores the end and does all that follows from it. Once more: nothing. */
void live_end(struct live *live, const struct record *record, uint64_t cpu_ns, uint64_t memory_peak_bytes);
/* What @record means for a job's progress. */
void live_set_end(struct state_progress *progress, const struct record *record);
