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
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
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

/* Counted for the whole machine: a job that takes all contexts leaves a data base of the host without. */
static int legacy_aio(char seen[ATTEMPT_SEEN_MAX])
{
    unsigned long context = 0;
    return ATTEMPT_REFUSED(syscall(SYS_io_setup, 1, &context), seen, ENOSYS);
}

static int overlay_mount(char seen[ATTEMPT_SEEN_MAX])
{
    (void)mkdir("/tmp/upper", 0700);
    (void)mkdir("/tmp/lower", 0700);
    if (mount("overlay", "/tmp", "overlay", 0, "lowerdir=/tmp/lower:/usr,upperdir=/tmp/upper,workdir=/tmp/upper") !=
                    -1 ||
            errno != EPERM)
        return attempt_fact(0, seen, "mount: %s", strerrorname_np(errno));
    return ATTEMPT_REFUSED(syscall(SYS_fsopen, "overlay", 0), seen, EPERM);
}

static int sysrq(char seen[ATTEMPT_SEEN_MAX])
{
    if (open("/proc/sys/kernel/sysrq", O_WRONLY) != -1 || (errno != EROFS && errno != EACCES && errno != ENOENT))
        return attempt_fact(0, seen, "the setting: %s", strerrorname_np(errno));
    return ATTEMPT_REFUSED(open("/proc/sysrq-trigger", O_WRONLY), seen, EROFS, EACCES, ENOENT);
}

static int core_pattern(char seen[ATTEMPT_SEEN_MAX])
{
    static const char *const files[] = {"core_pattern", "core_pipe_limit", "core_uses_pid", "modprobe", "poweroff_cmd"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/proc/sys/kernel/%s", files[i]);
        if (open(path, O_WRONLY) != -1 || (errno != EROFS && errno != EACCES && errno != ENOENT))
            return attempt_fact(0, seen, "%s: %s", path, strerrorname_np(errno));
    }
    return attempt_fact(1, seen, "none can be opened for writing");
}

static int kernel_memory(char seen[ATTEMPT_SEEN_MAX])
{
    static const char *const files[] = {"/proc/kcore", "/proc/kallsyms", "/proc/kpagecount", "/proc/kpageflags",
            "/proc/vmallocinfo", "/proc/slabinfo", "/proc/modules", "/proc/self/stack", "/proc/self/pagemap"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char bytes[4096];
        int fd = open(files[i], O_RDONLY);
        ssize_t size = fd < 0 ? 0 : read(fd, bytes, sizeof(bytes) - 1);
        if (fd >= 0)
            (void)close(fd);
        if (size <= 0)
            continue;
        /* Addresses of the kernel begin with ffff; frame numbers are zeros without a capability. */
        bytes[size] = '\0';
        if (strstr(bytes, "0xffff") || strncmp(bytes, "ffff", 4) == 0)
            return attempt_fact(0, seen, "an address in %s", files[i]);
        for (ssize_t j = 0; strcmp(files[i], "/proc/self/pagemap") == 0 && j + 8 <= size; j += 8)
            if (*(uint64_t *)(bytes + j) & ((1ULL << 55) - 1) && !(*(uint64_t *)(bytes + j) >> 62 & 1))
                return attempt_fact(0, seen, "a frame number in %s", files[i]);
    }
    return attempt_fact(1, seen, "no address, no frame number");
}

static int raw_disks(char seen[ATTEMPT_SEEN_MAX])
{
    static const unsigned numbers[][2] = {{7, 0}, {8, 0}, {8, 1}, {252, 0}, {253, 0}, {254, 0}, {259, 0}, {1, 0}};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        for (unsigned type = S_IFBLK; type != S_IFCHR + S_IFBLK; type = type == S_IFBLK ? S_IFCHR : S_IFCHR + S_IFBLK)
            if (mknod("/work/disk", type | 0666, makedev(numbers[i][0], numbers[i][1])) != -1 ||
                    (errno != EPERM && errno != EACCES))
                return attempt_fact(0, seen, "%u:%u: %s", numbers[i][0], numbers[i][1], strerrorname_np(errno));
    return attempt_fact(access("/sys/block", F_OK) < 0, seen, "no node can be made, no /sys");
}

