/* One download, copied into the cache. It bears its name there only when the content is what the name says. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "builder/blake2b.h"
#include "builder/cache.h"
#include "builder/digest.h"
#include "builder/root.h"
#include "plan/recipe.h"

#define TEMPORARY ".new"
#define PIECE_SIZE 65536U

static int copy_bytes(int from, int to, uint64_t size)
{
    while (size > 0) {
        ssize_t copied = copy_file_range(from, NULL, to, NULL, size, 0);
        if (copied <= 0)
            break;
        size -= (uint64_t)copied;
    }
    char buffer[PIECE_SIZE];
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

/* Of either kind: one of them is used. */
struct sum {
    struct digest *sha512;
    struct blake2b blake2b;
};

static void sum_add(struct sum *sum, const void *data, size_t size)
{
    if (sum->sha512)
        digest_add(sum->sha512, data, size);
    else
        blake2b_add(&sum->blake2b, data, size);
}

/* 0 when it is what stands in @hex. */
static int sum_check(struct sum *sum, const char *hex)
{
    uint8_t bytes[DIGEST_SHA512_SIZE];
    char text[DIGEST_SHA512_HEX_MAX];
    size_t size = sum->sha512 ? DIGEST_SHA512_SIZE : BLAKE2B_SIZE;
    if (!sum->sha512)
        blake2b_end(&sum->blake2b, bytes);
    else if (digest_end(sum->sha512, bytes) < 0)
        return -EIO;
    digest_format_bytes(bytes, size, text);
    return strcmp(text, hex) == 0 ? 0 : -EBADMSG;
}

static int copy_summed(int from, int to, uint64_t size, struct sum *sum)
{
    char buffer[PIECE_SIZE];
    while (size > 0) {
        size_t part = size < sizeof(buffer) ? (size_t)size : sizeof(buffer);
        int r = fd_read_exact(from, buffer, part);
        if (r == 0)
            r = fd_write_all(to, buffer, part);
        if (r < 0)
            return r;
        sum_add(sum, buffer, part);
        size -= part;
    }
    return 0;
}

static int copy_checked(int from, int to, uint64_t size, const char *name)
{
    _cleanup_(digest_freep) struct digest *sha512 = NULL;
    struct sum sum = {0};
    if (cache_kind_of(name) == CACHE_PIP) {
        blake2b_begin(&sum.blake2b);
    } else {
        sum.sha512 = sha512 = digest_new_sha512();
        if (!sha512)
            return -ENOMEM;
        digest_begin(sha512);
    }
    int r = cache_is_wanted(cache_kind_of(name), from) ? copy_summed(from, to, size, &sum) : -EBADMSG;
    return r < 0 ? r : sum_check(&sum, strchr(name, '-') + 1);
}

/* What an honest build has fetched although the cache has it, another build has as well. */
static bool is_same(int from, int cache_fd, const char *name, uint64_t size)
{
    struct stat status;
    char ours[PIECE_SIZE];
    char theirs[PIECE_SIZE];
    _cleanup_close_ int fd = openat(cache_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || (uint64_t)status.st_size != size)
        return false;
    for (uint64_t at = 0; at < size;) {
        size_t part = size - at < PIECE_SIZE ? (size_t)(size - at) : PIECE_SIZE;
        if (pread(from, theirs, part, (off_t)at) != (ssize_t)part ||
                pread(fd, ours, part, (off_t)at) != (ssize_t)part || memcmp(ours, theirs, part) != 0)
            return false;
        at += part;
    }
    return true;
}

int cache_keep(int root_fd, int cache_fd, const struct cache_file *file)
{
    struct stat status;
    bool is_apt = cache_kind_of(file->name) == CACHE_APT;
    _cleanup_close_ int from = root_open_file(root_fd, file->path);
    if (from < 0 || fstat(from, &status) < 0)
        return -EINVAL;
    uint64_t size = (uint64_t)status.st_size;
    if (is_apt && is_same(from, cache_fd, file->name, size))
        return 0;
    _cleanup_close_ int to = openat(cache_fd, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    int r = to < 0 ? -errno : is_apt ? copy_bytes(from, to, size) : copy_checked(from, to, size, file->name);
    if (r == 0 && (fsync(to) < 0 || renameat(cache_fd, TEMPORARY, cache_fd, file->name) < 0))
        r = -errno;
    if (r < 0)
        cache_clean(cache_fd);
    return r;
}

void cache_clean(int cache_fd)
{
    (void)unlinkat(cache_fd, TEMPORARY, 0); /* not there, or it cannot be helped */
}
