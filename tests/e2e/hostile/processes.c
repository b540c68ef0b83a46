/* Processes: seeing, signalling, tracing and reading others, joblet-init above all. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attempt.h"

/* Only process 1 and processes of this job can be there, and process 1 must be joblet-init. */
static int see_host_processes(char seen[ATTEMPT_SEEN_MAX])
{
    DIR *proc = opendir("/proc");
    if (!proc)
        return attempt_fact(0, seen, "no /proc: %s", strerrorname_np(errno));
    unsigned count = 0;
    struct dirent *entry;
    while ((entry = readdir(proc)))
        if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9')
            count++;
    (void)closedir(proc);
    return attempt_fact(count >= 2 && count < 20 && getpid() < 1000, seen, "%u processes, own pid %d", count, getpid());
}

static int signal_init(char seen[ATTEMPT_SEEN_MAX])
{
    static const int signals[] = {SIGTERM, SIGKILL, SIGUSR1, SIGSTOP, SIGCONT, 0};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        if (kill(1, signals[i]) != -1 || errno != EPERM)
            return attempt_fact(0, seen, "signal %d: %s", signals[i], strerrorname_np(errno));
    return attempt_fact(1, seen, "EPERM for each");
}

static int limit_init(char seen[ATTEMPT_SEEN_MAX])
{
    struct rlimit limit = {1, 1};
    return ATTEMPT_REFUSED(syscall(SYS_prlimit64, 1, RLIMIT_NOFILE, &limit, NULL), seen, EPERM);
}

static int trace_init(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(ptrace(PTRACE_SEIZE, 1, NULL, NULL), seen, EPERM, ENOSYS);
}

static int read_init_memory(char seen[ATTEMPT_SEEN_MAX])
{
    char buffer[16];
    struct iovec local = {buffer, sizeof(buffer)};
    struct iovec remote = {(void *)0x400000, sizeof(buffer)};
    if (syscall(SYS_process_vm_writev, 1, &local, 1, &remote, 1, 0) != -1 || (errno != EPERM && errno != ENOSYS))
        return attempt_fact(0, seen, "process_vm_writev: %s", strerrorname_np(errno));
    return ATTEMPT_REFUSED(syscall(SYS_process_vm_readv, 1, &local, 1, &remote, 1, 0), seen, EPERM, ENOSYS);
}

static int open_init_memory(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(open("/proc/1/mem", O_RDWR), seen, EACCES, EPERM, ENOENT);
}

static int take_init_descriptor(char seen[ATTEMPT_SEEN_MAX])
{
    int pidfd = (int)syscall(SYS_pidfd_open, 1, 0);
    if (pidfd < 0)
        return ATTEMPT_REFUSED(pidfd, seen, EPERM, ENOSYS);
    for (int fd = 0; fd < 32; fd++)
        if (syscall(SYS_pidfd_getfd, pidfd, fd, 0) != -1 || (errno != EPERM && errno != ENOSYS))
            return attempt_fact(0, seen, "descriptor %d: %s", fd, strerrorname_np(errno));
    return attempt_fact(1, seen, "no descriptor of process 1 can be taken");
}

static int compare_init(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(syscall(SYS_kcmp, getpid(), 1, 0, 0, 0), seen, EPERM, ENOSYS);
}

static int schedule_init(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(setpriority(PRIO_PROCESS, 1, 19), seen, EPERM, EACCES, ESRCH);
}

/* Everything of this job dies with process 1; a process that detaches is no exception: it is still in the namespace.
 * Here: a double fork must have process 1 as its parent, not a subreaper outside. */
static int orphan_goes_to_init(char seen[ATTEMPT_SEEN_MAX])
{
    int ends[2];
    if (pipe(ends) < 0)
        return attempt_fact(0, seen, "pipe: %s", strerrorname_np(errno));
    pid_t child = fork();
    if (child == 0) {
        pid_t middle = getpid();
        if (fork() == 0) {
            for (int i = 0; i < 2000 && getppid() == middle; i++)
                (void)usleep(1000);
            pid_t parent = getppid();
            (void)!write(ends[1], &parent, sizeof(parent));
        }
        _exit(0);
    }
    (void)waitpid(child, NULL, 0);
    pid_t parent = 0;
    (void)!read(ends[0], &parent, sizeof(parent));
    return attempt_fact(parent == 1, seen, "the parent is %d", parent);
}

static int reap_protection(char seen[ATTEMPT_SEEN_MAX])
{
    int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
    if (dumpable < 0)
        return attempt_fact(0, seen, "PR_GET_DUMPABLE: %s", strerrorname_np(errno));
    int fd = open("/proc/1/environ", O_RDONLY);
    char byte;
    if (fd >= 0 && read(fd, &byte, 1) > 0)
        return attempt_fact(0, seen, "the environment of process 1 can be read");
    return attempt_fact(1, seen, "process 1 shows nothing");
}

static const struct attempt processes_attempts[] = {
        {"P3", "see-host-processes", see_host_processes},
        {"P3", "signal-init", signal_init},
        {"P3", "limit-init", limit_init},
        {"P3", "trace-init", trace_init},
        {"P3", "read-init-memory", read_init_memory},
        {"P3", "open-init-memory", open_init_memory},
        {"P3", "take-init-descriptor", take_init_descriptor},
        {"P3", "compare-init", compare_init},
        {"P3", "schedule-init", schedule_init},
        {"P7", "orphan-goes-to-init", orphan_goes_to_init},
        {"P3", "init-environment", reap_protection},
};

const struct attempt_group attempts_processes = {
        processes_attempts, sizeof(processes_attempts) / sizeof(processes_attempts[0])};
