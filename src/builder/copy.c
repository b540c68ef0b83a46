/* Puts the tree onto the disk, each file read once: copied and digested in one go. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "builder/collect.h"
#include "builder/digest.h"
#include "builder/root.h"
#include "builder/say.h"

#define BLOCK_SIZE 65536U
#define BUFFER_SIZE (4U * BLOCK_SIZE)

struct copier {
    struct collect *collect;
    struct digest *digest;
    struct map links; /* what makes a file the same, of files that have several names */
    uint32_t *first;  /* by number in links: the entry that was copied */
    uint32_t first_room;
    char parent[PATH_MAX]; /* the directory that is open */
    int parent_fd;
    char buffer[BUFFER_SIZE];
};

static int open_parent(struct copier *copier, const char *path, const char **ret_name)
{
    size_t size = (size_t)(strrchr(path, '/') - path);
    *ret_name = path + size + 1;
    if (copier->parent_fd >= 0 && strlen(copier->parent) == size && memcmp(copier->parent, path, size) == 0)
        return 0;
    copier->parent_fd = fd_close(copier->parent_fd);
    memcpy(copier->parent, path, size);
    copier->parent[size] = '\0';
    copier->parent_fd = root_open_directory(copier->collect->root_fd, copier->parent);
    return copier->parent_fd < 0 ? copier->parent_fd : 0;
}

static bool is_zero(const char *block, size_t size)
{
    return size > 0 && block[0] == 0 && memcmp(block, block + 1, size - 1) == 0;
}

/* Whole blocks of zeros are left as holes. */
static int write_sparse(int fd, const char *data, size_t size, uint64_t offset)
{
    for (size_t at = 0; at < size; at += BLOCK_SIZE) {
        size_t part = size - at < BLOCK_SIZE ? size - at : BLOCK_SIZE;
        if (part == BLOCK_SIZE && is_zero(data + at, part))
            continue;
        int r = fd_pwrite_all(fd, data + at, part, (off_t)(offset + at));
        if (r < 0)
            return r;
    }
    return 0;
}

static int copy_data(struct copier *copier, int from, int to, struct tree_entry *entry)
{
    digest_begin(copier->digest);
    for (uint64_t offset = 0; offset < entry->size;) {
        size_t part = entry->size - offset < BUFFER_SIZE ? (size_t)(entry->size - offset) : BUFFER_SIZE;
        int r = fd_read_exact(from, copier->buffer, part);
        if (r == 0)
            r = write_sparse(to, copier->buffer, part, offset);
        if (r < 0)
            return r;
        digest_add(copier->digest, copier->buffer, part);
        offset += part;
    }
    if (ftruncate(to, (off_t)entry->size) < 0)
        return -errno;
    return digest_end(copier->digest, entry->digest);
}

static int write_text(struct copier *copier, int to, struct tree_entry *entry)
{
    digest_begin(copier->digest);
    digest_add(copier->digest, entry->text, entry->size);
    int r = fd_write_all(to, entry->text, entry->size);
    return r < 0 ? r : digest_end(copier->digest, entry->digest);
}

static int set_attributes(int fd, const struct tree_entry *entry)
{
    const struct timespec times[2] = {entry->modified, entry->modified};
    if (fchown(fd, entry->uid, entry->gid) < 0 || fchmod(fd, entry->mode & 07777) < 0)
        return -errno;
    return entry->source != TREE_TEXT && futimens(fd, times) < 0 ? -errno : 0;
}

static void tell_capability(struct collect *collect, const char *path, int fd, const struct tree_entry *entry)
{
    if (!(entry->mode & 0111) || fgetxattr(fd, "security.capability", NULL, 0) <= 0)
        return;
    say_stripped("capability", path);
    collect->tree.stripped++;
}

static int count_bytes(struct collect *collect, const struct tree_entry *entry)
{
    collect->files++;
    if (entry->size > UINT64_MAX - collect->bytes)
        return error_errno(collect->error, EFBIG, "the runtime");
    collect->bytes += entry->size;
    if (collect->limit_bytes > 0 && collect->bytes > collect->limit_bytes)
        return error_text(collect->error, EFBIG, "the runtime is larger than %" PRIu64 " bytes", collect->limit_bytes);
    return 0;
}

static int copy_file(struct copier *copier, const char *path, const char *name, struct tree_entry *entry)
{
    struct collect *collect = copier->collect;
    int r = count_bytes(collect, entry);
    if (r < 0)
        return r;
    _cleanup_close_ int to =
            openat(copier->parent_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0)
        return error_errno(collect->error, errno, "make '%.100s'", path);
    if (entry->source == TREE_TEXT) {
        r = write_text(copier, to, entry);
    } else {
        _cleanup_close_ int from = root_open_file(collect->tree.roots[entry->source], entry->from ? entry->from : path);
        if (from < 0)
            return error_errno(collect->error, -from, "read '%.100s'", path);
        tell_capability(collect, path, from, entry);
        r = copy_data(copier, from, to, entry);
    }
    if (r == 0)
        r = set_attributes(to, entry);
    return r < 0 ? error_errno(collect->error, -r, "copy '%.100s'", path) : 0;
}

