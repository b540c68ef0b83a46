/* The base root: PREFIX/base, a small read-only root for jobs without a runtime, made from the host's own files. It is
 * built aside, tried by running each of its commands in it, and put in place by one rename. base.manifest beside it
 * lists what each file was made from. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define BASE_NAME "base"
#define BASE_MANIFEST "base.manifest"
/* Of all files together. */
#define BASE_SIZE_MAX (50ULL << 20)

struct base_summary {
    uint64_t bytes;
    unsigned files;
    unsigned commands; /* that were run in it */
};

/* Makes the base below @prefix_fd, in place of one that may be there. All of it is owned by @disk_id; users and groups
 * in it know @command_id. An old base that running jobs still use is left beside it and removed by a later call. Starts
 * processes; needs root. 0 or -errno with @error, and then what was there is unchanged. */
int base_make(
        int prefix_fd, uint32_t disk_id, uint32_t command_id, struct base_summary *ret_summary, struct error *error);

/* Compares the manifest with the host. 0 unchanged; 1 there is no base; 2 the host's files have changed, or this
 * program would make another base: the reason is the text of @reason; -errno with @reason. */
int base_check(int prefix_fd, uint32_t disk_id, uint32_t command_id, struct error *reason);

/* True when @name is that of a base in the making or of an old one, below the prefix. */
bool base_is_aside(const char *name);
/* True when a process has a descriptor in it or a mount of it: a job whose root it is, or the setup that makes it. */
bool base_is_used(const char *name);
/* Removes it, unless it is used. 0; -EBUSY; -errno. */
int base_remove_aside(int prefix_fd, const char *name);
/* All of them below @prefix_fd. Failures are ignored: the next call tries again. */
void base_sweep(int prefix_fd);
