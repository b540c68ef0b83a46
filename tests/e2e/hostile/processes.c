/* Processes: seeing, signalling, tracing and reading others, joblet-init above all. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
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

static int write_init_files(char seen[ATTEMPT_SEEN_MAX])
{
    static const char *const files[] = {"mem", "oom_score_adj", "oom_adj", "comm", "clear_refs", "coredump_filter",
            "timerslack_ns", "uid_map", "gid_map", "setgroups", "projid_map", "attr/current", "attr/exec", "loginuid",
            "sched", "autogroup", "timens_offsets", "fd/0", "task/1/comm", "root/etc/passwd", "cwd/x"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/proc/1/%s", files[i]);
        int fd = open(path, O_WRONLY);
        /* Some may be opened by anybody and refuse the writing. */
        if (fd >= 0 && write(fd, "1", 1) != -1)
            return attempt_fact(0, seen, "wrote %s", path);
        if (errno != EACCES && errno != EPERM && errno != ENOENT && errno != EINVAL)
            return attempt_fact(0, seen, "%s: %s", path, strerrorname_np(errno));
    }
    return attempt_fact(1, seen, "none can be written");
}

static int read_init_files(char seen[ATTEMPT_SEEN_MAX])
{
    static const char *const files[] = {"environ", "maps", "smaps", "smaps_rollup", "numa_maps", "pagemap", "mem",
            "auxv", "stack", "syscall", "io", "personality", "fdinfo/0", "fdinfo/3", "map_files", "fd", "fdinfo",
            "task/1/environ", "task/1/maps", "task/1/children", "ns/user", "ns/mnt", "exe", "root", "cwd",
            "patch_state"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char path[64];
        char byte;
        (void)snprintf(path, sizeof(path), "/proc/1/%s", files[i]);
        int fd = open(path, O_RDONLY);
        if (fd >= 0 && (read(fd, &byte, 1) > 0 || errno == EISDIR) && strcmp(files[i], "task/1/children") != 0)
            return attempt_fact(0, seen, "read %s", path);
        if (errno != EACCES && errno != EPERM && errno != ENOENT && errno != EISDIR && fd < 0)
            return attempt_fact(0, seen, "%s: %s", path, strerrorname_np(errno));
    }
    return attempt_fact(1, seen, "none can be read");
}

static int signal_init_otherwise(char seen[ATTEMPT_SEEN_MAX])
{
    siginfo_t info = {.si_signo = SIGTERM, .si_code = SI_QUEUE};
    if (syscall(SYS_tkill, 1, SIGKILL) != -1 || errno != EPERM)
        return attempt_fact(0, seen, "tkill: %s", strerrorname_np(errno));
    if (syscall(SYS_tgkill, 1, 1, SIGKILL) != -1 || errno != EPERM)
        return attempt_fact(0, seen, "tgkill: %s", strerrorname_np(errno));
    if (syscall(SYS_rt_sigqueueinfo, 1, SIGTERM, &info) != -1 || errno != EPERM)
        return attempt_fact(0, seen, "rt_sigqueueinfo: %s", strerrorname_np(errno));
    if (syscall(SYS_rt_tgsigqueueinfo, 1, 1, SIGTERM, &info) != -1 || errno != EPERM)
        return attempt_fact(0, seen, "rt_tgsigqueueinfo: %s", strerrorname_np(errno));
    int pidfd = (int)syscall(SYS_pidfd_open, 1, 0);
    if (pidfd < 0)
        return ATTEMPT_REFUSED(pidfd, seen, EPERM);
    if (syscall(SYS_process_mrelease, pidfd, 0) != -1)
        return attempt_fact(0, seen, "process_mrelease");
    return ATTEMPT_REFUSED(syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0), seen, EPERM);
}

