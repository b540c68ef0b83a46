/* Keeps downloaded packages for later builds. Nothing in the cache is trusted: a build wrote it. Each build holds those
 * that it wants against the digests in the lists that the distribution signed, before anything of a client's runs in
 * it, and takes all others out of its sight (runtime/packager.c). So the worst that a build can do here is to waste
 * space, and that is bounded. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "builder/collect.h"
#include "builder/root.h"
#include "plan/recipe.h"

#define ARCHIVES "/var/cache/apt/archives"
#define FILE_SIZE_MAX (1LL << 30)
#define CACHE_FILES_MAX 20000U
#define BLOCK 4096U
#define TEMPORARY ".new"

/* name_version_architecture.deb, as apt writes it. */
static bool is_package_file(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.~%_";
    size_t size = strlen(name);
    unsigned parts = 0;
    if (size < 8 || size > 200 || strspn(name, allowed) != size || strcmp(name + size - 4, ".deb") != 0)
        return false;
    for (const char *c = name; *c; c++)
        parts += *c == '_';
    return parts == 2 && *name != '.' && *name != '_' && *name != '-' && *name != '%';
}

struct package {
    char *name;
    uint64_t bytes; /* that it takes on the disk, at most */
    struct timespec time;
};

struct packages {
    struct package *items;
    size_t count;
    uint64_t bytes;
};

static void packages_done(struct packages *packages)
{
    for (size_t i = 0; i < packages->count; i++)
        free(packages->items[i].name);
    free(packages->items);
}

static int packages_add(struct packages *packages, const char *name, const struct stat *status)
{
    struct package *items = reallocarray(packages->items, packages->count + 1, sizeof(*items));
    if (!items)
        return -ENOMEM;
    packages->items = items;
    const struct package package = {.name = strdup(name),
            .bytes = ((uint64_t)status->st_size + BLOCK - 1) / BLOCK * BLOCK,
            .time = status->st_mtim};
    if (!package.name)
        return -ENOMEM;
    items[packages->count++] = package;
    packages->bytes += package.bytes;
    return 0;
}

/* The oldest last. */
static int compare_age(const void *left, const void *right)
{
    const struct package *a = left;
    const struct package *b = right;
    if (a->time.tv_sec != b->time.tv_sec)
        return a->time.tv_sec > b->time.tv_sec ? -1 : 1;
    if (a->time.tv_nsec != b->time.tv_nsec)
        return a->time.tv_nsec > b->time.tv_nsec ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* The packages in the directory @fd, which is closed, the newest first. With @cache_fd, what a build has there: those
 * that it has as well, of the same size, are left out. 0 or -ENOMEM. */
static int packages_list(int fd, int cache_fd, struct packages *packages)
{
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    int r = 0;
    if (!directory) {
        (void)fd_close(fd);
        return 0;
    }
    while (r == 0 && (cache_fd < 0 || packages->count < CACHE_FILES_MAX) && (entry = readdir(directory))) {
        struct stat status;
        struct stat cached;
        if (!is_package_file(entry->d_name) || fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
                !S_ISREG(status.st_mode) || (cache_fd >= 0 && status.st_size > FILE_SIZE_MAX))
            continue;
        if (cache_fd >= 0 && fstatat(cache_fd, entry->d_name, &cached, AT_SYMLINK_NOFOLLOW) == 0 &&
                (!S_ISREG(cached.st_mode) || cached.st_size == status.st_size))
            continue;
        r = packages_add(packages, entry->d_name, &status);
    }
    (void)closedir(directory);
    if (packages->count > 0)
        qsort(packages->items, packages->count, sizeof(*packages->items), compare_age);
    return r;
}

static int copy_bytes(int from, int to, uint64_t size)
{
    while (size > 0) {
        ssize_t copied = copy_file_range(from, NULL, to, NULL, size, 0);
        if (copied <= 0)
            break;
        size -= (uint64_t)copied;
    }
    char buffer[65536];
    while (size > 0) {
        size_t part = size < sizeof(buffer) ? (size_t)size : sizeof(buffer);
        int r = fd_read_exact(from, buffer, part);
        if (r == 0)
            r = fd_write_all(to, buffer, part);
        if (r < 0)
            return r;
        size -= part;
    }
    return 0;
}

/* 0 or -errno. */
static int keep_file(struct collect *collect, int cache_fd, const struct package *package)
{
    char path[PATH_MAX];
    struct stat status;
    (void)snprintf(path, sizeof(path), ARCHIVES "/%.255s", package->name);
    _cleanup_close_ int from = root_open_file(collect->merged_fd, path);
    if (from < 0 || fstat(from, &status) < 0)
        return -EINVAL;
    _cleanup_close_ int to = openat(cache_fd, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    int r = to < 0 ? -errno : copy_bytes(from, to, (uint64_t)status.st_size);
    if (r == 0 && (fsync(to) < 0 || renameat(cache_fd, TEMPORARY, cache_fd, package->name) < 0))
        r = -errno;
    if (r < 0)
        (void)unlinkat(cache_fd, TEMPORARY, 0);
    return r;
}

/* Removes the oldest until at most @max_bytes and @max_files are left. */
static void remove_oldest(int cache_fd, struct packages *cached, uint64_t max_bytes, size_t max_files)
{
    while (cached->count > 0 && (cached->bytes > max_bytes || cached->count > max_files)) {
        struct package *oldest = &cached->items[--cached->count];
        (void)unlinkat(cache_fd, oldest->name, 0); /* gone, or it cannot be helped */
        cached->bytes -= oldest->bytes;
        free(oldest->name);
    }
}

/* Makes room first: the cache is never larger than it may be. What is replaced counts until then. */
static void fill(
        struct collect *collect, int cache_fd, uint64_t max_bytes, struct packages *cached, struct packages *fresh)
{
    size_t count = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < fresh->count; i++) {
        if (fresh->items[i].bytes > max_bytes - bytes)
            continue;
        bytes += fresh->items[i].bytes;
        struct package package = fresh->items[i];
        fresh->items[i] = fresh->items[count];
        fresh->items[count++] = package;
    }
    remove_oldest(cache_fd, cached, max_bytes - bytes, CACHE_FILES_MAX - count);
    for (size_t i = 0; i < count; i++)
        (void)keep_file(collect, cache_fd, &fresh->items[i]); /* no reason to fail */
}

int cache_fill(struct collect *collect)
{
    const struct word *word = words_find(collect->words, WORD_CACHE);
    _cleanup_close_ int cache_fd = open(RECIPE_CACHE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (!word || cache_fd < 0)
        return 0;
    struct packages cached = {0};
    struct packages fresh = {0};
    (void)unlinkat(cache_fd, TEMPORARY, 0);
    int r = packages_list(root_open_directory(cache_fd, "/"), -EBADF, &cached);
    if (r == 0)
        r = packages_list(root_open_directory(collect->merged_fd, ARCHIVES), cache_fd, &fresh);
    if (r == 0)
        fill(collect, cache_fd, word->numbers[0], &cached, &fresh);
    packages_done(&cached);
    packages_done(&fresh);
    return r < 0 ? error_errno(collect->error, -r, "keep the downloads") : 0;
}
