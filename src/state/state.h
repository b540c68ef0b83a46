/* The job table: all jobs in memory, and durable in SQLite (database.h) by a thread of its own (writer.h). Reads never
 * wait. Whoever changes a job is called back when the change is on disk; from then on it is what readers see.
 *
 * All functions run on one thread (the loop's). Callbacks come from state_dispatch and state_close alone. */
#pragma once

#include "base/error.h"
#include "state/build.h"
#include "state/job.h"

/* Beyond these a new job is refused, so that no client fills the disk or the memory with history. */
#define STATE_JOBS_MAX 100000U
#define STATE_MEMORY_MAX (256ULL << 20)

struct state;

/* @error: NULL when the change is on disk, otherwise why it is not. */
typedef void (*state_done)(const struct error *error, struct state_job *job, void *user);

/* Opens the database in the directory @directory and reads all jobs. Builds that have no end were ours, and have failed
 * with us: that is stored before it comes back. 0 or -errno with @error (see database.h). */
int state_open(const char *directory, struct state **ret_state, struct error *error);
/* Those builds: id, name, version, digest, who, role and details. Borrowed until the state is closed. */
#define STATE_LOST_BUILD "joblet-api was restarted"
#define STATE_LOST_BUILDS_MAX 64U
struct state_build *const *state_lost_builds(const struct state *state, size_t *ret_count);
/* Starts the writer: before the first change, and before the system call filter. 0 or -errno with @error. */
int state_start(struct state *state, struct error *error);
/* Writes all that is queued (callbacks are called), closes. NULL is fine. */
void state_close(struct state *state);

/* Readable when state_dispatch has something to do. Borrowed. */
int state_fd(const struct state *state);
void state_dispatch(struct state *state);

size_t state_count(const struct state *state);
struct state_job *state_newest(const struct state *state); /* then job->older */
struct state_job *state_find(const struct state *state, const uint8_t id[16]);
/* See table_lookup in table.h. */
int state_lookup(const struct state *state, const char *text, struct state_job **ret_job, struct error *error);

/* Adds the new job; it is visible at once. Takes @job on success. When it cannot be stored @done is told, and the job
 * is removed and freed after @done. 0; -ENOSPC above the maxima, with @error; -EEXIST, -ENOMEM. */
int state_insert(struct state *state, struct state_job *job_take, state_done done, void *user, struct error *error);
/* Replaces the job's progress, durably; job->now changes just before @done. On failure job->now stays and the
 * change can be asked for again. @done may be NULL. 0 or -ENOMEM. */
int state_update(
        struct state *state, struct state_job *job, const struct state_progress *progress, state_done done, void *user);
/* As state_update, but visible at once and on disk some time later, at the latest with the next durable change. For
 * what can be found out again after a crash. */
int state_update_lazy(struct state *state, struct state_job *job, const struct state_progress *progress);
/* Keeps @view (copied, at most STATE_VIEW_SIZE_MAX bytes, not looked into) as the job's view, with the next durable
 * change. The first one stays. 0, -E2BIG or -ENOMEM. */
int state_store_view(struct state *state, struct state_job *job, const void *view, size_t size);
/* Reads it from the disk; it is not kept in memory. @view is borrowed, NULL when there is none or it cannot be read.
 * The job lives until @done was called, but may be on its way out. 0 or -ENOMEM. */
typedef void (*state_view_done)(const void *view, size_t size, struct state_job *job, void *user);
int state_read_view(struct state *state, struct state_job *job, state_view_done done, void *user);
/* Takes the job out of the database; it stays visible until then, and is freed after @done (on failure it stays). No
 * other change of it may follow. 0 or -ENOMEM. */
int state_delete(struct state *state, struct state_job *job, state_done done, void *user);

/* Stores the record @build (copied) durably, as a new one or over what it said before. @done may be NULL. 0 or
 * -ENOMEM. */
typedef void (*state_build_done)(const struct error *error, const char *digest, void *user);
int state_put_build(struct state *state, const struct state_build *build, state_build_done done, void *user);
/* @done gets the digest of the manifest of the newest published build of the runtime, or NULL. 0 or -ENOMEM. */
int state_read_build_digest(
        struct state *state, const char *name, const char *version, state_build_done done, void *user);
