/* Kernel surfaces: namespaces, modules, bpf, perf, io_uring, keyrings, time, foreign system call tables. */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attempt.h"

static int unshare_each(char seen[ATTEMPT_SEEN_MAX])
{
    static const struct {
        int flag;
        const char *name;
    } kinds[] = {{CLONE_NEWUSER, "user"}, {CLONE_NEWNS, "mount"}, {CLONE_NEWPID, "pid"}, {CLONE_NEWNET, "net"},
            {CLONE_NEWUTS, "uts"}, {CLONE_NEWIPC, "ipc"}, {CLONE_NEWCGROUP, "cgroup"},
            {0x80 /* CLONE_NEWTIME */, "time"}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (unshare(kinds[i].flag) == 0 || (errno != EPERM && errno != ENOSPC && errno != ENOSYS))
            return attempt_fact(0, seen, "%s namespace: %s", kinds[i].name, strerrorname_np(errno));
    return attempt_fact(1, seen, "no new namespace of any kind");
}

static int clone_user_namespace(char seen[ATTEMPT_SEEN_MAX])
{
    long child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        _exit(0);
    return ATTEMPT_REFUSED(child, seen, EPERM, ENOSPC);
}

/* The kernel looks at 32 bits of some arguments only; a rule that compares 64 lets this through. */
static int clone_high_bits(char seen[ATTEMPT_SEEN_MAX])
{
    long child = syscall(SYS_clone, (1ULL << 40) | CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        _exit(0);
    return ATTEMPT_REFUSED(child, seen, EPERM, ENOSPC, EINVAL);
}

static int clone3_is_absent(char seen[ATTEMPT_SEEN_MAX])
{
    uint64_t arguments[11] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
    long child = syscall(SYS_clone3, arguments, sizeof(arguments));
    if (child == 0)
        _exit(0);
    /* ENOSYS and nothing else: libraries fall back to clone on it. */
    return ATTEMPT_REFUSED(child, seen, ENOSYS);
}

static int join_namespace(char seen[ATTEMPT_SEEN_MAX])
{
    int fd = open("/proc/self/ns/mnt", O_RDONLY);
    return ATTEMPT_REFUSED(syscall(SYS_setns, fd, 0), seen, EPERM, ENOSYS, EBADF);
}

static int load_module(char seen[ATTEMPT_SEEN_MAX])
{
    if (syscall(SYS_init_module, "x", 1, "") != -1 || (errno != EPERM && errno != ENOSYS))
        return attempt_fact(0, seen, "init_module: %s", strerrorname_np(errno));
    if (syscall(SYS_delete_module, "overlay", O_NONBLOCK) != -1 || (errno != EPERM && errno != ENOSYS))
        return attempt_fact(0, seen, "delete_module: %s", strerrorname_np(errno));
    return ATTEMPT_REFUSED(syscall(SYS_finit_module, 0, "", 0), seen, EPERM, ENOSYS);
}

static int kexec(char seen[ATTEMPT_SEEN_MAX])
{
    if (syscall(SYS_kexec_load, 0, 0, NULL, 0) != -1 || (errno != EPERM && errno != ENOSYS))
        return attempt_fact(0, seen, "kexec_load: %s", strerrorname_np(errno));
    return ATTEMPT_REFUSED(syscall(SYS_kexec_file_load, -1, -1, 0, "", 0), seen, EPERM, ENOSYS);
}

static int reboot_host(char seen[ATTEMPT_SEEN_MAX])
{
    /* A command that does nothing when it is permitted. */
    return ATTEMPT_REFUSED(reboot(RB_DISABLE_CAD), seen, EPERM, ENOSYS);
}

static int bpf(char seen[ATTEMPT_SEEN_MAX])
{
    uint32_t attributes[32] = {1, 4, 4, 1};
    return ATTEMPT_REFUSED(syscall(SYS_bpf, 0, attributes, sizeof(attributes)), seen, EPERM, ENOSYS);
}

static int perf(char seen[ATTEMPT_SEEN_MAX])
{
    uint32_t attributes[28] = {1, sizeof(attributes)};
    return ATTEMPT_REFUSED(syscall(SYS_perf_event_open, attributes, 0, -1, -1, 0), seen, EPERM, ENOSYS);
}

static int user_fault(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(syscall(SYS_userfaultfd, 1 /* UFFD_USER_MODE_ONLY */), seen, EPERM, ENOSYS);
}

static int io_uring(char seen[ATTEMPT_SEEN_MAX])
{
    uint32_t parameters[30] = {0};
    return ATTEMPT_REFUSED(syscall(SYS_io_uring_setup, 4, parameters), seen, ENOSYS);
}

static int keyrings(char seen[ATTEMPT_SEEN_MAX])
{
    if (syscall(SYS_add_key, "user", "hostile", "x", 1, KEY_SPEC_SESSION_KEYRING) != -1 ||
            (errno != EPERM && errno != ENOSYS))
        return attempt_fact(0, seen, "add_key: %s", strerrorname_np(errno));
    if (syscall(SYS_request_key, "user", "hostile", NULL, KEY_SPEC_SESSION_KEYRING) != -1 ||
            (errno != EPERM && errno != ENOSYS))
        return attempt_fact(0, seen, "request_key: %s", strerrorname_np(errno));
    return ATTEMPT_REFUSED(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 1), seen, EPERM, ENOSYS);
}

static int set_time(char seen[ATTEMPT_SEEN_MAX])
{
    struct timeval now;
    (void)gettimeofday(&now, NULL);
    if (settimeofday(&now, NULL) != -1 || (errno != EPERM && errno != ENOSYS))
        return attempt_fact(0, seen, "settimeofday: %s", strerrorname_np(errno));
    struct timespec precise = {now.tv_sec, 0};
    return ATTEMPT_REFUSED(clock_settime(CLOCK_REALTIME, &precise), seen, EPERM, ENOSYS);
}

static int set_hostname(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(sethostname("hostile", 7), seen, EPERM, ENOSYS);
}

static int swap_and_quota(char seen[ATTEMPT_SEEN_MAX])
{
    if (swapon("/tmp/none", 0) != -1 || (errno != EPERM && errno != ENOSYS))
        return attempt_fact(0, seen, "swapon: %s", strerrorname_np(errno));
    return ATTEMPT_REFUSED(syscall(SYS_quotactl, 0x800002, "/dev/vda", 0, NULL), seen, EPERM, ENOSYS);
}

static int raw_input_output(char seen[ATTEMPT_SEEN_MAX])
{
    if (syscall(SYS_iopl, 3) != -1 || (errno != EPERM && errno != ENOSYS))
        return attempt_fact(0, seen, "iopl: %s", strerrorname_np(errno));
    return ATTEMPT_REFUSED(syscall(SYS_ioperm, 0x70, 2, 1), seen, EPERM, ENOSYS);
}

static int kernel_log(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(syscall(SYS_syslog, 3, seen, 16), seen, EPERM, ENOSYS);
}

/* A core handler of the host would run as root with this job's memory; only the limit 1 stops it. */
static int core_limit(char seen[ATTEMPT_SEEN_MAX])
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) < 0 || limit.rlim_cur != 1 || limit.rlim_max != 1)
        return attempt_fact(0, seen, "the limit is not 1");
    struct rlimit zero = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &zero);
    (void)syscall(SYS_prlimit64, 0, RLIMIT_CORE, &zero, NULL);
    (void)syscall(SYS_prlimit64, 0, (1ULL << 32) | RLIMIT_CORE, &zero, NULL);
    if (getrlimit(RLIMIT_CORE, &limit) < 0 || limit.rlim_cur != 1 || limit.rlim_max != 1)
        return attempt_fact(0, seen, "the limit could be moved to %llu", (unsigned long long)limit.rlim_cur);
    return attempt_fact(1, seen, "1, and cannot be moved");
}

