#include "state/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "state/build_table.h"
#include "state/database.h"
#include "state/table.h"
#include "state/writer.h"

struct state {
    struct state_database *database;
    struct writer *writer;
    struct table table;
    uint64_t last_sequence;
    struct state_build *lost[STATE_LOST_BUILDS_MAX]; /* owned */
    size_t lost_count;
};

static void state_closep(struct state **state)
{
    state_close(*state);
}

static int load_one(struct state_job *job_take, void *user)
{
    struct state *state = user;
    uint64_t sequence = job_take->sequence;
    int r = table_add(&state->table, job_take);
    if (r == 0 && sequence > state->last_sequence)
        state->last_sequence = sequence;
    return r;
}

/* More than ever run at the same time are not looked at. */
static int keep_lost(const struct state_build *build, void *user)
{
    struct state *state = user;
    if (state->lost_count == STATE_LOST_BUILDS_MAX)
        return 0;
    struct state_build *copy = state_build_copy(build);
    if (!copy)
        return -ENOMEM;
    state->lost[state->lost_count++] = copy;
    return 0;
}

struct state_build *const *state_lost_builds(const struct state *state, size_t *ret_count)
{
    *ret_count = state->lost_count;
    return state->lost;
}

int state_open(const char *directory, struct state **ret_state, struct error *error)
{
    _cleanup_(state_closep) struct state *state = calloc(1, sizeof(*state));
    if (!state)
        return error_text(error, ENOMEM, "job table: no memory");
    int r = state_database_open(directory, &state->database, error);
    if (r == 0)
        r = build_table_each_open(state->database, keep_lost, state, error);
    if (r == -ENOMEM)
        (void)error_text(error, ENOMEM, "job table: no memory");
    if (r == 0)
        r = build_table_end_all(state->database, STATE_LOST_BUILD, text_now_unix_ns(), error);
    if (r == 0)
        r = state_database_load(state->database, load_one, state, error);
    if (r == 0)
        *ret_state = TAKE_PTR(state);
    return r;
}

int state_start(struct state *state, struct error *error)
{
    return writer_new(state->database, &state->writer, error);
}

void state_close(struct state *state)
{
    if (!state)
        return;
    if (state->writer) {
        writer_stop(state->writer);
        state_dispatch(state);
        writer_free(state->writer);
    }
    table_done(&state->table);
    for (size_t i = 0; i < state->lost_count; i++)
        state_build_free(state->lost[i]);
    state_database_close(state->database);
    free(state);
}

int state_fd(const struct state *state)
{
    return writer_fd(state->writer);
}

/* What the end of a write means for the table. */
static void write_settle(struct state *state, const struct writer_write *write)
{
    struct state_job *job = write->job;
    bool failed = write->error.code != 0;
    job->writes--;
    if (job->writes == 0) {
        free(job->queued);
        job->queued = NULL;
    }
    /* A newer change that did not wait for the disk may be shown already. */
    if (write->kind == WRITER_UPDATE && !failed && write->change > job->shown) {
        job->now = write->progress;
        job->shown = write->change;
    }
    if (write->kind == WRITER_DELETE ? !failed : write->kind == WRITER_INSERT && failed) {
        table_remove(&state->table, job);
        job->gone = true;
    }
}

void state_dispatch(struct state *state)
{
    struct writer_write *write = writer_take(state->writer);
    while (write) {
        struct writer_write *next = write->next;
        if (write->job)
            write_settle(state, write);
        if (write->built)
            write->built(write->error.code ? &write->error : NULL, write->digest, write->user);
        if (write->done)
            write->done(write->error.code ? &write->error : NULL, write->job, write->user);
        if (write->viewed)
            write->viewed(write->view, write->view_size, write->job, write->user);
        if (write->job && write->job->gone && write->job->writes == 0)
            state_job_free(write->job);
        writer_write_free(write);
        write = next;
    }
}

size_t state_count(const struct state *state)
{
    return state->table.count;
}

struct state_job *state_newest(const struct state *state)
{
    return state->table.newest;
}

struct state_job *state_find(const struct state *state, const uint8_t id[16])
{
    return table_find(&state->table, id);
}

int state_lookup(const struct state *state, const char *text, struct state_job **ret_job, struct error *error)
{
    struct state_job *job = NULL;
    int r = table_lookup(&state->table, text, &job, error);
    if (r == 0 && job->deleting)
        r = error_text(error, ENOENT, "job not found: %s", text);
    if (r == 0)
        *ret_job = job;
    return r;
}

static struct writer_write *new_write(enum writer_kind kind, struct state_job *job, bool urgent, void *user)
{
    struct writer_write *write = calloc(1, sizeof(*write));
    if (write)
        *write = (struct writer_write){.kind = kind, .urgent = urgent, .job = job, .user = user};
    return write;
}