/* A timer that wakes a sleeping host. */
static int alarm_timers(char seen[ATTEMPT_SEEN_MAX])
{
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    int timer;
    for (int clock = 8; clock <= 9; clock++) {
        if (syscall(SYS_timer_create, clock, &event, &timer) != -1 || (errno != EPERM && errno != EOPNOTSUPP))
            return attempt_fact(0, seen, "timer_create %d: %s", clock, strerrorname_np(errno));
        if (syscall(SYS_timerfd_create, clock, 0) != -1 || (errno != EPERM && errno != EINVAL))
            return attempt_fact(0, seen, "timerfd_create %d: %s", clock, strerrorname_np(errno));
    }
    return attempt_fact(1, seen, "none");
}

static int real_time(char seen[ATTEMPT_SEEN_MAX])
{
    struct sched_param one = {1};
    if (sched_setscheduler(0, SCHED_FIFO, &one) != -1 || errno != EPERM)
        return attempt_fact(0, seen, "SCHED_FIFO: %s", strerrorname_np(errno));
    if (sched_setscheduler(0, SCHED_RR, &one) != -1 || errno != EPERM)
        return attempt_fact(0, seen, "SCHED_RR: %s", strerrorname_np(errno));
    if (setpriority(PRIO_PROCESS, 0, -1) != -1 || (errno != EPERM && errno != EACCES))
        return attempt_fact(0, seen, "nice: %s", strerrorname_np(errno));
    return ATTEMPT_REFUSED(syscall(SYS_ioprio_set, 1, 0, 1 << 13 /* real time */), seen, EPERM);
}

/* The host's console output could be had on a terminal of ours. */
static int take_console(char seen[ATTEMPT_SEEN_MAX])
{
    int terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    if (terminal < 0)
        return attempt_fact(0, seen, "no terminal of our own to try on: %s", strerrorname_np(errno));
    return ATTEMPT_REFUSED(ioctl(terminal, 0x541d /* TIOCCONS */), seen, EPERM);
}

/* Whoever else opens the file would have to wait for the holder of a lease. */
static int file_lease(char seen[ATTEMPT_SEEN_MAX])
{
    int fd = open("/etc/passwd", O_RDONLY);
    return ATTEMPT_REFUSED(fcntl(fd, F_SETLEASE, F_RDLCK), seen, EACCES);
}

static int kernel_buffers(char seen[ATTEMPT_SEEN_MAX])
{
    int ends[2];
    if (pipe(ends) < 0)
        return attempt_fact(0, seen, "pipe: %s", strerrorname_np(errno));
    /* Beyond what the setting of the host permits to those without capability. */
    if (fcntl(ends[1], F_SETPIPE_SZ, 64 << 20) != -1 || errno != EPERM)
        return attempt_fact(0, seen, "a pipe of 64 MiB: %s", strerrorname_np(errno));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    int size = 1 << 20;
    return ATTEMPT_REFUSED(setsockopt(fd, SOL_SOCKET, 32 /* SO_SNDBUFFORCE */, &size, sizeof(size)), seen, EPERM);
}

static int adjust_clock(char seen[ATTEMPT_SEEN_MAX])
{
    struct timespec now;
    if (syscall(SYS_clock_adjtime, 0, &now) != -1 || errno != EPERM)
        return attempt_fact(0, seen, "clock_adjtime: %s", strerrorname_np(errno));
    return ATTEMPT_REFUSED(syscall(SYS_adjtimex, &now), seen, EPERM);
}

/* Terminals are counted for the whole machine; a job must not be able to take them all. */
static int all_terminals(char seen[ATTEMPT_SEEN_MAX])
{
    unsigned count = 0;
    while (count < 1000 && open("/dev/ptmx", O_RDWR | O_NOCTTY) >= 0)
        count++;
    return attempt_fact(
            errno == ENOSPC && count >= 16 && count <= 128, seen, "%u, then %s", count, strerrorname_np(errno));
}

