/* The event loop of joblet: descriptors and timers, one thread. Nothing in it blocks; when nothing is due and nothing
 * is ready, the process sleeps without a wake-up. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct loop;

/* A watched descriptor, a member of its owner. The descriptor stays the owner's: remove the source before closing. */
struct loop_source {
    int fd; /* -EBADF: not watched */
    void (*ready)(struct loop_source *source, uint32_t events);
};

/* A single-shot timer, a member of its owner; zeroed when it is new. */
struct loop_timer {
    int64_t deadline_ns; /* CLOCK_MONOTONIC; 0: not armed */
    struct loop_timer *previous;
    struct loop_timer *next;
    void (*due)(struct loop_timer *timer);
};

/* The struct that holds @member. */
#define LOOP_OWNER(pointer, type, member) ((type *)(void *)((char *)(pointer) - __builtin_offsetof(type, member)))

/* 0 or -errno. */
int loop_new(struct loop **ret_loop);
void loop_free(struct loop *loop);

/* Watches @fd for the epoll @events. 0 or -errno. */
int loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t events,
        void (*ready)(struct loop_source *source, uint32_t events));
/* Changes what is watched for. 0 or -errno. */
int loop_modify(struct loop *loop, struct loop_source *source, uint32_t events);
/* Stops watching; no call of the source follows, also not one of events already fetched. Returns the descriptor. */
int loop_remove(struct loop *loop, struct loop_source *source);

/* Arms (or arms anew) @timer. */
void loop_arm(struct loop *loop, struct loop_timer *timer, uint64_t delay_ns, void (*due)(struct loop_timer *timer));
void loop_disarm(struct loop *loop, struct loop_timer *timer);

/* Runs until loop_end. 0 or -errno of the wait itself. */
int loop_run(struct loop *loop);
void loop_end(struct loop *loop);
