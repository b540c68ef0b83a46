/* The list of suspects: where in the host's directories there is something that a build may not see, or that the walk
 * that looks for it (sandbox/masks.c) treats as anything but a plain file. It says where to look, never what to mask:
 * too many paths cost time, one too few would be a hole.
 *
 * joblet-init writes it while it walks, into a file in memory that joblet handed to it. joblet adds what has changed
 * since (broker/host_watch.c) and hands it, sealed, to the joblet-init of a later build, which looks there alone. A
 * build can neither read nor write it: the descriptors are closed before anything of a client's is read.
 *
 *     struct suspects_head
 *     paths, each ended by a NUL: "usr/lib/x", without a leading slash; a directory stands for all that is in it */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "plan/host_layers.h"
#include "plan/plan.h"

#define SUSPECTS_MAGIC 0x5053534aU /* "JSSP" */
#define SUSPECTS_VERSION 1U
/* Some tens of thousands of paths. A host with more is walked each time. */
#define SUSPECTS_SIZE_MAX (2U << 20)
#define SUSPECTS_HIDDEN_MAX (2U * PLAN_PATHS_MAX)
#define SUSPECTS_SHOWN_MAX 512U

enum suspects_kind {
    SUSPECTS_NONE = 0, /* nothing was written, or it does not hold all */
    SUSPECTS_WALKED,   /* every layer was walked: the paths are all there are */
    SUSPECTS_LOOKED,   /* every layer was looked at by the list that was given; paths here are of no use */
};

/* What the paths are the answer to. With other rules, others would be suspects. */
struct suspects_rules {
    uint64_t hidden_device[SUSPECTS_HIDDEN_MAX];
    uint64_t hidden_inode[SUSPECTS_HIDDEN_MAX];
    uint64_t absent_device[2];
    uint64_t absent_inode[2];
    char shown[PLAN_PATHS_MAX][SUSPECTS_SHOWN_MAX];
};

struct suspects_head {
    uint32_t magic;
    uint32_t version;
    uint32_t kind;
    uint32_t reserved;
    uint64_t used;                          /* bytes, with this */
    uint64_t looked_at;                     /* entries of directories */
    uint64_t walked;                        /* as many as the walk had that the list is of */
    uint64_t layer_device[HOST_LAYERS_MAX]; /* by number in host_layers; inode 0: it was not there */
    uint64_t layer_inode[HOST_LAYERS_MAX];
    struct suspects_rules rules;
};

/* Reads the head of @fd and checks it: 0; -EBADMSG: it is none, or the file has not as many bytes; -errno. */
int suspects_read_head(int fd, struct suspects_head *ret_head);
