/* PREFIX/cache/apt: what earlier builds fetched with apt, pip and npm. A flat directory of regular files, written by
 * joblet-builder alone; anything else that lies there is listed and left. PREFIX/cache/base is another one: disks of
 * builds that later ones begin with, and a record beside each. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum downloads_verdict {
    DOWNLOADS_KEPT,
    DOWNLOADS_TOO_OLD,
    DOWNLOADS_TOO_MANY, /* the oldest go first until the rest fits */
    DOWNLOADS_NOT_OURS, /* no regular file: left alone */
    DOWNLOADS_USED,     /* a base that a build has now: left, whatever it was judged */
};

struct download {
    char *name;
    uint64_t bytes;    /* on disk */
    int64_t used_unix; /* when it was fetched, or kept once more: its modification time */
    uint32_t owner;
    enum downloads_verdict verdict;
};

struct downloads {
    struct download *items; /* the oldest first */
    size_t count;
};

/* Lists the directory @dir_fd. 0 or -errno with @error; @ret_downloads is to be ended in either case. */
int downloads_list(int dir_fd, struct downloads *ret_downloads, struct error *error);
/* Says of each what is to become of it: older than @max_age_sec (0: any age) go, then the oldest until at most
 * @max_bytes are left. */
void downloads_judge(struct downloads *downloads, int64_t now_unix, uint64_t max_age_sec, uint64_t max_bytes);
/* Removes what was judged to go. 0 or -errno with @error, at the first that cannot be removed. */
int downloads_remove(int dir_fd, const struct downloads *downloads, struct error *error);
/* The same for bases: of what was listed only the disks stay in the list. */
void downloads_keep_bases(struct downloads *downloads);
/* Removes those that were judged to go, with their records, but for those that a build has: their verdict changes. */
int downloads_remove_bases(int dir_fd, struct downloads *downloads, struct error *error);
void downloads_done(struct downloads *downloads);
