#include "api/work.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#define THREADS 4
#define STACK_BYTES ((size_t)256 * 1024)

struct queue {
    struct work_item *first;
    struct work_item **last;
};

struct work {
    uv_async_t async;
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

static void queue_add(struct queue *queue, struct work_item *item)
{
    item->next = NULL;
    *queue->last = item;
    queue->last = &item->next;
}

static void *run(void *argument)
{
    struct work *work = argument;
    pthread_mutex_lock(&work->lock);
    work->ready++;
    pthread_cond_broadcast(&work->changed);
    for (;;) {
        struct work_item *item = work->waiting.first;
        if (!item) {
            pthread_cond_wait(&work->changed, &work->lock);
            continue;
        }
        work->waiting.first = item->next;
        if (!work->waiting.first)
            queue_init(&work->waiting);
        pthread_mutex_unlock(&work->lock);
        item->run(item);
        pthread_mutex_lock(&work->lock);
        queue_add(&work->finished, item);
        (void)uv_async_send(&work->async);
    }
    return NULL;
}

static void on_finished(uv_async_t *async)
{
    struct work *work = async->data;
    pthread_mutex_lock(&work->lock);
    struct work_item *item = work->finished.first;
    queue_init(&work->finished);
    pthread_mutex_unlock(&work->lock);
    while (item) {
        struct work_item *next = item->next;
        item->done(item);
        item = next;
    }
}

/* As the job table's: no signals, and running before the filter comes. */
static int start_threads(struct work *work)
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
        code = pthread_create(&thread, &attributes, run, work);
        count += code == 0;
    }
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_mutex_lock(&work->lock);
    while (work->ready < count)
        pthread_cond_wait(&work->changed, &work->lock);
    pthread_mutex_unlock(&work->lock);
    return -code;
}

int work_new(uv_loop_t *loop, struct work **ret_work, struct error *error)
{
    struct work *work = calloc(1, sizeof(*work));
    if (!work)
        return error_text(error, ENOMEM, "threads: no memory");
    work->async.data = work;
    queue_init(&work->waiting);
    queue_init(&work->finished);
    pthread_mutex_init(&work->lock, NULL);
    pthread_cond_init(&work->changed, NULL);
    int r = uv_async_init(loop, &work->async, on_finished);
    if (r < 0) {
        free(work);
        return error_errno(error, -r, "threads: event");
    }
    /* From here on threads may have it: it stays. */
    *ret_work = work;
    r = start_threads(work);
    return r < 0 ? error_errno(error, -r, "start threads") : 0;
}

void work_add(struct work *work, struct work_item *item)
{
    pthread_mutex_lock(&work->lock);
    queue_add(&work->waiting, item);
    pthread_cond_signal(&work->changed);
    pthread_mutex_unlock(&work->lock);
}
