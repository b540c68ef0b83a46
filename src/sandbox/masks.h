/* What a build may not see of a layer: put into a directory between the host's and the layer's upper one before its
 * overlay is mounted, as the overlay's own marks (A10, A11). A mark needs a right that the build does not have, so it
 * can neither make nor read one; it can put a new file in its place, which then is its own.
 *
 * A file that others may not read is not there, nor is a socket, a pipe or a device. A directory that others may not
 * enter is there and empty. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "plan/plan.h"

/* A path and, where it is a link, what it leads to. */
#define MASKS_HIDDEN_MAX (2 * PLAN_PATHS_MAX)

struct masks_list;
struct sandbox;

/* What the plan says, as it is on the host. */
struct masks_rules {
    uint64_t hidden_device[MASKS_HIDDEN_MAX]; /* whatever name it has in a layer */
    uint64_t hidden_inode[MASKS_HIDDEN_MAX];
    size_t hidden_count;
    char *shown[PLAN_PATHS_MAX]; /* without a link in it; NULL ends the list */
};
/* Looks the plan's paths up on the host, with links followed. 0 or -errno with @error. */
int masks_rules_make(const struct plan_build *build, struct masks_rules *ret_rules, struct error *error);
void masks_rules_done(struct masks_rules *rules);

/* A layer while it is prepared. */
struct masks {
    struct sandbox *sandbox; /* some of what is masked is noted there */
    const struct masks_rules *rules;
    struct masks_list *list; /* where to look, or where to note it; NULL: neither */
    const char *path;        /* of the layer, without a leading slash */
    int lower_fd;            /* what is below, its owners mapped */
    int upper_fd;            /* what is filled */
    /* With a base: what it wrote to the layer, which lies above the masks, and what was masked when it did; -EBADF. */
    int base_upper_fd;
    int base_hidden_fd;
};

/* Walks the lower directory once, following no link, and fills the upper one; or looks only at what the list names,
 * by the same rules. 0; -ESTALE: the base wrote to what could
 * be read then and may not be now; -errno; with @error, which names the path. */
int masks_fill(const struct masks *masks, struct error *error);
/* Owner, mode and times of the directory @fd become those of the directory @below_fd. 0 or -errno. */
int masks_take_after(int fd, int below_fd);

/* Opens, in the upper directory, the parent of @path (below the layer), made as it is below where it is not there yet;
 * its name is stored. A descriptor; -ENOENT: there is no such directory below, or it is masked; -errno. */
int masks_open_parent(const struct masks *masks, const char *path, const char **ret_name);
/* The parent's times as they are below, after something was made in it. */
void masks_restore_times(const struct masks *masks, const char *path, int parent_fd);

/* @path (below the layer) is there after all: something was put in its place. */
void masks_forget(const struct masks *masks, const char *path);

/* Puts a mark into the upper directory @upper_fd: @name is not there. 0 or -errno. */
int masks_hide(int upper_fd, const char *name);
/* Makes the directory @name there, and nothing of one below shows through. 0 or -errno. */
int masks_cover(int upper_fd, const char *name, mode_t mode, uid_t uid, gid_t gid);
