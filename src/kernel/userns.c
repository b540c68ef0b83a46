#include "kernel/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
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

/* What the kernel counts for each user (inotify instances, message queues, pending signals) it counts once more for the
 * one who made the user namespace, against that one's limits. Were that host root, a job could take from every service
 * of root; so it is @owner, an id of the map. The capabilities that root keeps make this work where users may not make
 * namespaces. In the new process; 0 or -errno. */
static int unshare_as(uint32_t owner)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {0};
    /* The C library would look for other threads; this is a copy of one. */
    if (syscall(SYS_setresuid, -1, owner, -1) < 0 || syscall(SYS_capget, &header, sets) < 0)
        return -errno;
    for (size_t i = 0; i < ELEMENTS(sets); i++)
        sets[i].effective = sets[i].permitted;
    if (syscall(SYS_capset, &header, sets) < 0 || unshare(CLONE_NEWUSER) < 0)
        return -errno;
    return 0;
}

__attribute__((noreturn)) static void hold(uint32_t owner, int reader_fd, int ready_fd)
{
    /* Whoever waits has the only other end: when he was killed before we were to be told of it, the write fails. */
    (void)close(reader_fd);
    int r = unshare_as(owner);
    /* After the change of ids, which would clear it. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (fd_write_all(ready_fd, &r, sizeof(r)) < 0 || r < 0)
        _exit(1);
    (void)close(ready_fd);
    for (;;)
        (void)pause();
}

/* A process that only holds the new namespace until its maps are written. It may have ended when this fails. */
static int clone_holder(uint32_t owner, pid_t *ret_pid, int *ret_pidfd)
{
    int ends[2];
    int pidfd = -EBADF;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    _cleanup_close_ int ready = ends[0];
    struct clone_args arguments = {
            .flags = CLONE_PIDFD,
            .pidfd = (uint64_t)(uintptr_t)&pidfd,
            .exit_signal = SIGCHLD,
    };
    long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
    int code = errno;
    if (pid == 0)
        hold(owner, ends[0], ends[1]);
    (void)close(ends[1]);
    if (pid < 0)
        return -code;
    *ret_pid = (pid_t)pid;
    *ret_pidfd = pidfd;
    int answer;
    int r = fd_read_exact(ready, &answer, sizeof(answer));
    return r < 0 ? r : answer;
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

static void end_holder(pid_t pid, int pidfd)
{
    /* Where a filter forbids the first, the pid will do: it is our child and not yet awaited. */
    if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0)
        (void)kill(pid, SIGKILL);
    siginfo_t ended;
    while (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &ended, WEXITED) < 0 && errno == EINTR)
        ;
}

int userns_new(const struct userns_map *map, struct error *error)
{
    pid_t pid = 0;
    _cleanup_close_ int pidfd = -EBADF;
    int fd = clone_holder(map->outside, &pid, &pidfd);
    if (fd < 0)
        (void)error_errno(error, -fd, "make a user namespace");
    else
        fd = take_namespace(pid, map, error);
    if (pidfd >= 0)
        end_holder(pid, pidfd);
    return fd;
}
