#include "setup/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define LINKS_MAX 40
#define DEPTH_MAX 64
#define NS_PER_S 1000000000LL

void tree_init(struct tree *tree, int root_fd, uint32_t owner, FILE *manifest)
{
    *tree = (struct tree){.root_fd = root_fd, .owner = owner, .manifest = manifest};
}

void tree_done(struct tree *tree)
{
    for (size_t i = 0; i < tree->count; i++)
        free(tree->files[i]);
    free(tree->files);
    *tree = (struct tree){.root_fd = -EBADF};
}

/* Below the root's descriptor. */
static const char *relative(const char *path)
{
    return path[1] ? path + 1 : ".";
}

int tree_make_directory(struct tree *tree, const char *path, struct error *error)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof(part))
        return error_errno(error, ENAMETOOLONG, "'%.100s'", path);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdirat(tree->root_fd, relative(part), 0755) < 0) {
            if (errno == EEXIST)
                continue;
            return error_errno(error, errno, "make '%s' in the base", part);
        }
        if (fchownat(tree->root_fd, relative(part), tree->owner, tree->owner, AT_SYMLINK_NOFOLLOW) < 0)
            return error_errno(error, errno, "give '%s' in the base its owner", part);
    }
    return 0;
}

static int make_parent(struct tree *tree, const char *path, struct error *error)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (slash == path)
        return 0;
    (void)snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
    return tree_make_directory(tree, parent, error);
}

