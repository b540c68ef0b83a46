/* PREFIX/cache/apt: what earlier builds fetched with apt, pip and npm. A flat directory of regular files, written by
 * joblet-builder alone; anything else that lies there is listed and left. */
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
void downloads_done(struct downloads *downloads);
