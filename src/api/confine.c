#include "api/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

/* Rights that newer headers name. */
#define ACCESS_REFER (1ULL << 13)
#define ACCESS_TRUNCATE (1ULL << 14)
#define ACCESS_IOCTL_DEV (1ULL << 15)
#define ACCESS_NET_ALL 3ULL
#define SCOPE_ALL 3ULL

#define ACCESS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)

/* As the kernel knows it today; older ones read as much as they know. */
struct ruleset {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
};

static int check_capabilities(struct error *error)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    if (syscall(SYS_capget, &header, data) < 0)
        return error_errno(error, errno, "read capabilities");
    for (size_t i = 0; i < ELEMENTS(data); i++)
        if (data[i].effective || data[i].permitted || data[i].inheritable)
            return error_text(error, EPERM, "joblet-api must not be started with capabilities");
    for (unsigned long i = 0; i < 64; i++)
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) == 1)
            return error_text(error, EPERM, "joblet-api must not be started with ambient capabilities");
    return 0;
}

int confine_identity(struct error *error)
{
    uid_t uids[3];
    gid_t gids[3];
    if (getresuid(&uids[0], &uids[1], &uids[2]) < 0 || getresgid(&gids[0], &gids[1], &gids[2]) < 0)
        return error_errno(error, errno, "read ids");
    for (size_t i = 0; i < ELEMENTS(uids); i++)
        if (uids[i] == 0 || gids[i] == 0)
            return error_text(error, EPERM, "joblet-api must not be started as root");
    gid_t groups[64];
    int count = getgroups(ELEMENTS(groups), groups);
    if (count < 0)
        return error_errno(error, errno, "read groups");
    for (int i = 0; i < count; i++)
        if (groups[i] == 0)
            return error_text(error, EPERM, "joblet-api must not be started in root's group");
    int r = check_capabilities(error);
    if (r < 0)
        return r;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return error_errno(error, errno, "give up privileges");
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return error_text(error, EPERM, "joblet-api could not give up its privileges");
    return 0;
}

static int rule_add(int ruleset, int fd, uint64_t access, const char *name, struct error *error)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        return error_errno(error, errno, "landlock: rule for %s", name);
    return 0;
}

static int rule_add_path(int ruleset, const char *path, uint64_t access, struct error *error)
{
    _cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : error_errno(error, errno, "landlock: open %s", path);
    return rule_add(ruleset, fd, access, path, error);
}

int confine_files(int database_fd, int jobs_fd, int runtimes_fd, int audit_fd, struct error *error)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1)
        return error_text(error, ENOSYS, "this kernel has no Landlock: joblet-api does not run without it");
    struct ruleset attributes = {.handled_access_fs = (1ULL << 13) - 1};
    size_t size = sizeof(attributes.handled_access_fs);
    uint64_t write = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE;
    if (abi >= 2)
        attributes.handled_access_fs |= ACCESS_REFER;
    if (abi >= 3) {
        attributes.handled_access_fs |= ACCESS_TRUNCATE;
        write |= ACCESS_TRUNCATE;
    }
    if (abi >= 4) {
        attributes.handled_access_net = ACCESS_NET_ALL; /* no bind, no connect */
        size = offsetof(struct ruleset, scoped);
    }
    if (abi >= 5)
        attributes.handled_access_fs |= ACCESS_IOCTL_DEV;
    if (abi >= 6) {
        attributes.scoped = SCOPE_ALL; /* no abstract socket, no signal outside */
        size = sizeof(attributes);
    }
    _cleanup_close_ int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, size, 0);
    if (ruleset < 0)
        return error_errno(error, errno, "landlock: ruleset");
    int r = rule_add(ruleset, database_fd, ACCESS_READ | write, "the database", error);
    if (r == 0)
        r = rule_add(ruleset, jobs_fd, ACCESS_READ, "the jobs", error);
    if (r == 0)
        r = rule_add(ruleset, runtimes_fd, ACCESS_READ, "the runtimes", error);
    if (r == 0)
        r = rule_add(ruleset, audit_fd, ACCESS_READ, "the audit log", error);
    static const char *const readable[] = {"/proc", "/sys/class/net", "/sys/block", "/sys/class/block", "/sys/devices"};
    for (size_t i = 0; r == 0 && i < ELEMENTS(readable); i++)
        r = rule_add_path(ruleset, readable[i], ACCESS_READ, error);
    if (r < 0)
        return r;
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        return error_errno(error, errno, "landlock: restrict");
    return 0;
}

/* What the loop, TLS, SQLite and the figures need. Everything else gets EPERM; there is no call here that starts a
 * program, makes a socket or a process, or looks into one. */
