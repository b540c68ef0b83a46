/* What goes from the store of runtimes: stages of builds that came to nothing, and runtimes that were removed or
 * replaced. joblet never walks a tree that a build wrote; it starts a sandbox of PLAN_TYPE_SWEEP for each, one after
 * the other, and removes the empty directory. A tree waits until no job uses it. These jobs are joblet's own:
 * joblet-api neither asks for them nor hears of them. */
#pragma once

#include <stdbool.h>

#include "broker/loop.h"
#include "broker/store.h"

struct broker;

struct sweep_item {
    struct sweep_item *next;
    char name[STORE_NAME_MAX]; /* below the store */
    struct store_id id;
    unsigned tries;
};

struct sweep {
    struct broker *broker;
    struct sweep_item *first;
    struct sweep_item *last;
    unsigned count;
    struct sweep_item *current; /* a sandbox empties it */
    struct loop_timer timer;
};

/* Queues @name below the store. */
void sweep_add(struct sweep *sweep, const char *name);
/* Begins with the next one, when none is at work and one can be: whenever a job has ended. */
void sweep_next(struct sweep *sweep);
/* The sandbox of the current item ended, or could not start. */
void sweep_over(struct sweep *sweep, bool well);
void sweep_done(struct sweep *sweep);