static int schedule_init_otherwise(char seen[ATTEMPT_SEEN_MAX])
{
    unsigned long mask = 1;
    uint32_t attributes[14] = {sizeof(attributes), SCHED_IDLE};
    struct sched_param none = {0};
    if (syscall(SYS_sched_setaffinity, 1, sizeof(mask), &mask) != -1 || errno != EPERM)
        return attempt_fact(0, seen, "sched_setaffinity: %s", strerrorname_np(errno));
    if (syscall(SYS_sched_setscheduler, 1, SCHED_IDLE, &none) != -1 || errno != EPERM)
        return attempt_fact(0, seen, "sched_setscheduler: %s", strerrorname_np(errno));
    if (syscall(SYS_sched_setattr, 1, attributes, 0) != -1 || errno != EPERM)
        return attempt_fact(0, seen, "sched_setattr: %s", strerrorname_np(errno));
    if (syscall(SYS_ioprio_set, 1, 1, 3 << 13) != -1 || errno != EPERM)
        return attempt_fact(0, seen, "ioprio_set: %s", strerrorname_np(errno));
    if (setpgid(1, 0) != -1 || (errno != EPERM && errno != ESRCH && errno != EACCES))
        return attempt_fact(0, seen, "setpgid: %s", strerrorname_np(errno));
    void *head;
    size_t size;
    return ATTEMPT_REFUSED(syscall(SYS_get_robust_list, 1, &head, &size), seen, EPERM);
}

/* SIGIO, of a kind of our choice, to whoever "owns" a descriptor of ours: process 1 must live on. */
static int signal_by_owner(char seen[ATTEMPT_SEEN_MAX])
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return attempt_fact(0, seen, "socketpair: %s", strerrorname_np(errno));
    if (fcntl(pair[0], F_SETOWN, 1) == 0) {
        (void)fcntl(pair[0], F_SETSIG, SIGKILL);
        (void)fcntl(pair[0], F_SETFL, O_ASYNC | O_NONBLOCK);
        for (int i = 0; i < 100; i++)
            (void)!write(pair[1], "x", 1);
    }
    (void)usleep(10000);
    return ATTEMPT_REFUSED(kill(1, 0), seen, EPERM);
}

/* Not even children of our own: the way to races with programs that have more rights. */
static int trace_children(char seen[ATTEMPT_SEEN_MAX])
{
    pid_t child = fork();
    if (child == 0) {
        (void)pause();
        _exit(0);
    }
    char buffer[16];
    struct iovec local = {buffer, sizeof(buffer)};
    int seized = ptrace(PTRACE_SEIZE, child, NULL, NULL) != -1 || errno != EPERM;
    int traced = ptrace(PTRACE_TRACEME, 0, NULL, NULL) != -1 || errno != EPERM;
    int was_read = syscall(SYS_process_vm_readv, child, &local, 1, &local, 1, 0) != -1 || errno != EPERM;
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    return attempt_fact(
            !seized && !traced && !was_read, seen, "seize %d, traceme %d, read %d", seized, traced, was_read);
}

static const struct attempt processes_attempts[] = {
        {"P01", "P3", "see-host-processes", "processes that are not the job's", see_host_processes},
        {"P02", "P3", "signal-init", "signals to joblet-init", signal_init},
        {"P03", "P3", "limit-init", "limits of joblet-init", limit_init},
        {"P04", "P3", "trace-init", "tracing joblet-init: CVE-2016-9962, CVE-2016-8659", trace_init},
        {"P05", "P3", "read-init-memory", "memory of joblet-init by system call", read_init_memory},
        {"P06", "P3", "open-init-memory", "memory of joblet-init by /proc: CVE-2016-9962", open_init_memory},
        {"P07", "P3", "take-init-descriptor", "descriptors of joblet-init by pidfd: CVE-2016-9962",
                take_init_descriptor},
        {"P08", "P3", "compare-init", "kernel objects of joblet-init", compare_init},
        {"P09", "P3", "schedule-init", "priority of joblet-init", schedule_init},
        {"P10", "P7", "orphan-goes-to-init", "a process that leaves its parent", orphan_goes_to_init},
        {"P11", "P3", "init-environment", "the environment of joblet-init", reap_protection},
        {"P12", "P3", "write-init-files", "files of joblet-init in /proc, for writing", write_init_files},
        {"P13", "P3", "read-init-files", "files of joblet-init in /proc, for reading", read_init_files},
        {"P14", "P3", "signal-init-otherwise", "signals to joblet-init by thread, queue and pidfd",
                signal_init_otherwise},
        {"P15", "P3", "schedule-init-otherwise", "scheduling and group of joblet-init", schedule_init_otherwise},
        {"P16", "P3", "signal-by-owner", "signals to joblet-init by the owner of a descriptor", signal_by_owner},
        {"P17", "P2", "trace-children", "tracing a child: CVE-2019-13272", trace_children},
};

const struct attempt_group attempts_processes = {
        processes_attempts, sizeof(processes_attempts) / sizeof(processes_attempts[0])};
