/* Empties a directory that anything may be in: trees deeper than any path, directories without permissions, names of
 * any kind. A directory that is not empty is moved up to the top and emptied there, so there is no recursion, no path
 * and never more than three descriptors, however deep it is. No link is followed; a directory on another mount is not
 * entered. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "builder/modes.h"
#include "builder/say.h"
#include "plan/recipe.h"

struct sweeping {
    int top_fd;
    uint64_t moved; /* directories, for their names at the top */
    uint64_t removed;
    struct error *error;
};

static int open_below(int dir_fd, const char *name)
{
    const struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};
    long fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
    return fd < 0 ? -errno : (int)fd;
}

static int complain(struct sweeping *sweeping, int code, const char *name)
{
    return error_errno(sweeping->error, code, "remove '%.100s'", name);
}

/* Moves the directory to the top, under a name that is free. */
static int move_up(struct sweeping *sweeping, int dir_fd, const char *name)
{
    char target[40];
    do
        (void)snprintf(target, sizeof(target), ".sweep-%llu", (unsigned long long)sweeping->moved++);
    while (renameat2(dir_fd, name, sweeping->top_fd, target, RENAME_NOREPLACE) < 0 && errno == EEXIST);
    struct stat status;
    return fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT ? 0 : -EBUSY;
}

/* 0; 1 when it is a directory that is not empty; -errno. */
static int remove_name(int dir_fd, const char *name)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    return errno == ENOTEMPTY || errno == EEXIST ? 1 : -errno;
}

/* One pass over the directory; what is moved up meanwhile is the next pass's. Takes @dir_fd. */
static int empty(struct sweeping *sweeping, int dir_fd, int (*full)(struct sweeping *, int dir_fd, const char *name),
        uint64_t *ret_seen)
{
    DIR *directory = fdopendir(dir_fd);
    if (!directory) {
        int r = -errno;
        (void)fd_close(dir_fd);
        return r;
    }
    int r = 0;
    const struct dirent *entry;
    while (r == 0 && (entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        (*ret_seen)++;
        r = remove_name(dir_fd, entry->d_name);
        if (r == 1)
            r = full(sweeping, dir_fd, entry->d_name);
        if (r < 0 && sweeping->error->code == 0)
            (void)complain(sweeping, -r, entry->d_name);
        sweeping->removed += r == 0;
    }
    (void)closedir(directory);
    return r;
}

/* A directory at the top: what is in it goes, or moves up. */
static int empty_child(struct sweeping *sweeping, int top_fd, const char *name)
{
    uint64_t seen = 1;
    while (seen > 0) {
        seen = 0;
        int fd = open_below(top_fd, name);
        if (fd == -EACCES && fchmodat(top_fd, name, 0700, 0) == 0) /* another id's, without permissions */
            fd = open_below(top_fd, name);
        int r = fd < 0 ? fd : empty(sweeping, fd, move_up, &seen);
        if (r < 0)
            return r;
    }
    return unlinkat(top_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int sweep_run(const struct words *words, char *const *environment, struct error *error)
{
    struct sweeping sweeping = {.error = error};
    (void)words;
    (void)environment;
    _cleanup_close_ int top_fd = open(RECIPE_STAGE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (top_fd < 0)
        return error_errno(error, errno, "open '%s'", RECIPE_STAGE);
    sweeping.top_fd = top_fd;
    uint64_t seen = 1;
    int r = 0;
    while (r == 0 && seen > 0) {
        seen = 0;
        int fd = open_below(top_fd, ".");
        r = fd < 0 ? error_errno(error, -fd, "open '%s'", RECIPE_STAGE) : empty(&sweeping, fd, empty_child, &seen);
    }
    if (r == 0)
        say_count("removed", sweeping.removed);
    return r;
}