static const int calls[] = {
        /* memory; mmap and mprotect are below */
        SCMP_SYS(brk),
        SCMP_SYS(munmap),
        SCMP_SYS(mremap),
        SCMP_SYS(madvise),
        /* files, by Landlock's leave */
        SCMP_SYS(openat),
        SCMP_SYS(open),
        SCMP_SYS(close),
        SCMP_SYS(read),
        SCMP_SYS(pread64),
        SCMP_SYS(readv),
        SCMP_SYS(preadv),
        SCMP_SYS(write),
        SCMP_SYS(pwrite64),
        SCMP_SYS(writev),
        SCMP_SYS(pwritev),
        SCMP_SYS(lseek),
        SCMP_SYS(fstat),
        SCMP_SYS(stat),
        SCMP_SYS(lstat),
        SCMP_SYS(newfstatat),
        SCMP_SYS(statx),
        SCMP_SYS(fstatfs),
        SCMP_SYS(statfs),
        SCMP_SYS(access),
        SCMP_SYS(faccessat),
        SCMP_SYS(faccessat2),
        SCMP_SYS(readlink),
        SCMP_SYS(readlinkat),
        SCMP_SYS(getdents64),
        SCMP_SYS(getcwd),
        SCMP_SYS(fcntl),
        SCMP_SYS(fsync),
        SCMP_SYS(fdatasync),
        SCMP_SYS(ftruncate),
        SCMP_SYS(fallocate),
        SCMP_SYS(unlink),
        SCMP_SYS(unlinkat),
        SCMP_SYS(fchmod),
        SCMP_SYS(memfd_create),
        SCMP_SYS(inotify_add_watch),
        SCMP_SYS(inotify_rm_watch),
        SCMP_SYS(fadvise64),
        SCMP_SYS(dup),
        SCMP_SYS(dup3),
        /* connections that are there or come in */
        SCMP_SYS(accept),
        SCMP_SYS(accept4),
        SCMP_SYS(recvmsg),
        SCMP_SYS(sendmsg),
        SCMP_SYS(recvfrom),
        SCMP_SYS(sendto),
        SCMP_SYS(getsockopt),
        SCMP_SYS(setsockopt),
        SCMP_SYS(getsockname),
        SCMP_SYS(getpeername),
        SCMP_SYS(shutdown),
        SCMP_SYS(listen),
        /* waiting and time */
        SCMP_SYS(epoll_create1),
        SCMP_SYS(epoll_ctl),
        SCMP_SYS(epoll_wait),
        SCMP_SYS(epoll_pwait),
        SCMP_SYS(epoll_pwait2),
        SCMP_SYS(poll),
        SCMP_SYS(ppoll),
        SCMP_SYS(eventfd2),
        SCMP_SYS(pipe2),
        SCMP_SYS(futex),
        SCMP_SYS(clock_gettime),
        SCMP_SYS(clock_getres),
        SCMP_SYS(gettimeofday),
        SCMP_SYS(time),
        SCMP_SYS(nanosleep),
        SCMP_SYS(clock_nanosleep),
        SCMP_SYS(restart_syscall),
        SCMP_SYS(sched_yield),
        /* oneself */
        SCMP_SYS(getrandom),
        SCMP_SYS(getpid),
        SCMP_SYS(gettid),
        SCMP_SYS(getppid),
        SCMP_SYS(getuid),
        SCMP_SYS(geteuid),
        SCMP_SYS(getgid),
        SCMP_SYS(getegid),
        SCMP_SYS(getrlimit),
        SCMP_SYS(getrusage),
        SCMP_SYS(sched_getaffinity),
        SCMP_SYS(sysinfo),
        SCMP_SYS(uname),
        SCMP_SYS(times),
        SCMP_SYS(umask),
        SCMP_SYS(rt_sigaction),
        SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(rt_sigreturn),
        SCMP_SYS(sigaltstack),
        SCMP_SYS(rseq),
        SCMP_SYS(set_robust_list),
        SCMP_SYS(exit),
        SCMP_SYS(exit_group),
};

/* Ends the process at once: nothing of ours ever calls them, so somebody else does. */
static const int deadly[] = {
        SCMP_SYS(execve),
        SCMP_SYS(execveat),
        SCMP_SYS(ptrace),
        SCMP_SYS(process_vm_readv),
        SCMP_SYS(process_vm_writev),
        SCMP_SYS(fork),
        SCMP_SYS(vfork),
        SCMP_SYS(bpf),
        SCMP_SYS(mount),
        SCMP_SYS(unshare),
        SCMP_SYS(setns),
        SCMP_SYS(keyctl),
        SCMP_SYS(io_uring_setup),
};

static int filter_fill(scmp_filter_ctx filter)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < ELEMENTS(calls); i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
    for (size_t i = 0; r == 0 && i < ELEMENTS(deadly); i++)
        r = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, deadly[i], 0);
    /* No memory that was written becomes code. */
    const int mappings[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
    for (size_t i = 0; r == 0 && i < ELEMENTS(mappings); i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, mappings[i], 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    const uint64_t requests[] = {FIONBIO, FIOCLEX, FIONREAD};
    for (size_t i = 0; r == 0 && i < ELEMENTS(requests); i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, requests[i]));
    /* abort() and assertions: only oneself. */
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (uint64_t)getpid()));
    const uint64_t options[] = {PR_SET_NAME, PR_GET_SECCOMP};
    for (size_t i = 0; r == 0 && i < ELEMENTS(options); i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, options[i]));
    /* Reading limits: a new value is the third argument. */
    if (r == 0)
        r = seccomp_rule_add(
                filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, SCMP_A0(SCMP_CMP_EQ, 0), SCMP_A2(SCMP_CMP_EQ, 0));
    return r;
}

int confine_calls(struct error *error)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        return error_text(error, ENOMEM, "system call filter: no memory");
    /* TSYNC: the writer's thread runs already. i386 and x32 calls are not ours at all: killed. */
    int r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (r == 0)
        r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (r == 0)
        r = filter_fill(filter);
    if (r == 0)
        r = seccomp_load(filter);
    seccomp_release(filter);
    if (r < 0)
        return error_errno(error, -r, "system call filter");
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2)
        return 0;
    return error_text(error, EPERM, "the system call filter is not in force");
}