int tree_link(struct tree *tree, const char *path, const char *target, struct error *error)
{
    int r = make_parent(tree, path, error);
    if (r < 0)
        return r;
    if (symlinkat(target, tree->root_fd, relative(path)) < 0 && errno != EEXIST)
        return error_errno(error, errno, "link '%s' in the base", path);
    if (fchownat(tree->root_fd, relative(path), tree->owner, tree->owner, AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(error, errno, "give '%s' in the base its owner", path);
    return 0;
}

/* Owner, then mode: a change of owner may take mode bits away. */
static int finish_file(struct tree *tree, int fd, mode_t mode)
{
    if (fchown(fd, tree->owner, tree->owner) < 0 || fchmod(fd, mode) < 0)
        return -errno;
    return 0;
}

int tree_write(struct tree *tree, const char *path, const char *text, struct error *error)
{
    int r = make_parent(tree, path, error);
    if (r < 0)
        return r;
    _cleanup_close_ int fd =
            openat(tree->root_fd, relative(path), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    r = fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
    if (r == 0)
        r = finish_file(tree, fd, 0644);
    tree->bytes += strlen(text);
    return r < 0 ? error_errno(error, -r, "write '%s' in the base", path) : 0;
}

/* The path with its directories resolved but not its last part: where the thing itself is. 0; 1 not there; -errno. */
static int canonical(const char *path, char ret_path[PATH_MAX])
{
    char parent[PATH_MAX];
    char resolved[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash || strlen(path) >= sizeof(parent))
        return -EINVAL;
    (void)snprintf(parent, sizeof(parent), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    if (!realpath(parent, resolved))
        return errno == ENOENT || errno == ENOTDIR ? 1 : -errno;
    int length = snprintf(ret_path, PATH_MAX, "%s/%s", resolved[1] ? resolved : "", slash + 1);
    return length < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static bool in_tree(const struct tree *tree, const char *path)
{
    struct stat status;
    return fstatat(tree->root_fd, relative(path), &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static int remember(struct tree *tree, const char *path)
{
    if (tree->count == TREE_FILES_MAX)
        return -E2BIG;
    if (tree->count == tree->room) {
        size_t room = tree->room ? tree->room * 2 : 256;
        char **larger = reallocarray(tree->files, room, sizeof(*larger));
        if (!larger)
            return -ENOMEM;
        tree->files = larger;
        tree->room = room;
    }
    char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    tree->files[tree->count++] = copy;
    return 0;
}

/* Shares the blocks where the file system can, copies in the kernel where it can, else by hand. */
static int copy_data(int from, int to, off_t size)
{
    if (ioctl(to, FICLONE, from) == 0)
        return 0;
    off_t left = size;
    while (left > 0) {
        ssize_t copied = copy_file_range(from, NULL, to, NULL, (size_t)left, 0);
        if (copied <= 0)
            break;
        left -= copied;
    }
    char buffer[65536];
    while (left > 0) {
        ssize_t got = read(from, buffer, sizeof(buffer));
        if (got < 0)
            return -errno;
        if (got == 0)
            return -ENODATA;
        int r = fd_write_all(to, buffer, (size_t)got);
        if (r < 0)
            return r;
        left -= got;
    }
    return 0;
}

static bool may_copy(const struct stat *status)
{
    return S_ISREG(status->st_mode) && status->st_uid == 0 && (status->st_mode & S_IROTH) &&
           !(status->st_mode & S_IWOTH) && (!(status->st_mode & S_IWGRP) || status->st_gid == 0);
}

static int64_t mtime_ns(const struct stat *status)
{
    return status->st_mtim.tv_sec * NS_PER_S + status->st_mtim.tv_nsec;
}

/* 0; 2 when it may not be copied; -errno. */
static int copy_file(struct tree *tree, const char *path)
{
    _cleanup_close_ int from = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat status;
    if (from < 0 || fstat(from, &status) < 0)
        return -errno;
    if (!may_copy(&status))
        return 2;
    _cleanup_close_ int to =
            openat(tree->root_fd, relative(path), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0)
        return -errno;
    int r = copy_data(from, to, status.st_size);
    if (r == 0)
        r = finish_file(tree, to, status.st_mode & S_IXOTH ? 0755 : 0644);
    const struct timespec times[2] = {status.st_mtim, status.st_mtim};
    if (r == 0 && futimens(to, times) < 0)
        r = -errno;
    if (r < 0)
        return r;
    tree->bytes += (uint64_t)status.st_size;
    (void)fprintf(tree->manifest, "f %" PRId64 " %" PRId64 " %s\n", (int64_t)status.st_size, mtime_ns(&status), path);
    return remember(tree, path);
}

/* Copies the link and finds what it names. */
static int copy_link(struct tree *tree, const char *path, char ret_next[PATH_MAX], struct error *error)
{
    char text[PATH_MAX];
    ssize_t length = readlink(path, text, sizeof(text) - 1);
    if (length < 0)
        return error_errno(error, errno, "read link '%s'", path);
    text[length] = '\0';
    char joined[PATH_MAX * 2];
    const char *slash = strrchr(path, '/');
    int parent = (int)(slash - path);
    if (*text == '/')
        (void)snprintf(joined, sizeof(joined), "%s", text);
    else
        (void)snprintf(joined, sizeof(joined), "%.*s/%s", parent, path, text);
    int r = canonical(joined, ret_next);
    if (r != 0)
        return r < 0 ? error_errno(error, -r, "follow link '%s'", path) : 1;
    const char *next_slash = strrchr(ret_next, '/');
    bool same = next_slash - ret_next == parent && strncmp(ret_next, path, (size_t)parent) == 0;
    r = tree_link(tree, path, same ? next_slash + 1 : ret_next, error);
    if (r == 0)
        (void)fprintf(tree->manifest, "l %s %s\n", path, text);
    return r;
}

int tree_add(struct tree *tree, const char *path, struct error *error)
{
    char here[PATH_MAX];
    int r = canonical(path, here);
    for (unsigned links = 0; r == 0; links++) {
        if (links == LINKS_MAX)
            return error_errno(error, ELOOP, "'%s'", path);
        if (in_tree(tree, here))
            return 0;
        struct stat status;
        if (lstat(here, &status) < 0)
            return errno == ENOENT || errno == ENOTDIR ? 1 : error_errno(error, errno, "'%s'", here);
        if (!S_ISLNK(status.st_mode)) {
            if (!may_copy(&status))
                return 2;
            r = make_parent(tree, here, error);
            if (r < 0)
                return r;
            r = copy_file(tree, here);
            return r < 0 ? error_errno(error, -r, "copy '%s'", here) : r;
        }
        char next[PATH_MAX];
        r = copy_link(tree, here, next, error);
        (void)snprintf(here, sizeof(here), "%s", next);
    }
    return r;
}

static bool is_listed(const char *name, const char *const *list)
{
    for (size_t i = 0; list && list[i]; i++) {
        if (strcmp(name, list[i]) == 0)
            return true;
    }
    return false;
}

static int add_directory(
        struct tree *tree, const char *path, const char *const *but, unsigned depth, struct error *error)
{
    if (depth > DEPTH_MAX)
        return error_errno(error, ELOOP, "'%s'", path);
    DIR *directory = opendir(path);
    if (!directory)
        return errno == ENOENT ? 1 : error_errno(error, errno, "read '%s'", path);
    int r = 0;
    const struct dirent *entry;
    while (r >= 0 && (entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || is_listed(entry->d_name, but))
            continue;
        char below[PATH_MAX];
        (void)snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
        struct stat status;
        if (lstat(below, &status) == 0 && S_ISDIR(status.st_mode))
            r = add_directory(tree, below, NULL, depth + 1, error);
        else
            r = tree_add(tree, below, error);
    }
    (void)closedir(directory);
    return r < 0 ? r : 0;
}

int tree_add_directory(struct tree *tree, const char *path, const char *const *but, struct error *error)
{
    return add_directory(tree, path, but, 0, error);
}

static bool check_file(const char *rest)
{
    int64_t size;
    int64_t mtime;
    int used = 0;
    struct stat status;
    return sscanf(rest, "%" SCNd64 " %" SCNd64 " %n", &size, &mtime, &used) == 2 && used > 0 &&
           lstat(rest + used, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == size &&
           mtime_ns(&status) == mtime;
}

static bool check_link(const char *rest)
{
    char path[PATH_MAX];
    char text[PATH_MAX];
    size_t length = strcspn(rest, " ");
    if (rest[length] != ' ' || length >= sizeof(path))
        return false;
    (void)snprintf(path, sizeof(path), "%.*s", (int)length, rest);
    ssize_t size = readlink(path, text, sizeof(text) - 1);
    if (size < 0)
        return false;
    text[size] = '\0';
    return strcmp(text, rest + length + 1) == 0;
}

int tree_check_line(const char *line)
{
    if (strncmp(line, "f ", 2) == 0)
        return check_file(line + 2);
    if (strncmp(line, "l ", 2) == 0)
        return check_link(line + 2);
    return true;
}

static int remove_below(int dir_fd, const char *name, dev_t device, unsigned depth)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    if (depth > DEPTH_MAX)
        return -ELOOP;
    _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (status.st_dev != device)
        return -EXDEV;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    if (!directory) {
        int r = -errno;
        (void)fd_close(copy);
        return r;
    }
    int r = 0;
    const struct dirent *entry;
    while (r == 0 && (entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            r = remove_below(fd, entry->d_name, device, depth + 1);
    }
    (void)closedir(directory);
    if (r == 0 && unlinkat(dir_fd, name, AT_REMOVEDIR) < 0)
        r = -errno;
    return r;
}

int tree_remove(int dir_fd, const char *name)
{
    struct stat status;
    if (fstat(dir_fd, &status) < 0)
        return -errno;
    return remove_below(dir_fd, name, status.st_dev, 0);
}
