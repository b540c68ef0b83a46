/* One step of a build: a command of somebody else's in the builder root, beside this process, which it can neither
 * trace nor look into (install.c). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct run_step {
    const char *name;
    uint64_t timeout_ns; /* 0 = none */
    char *const *words;  /* the command; not ended by NULL */
    size_t count;
    char *const *environment; /* ended by NULL */
    bool is_query;            /* its standard output goes into "value" lines */
};

/* Runs the step, tells of it and of its output, and ends every process that it left behind. Not in a threaded process.
 * 0; -EIO with @error when it failed in whatever way; -errno with @error when it could not be started. */
int run_step(const struct run_step *step, struct error *error);

/* Kills and reaps every other process of the PID namespace that we can, until there is none. For run.c and tests. */
void run_end_others(void);