static const struct attempt kernel_attempts[] = {
        {"K01", "P2", "unshare",
                "new namespaces, the door to most bugs of the kernel's network and mounts: CVE-2021-22555, "
                "CVE-2023-32233, CVE-2023-0386",
                unshare_each},
        {"K02", "P2", "clone-newuser", "a new user namespace by clone: CVE-2018-18955", clone_user_namespace},
        {"K03", "P2", "clone-newuser-high-bits", "bits that a rule compares and the kernel ignores", clone_high_bits},
        {"K04", "P2", "clone3", "flags that a filter cannot see", clone3_is_absent},
        {"K05", "P2", "setns", "joining a namespace", join_namespace},
        {"K06", "P2", "load-module", "loading and removing kernel modules", load_module},
        {"K07", "P2", "kexec", "replacing the kernel", kexec},
        {"K08", "P2", "reboot", "ending the host", reboot_host},
        {"K09", "P2", "bpf", "bpf programs: CVE-2020-8835, CVE-2021-3490", bpf},
        {"K10", "P3", "perf", "performance counters of others", perf},
        {"K11", "P2", "userfaultfd", "page faults held as long as an attack needs", user_fault},
        {"K12", "P2", "io-uring", "io_uring, past every filter: CVE-2021-41073, CVE-2022-2602", io_uring},
        {"K13", "P3", "keyrings", "keys of the kernel: CVE-2016-0728", keyrings},
        {"K14", "P2", "set-time", "the host's clock", set_time},
        {"K15", "P2", "set-hostname", "the host's name", set_hostname},
        {"K16", "P2", "swap-quota", "swap and quota of the host", swap_and_quota},
        {"K17", "P2", "raw-io", "ports of the machine", raw_input_output},
        {"K18", "P3", "kernel-log", "the kernel's log", kernel_log},
        {"K19", "P2", "core-limit", "a crash that runs the host's core handler", core_limit},
        {"K20", "P2", "terminal-injection", "typing into a terminal: CVE-2017-5226, and with high bits CVE-2019-7303",
                terminal_injection},
        {"K21", "P5", "x32", "the x32 table of system calls", x32_calls},
#ifdef __x86_64__
        {"K22", "P5", "i386", "the i386 table of system calls by int 0x80", i386_calls},
#endif
        {"K23", "P5", "new-privileges", "privileges by executing", new_privileges},
        {"K24", "P5", "change-identity", "another user, another group", change_identity},
        {"K25", "P5", "raise-capabilities", "raising a capability", raise_capabilities},
        {"K26", "P5", "unknown-calls", "system calls that are newer than the filter", unknown_calls},
        {"K27", "P2", "legacy-aio", "contexts that the whole machine shares", legacy_aio},
        {"K28", "P2", "overlay", "an overlay over the root: CVE-2021-3493, CVE-2023-0386", overlay_mount},
        {"K29", "P2", "sysrq", "the keys that end a host", sysrq},
        {"K30", "P2", "core-pattern", "the programs that the kernel runs", core_pattern},
        {"K31", "P3", "kernel-memory", "addresses and memory of the kernel through /proc", kernel_memory},
        {"K32", "P2", "raw-disks", "nodes of disks by their numbers", raw_disks},
        {"K33", "P2", "alarm-timers", "waking a sleeping host", alarm_timers},
        {"K34", "P8", "real-time", "more of the processor than others", real_time},
        {"K35", "P3", "take-console", "the host's console by TIOCCONS", take_console},
        {"K36", "P2", "file-lease", "making others wait for a file of the root", file_lease},
        {"K37", "P8", "kernel-buffers", "buffers beyond the host's settings", kernel_buffers},
        {"K38", "P2", "adjust-clock", "the rate of the host's clock", adjust_clock},
        {"K39", "P8", "all-terminals", "terminals, which the whole machine shares", all_terminals},
};

const struct attempt_group attempts_kernel = {kernel_attempts, sizeof(kernel_attempts) / sizeof(kernel_attempts[0])};
