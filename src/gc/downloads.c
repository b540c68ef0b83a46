#include "gc/downloads.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

static int add(struct downloads *downloads, const char *name, const struct stat *status)
{
    struct download *items = reallocarray(downloads->items, downloads->count + 1, sizeof(*items));
    if (!items)
        return -ENOMEM;
    downloads->items = items;
    char *copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    items[downloads->count++] = (struct download){.name = copy,
            .bytes = (uint64_t)status->st_blocks * 512,
            .used_unix = status->st_mtime,
            .owner = status->st_uid,
            .verdict = S_ISREG(status->st_mode) ? DOWNLOADS_KEPT : DOWNLOADS_NOT_OURS};
    return 0;
}

static int compare_age(const void *left, const void *right)
{
    const struct download *a = left;
    const struct download *b = right;
    if (a->used_unix != b->used_unix)
        return a->used_unix < b->used_unix ? -1 : 1;
    return strcmp(a->name, b->name);
}

static int read_entries(DIR *directory, struct downloads *downloads)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (!entry)
            return -errno;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        struct stat status;
        if (fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
            if (errno == ENOENT)
                continue;
            return -errno;
        }
        int r = add(downloads, entry->d_name, &status);
        if (r < 0)
            return r;
    }
}

int downloads_list(int dir_fd, struct downloads *ret_downloads, struct error *error)
{
    *ret_downloads = (struct downloads){0};
    int own = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = own < 0 ? NULL : fdopendir(own);
    if (!directory) {
        int code = errno;
        (void)fd_close(own);
        return error_errno(error, code, "list the downloads");
    }
    int r = read_entries(directory, ret_downloads);
    (void)closedir(directory);
    if (r < 0)
        return error_errno(error, -r, "list the downloads");
    if (ret_downloads->count > 0)
        qsort(ret_downloads->items, ret_downloads->count, sizeof(*ret_downloads->items), compare_age);
    return 0;
}

void downloads_judge(struct downloads *downloads, int64_t now_unix, uint64_t max_age_sec, uint64_t max_bytes)
{
    uint64_t left = 0;
    for (size_t i = 0; i < downloads->count; i++) {
        struct download *item = &downloads->items[i];
        if (item->verdict == DOWNLOADS_NOT_OURS)
            continue;
        bool is_old =
                max_age_sec > 0 && item->used_unix < now_unix && (uint64_t)(now_unix - item->used_unix) > max_age_sec;
        item->verdict = is_old ? DOWNLOADS_TOO_OLD : DOWNLOADS_KEPT;
        left += is_old ? 0 : item->bytes;
    }
    for (size_t i = 0; i < downloads->count && left > max_bytes; i++) {
        struct download *item = &downloads->items[i];
        if (item->verdict != DOWNLOADS_KEPT)
            continue;
        item->verdict = DOWNLOADS_TOO_MANY;
        left -= item->bytes;
    }
}

int downloads_remove(int dir_fd, const struct downloads *downloads, struct error *error)
{
    for (size_t i = 0; i < downloads->count; i++) {
        const struct download *item = &downloads->items[i];
        if (item->verdict != DOWNLOADS_TOO_OLD && item->verdict != DOWNLOADS_TOO_MANY)
            continue;
        if (unlinkat(dir_fd, item->name, 0) < 0 && errno != ENOENT)
            return error_errno(error, errno, "remove '%.200s'", item->name);
    }
    return 0;
}

static bool is_base(const char *name)
{
    const char *suffix = strrchr(name, '.');
    return suffix && strcmp(suffix, ".image") == 0;
}

void downloads_keep_bases(struct downloads *downloads)
{
    size_t count = 0;
    for (size_t i = 0; i < downloads->count; i++)
        if (is_base(downloads->items[i].name))
            downloads->items[count++] = downloads->items[i];
        else
            free(downloads->items[i].name);
    downloads->count = count;
}

/* The record first: a disk without one is none. 0; 1: a build has it; -errno. */
static int remove_base(int dir_fd, const char *name)
{
    char record[NAME_MAX + 1];
    _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? 1 : -errno;
    (void)snprintf(record, sizeof(record), "%.*s.record", (int)(strlen(name) - strlen(".image")), name);
    if ((unlinkat(dir_fd, record, 0) < 0 && errno != ENOENT) || (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT))
        return -errno;
    return 0;
}

int downloads_remove_bases(int dir_fd, struct downloads *downloads, struct error *error)
{
    for (size_t i = 0; i < downloads->count; i++) {
        struct download *item = &downloads->items[i];
        if (item->verdict != DOWNLOADS_TOO_OLD && item->verdict != DOWNLOADS_TOO_MANY)
            continue;
        int r = remove_base(dir_fd, item->name);
        if (r < 0)
            return error_errno(error, -r, "remove the base '%.200s'", item->name);
        if (r > 0)
            item->verdict = DOWNLOADS_USED;
    }
    return 0;
}

void downloads_done(struct downloads *downloads)
{
    for (size_t i = 0; i < downloads->count; i++)
        free(downloads->items[i].name);
    free(downloads->items);
    *downloads = (struct downloads){0};
}