static int terminal_injection(char seen[ATTEMPT_SEEN_MAX])
{
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    if (master < 0)
        return attempt_fact(0, seen, "no terminal of our own to try on: %s", strerrorname_np(errno));
    static const unsigned long long requests[] = {
            0x5412 /* TIOCSTI */, 0x5412 | 1ULL << 32, 0x541C /* TIOCLINUX */, 0x541C | 1ULL << 40};
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
        if (syscall(SYS_ioctl, master, requests[i], "x") != -1 || (errno != EPERM && errno != ENOSYS))
            return attempt_fact(0, seen, "request %#llx: %s", requests[i], strerrorname_np(errno));
    return attempt_fact(1, seen, "refused, with high bits too");
}

/* The x32 table: the same calls under other numbers. */
static int x32_calls(char seen[ATTEMPT_SEEN_MAX])
{
    return ATTEMPT_REFUSED(syscall(0x40000000 | 39 /* getpid */), seen, ENOSYS);
}

#ifdef __x86_64__
/* The i386 table through int 0x80: getpid is 20 there. */
static int i386_calls(char seen[ATTEMPT_SEEN_MAX])
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
    errno = result < 0 ? (int)-result : 0;
    return ATTEMPT_REFUSED(result < 0 ? -1L : result, seen, ENOSYS);
}
#endif

