#include "state/writer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "state/build_table.h"

/* Beyond this many, changes that are not urgent are written without waiting for one that is. */
#define LAZY_MAX 1024

struct list {
    struct writer_write *first;
    struct writer_write **last;
};

struct writer {
    struct state_database *database;
    pthread_t thread;
    bool started;
    int event_fd;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* Under the lock. */
    struct list queued;
    struct list finished;
    unsigned lazy;
    bool urgent;
    bool ready;
    bool stop;
};

static void list_init(struct list *list)
{
    list->first = NULL;
    list->last = &list->first;
}

/* Appends the list that begins with @first, and whose last element is @last. */
static void list_append(struct list *list, struct writer_write *first, struct writer_write *last)
{
    *list->last = first;
    list->last = &last->next;
}

void writer_write_free(struct writer_write *write)
{
    if (!write)
        return;
    free(write->view);
    free(write->digest);
    state_build_free(write->build);
    free(write);
}

static int write_apply(struct state_database *database, struct writer_write *write, struct error *error)
{
    switch (write->kind) {
    case WRITER_INSERT:
        return state_database_insert(database, write->job, &write->progress, error);
    case WRITER_UPDATE:
        return state_database_update(database, write->job, &write->progress, error);
    case WRITER_DELETE:
        return state_database_delete(database, write->job, error);
    case WRITER_STORE_VIEW:
        return state_database_insert_view(database, write->job, write->view, write->view_size, error);
    case WRITER_READ_VIEW:
        /* One that cannot be read is as one that is not there: the changes beside it must not fail for it. */
        (void)state_database_read_view(database, write->job, &write->view, &write->view_size);
        return 0;
    case WRITER_PUT_BUILD:
        return build_table_put(database, write->build, error);
    case WRITER_READ_DIGEST:
        (void)build_table_read_digest(database, write->build->name, write->build->version, &write->digest);
        return 0;
    }
    return error_text(error, EINVAL, "job table: unknown change");
}

/* All or none: after a failure each of them is told the same error. */
static void batch_commit(struct state_database *database, struct writer_write *first)
{
    struct error error = {0};
    int r = state_database_begin(database, &error);
    for (struct writer_write *write = first; r == 0 && write; write = write->next)
        r = write_apply(database, write, &error);
    if (r == 0)
        r = state_database_commit(database, &error);
    if (r == 0)
        return;
    state_database_rollback(database);
    for (struct writer_write *write = first; write; write = write->next)
        write->error = error;
}

static void *writer_run(void *argument)
{
    struct writer *writer = argument;
    pthread_mutex_lock(&writer->lock);
    writer->ready = true;
    pthread_cond_broadcast(&writer->wake);
    for (;;) {
        while (!writer->urgent && !writer->stop)
            pthread_cond_wait(&writer->wake, &writer->lock);
        struct writer_write *first = writer->queued.first;
        if (!first)
            break; /* stop, and nothing left */
        struct writer_write **last = writer->queued.last;
        list_init(&writer->queued);
        writer->urgent = false;
        writer->lazy = 0;
        pthread_mutex_unlock(&writer->lock);

        batch_commit(writer->database, first);

        pthread_mutex_lock(&writer->lock);
        *writer->finished.last = first;
        writer->finished.last = last;
        uint64_t one = 1;
        /* Only a counter at its maximum could make it fail, and then it is readable already. */
        (void)!write(writer->event_fd, &one, sizeof(one));
    }
    pthread_mutex_unlock(&writer->lock);
    return NULL;
}

/* The thread takes no signals: they are the loop's. */
static int thread_start(struct writer *writer)
{
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, 256 * 1024);
    int code = pthread_create(&writer->thread, &attributes, writer_run, writer);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (code != 0)
        return -code;
    writer->started = true;
    /* Wait until it runs: the caller installs a system call filter next, and a thread's first calls are not in it. */
    pthread_mutex_lock(&writer->lock);
    while (!writer->ready)
        pthread_cond_wait(&writer->wake, &writer->lock);
    pthread_mutex_unlock(&writer->lock);
    return 0;
}

int writer_new(struct state_database *database, struct writer **ret_writer, struct error *error)
{
    struct writer *writer = calloc(1, sizeof(*writer));
    if (!writer)
        return error_text(error, ENOMEM, "job table: no memory");
    writer->database = database;
    list_init(&writer->queued);
    list_init(&writer->finished);
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->wake, NULL);
    writer->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = writer->event_fd < 0 ? -errno : thread_start(writer);
    if (r < 0) {
        writer_free(writer);
        return error_errno(error, -r, "job table: start the writer");
    }
    *ret_writer = writer;
    return 0;
}

void writer_stop(struct writer *writer)
{
    if (!writer->started)
        return;
    pthread_mutex_lock(&writer->lock);
    writer->stop = true;
    pthread_cond_broadcast(&writer->wake);
    pthread_mutex_unlock(&writer->lock);
    pthread_join(writer->thread, NULL);
    writer->started = false;
}

void writer_free(struct writer *writer)
{
    if (!writer)
        return;
    (void)fd_close(writer->event_fd);
    pthread_cond_destroy(&writer->wake);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}

void writer_queue(struct writer *writer, struct writer_write *write_take)
{
    write_take->next = NULL;
    pthread_mutex_lock(&writer->lock);
    list_append(&writer->queued, write_take, write_take);
    if (write_take->urgent || ++writer->lazy >= LAZY_MAX) {
        writer->urgent = true;
        pthread_cond_signal(&writer->wake);
    }
    pthread_mutex_unlock(&writer->lock);
}

int writer_fd(const struct writer *writer)
{
    return writer->event_fd;
}

struct writer_write *writer_take(struct writer *writer)
{
    uint64_t count;
    pthread_mutex_lock(&writer->lock);
    (void)!read(writer->event_fd, &count, sizeof(count));
    struct writer_write *first = writer->finished.first;
    list_init(&writer->finished);
    pthread_mutex_unlock(&writer->lock);
    return first;
}
