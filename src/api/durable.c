#include "api/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"

#define THREADS 4
#define STACK_BYTES ((size_t)256 * 1024)

struct queue {
    struct durable_item *first;
    struct durable_item **last;
};

struct durable {
    uv_async_t async;
    int jobs_fd;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock. */
    struct queue waiting;
    struct queue finished;
    unsigned ready; /* threads */
};

static void queue_init(struct queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

static void queue_add(struct queue *queue, struct durable_item *item)
{
    item->next = NULL;
    *queue->last = item;
    queue->last = &item->next;
}

void durable_sync_now(int jobs_fd, const char *uuid)
{
    static const char *const names[] = {"log", "log.index"};
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        char path[TEXT_UUID_MAX + 16];
        (void)snprintf(path, sizeof(path), "%s/%s", uuid, names[i]);
        _cleanup_close_ int fd = openat(jobs_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd >= 0 ? fdatasync(fd) == 0 : errno == ENOENT)
            continue;
        log_event(LOG_LEVEL_ERROR, "the log of a job may be lost when the power is", "job", uuid, "error",
                strerror(errno), NULL);
    }
}

static void *run(void *argument)
{
    struct durable *durable = argument;
    pthread_mutex_lock(&durable->lock);
    durable->ready++;
    pthread_cond_broadcast(&durable->changed);
    for (;;) {
        struct durable_item *item = durable->waiting.first;
        if (!item) {
            pthread_cond_wait(&durable->changed, &durable->lock);
            continue;
        }
        durable->waiting.first = item->next;
        if (!durable->waiting.first)
            queue_init(&durable->waiting);
        pthread_mutex_unlock(&durable->lock);
        durable_sync_now(durable->jobs_fd, item->uuid);
        pthread_mutex_lock(&durable->lock);
        queue_add(&durable->finished, item);
        (void)uv_async_send(&durable->async);
    }
    return NULL;
}

static void on_finished(uv_async_t *async)
{
    struct durable *durable = async->data;
    pthread_mutex_lock(&durable->lock);
    struct durable_item *item = durable->finished.first;
    queue_init(&durable->finished);
    pthread_mutex_unlock(&durable->lock);
    while (item) {
        struct durable_item *next = item->next;
        item->done(item);
        item = next;
    }
}

/* As the job table's: no signals, and running before the filter comes. */
static int start_threads(struct durable *durable)
{
    sigset_t all;
    sigset_t old;
    pthread_attr_t attributes;
    int code = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    unsigned count = 0;
    while (code == 0 && count < THREADS) {
        pthread_t thread;
        code = pthread_create(&thread, &attributes, run, durable);
        count += code == 0;
    }
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_mutex_lock(&durable->lock);
    while (durable->ready < count)
        pthread_cond_wait(&durable->changed, &durable->lock);
    pthread_mutex_unlock(&durable->lock);
    return -code;
}

int durable_new(uv_loop_t *loop, int jobs_fd, struct durable **ret_durable, struct error *error)
{
    struct durable *durable = calloc(1, sizeof(*durable));
    if (!durable)
        return error_text(error, ENOMEM, "logs: no memory");
    durable->jobs_fd = jobs_fd;
    durable->async.data = durable;
    queue_init(&durable->waiting);
    queue_init(&durable->finished);
    pthread_mutex_init(&durable->lock, NULL);
    pthread_cond_init(&durable->changed, NULL);
    int r = uv_async_init(loop, &durable->async, on_finished);
    if (r < 0) {
        free(durable);
        return error_errno(error, -r, "logs: event");
    }
    /* From here on threads may have it: it stays. */
    *ret_durable = durable;
    r = start_threads(durable);
    return r < 0 ? error_errno(error, -r, "logs: start the threads that put them on disk") : 0;
}

void durable_sync(struct durable *durable, struct durable_item *item)
{
    pthread_mutex_lock(&durable->lock);
    queue_add(&durable->waiting, item);
    pthread_cond_signal(&durable->changed);
    pthread_mutex_unlock(&durable->lock);
}
