/* The runtime's tree as it will be: every entry by its path, where it comes from, whose it is. It is thought out as a
 * whole before anything is copied, so that what is decided late (a link's target, a missing library, an account) needs
 * no look at the disk again, and what is on the disk is written once.
 *
 * Paths are canonical: every component above the last is a directory of the tree. A path of a source that goes through
 * links is followed within that source, and the links come into the tree, too. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"
#include "builder/map.h"

#define TREE_ENTRIES_MAX (1U << 20)
#define TREE_LINKS_MAX 40U
#define TREE_DEPTH_MAX 256U

enum tree_source {
    TREE_BASE,     /* the base root */
    TREE_MERGED,   /* the builder root as the build left it */
    TREE_ISOLATED, /* isolated/ in the runtime's own directory */
    TREE_TEXT,     /* a file, directory or link of ours: "text" */
    TREE_SOURCES,
};

enum tree_origin { ORIGIN_BASE, ORIGIN_PACKAGE, ORIGIN_STEP, ORIGIN_SCRIPT, ORIGIN_JOBLET };

struct tree_owner {
    enum tree_origin origin;
    uint32_t number; /* of the package or step */
};

struct tree_entry {
    enum tree_source source;
    struct tree_owner owner;
    bool is_implied; /* a directory that came because something is in it */
    bool is_dropped;
    mode_t mode; /* type and permissions; no set-id bits */
    uid_t uid;
    gid_t gid;
    uint64_t size;
    uint64_t device; /* of the source, for hard links */
    uint64_t inode;
    uint64_t link_count;
    struct timespec modified;
    char *from; /* its path in the source, where that is another; else NULL */
    char *text; /* a link's target; the content of a file of ours; else NULL */
    uint8_t digest[32];
};

struct tree {
    struct map paths;
    struct tree_entry *entries; /* by number of a path */
    uint32_t room;
    int roots[TREE_SOURCES]; /* borrowed; -EBADF: there is none */
    struct error *error;
    uint64_t stripped;
    /* The parent that was resolved last: most paths come in order. */
    char parent[4096];
    char parent_canonical[4096];
    enum tree_source parent_source;
};

/* An empty tree. Borrows @roots' descriptors and @error, which every function fills. 0 or -errno. */
int tree_init(struct tree *tree, const int roots[TREE_SOURCES], struct error *error);
void tree_done(struct tree *tree);

/* The entry of a canonical path, or NULL; dropped ones are not found. */
struct tree_entry *tree_find(const struct tree *tree, const char *path);

/* Puts what stands at @path of @source into the tree, with the directories above it, in place of what is there. 0; 1
 * when the source has nothing there; 2 when it is nothing that a runtime may have (told as stripped) or would stand in
 * the place of a directory; -errno with the error. */
int tree_put(struct tree *tree, enum tree_source source, const char *path, struct tree_owner owner);
/* As tree_put for what stands at @from of @source. */
int tree_put_as(
        struct tree *tree, enum tree_source source, const char *from, const char *path, struct tree_owner owner);
/* As tree_put for a path that may go through links, and with what a link at its end names, if that is no directory.
 * Links of @source that lead out of it end at its root. Every file so found passes @admit first (NULL: all do). */
typedef bool tree_admit(void *context, const char *canonical, struct tree_owner *owner);
int tree_add(struct tree *tree, enum tree_source source, const char *path, struct tree_owner owner, tree_admit *admit,
        void *context);
/* The canonical path of @path in @source with the links above its last component followed; the same into the tree. 0; 1
 * when it leads nowhere; -errno with the error. */
int tree_resolve(struct tree *tree, enum tree_source source, const char *path, struct tree_owner owner,
        char ret_canonical[4096]);

/* The canonical path that @path leads to within the tree alone, all links followed. 0; 1 when it leads nowhere. */
int tree_follow(struct tree *tree, const char *path, char ret_canonical[4096]);

/* Puts something of ours: a file with @text, a directory (S_IFDIR), a link to @text. 0 or -errno with the error. */
int tree_write(struct tree *tree, const char *path, mode_t mode, const char *text);
/* Takes the entry out again; what is in a directory stays. */
void tree_drop(struct tree *tree, const char *path);
/* Takes out compiled Python files whose source is not there, and directories that were only there for what went. */
void tree_prune(struct tree *tree);

/* The numbers of all entries in the order of their paths: a new array, or NULL without memory. */
uint32_t *tree_sort(const struct tree *tree, uint32_t *ret_count);
