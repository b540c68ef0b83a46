/* Keeps downloaded packages for later builds. Nothing in the cache is trusted: a build wrote it. apt holds each file
 * that it finds there against the index that the distribution signed, by size and digest, before it uses it, and
 * fetches it anew when they differ. So the worst that a build can do here is to waste space, and that is bounded. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "builder/collect.h"
#include "builder/root.h"
#include "plan/recipe.h"

#define ARCHIVES "/var/cache/apt/archives"
#define FILE_SIZE_MAX (1ULL << 30)
#define CACHE_SIZE_MAX (8ULL << 30)
#define CACHE_FILES_MAX 20000U
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

struct room {
    uint64_t bytes;
    uint64_t files;
};

static int count_file(void *context, const char *path, const struct stat *status)
{
    struct room *room = context;
    (void)path;
    room->bytes += (uint64_t)status->st_size;
    room->files++;
    return 0;
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

/* 0 or -errno; a file that cannot be kept is no reason to fail. */
static int keep_file(struct collect *collect, int cache_fd, const char *name, struct room *room)
{
    char path[PATH_MAX];
    struct stat status;
    struct stat cached;
    (void)snprintf(path, sizeof(path), ARCHIVES "/%.255s", name);
    _cleanup_close_ int from = root_open_file(collect->merged_fd, path);
    if (from < 0 || fstat(from, &status) < 0)
        return -EINVAL;
    uint64_t size = (uint64_t)status.st_size;
    if (fstatat(cache_fd, name, &cached, AT_SYMLINK_NOFOLLOW) == 0 && cached.st_size == status.st_size)
        return 0;
    if (size > FILE_SIZE_MAX || room->bytes + size > CACHE_SIZE_MAX || room->files >= CACHE_FILES_MAX)
        return -EFBIG;
    (void)unlinkat(cache_fd, TEMPORARY, 0);
    _cleanup_close_ int to = openat(cache_fd, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    int r = to < 0 ? -errno : copy_bytes(from, to, size);
    if (r == 0 && (fsync(to) < 0 || renameat(cache_fd, TEMPORARY, cache_fd, name) < 0))
        r = -errno;
    if (r < 0)
        (void)unlinkat(cache_fd, TEMPORARY, 0);
    room->bytes += size;
    room->files++;
    return r;
}

int cache_fill(struct collect *collect)
{
    _cleanup_close_ int cache_fd = open(RECIPE_CACHE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int fd = cache_fd < 0 ? -EBADF : root_open_directory(collect->merged_fd, ARCHIVES);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        (void)fd_close(fd);
        return 0; /* there is no cache, or nothing for it */
    }
    struct room room = {0};
    (void)root_walk(cache_fd, "/", /* one_device= */ 1, count_file, &room);
    const struct dirent *entry;
    while ((entry = readdir(directory)))
        if (is_package_file(entry->d_name))
            (void)keep_file(collect, cache_fd, entry->d_name, &room);
    (void)closedir(directory);
    return 0;
}
