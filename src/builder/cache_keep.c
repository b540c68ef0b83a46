/* One download, copied into the cache, where its name is the digest of what was copied. */
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

/* Of either kind: one of them is used. */
struct sum {
    struct digest *digest;
    struct blake2b blake2b;
};

static int sum_begin(struct sum *sum, enum cache_kind kind)
{
    if (kind == CACHE_PIP) {
        blake2b_begin(&sum->blake2b);
        return 0;
    }
    sum->digest = kind == CACHE_NPM ? digest_new_sha512() : digest_new();
    if (!sum->digest)
        return -ENOMEM;
    digest_begin(sum->digest);
    return 0;
}

/* The name that the content has in the cache. 0 or -EIO. */
static int sum_end(struct sum *sum, enum cache_kind kind, char ret_name[CACHE_NAME_MAX])
{
    static const struct {
        const char *prefix;
        size_t size;
    } kinds[] = {
            [CACHE_APT] = {RECIPE_DOWNLOADS_APT, DIGEST_SIZE},
            [CACHE_NPM] = {RECIPE_DOWNLOADS_NPM, DIGEST_SHA512_SIZE},
            [CACHE_PIP] = {RECIPE_DOWNLOADS_PIP, BLAKE2B_SIZE},
    };
    uint8_t bytes[DIGEST_SHA512_SIZE];
    char hex[DIGEST_SHA512_HEX_MAX];
    if (!sum->digest)
        blake2b_end(&sum->blake2b, bytes);
    else if (digest_end(sum->digest, bytes) < 0)
        return -EIO;
    digest_format_bytes(bytes, kinds[kind].size, hex);
    (void)snprintf(ret_name, CACHE_NAME_MAX, "%s%s", kinds[kind].prefix, hex);
    return 0;
}

static int copy(int from, int to, uint64_t size, struct sum *sum)
{
    char buffer[PIECE_SIZE];
    while (size > 0) {
        size_t part = size < sizeof(buffer) ? (size_t)size : sizeof(buffer);
        int r = fd_read_exact(from, buffer, part);
        if (r == 0)
            r = fd_write_all(to, buffer, part);
        if (r < 0)
            return r;
        if (sum->digest)
            digest_add(sum->digest, buffer, part);
        else
            blake2b_add(&sum->blake2b, buffer, part);
        size -= part;
    }
    return 0;
}

static int copy_checked(int from, int to, const struct cache_file *file, char ret_name[CACHE_NAME_MAX])
{
    struct stat status;
    struct sum sum = {0};
    if (fstat(from, &status) < 0)
        return -errno;
    if (!cache_is_wanted(file->kind, from))
        return -EBADMSG;
    int r = sum_begin(&sum, file->kind);
    if (r == 0)
        r = copy(from, to, (uint64_t)status.st_size, &sum);
    if (r == 0)
        r = sum_end(&sum, file->kind, ret_name);
    digest_free(sum.digest);
    if (r == 0 && file->kind != CACHE_APT && strcmp(ret_name, file->name) != 0)
        r = -EBADMSG;
    return r;
}

int cache_keep(int root_fd, int cache_fd, const struct cache_file *file)
{
    char name[CACHE_NAME_MAX];
    _cleanup_close_ int from = root_open_file(root_fd, file->path);
    if (from < 0)
        return from;
    _cleanup_close_ int to = openat(cache_fd, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    int r = to < 0 ? -errno : copy_checked(from, to, file, name);
    if (r == 0 && (fsync(to) < 0 || renameat(cache_fd, TEMPORARY, cache_fd, name) < 0))
        r = -errno;
    if (r < 0)
        cache_clean(cache_fd);
    return r;
}

void cache_clean(int cache_fd)
{
    (void)unlinkat(cache_fd, TEMPORARY, 0); /* not there, or it cannot be helped */
}
