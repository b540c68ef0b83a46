/* The thread that writes the job table. Changes are queued by the loop's thread and committed in the order of their
 * queueing; all that wait together go into one transaction (one fsync), so that many jobs at the same time cost little
 * more than one. A change that is not urgent waits for the next urgent one, or for the end.
 *
 * From writer_queue until it comes back by writer_take, a write belongs to the writer. Of its job the thread reads only
 * what never changes; the job must live as long. */
#pragma once

#include "base/error.h"
#include "state/build.h"
#include "state/database.h"

enum writer_kind {
    WRITER_INSERT,
    WRITER_UPDATE,
    WRITER_DELETE,
    WRITER_STORE_VIEW,
    WRITER_READ_VIEW, /* no change; in the order of the others, so that it sees them */
    WRITER_PUT_BUILD,
    WRITER_READ_DIGEST, /* of the build's name and version, into digest */
};

struct writer_write {
    struct writer_write *next;
    enum writer_kind kind;
    bool urgent;
    uint32_t change;           /* the job's changes, counted */
    struct state_job *job;     /* NULL for builds */
    struct state_build *build; /* owned */
    char *digest;              /* owned; NULL: there is none */
    struct state_progress progress;
    void *view; /* owned: to store, or what was read (NULL: there is none) */
    size_t view_size;
    /* Filled when it comes back: error.code = 0, or why the transaction failed. */
    struct error error;
    /* The caller's own. */
    void (*done)(const struct error *error, struct state_job *job, void *user);
    void (*built)(const struct error *error, const char *digest, void *user);
    void (*viewed)(const void *view, size_t size, struct state_job *job, void *user);
    void *user;
};

/* NULL is fine. */
void writer_write_free(struct writer_write *write);

struct writer;

/* Starts the thread. @database is borrowed and the thread's alone until writer_free. 0 or -errno with @error. */
int writer_new(struct state_database *database, struct writer **ret_writer, struct error *error);
/* Commits all that is queued and ends the thread; writer_take then gives the last ones. */
void writer_stop(struct writer *writer);
/* Only after writer_stop and after all writes were taken. NULL is fine. */
void writer_free(struct writer *writer);

/* Takes @write. Never blocks on the disk. */
void writer_queue(struct writer *writer, struct writer_write *write_take);
/* An eventfd that is readable while there may be something to take. Owned by the writer. */
int writer_fd(const struct writer *writer);
/* All writes that are done, as a list in their order, owned by the caller; NULL when there is none. */
struct writer_write *writer_take(struct writer *writer);
