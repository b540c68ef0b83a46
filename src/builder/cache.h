/* The cache of downloads: one directory of regular files, each named by the digest of its content (RECIPE_DOWNLOADS in
 * plan/recipe.h), which was computed here when it was kept. For collect, and for downloads.c. */
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
    enum cache_kind kind;
    char *name;     /* in the cache, or of a package of apt's in the builder root */
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

/* What the cache has, the newest first. Packages under names of apt's, which it would trust, are removed: only versions
 * before this one kept them so. 0 or -ENOMEM. */
int cache_list(int cache_fd, struct cache_files *files);
/* What a build has downloaded, below @root_fd, the newest first; not more than the cache may hold. That the cache has
 * it as well means that it was not what it should be, or that two builds fetched it at a time. 0 or -ENOMEM. */
int cache_find(int root_fd, struct cache_files *files);
void cache_files_done(struct cache_files *files);

/* Copies the file of a build into the cache. 0; -EBADMSG when its content is not what its name says; -errno. Nothing is
 * left of it then. */
int cache_keep(int root_fd, int cache_fd, const struct cache_file *file);
/* Removes what a copy that was cut short left. */
void cache_clean(int cache_fd);
