/* /proc/PID/mountinfo, line by line: see proc(5). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MOUNTINFO_FIELD_MAX 512U

struct mountinfo {
    uint64_t id;
    uint64_t parent_id;
    dev_t device;                      /* of the file system */
    char root[MOUNTINFO_FIELD_MAX];    /* the directory or file of the file system that is mounted */
    char target[MOUNTINFO_FIELD_MAX];  /* where, seen from the reader's root */
    char options[MOUNTINFO_FIELD_MAX]; /* of this mount: "ro,nosuid,..." */
    bool propagates;                   /* shared, slave or unbindable: any optional field */
    char type[64];
    char source[MOUNTINFO_FIELD_MAX];
    char super_options[MOUNTINFO_FIELD_MAX];
};

/* Parses the line at *@text and moves *@text behind it. 1: a line was read; 0: the end; -EBADMSG: malformed or a field
 * too long. Octal escapes (\040) in the paths are undone. */
int mountinfo_next(const char **text, struct mountinfo *ret_line);

/* True when the comma-separated @options hold @token as a whole. */
bool mountinfo_has_option(const char *options, const char *token);

/* Asks /proc/self/mountinfo whether the mount @id takes part in any propagation. Reads only up to its line, and needs
 * nothing of the others to be well-formed. 1 or 0; -ENOENT: no such mount in this namespace and root; -errno. */
int mountinfo_is_shared(uint64_t id);
