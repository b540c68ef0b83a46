#include "broker/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "base/text.h"

#define LOOP_BATCH 64

struct loop {
    int epoll;
    bool ended;
    struct epoll_event batch[LOOP_BATCH]; /* the events being handled, so that loop_remove can take some back */
    int batch_next;
    int batch_count;
    struct loop_timer *first; /* by deadline */
    struct loop_timer *last;
};

int loop_new(struct loop **ret_loop)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    if (!loop)
        return -ENOMEM;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0) {
        free(loop);
        return -errno;
    }
    *ret_loop = loop;
    return 0;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    (void)fd_close(loop->epoll);
    free(loop);
}

int loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t events,
        void (*ready)(struct loop_source *source, uint32_t events))
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        return -errno;
    *source = (struct loop_source){.fd = fd, .ready = ready};
    return 0;
}

int loop_modify(struct loop *loop, struct loop_source *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    return epoll_ctl(loop->epoll, EPOLL_CTL_MOD, source->fd, &event) < 0 ? -errno : 0;
}

int loop_remove(struct loop *loop, struct loop_source *source)
{
    int fd = source->fd;
    if (fd < 0 || !source->ready)
        return -EBADF;
    (void)epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL);
    for (int i = loop->batch_next; i < loop->batch_count; i++)
        if (loop->batch[i].data.ptr == source)
            loop->batch[i].data.ptr = NULL;
    source->fd = -EBADF;
    return fd;
}

void loop_arm(struct loop *loop, struct loop_timer *timer, uint64_t delay_ns, void (*due)(struct loop_timer *timer))
{
    loop_disarm(loop, timer);
    timer->due = due;
    timer->deadline_ns = text_now_monotonic_ns() + (int64_t)delay_ns;
    /* Delays are few and alike, so the place is near the end. */
    struct loop_timer *before = loop->last;
    while (before && before->deadline_ns > timer->deadline_ns)
        before = before->previous;
    timer->previous = before;
    timer->next = before ? before->next : loop->first;
    *(timer->next ? &timer->next->previous : &loop->last) = timer;
    *(before ? &before->next : &loop->first) = timer;
}

void loop_disarm(struct loop *loop, struct loop_timer *timer)
{
    if (timer->deadline_ns == 0)
        return;
    *(timer->previous ? &timer->previous->next : &loop->first) = timer->next;
    *(timer->next ? &timer->next->previous : &loop->last) = timer->previous;
    timer->previous = timer->next = NULL;
    timer->deadline_ns = 0;
}

/* Milliseconds to the first deadline, rounded up; -1: none. */
static int next_wait_ms(const struct loop *loop)
{
    if (!loop->first)
        return -1;
    int64_t wait_ns = loop->first->deadline_ns - text_now_monotonic_ns();
    if (wait_ns <= 0)
        return 0;
    return wait_ns > 3600000000000 ? 3600000 : (int)((wait_ns + 999999) / 1000000);
}

static void run_timers(struct loop *loop)
{
    int64_t now_ns = text_now_monotonic_ns();
    while (!loop->ended && loop->first && loop->first->deadline_ns <= now_ns) {
        struct loop_timer *timer = loop->first;
        loop_disarm(loop, timer);
        timer->due(timer);
    }
}

int loop_run(struct loop *loop)
{
    while (!loop->ended) {
        int count = epoll_wait(loop->epoll, loop->batch, LOOP_BATCH, next_wait_ms(loop));
        if (count < 0 && errno != EINTR)
            return -errno;
        loop->batch_count = count < 0 ? 0 : count;
        for (loop->batch_next = 0; !loop->ended && loop->batch_next < loop->batch_count;) {
            const struct epoll_event *event = &loop->batch[loop->batch_next++];
            struct loop_source *source = event->data.ptr;
            if (source)
                source->ready(source, event->events);
        }
        loop->batch_next = loop->batch_count = 0;
        run_timers(loop);
    }
    return 0;
}

void loop_end(struct loop *loop)
{
    loop->ended = true;
}
