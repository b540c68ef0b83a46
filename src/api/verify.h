/* Holds a runtime's tree against its manifest, before its first use since joblet began: by joblet-builder in a sandbox
 * of its own. Those who ask for the same one meanwhile share it. */
#pragma once

#include "api/api.h"

struct verify_waiter {
    /* @error: NULL when it is as it was built; EKEYREJECTED, with the first wrong path, when it is not. Not called from
     * within verify_runtime. */
    void (*done)(struct verify_waiter *waiter, const struct error *error);
    void *user;

    /* Its own. */
    struct verify_waiter *next;
};

/* @waiter is borrowed until it is done or forgotten. 0 or -ENOMEM. */
int verify_runtime(struct api *api, const char *name, const char *version, struct verify_waiter *waiter);
/* It is not told any more; also when it does not wait. The verification goes on. */
void verify_forget(struct api *api, struct verify_waiter *waiter);
