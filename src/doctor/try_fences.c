/* What a process puts on itself: filter, Landlock, keyring, limits; and processes held by descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "doctor/row.h"
#include "kernel/landlock.h"

void try_seccomp(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    static const uint32_t actions[] = {SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ALLOW};
    for (size_t i = 0; i < ELEMENTS(actions); i++)
        if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &actions[i]) < 0) {
            finding_errno(finding, errno, "action 0x%x of seccomp", actions[i]);
            return;
        }
    /* getppid answers "cross-device link" from here on: nothing else would say that. */
    struct sock_filter program[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = {.len = ELEMENTS(program), .filter = program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0)
        finding_errno(finding, errno, "install a filter");
    else if (syscall(SYS_getppid) != -1 || errno != EXDEV)
        finding_fails(finding, "a call that the filter denies went through");
    else
        finding_holds(finding, "a denied call gets the error of the filter");
}

void try_landlock(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    int abi = landlock_get_abi();
    if (abi < 0) {
        finding_errno(finding, -abi, "Landlock");
        return;
    }
    _cleanup_close_ int ruleset = landlock_new_ruleset((uint32_t)abi);
    _cleanup_close_ int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = ruleset < 0 ? ruleset : proc < 0 ? -errno : 0;
    if (r == 0)
        r = landlock_allow(ruleset, (uint32_t)abi, proc, LANDLOCK_READ_FILE | LANDLOCK_READ_DIR);
    if (r == 0)
        r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : landlock_enforce(ruleset);
    if (r < 0) {
        finding_errno(finding, -r, "a ruleset of ABI %d", abi);
        return;
    }
    _cleanup_close_ int granted = open("/proc/version", O_RDONLY | O_CLOEXEC);
    _cleanup_close_ int denied = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    if (denied >= 0 || granted < 0)
        finding_fails(finding, "a ruleset was accepted and not enforced");
    else if (abi < 2)
        finding_fails(finding, "ABI %d: files cannot be moved between directories; 2 is needed", abi);
    else
        finding_holds(finding, "ABI %d%s", abi,
                abi < 6 ? " (no scopes: abstract sockets are kept apart by the network)" : "");
}

void try_keyring(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    long before = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
    long after = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
    if (after < 0)
        finding_errno(finding, errno, "a new session keyring");
    else if (after == before)
        finding_fails(finding, "the session keyring stayed the same");
    else
        finding_holds(finding, "a new one, empty");
}

static int send_signal(int pidfd, int number)
{
    return (int)syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0);
}

void try_pidfd(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    int pidfd = -EBADF;
    struct clone_args arguments = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid < 0) {
        finding_errno(finding, errno, "clone3 with CLONE_PIDFD");
        return;
    }
    if (pid == 0)
        for (;;)
            (void)pause();
    siginfo_t ended = {0};
    struct pollfd end = {.fd = pidfd, .events = POLLIN};
    _cleanup_close_ int taken = (int)syscall(SYS_pidfd_getfd, pidfd, 2, 0);
    int taken_code = taken < 0 ? errno : 0;
    int sent = send_signal(pidfd, SIGKILL) < 0 ? errno : 0;
    if (sent != 0)
        (void)kill((pid_t)pid, SIGKILL);
    int woken = poll(&end, 1, 5000);
    if (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &ended, WEXITED) < 0)
        finding_errno(finding, errno, "wait for a process by descriptor");
    else if (sent != 0)
        finding_errno(finding, sent, "signal a process by descriptor");
    else if (taken_code != 0 && taken_code != EBADF) /* EBADF: our own standard error is closed */
        finding_errno(finding, taken_code, "take a descriptor of a process");
    else if (woken != 1 || ended.si_pid != (pid_t)pid)
        finding_fails(finding, "the end of a process was not told");
    else
        finding_holds(finding, "made, signalled, awaited by descriptor");
    (void)fd_close(pidfd);
}

void try_core_limit(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    const struct rlimit one = {1, 1};
    _cleanup_free_ char *pattern = NULL;
    if (setrlimit(RLIMIT_CORE, &one) < 0) {
        finding_errno(finding, errno, "a core limit of 1");
        return;
    }
    int r = fd_read_file_at(AT_FDCWD, "/proc/sys/kernel/core_pattern", 4096, &pattern, NULL);
    if (r < 0)
        finding_errno(finding, -r, "read the core pattern");
    else if (pattern[0] == '@')
        finding_fails(finding, "the core pattern names a socket, which no limit keeps from a job's crash");
    else if (pattern[0] == '|')
        finding_holds(finding, "1: the host's core handler is not run for a job");
    else
        finding_holds(finding, "1; the host has no core handler");
}