/* Takes @write. */
static void queue(struct state *state, struct writer_write *write)
{
    write->change = ++write->job->changes;
    write->job->writes++;
    writer_queue(state->writer, write);
}

static int queue_write(struct state *state, enum writer_kind kind, struct state_job *job,
        const struct state_progress *progress, bool urgent, state_done done, void *user)
{
    struct writer_write *write = new_write(kind, job, urgent, user);
    if (!write)
        return -ENOMEM;
    write->progress = progress ? *progress : job->now;
    write->done = done;
    queue(state, write);
    return 0;
}

int state_insert(struct state *state, struct state_job *job_take, state_done done, void *user, struct error *error)
{
    struct state_job *job = job_take;
    if (state->table.count >= STATE_JOBS_MAX || state->table.memory_bytes + state_job_memory(job) > STATE_MEMORY_MAX)
        return error_text(
                error, ENOSPC, "the job history is full (%zu jobs): delete finished jobs", state->table.count);
    job->sequence = state->last_sequence + 1;
    int r = table_add(&state->table, job);
    if (r < 0)
        return error_text(error, -r, "the job cannot be added to the table");
    r = queue_write(state, WRITER_INSERT, job, NULL, /* urgent= */ true, done, user);
    if (r < 0) {
        table_remove(&state->table, job);
        return error_text(error, -r, "the job cannot be added to the table");
    }
    state->last_sequence++;
    return 0;
}

/* job->queued is what the next change starts from while this one is on its way. */
static int remember_queued(struct state_job *job, const struct state_progress *progress)
{
    if (!job->queued) {
        job->queued = malloc(sizeof(*job->queued));
        if (!job->queued)
            return -ENOMEM;
    }
    *job->queued = *progress;
    return 0;
}

int state_update(
        struct state *state, struct state_job *job, const struct state_progress *progress, state_done done, void *user)
{
    struct state_progress copy = *progress; /* may be job->queued itself */
    int r = remember_queued(job, &copy);
    if (r < 0)
        return r;
    return queue_write(state, WRITER_UPDATE, job, &copy, /* urgent= */ true, done, user);
}

int state_update_lazy(struct state *state, struct state_job *job, const struct state_progress *progress)
{
    struct state_progress copy = *progress;
    int r = queue_write(state, WRITER_UPDATE, job, &copy, /* urgent= */ false, NULL, NULL);
    if (r < 0)
        return r;
    job->now = copy;
    job->shown = job->changes;
    if (job->queued)
        *job->queued = copy;
    return 0;
}

int state_delete(struct state *state, struct state_job *job, state_done done, void *user)
{
    return queue_write(state, WRITER_DELETE, job, NULL, /* urgent= */ true, done, user);
}

int state_store_view(struct state *state, struct state_job *job, const void *view, size_t size)
{
    if (size > STATE_VIEW_SIZE_MAX)
        return -E2BIG;
    struct writer_write *write = new_write(WRITER_STORE_VIEW, job, /* urgent= */ false, NULL);
    void *copy = write ? malloc(size ? size : 1) : NULL;
    if (!copy) {
        writer_write_free(write);
        return -ENOMEM;
    }
    memcpy(copy, view, size);
    write->view = copy;
    write->view_size = size;
    queue(state, write);
    return 0;
}

int state_read_view(struct state *state, struct state_job *job, state_view_done done, void *user)
{
    struct writer_write *write = new_write(WRITER_READ_VIEW, job, /* urgent= */ true, user);
    if (!write)
        return -ENOMEM;
    write->viewed = done;
    queue(state, write);
    return 0;
}

/* Takes @build. */
static int queue_build(
        struct state *state, enum writer_kind kind, struct state_build *build_take, state_build_done done, void *user)
{
    struct writer_write *write = build_take ? new_write(kind, NULL, /* urgent= */ true, user) : NULL;
    if (!write) {
        state_build_free(build_take);
        return -ENOMEM;
    }
    write->build = build_take;
    write->built = done;
    writer_queue(state->writer, write);
    return 0;
}

int state_put_build(struct state *state, const struct state_build *build, state_build_done done, void *user)
{
    return queue_build(state, WRITER_PUT_BUILD, state_build_copy(build), done, user);
}

int state_read_build_digest(
        struct state *state, const char *name, const char *version, state_build_done done, void *user)
{
    char *const texts[] = {strdup(name), strdup(version)};
    struct state_build wanted = {.name = texts[0], .version = texts[1]};
    int r = texts[0] && texts[1] ? queue_build(state, WRITER_READ_DIGEST, state_build_copy(&wanted), done, user)
                                 : -ENOMEM;
    free(texts[0]);
    free(texts[1]);
    return r;
}
