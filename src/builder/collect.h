/* The state of one collecting, shared by its parts. For the files of collect alone. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "builder/changes.h"
#include "builder/dpkg.h"
#include "builder/owners.h"
#include "builder/tree.h"
#include "builder/words.h"

#define COLLECT_LAYERS_MAX 64U
#define COLLECT_STRAYS_TOLD 1000U
#define COLLECT_HOST_TOLD 100U
#define COLLECT_CHANGES_TOLD 1000U

struct collect_layer {
    char *path; /* "/usr" */
    int upper_fd;
    int base_fd; /* what the base wrote to it; -EBADF: there is none */
    int lower_fd;
};

struct collect_step {
    const char *name;
    int64_t begin_ns;
    int64_t end_ns;
    bool is_ours;     /* what was made then is no step's */
    bool is_packager; /* what it wrote and no package owns is a maintainer script's */
};

struct collect {
    const struct words *words;
    struct error *error;
    int merged_fd;
    int base_fd;
    int isolated_fd; /* isolated/ of the runtime's own directory, or -EBADF */
    int stage_fd;
    int root_fd; /* isolated/ in the staging directory */
    struct collect_layer layers[COLLECT_LAYERS_MAX];
    size_t layer_count;
    struct collect_step *steps;
    size_t step_count;
    bool has_failed;      /* the build: what it changed is told, and that is all */
    unsigned keep;        /* bits of enum words_keep */
    uint64_t limit_bytes; /* 0 = none */
    const char *runtime_dir;
    char name[80]; /* of the runtime */
    char version[80];
    struct dpkg dpkg;
    struct owners owners;
    struct tree tree;
    struct changes changes;
    uint64_t bytes; /* of the files of the tree */
    uint64_t files;
    uint64_t strays;
};

/* Each part: 0 or -errno with collect->error. In the order in which collect.c calls them. */
int packages_read(struct collect *collect);   /* packages.c: database, closure, owners */
int select_packages(struct collect *collect); /* select.c: base, files of packages, what was generated for them */
int select_written(struct collect *collect);  /* written.c: what the build wrote */
int libraries_add(struct collect *collect);   /* libraries.c: globs, needed libraries */
int accounts_add(struct collect *collect);    /* accounts.c: users and groups, places for mounts */
int copy_tree(struct collect *collect);       /* copy.c: onto the disk */
int libraries_check(struct collect *collect); /* libraries.c: the programs of "binary" can start */
int manifest_write(struct collect *collect);  /* manifest_write.c */
int changes_write(struct collect *collect);   /* changes.c */
int changes_tell(struct collect *collect);    /* changes.c: of a failed build */
int host_check(struct collect *collect);      /* host.c */
int cache_fill(struct collect *collect);      /* cache.c */

/* The step during which something changed at @ctime_ns; the number of steps when it was before the first. */
size_t collect_find_step(const struct collect *collect, int64_t ctime_ns);
/* Whose something is that no package owns. */
struct tree_owner collect_owner_of_time(const struct collect *collect, int64_t ctime_ns);
/* "package openssl", "step pip" and so on. */
#define COLLECT_ORIGIN_MAX 320U
void collect_format_owner(const struct collect *collect, struct tree_owner owner, char ret_text[COLLECT_ORIGIN_MAX]);
int64_t collect_ctime_ns(const struct stat *status);
/* For tree_add: what a link may bring along. */
bool collect_admit(void *context, const char *canonical, struct tree_owner *owner);
