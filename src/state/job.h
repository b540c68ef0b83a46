/* One job as joblet-api knows it: what was asked (never changes after it was made) and how far it got (struct
 * state_progress, a plain value that is replaced as a whole). Values of secrets are never part of it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpulist.h"
#include "base/error.h"
#include "base/text.h"

enum state_status {
    STATE_STATUS_INITIALIZING,
    STATE_STATUS_SCHEDULED,
    STATE_STATUS_RUNNING,
    STATE_STATUS_COMPLETED,
    STATE_STATUS_FAILED,
    STATE_STATUS_STOPPED,
    STATE_STATUS_CANCELED,
    STATE_STATUS_TIMEOUT,
    STATE_STATUS_COUNT,
};

/* The word on the wire ("RUNNING"). Static text. */
const char *state_status_name(enum state_status status);
/* STATE_STATUS_COUNT when @name is none. */
enum state_status state_status_from_name(const char *name);
/* True when nothing can happen to the job any more. */
bool state_status_is_final(enum state_status status);

/* A list of texts in one piece of memory, each ended by NUL: the form of the database too. Zeroed = empty. */
struct state_texts {
    char *bytes; /* owned */
    size_t size;
    size_t room;
    uint32_t count;
};
/* Appends a copy of @text. 0 or -ENOMEM. */
int state_texts_add(struct state_texts *texts, const char *text);
/* As state_texts_add, "NAME=value". */
int state_texts_add_pair(struct state_texts *texts, const char *name, const char *value);
/* The text after @previous (NULL: the first); NULL at the end. */
const char *state_texts_next(const struct state_texts *texts, const char *previous);
/* Fills @texts (zeroed) with a copy of @bytes. 0, -EINVAL when the last text has no NUL, -ENOMEM. */
int state_texts_parse(struct state_texts *texts, const void *bytes, size_t size);
void state_texts_done(struct state_texts *texts);

/* The end reason's text: the names of plan/record.h, or "". */
#define STATE_REASON_MAX 24

struct state_progress {
    enum state_status status;
    bool stop_requested; /* a client asked for the stop; recorded before the first signal */
    int32_t exit_code;
    int32_t end_signal;
    int64_t started_unix_ns; /* 0 = the command was never executed */
    int64_t ended_unix_ns;   /* 0 = not ended */
    uint64_t log_bytes;
    uint64_t log_left_out_bytes;
    uint64_t cpu_ns;
    uint64_t memory_peak_bytes;
    char end_reason[STATE_REASON_MAX];
    char error[ERROR_TEXT_MAX];
};

struct state_job {
    uint8_t id[16];
    char uuid[TEXT_UUID_MAX];

    /* What was asked. */
    struct state_texts arguments;    /* the first is the command */
    struct state_texts environment;  /* "NAME=value"; values that look like secrets are "***" already */
    struct state_texts secret_names; /* names only */
    char *work_dir;
    char *network;
    char *runtime;      /* "NAME@VERSION", or "" */
    char *timeout_text; /* as the client wrote it, or the default's */
    char *node_id;
    char *owner; /* common name of the client's certificate */
    char *role;
    int64_t accepted_unix_ns;
    /* In force, defaults filled in; 0 = none. */
    uint64_t memory_bytes;
    uint64_t timeout_ns;
    uint32_t cpu_percent;
    uint32_t processes;
    uint32_t io_bps;
    uint32_t open_files;
    uint64_t work_bytes;
    uint64_t tmp_bytes;
    uint64_t log_quota_bytes;
    struct cpulist cpus; /* empty = any */

    /* How far it is, as the disk knows it (but for changes that were not durable). Read-only outside of src/state. */
    struct state_progress now;

    /* The table's own. */
    struct state_progress *queued; /* the newest change that is not on disk yet, or NULL; owned */
    unsigned writes;               /* changes on their way */
    uint32_t changes;              /* made so far */
    uint32_t shown;                /* the newest of them that job->now holds */
    uint64_t sequence;             /* order of acceptance */
    struct state_job *older;
    struct state_job *newer;
    bool gone; /* out of the table, freed with the last write */

    /* The application's. */
    void *user;
    bool deleting; /* hidden from lookups */
};

/* An empty job with a new id. 0, -ENOMEM or -errno of the random source. */
int state_job_new(struct state_job **ret_job);
/* NULL and half-built jobs are fine. */
void state_job_free(struct state_job *job);
void state_job_freep(struct state_job **job);

/* Memory that the job takes, for the table's maximum. */
size_t state_job_memory(const struct state_job *job);
/* The newest progress, on disk or not: what a further change starts from. Borrowed until the next change. */
const struct state_progress *state_job_latest(const struct state_job *job);
