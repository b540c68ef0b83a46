/* Keeps the list of suspects of the host's directories true from one build to the next, so that a build looks at what
 * may be masked and at what has changed, and not at every file.
 *
 * Before the joblet-init of a build walks, the file systems of the layers are watched. What it found, it leaves in a
 * file in memory; what happens on them from the beginning of its walk on becomes more paths of that list. The events of
 * a call are there when the call returns, and all are taken when the next build starts: it sees what was done before it
 * was asked for.
 *
 * Where that cannot be done, and whenever in doubt, there is no list, and joblet-init walks: an older kernel, file
 * systems of other kinds, events lost or not understood, more paths than are worth it, another directory or mount in a
 * layer's place. Some minutes after the last build all is let go. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "broker/host_events.h"
#include "broker/loop.h"

struct broker;

struct host_watch {
    struct broker *broker;
    int group_fd; /* -EBADF: nothing is watched */
    char *list;   /* as a walk left it; NULL: there is none */
    size_t list_size;
    /* Of the time since which no event was missed: a list that was begun in another one is of no use. */
    uint64_t generation;
    int64_t used_ns; /* when a build began last */
    uint64_t layer_device[HOST_LAYERS_MAX];
    uint64_t layer_inode[HOST_LAYERS_MAX]; /* 0: it is not there */
    struct host_events *events;            /* while something is watched */
    struct loop_timer timer;
};

/* What a build gets of it. */
struct host_watch_start {
    int list_fd;     /* sealed; -EBADF: it has to walk */
    int new_list_fd; /* -EBADF: nobody wants to know what it found */
    uint64_t generation;
};

/* For a build that starts now: begins to watch, takes all events. What it returns is the caller's. */
void host_watch_begin(struct host_watch *watch, struct host_watch_start *ret_start);
/* The build's joblet-init is done with its root, and has no descriptor of @new_list_fd any more, which stays the
 * caller's. @job is for the log. */
void host_watch_take(struct host_watch *watch, int new_list_fd, uint64_t generation, const char *job);
void host_watch_done(struct host_watch *watch);
