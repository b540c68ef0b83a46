/* The jobs in SQLite: one file, WAL, synchronous=FULL, so that a committed transaction survives a loss of power. One
 * thread at a time. A file that is foreign, damaged or made by a newer version is an error: it is never made anew
 * silently. */
#pragma once

#include "base/error.h"
#include "state/job.h"

#define STATE_DATABASE_FILE "joblet.db"

struct state_database;

/* Opens (or makes) STATE_DATABASE_FILE in the directory @directory, checks it and brings it to this version's schema.
 * 0, or -errno with @error: -EMEDIUMTYPE foreign, -EUCLEAN damaged, -EPROTONOSUPPORT newer, -EBUSY in use. */
int state_database_open(const char *directory, struct state_database **ret_database, struct error *error);
void state_database_close(struct state_database *database);

/* Calls @each with every job, the oldest first; each takes the job on success (0). 0; -EUCLEAN with @error for a row
 * that is not valid; -errno. */
int state_database_load(struct state_database *database, int (*each)(struct state_job *job_take, void *user),
        void *user, struct error *error);

/* Changes, between begin and commit. 0 or -EIO, -ENOSPC, ... with @error; after a failure only rollback. */
int state_database_begin(struct state_database *database, struct error *error);
int state_database_commit(struct state_database *database, struct error *error);
void state_database_rollback(struct state_database *database);
int state_database_insert(struct state_database *database, const struct state_job *job,
        const struct state_progress *progress, struct error *error);
int state_database_update(struct state_database *database, const struct state_job *job,
        const struct state_progress *progress, struct error *error);
/* With the job's view. */
int state_database_delete(struct state_database *database, const struct state_job *job, struct error *error);

/* The view of the job, bytes that are not looked into. A second one is ignored. */
#define STATE_VIEW_SIZE_MAX 4096U
int state_database_insert_view(struct state_database *database, const struct state_job *job, const void *bytes,
        size_t size, struct error *error);
/* A new copy of it, the caller's. 0; -ENOENT: it has none; -EUCLEAN, -EIO, -ENOMEM. */
int state_database_read_view(
        struct state_database *database, const struct state_job *job, void **ret_bytes, size_t *ret_size);
