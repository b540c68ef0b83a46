/* Threads of our own for what waits for the disk: the logs of ended jobs on their way to it, searches of the audit log.
 * What takes long holds up a few others, and neither a start nor the job table. */
#pragma once

#include <uv.h>

#include "base/error.h"

struct work;

struct work_item {
    struct work_item *next;
    void (*run)(struct work_item *item);  /* in a thread: no call of the loop's */
    void (*done)(struct work_item *item); /* then, on the loop's thread */
};

/* Starts the threads: before the system call filter. They end with the process. 0 or -errno with @error. */
int work_new(uv_loop_t *loop, struct work **ret_work, struct error *error);
/* Borrows @item until it is done. Loop thread. */
void work_add(struct work *work, struct work_item *item);
