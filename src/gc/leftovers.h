/* What crashes left (broker/leftover.h), for people and for programs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct config;
struct json_t;

struct leftovers_summary {
    unsigned found;  /* ours, whether they go or wait */
    unsigned failed; /* that were to be removed and could not be */
};

/* Finds what is left of the prefix @prefix and, with @run, removes it. Prints one line for each, or fills @json, an
 * array, when it is not NULL. 0 or -errno with @error. */
int leftovers_collect(const char *prefix, const struct config *config, bool run, struct json_t *json,
        struct leftovers_summary *ret_summary, struct error *error);
