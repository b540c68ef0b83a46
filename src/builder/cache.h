/* The cache of downloads: one directory of regular files, whose names tell what is in them (RECIPE_DOWNLOADS in
 * plan/recipe.h). What a build leaves in it is either held against its own name before it is kept (npm, pip), or held
 * by each build that uses it against what the package sources say (apt). For collect, and for
 * downloads.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#define CACHE_FILES_MAX 20000U
#define CACHE_NAME_MAX 201U

enum cache_kind { CACHE_NONE, CACHE_APT, CACHE_NPM, CACHE_PIP };

struct cache_file {
    char *name;
    char *path;     /* in the builder root; NULL of what is in the cache */
    uint64_t bytes; /* that it takes on the disk, at most */
    struct timespec time;
    struct timespec changed; /* which a build cannot choose */
};

/* Zeroed = empty. */
struct cache_files {
    struct cache_file *items;
    size_t count;
    uint64_t bytes;
};

/* By its name alone. */
enum cache_kind cache_kind_of(const char *name);
/* The name in the cache of what lies at @path below a place of downloads whose names have @prefix in the cache: without
 * slashes, into which a place may cut a digest. Its kind. */
enum cache_kind cache_name_of(const char *prefix, const char *path, char ret_name[CACHE_NAME_MAX]);
/* npm's cache holds what the registry says of packages as well: true for an archive, and for all of other kinds. */
bool cache_is_wanted(enum cache_kind kind, int fd);

/* What the cache has, the newest first. 0 or -ENOMEM. */
int cache_list(int cache_fd, struct cache_files *files);
/* What a build has downloaded, below @root_fd, that the cache does not have, the newest first; not more than the cache
 * may hold. 0 or -ENOMEM. */
int cache_find(int root_fd, int cache_fd, struct cache_files *files);
void cache_files_done(struct cache_files *files);

/* Copies the file of a build into the cache, under its name when its content is what the name says. 0; -EBADMSG when it
 * is not; -errno. Nothing is left of it then. */
int cache_keep(int root_fd, int cache_fd, const struct cache_file *file);
/* Removes what a copy that was cut short left. */
void cache_clean(int cache_fd);
