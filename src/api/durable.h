/* Puts the logs of ended jobs on disk before the ends are stored: who is told of an end finds the log after a loss of
 * power too. */
#pragma once

#include "api/work.h"

struct durable_item {
    struct work_item work;
    int jobs_fd;
    const char *uuid;
    void (*done)(struct durable_item *item); /* on the loop's thread */
};

/* Calls @item->done when the log of its job is on disk, or cannot be put there, which is logged. @jobs_fd, and @item
 * with its texts, are borrowed until then. Loop thread. */
void durable_sync(struct work *work, int jobs_fd, struct durable_item *item);
/* The same at once, waiting for the disk. Any thread. */
void durable_sync_now(int jobs_fd, const char *uuid);
