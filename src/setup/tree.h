/* A copy of parts of the host's file system below another root. Paths are the host's, absolute. A link is copied as a
 * link to the canonical place of what it names, and that is copied too, so that every path that works on the host works
 * in the copy. Files come out owned by one id, mode 0755 or 0644, without set-id bits, capabilities or other
 * attributes; only what root owns, nobody else can write and everybody can read is copied. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

#define TREE_FILES_MAX 20000

struct tree {
    int root_fd;
    uint32_t owner; /* user and group of everything made */
    FILE *manifest; /* a line for each file and link: tree_check_line */
    char **files;   /* the regular files copied, in order: canonical paths on the host */
    size_t count;
    size_t room;
    uint64_t bytes;
};

/* An empty tree below @root_fd, an empty directory, borrowed as @manifest is. */
void tree_init(struct tree *tree, int root_fd, uint32_t owner, FILE *manifest);
void tree_done(struct tree *tree);

/* Copies @path, and follows it when it is a link. 0, also when it is there already; 1 when the host does not have it; 2
 * when it may not be copied (not root's, or not for everybody to read, or not a file); -errno with @error. */
int tree_add(struct tree *tree, const char *path, struct error *error);
/* Copies everything below the directory @path but the names in @but (ended by NULL, may be NULL). As tree_add; what may
 * not be copied is passed over. */
int tree_add_directory(struct tree *tree, const char *path, const char *const *but, struct error *error);
/* Makes the directory @path and those above it. 0 or -errno with @error. */
int tree_make_directory(struct tree *tree, const char *path, struct error *error);
/* A file of our own. 0 or -errno with @error. */
int tree_write(struct tree *tree, const char *path, const char *text, struct error *error);
/* A link of our own; what it names is not looked at. 0 or -errno with @error. */
int tree_link(struct tree *tree, const char *path, const char *target, struct error *error);

/* True when the host still has what a line of a manifest says. Other lines than those of files and links are true. */
int tree_check_line(const char *line);

/* Removes @name below @dir_fd with everything in it, following no link and crossing no mount. 0 or -errno. */
int tree_remove(int dir_fd, const char *name);
