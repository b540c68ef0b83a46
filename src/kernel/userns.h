/* User namespaces as plain data: a map of ids behind a descriptor, with no process in it. One namespace can be joined
 * (a job's), another is only the idmap of a mount (A9): both are made once and used again and again. */
#pragma once

#include <stdint.h>

struct error;

struct userns_map {
    uint32_t inside;
    uint32_t outside; /* in the caller's user namespace */
    uint32_t count;
};

/* Makes a user namespace with the one line @map for users and for groups; setgroups(2) stays permitted in it (a build's
 * package manager needs it). Its owner is the first id that is mapped, so that what a job uses up is not counted for
 * host root. Needs CAP_SYS_ADMIN, CAP_SETUID and CAP_SETGID; clones a short-lived process. A descriptor (close-on-exec)
 * or -errno with @error. Not in a threaded process. */
int userns_new(const struct userns_map *map, struct error *error);
