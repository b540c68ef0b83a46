/* Puts the logs of ended jobs on disk, in threads of its own, before the ends are stored: who is told of an end finds
 * the log after a loss of power too. A large log holds up the ends of a few others, and neither a start nor the job
 * table. */
#pragma once

#include <uv.h>

#include "base/error.h"

struct durable;

struct durable_item {
    struct durable_item *next;
    const char *uuid;
    void (*done)(struct durable_item *item); /* on the loop's thread */
};

/* Starts the threads: before the system call filter. @jobs_fd is borrowed. They end with the process. 0 or -errno with
 * @error. */
int durable_new(uv_loop_t *loop, int jobs_fd, struct durable **ret_durable, struct error *error);
/* Calls @item->done when the log of its job is on disk, or cannot be put there, which is logged. Borrows @item until
 * then. Loop thread. */
void durable_sync(struct durable *durable, struct durable_item *item);
/* The same at once, waiting for the disk. Any thread. */
void durable_sync_now(int jobs_fd, const char *uuid);
