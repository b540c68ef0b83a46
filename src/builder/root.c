#include "builder/root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

static int open_how(int root_fd, const char *path, uint64_t flags, uint64_t resolve)
{
    const struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
    const char *below = path[0] == '/' ? path + 1 : path;
    long fd = syscall(SYS_openat2, root_fd, *below ? below : ".", &how, sizeof(how));
    return fd < 0 ? -errno : (int)fd;
}

int root_open_path(int root_fd, const char *path)
{
    return open_how(root_fd, path, O_PATH | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

int root_open_directory(int root_fd, const char *path)
{
    return open_how(
            root_fd, path, O_RDONLY | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

int root_open_file(int root_fd, const char *path)
{
    /* Nobody changes the tree any more, but should somebody: what is opened is looked at again, and does not block. */
    struct stat status;
    int r = root_stat(root_fd, path, &status);
    if (r < 0)
        return r;
    if (!S_ISREG(status.st_mode))
        return -EINVAL;
    int fd = open_how(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY,
            RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
    if (fd >= 0 && (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))) {
        (void)fd_close(fd);
        return -EINVAL;
    }
    return fd;
}

int root_stat(int root_fd, const char *path, struct stat *ret_status)
{
    _cleanup_close_ int fd = root_open_path(root_fd, path);
    if (fd < 0)
        return fd;
    return fstat(fd, ret_status) < 0 ? -errno : 0;
}

int root_read_link(int root_fd, const char *path, char ret_target[PATH_MAX])
{
    _cleanup_close_ int fd = root_open_path(root_fd, path);
    if (fd < 0)
        return fd;
    ssize_t size = readlinkat(fd, "", ret_target, PATH_MAX);
    if (size < 0)
        return -errno;
    if (size == PATH_MAX)
        return -ENAMETOOLONG;
    ret_target[size] = '\0';
    return 0;
}

int root_read_file(int root_fd, const char *path, size_t max, char **ret_text, size_t *ret_size)
{
    _cleanup_close_ int fd = root_open_file(root_fd, path);
    struct stat status;
    if (fd < 0)
        return fd;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (status.st_size < 0 || (uint64_t)status.st_size > max)
        return -EFBIG;
    size_t size = (size_t)status.st_size;
    char *text = malloc(size + 1);
    if (!text)
        return -ENOMEM;
    int r = fd_read_exact(fd, text, size);
    if (r < 0) {
        free(text);
        return r;
    }
    text[size] = '\0';
    *ret_text = text;
    *ret_size = size;
    return 0;
}

unsigned root_depth(const char *path)
{
    unsigned depth = 0;
    for (; *path; path++)
        depth += *path == '/' && path[1] != '/' && path[1] != '\0';
    return depth;
}

struct walk {
    char path[PATH_MAX];
    root_visit *visit;
    void *context;
    dev_t device;
    int one_device;
};

static int walk_directory(struct walk *walk, int fd, unsigned depth);

static int walk_entry(struct walk *walk, int fd, const char *name, unsigned depth)
{
    size_t length = strlen(walk->path);
    if (length + strlen(name) + 2 > sizeof(walk->path))
        return -ENAMETOOLONG;
    struct stat status;
    if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    walk->path[length] = '/';
    memcpy(walk->path + length + 1, name, strlen(name) + 1);
    int r = 0;
    /* An overlay's directories have its own device, its files may have that of the layer that they come from. */
    if (!walk->one_device || !S_ISDIR(status.st_mode) || status.st_dev == walk->device)
        r = walk->visit(walk->context, walk->path, &status);
    else
        r = 1;
    if (r == 0 && S_ISDIR(status.st_mode)) {
        int below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below >= 0)
            r = walk_directory(walk, below, depth + 1);
        else
            r = errno == EACCES || errno == ENOENT ? 0 : -errno;
    }
    walk->path[length] = '\0';
    return r < 0 ? r : 0;
}

/* Takes @fd. */
static int walk_directory(struct walk *walk, int fd, unsigned depth)
{
    DIR *directory = depth > ROOT_DEPTH_MAX ? NULL : fdopendir(fd);
    if (!directory) {
        int r = depth > ROOT_DEPTH_MAX ? -ELOOP : -errno;
        (void)fd_close(fd);
        return r;
    }
    int r = 0;
    const struct dirent *entry;
    while (r == 0 && (entry = readdir(directory)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            r = walk_entry(walk, fd, entry->d_name, depth);
    (void)closedir(directory);
    return r;
}

int root_walk(int root_fd, const char *path, int one_device, root_visit *visit, void *context)
{
    struct walk walk = {.visit = visit, .context = context, .one_device = one_device};
    struct stat status;
    _cleanup_close_ int fd = root_open_directory(root_fd, path);
    if (fd < 0)
        return fd;
    if (fstat(fd, &status) < 0)
        return -errno;
    walk.device = status.st_dev;
    if (strcmp(path, "/") != 0) {
        if (strlen(path) >= sizeof(walk.path))
            return -ENAMETOOLONG;
        memcpy(walk.path, path, strlen(path) + 1);
    }
    return walk_directory(&walk, TAKE_FD(fd), 0);
}