static int new_privileges(char seen[ATTEMPT_SEEN_MAX])
{
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return attempt_fact(0, seen, "no-new-privileges is not set");
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 2)
        return attempt_fact(0, seen, "no seccomp filter");
    for (int capability = 0; capability < 41; capability++)
        if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1)
            return attempt_fact(0, seen, "capability %d is in the bounding set", capability);
    return attempt_fact(1, seen, "no-new-privileges, filter, empty bounding set");
}

static int change_identity(char seen[ATTEMPT_SEEN_MAX])
{
    if (setuid(0) != -1 || errno != EPERM)
        return attempt_fact(0, seen, "setuid: %s", strerrorname_np(errno));
    if (setgid(0) != -1 || errno != EPERM)
        return attempt_fact(0, seen, "setgid: %s", strerrorname_np(errno));
    gid_t group = 0;
    return ATTEMPT_REFUSED(syscall(SYS_setgroups, 1, &group), seen, EPERM);
}

static int raise_capabilities(char seen[ATTEMPT_SEEN_MAX])
{
    uint32_t header[2] = {0x20080522, 0};
    uint32_t data[6] = {1U << 21, 1U << 21, 0};
    return ATTEMPT_REFUSED(syscall(SYS_capset, header, data), seen, EPERM);
}

static int unknown_calls(char seen[ATTEMPT_SEEN_MAX])
{
    for (long number = 480; number < 600; number++)
        if (syscall(number, 0, 0, 0, 0, 0, 0) != -1 || errno != ENOSYS)
            return attempt_fact(0, seen, "call %ld: %s", number, strerrorname_np(errno));
    return attempt_fact(1, seen, "all ENOSYS");
}

static const struct attempt kernel_attempts[] = {
        {"P2", "unshare", unshare_each},
        {"P2", "clone-newuser", clone_user_namespace},
        {"P2", "clone-newuser-high-bits", clone_high_bits},
        {"P2", "clone3", clone3_is_absent},
        {"P2", "setns", join_namespace},
        {"P2", "load-module", load_module},
        {"P2", "kexec", kexec},
        {"P2", "reboot", reboot_host},
        {"P2", "bpf", bpf},
        {"P3", "perf", perf},
        {"P2", "userfaultfd", user_fault},
        {"P2", "io-uring", io_uring},
        {"P3", "keyrings", keyrings},
        {"P2", "set-time", set_time},
        {"P2", "set-hostname", set_hostname},
        {"P2", "swap-quota", swap_and_quota},
        {"P2", "raw-io", raw_input_output},
        {"P3", "kernel-log", kernel_log},
        {"P2", "core-limit", core_limit},
        {"P2", "terminal-injection", terminal_injection},
        {"P5", "x32", x32_calls},
#ifdef __x86_64__
        {"P5", "i386", i386_calls},
#endif
        {"P5", "new-privileges", new_privileges},
        {"P5", "change-identity", change_identity},
        {"P5", "raise-capabilities", raise_capabilities},
        {"P5", "unknown-calls", unknown_calls},
};

const struct attempt_group attempts_kernel = {kernel_attempts, sizeof(kernel_attempts) / sizeof(kernel_attempts[0])};
