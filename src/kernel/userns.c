#include "kernel/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

/* A process that only holds the new namespace until its maps are written. */
static int clone_holder(pid_t *ret_pid, int *ret_pidfd)
{
    int pidfd = -EBADF;
    struct clone_args arguments = {
            .flags = CLONE_NEWUSER | CLONE_PIDFD,
            .pidfd = (uint64_t)(uintptr_t)&pidfd,
            .exit_signal = SIGCHLD,
    };
    long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        for (;;)
            (void)pause();
    }
    *ret_pid = (pid_t)pid;
    *ret_pidfd = pidfd;
    return 0;
}

static int write_maps(int proc_fd, const struct userns_map *map, struct error *error)
{
    char line[64];
    (void)snprintf(line, sizeof(line), "%u %u %u\n", map->inside, map->outside, map->count);
    int r = fd_write_file_at(proc_fd, "uid_map", line);
    if (r == 0)
        r = fd_write_file_at(proc_fd, "gid_map", line);
    if (r < 0)
        return error_errno(
                error, -r, "map ids %u-%u in a user namespace", map->outside, map->outside + (map->count - 1));
    return 0;
}

static int take_namespace(pid_t pid, const struct userns_map *map, struct error *error)
{
    char path[32];
    (void)snprintf(path, sizeof(path), "/proc/%d", pid);
    _cleanup_close_ int proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (proc_fd < 0)
        return error_errno(error, errno, "open '%s'", path);
    int r = write_maps(proc_fd, map, error);
    if (r < 0)
        return r;
    int fd = openat(proc_fd, "ns/user", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? error_errno(error, errno, "open a new user namespace") : fd;
}

int userns_new(const struct userns_map *map, struct error *error)
{
    pid_t pid = 0;
    _cleanup_close_ int pidfd = -EBADF;
    int r = clone_holder(&pid, &pidfd);
    if (r < 0)
        return error_errno(error, -r, "make a user namespace");
    int fd = take_namespace(pid, map, error);
    /* Where a filter forbids the first, the pid will do: it is our child and not yet awaited. */
    if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0)
        (void)kill(pid, SIGKILL);
    siginfo_t ended;
    while (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &ended, WEXITED) < 0 && errno == EINTR)
        ;
    return fd;
}