/* The entry that stands for the same file and is there already, or NULL; then @number is the one from now on. */
static int find_first(struct copier *copier, uint32_t number, uint32_t *ret_first)
{
    const struct tree_entry *entry = &copier->collect->tree.entries[number];
    char key[128];
    uint32_t link;
    uint32_t before = copier->links.count;
    int size = snprintf(key, sizeof(key), "%d %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRId64 ".%ld", (int)entry->source,
            entry->device, entry->inode, entry->size, (int64_t)entry->modified.tv_sec, entry->modified.tv_nsec);
    int r = map_add(&copier->links, key, (size_t)size, &link);
    if (r < 0)
        return r;
    if (link == copier->first_room) {
        uint32_t room = copier->first_room ? copier->first_room * 2 : 1024;
        uint32_t *first = realloc(copier->first, room * sizeof(uint32_t));
        if (!first)
            return -ENOMEM;
        copier->first = first;
        copier->first_room = room;
    }
    if (link == before)
        copier->first[link] = number;
    *ret_first = copier->first[link];
    return 0;
}

static int copy_regular(struct copier *copier, uint32_t number, const char *name)
{
    struct collect *collect = copier->collect;
    struct tree_entry *entry = &collect->tree.entries[number];
    const char *path = collect->tree.paths.texts[number];
    uint32_t first = number;
    if (entry->link_count > 1 && entry->source != TREE_TEXT && find_first(copier, number, &first) < 0)
        return error_errno(collect->error, ENOMEM, "copy '%.100s'", path);
    if (first == number)
        return copy_file(copier, path, name, entry);
    /* Another name of what was copied: the parents above are the tree's own directories. */
    memcpy(entry->digest, collect->tree.entries[first].digest, sizeof(entry->digest));
    collect->files++;
    if (linkat(collect->root_fd, collect->tree.paths.texts[first] + 1, copier->parent_fd, name, 0) < 0)
        return error_errno(collect->error, errno, "link '%.100s'", path);
    return 0;
}

static int copy_link(struct copier *copier, const char *path, const char *name, const struct tree_entry *entry)
{
    const struct timespec times[2] = {entry->modified, entry->modified};
    if (symlinkat(entry->text, copier->parent_fd, name) < 0 ||
            fchownat(copier->parent_fd, name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
            (entry->source != TREE_TEXT && utimensat(copier->parent_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0))
        return error_errno(copier->collect->error, errno, "copy link '%.100s'", path);
    return 0;
}

static int copy_directory(struct copier *copier, const char *path, const char *name, const struct tree_entry *entry)
{
    bool is_root = strcmp(path, "/") == 0;
    if (!is_root && mkdirat(copier->parent_fd, name, 0700) < 0)
        return error_errno(copier->collect->error, errno, "make '%.100s'", path);
    _cleanup_close_ int fd = root_open_directory(copier->collect->root_fd, path);
    int r = fd < 0 ? fd : set_attributes(fd, entry);
    return r < 0 ? error_errno(copier->collect->error, -r, "make '%.100s'", path) : 0;
}

static int copy_entry(struct copier *copier, uint32_t number)
{
    struct tree_entry *entry = &copier->collect->tree.entries[number];
    const char *path = copier->collect->tree.paths.texts[number];
    const char *name;
    int r = open_parent(copier, path, &name);
    if (r < 0)
        return error_errno(copier->collect->error, -r, "directory of '%.100s'", path);
    if (S_ISDIR(entry->mode))
        return copy_directory(copier, path, name, entry);
    return S_ISLNK(entry->mode) ? copy_link(copier, path, name, entry) : copy_regular(copier, number, name);
}

/* The times of directories, after all is in them. */
static void set_directory_times(const struct collect *collect, const uint32_t *order, uint32_t count)
{
    for (uint32_t i = count; i-- > 0;) {
        const struct tree_entry *entry = &collect->tree.entries[order[i]];
        if (!S_ISDIR(entry->mode) || entry->source == TREE_TEXT)
            continue;
        const struct timespec times[2] = {entry->modified, entry->modified};
        _cleanup_close_ int fd = root_open_directory(collect->root_fd, collect->tree.paths.texts[order[i]]);
        if (fd >= 0)
            (void)futimens(fd, times); /* for people alone, ignoring */
    }
}

int copy_tree(struct collect *collect)
{
    uint32_t count = 0;
    tree_prune(&collect->tree);
    _cleanup_free_ uint32_t *order = tree_sort(&collect->tree, &count);
    struct copier *copier = calloc(1, sizeof(*copier));
    int r = copier && order ? 0 : error_errno(collect->error, ENOMEM, "copy the runtime");
    if (r == 0) {
        copier->collect = collect;
        copier->parent_fd = -EBADF;
        copier->digest = digest_new();
        if (!copier->digest || map_init(&copier->links, TREE_ENTRIES_MAX) < 0)
            r = error_errno(collect->error, ENOMEM, "copy the runtime");
    }
    for (uint32_t i = 0; r == 0 && i < count; i++)
        r = copy_entry(copier, order[i]);
    if (r == 0)
        set_directory_times(collect, order, count);
    if (copier) {
        map_done(&copier->links);
        digest_free(copier->digest);
        free(copier->first);
        (void)fd_close(copier->parent_fd);
    }
    free(copier);
    return r;
}
