/* Runs the commands of a new base in it, to see that each finds its libraries. For src/setup only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct base_try_command {
    const char *path;      /* in the base */
    const char *arguments; /* parted by spaces */
};

/* Runs @commands and the trials of the list in the tree of @root_fd: in namespaces of their own, without network, as
 * the user @id, which owns nothing, with no new privileges and ten seconds each. @has says whether a command of a
 * name is in the base. Not in a threaded process. 0; -ENOEXEC with @error that names the first that could not start,
 * died, or printed something else; -errno with @error. */
int base_try(int root_fd, uint32_t id, const struct base_try_command *commands, size_t count,
        bool (*has)(const void *context, const char *name), const void *context, struct error *error);
