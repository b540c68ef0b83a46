/* Each try runs in a child, which takes with it whatever namespace, mount, filter or dropped right it got. The finding
 * lies in shared memory, so that the last word of a child that is killed is not lost. */
#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "doctor/row.h"
#include "kernel/mount.h"

#define PATIENCE_MS 20000

static void finding_set(struct finding *finding, enum verdict verdict, int code, const char *format, va_list arguments)
        __attribute__((format(printf, 4, 0)));
static void finding_set(struct finding *finding, enum verdict verdict, int code, const char *format, va_list arguments)
{
    finding->verdict = verdict;
    (void)vsnprintf(finding->seen, sizeof(finding->seen), format, arguments);
    size_t used = strlen(finding->seen);
    if (code > 0)
        (void)snprintf(finding->seen + used, sizeof(finding->seen) - used, ": %s", strerrordesc_np(code));
}

#define FINDING_SET(verdict, code)                                                                                     \
    va_list arguments;                                                                                                 \
    va_start(arguments, format);                                                                                       \
    finding_set(finding, verdict, code, format, arguments);                                                            \
    va_end(arguments)

void finding_holds(struct finding *finding, const char *format, ...)
{
    FINDING_SET(VERDICT_HOLDS, 0);
}

void finding_fails(struct finding *finding, const char *format, ...)
{
    FINDING_SET(VERDICT_FAILS, 0);
}

void finding_errno(struct finding *finding, int code, const char *format, ...)
{
    FINDING_SET(VERDICT_FAILS, code);
}

void finding_untested(struct finding *finding, const char *format, ...)
{
    FINDING_SET(VERDICT_NOT_TESTED, 0);
}

static void end_with_parent(pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent)
        _exit(1);
}

/* Waits for the child, at most PATIENCE_MS. Its wait status, or -ETIMEDOUT after it was killed. */
static int wait_for(pid_t pid)
{
    int status = -1;
    _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd end = {.fd = pidfd, .events = POLLIN};
    int r = pidfd < 0 ? 1 : poll(&end, 1, PATIENCE_MS);
    if (r == 0)
        (void)kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return r == 0 ? -ETIMEDOUT : status;
}

/* A child that ended in its own way has said what it found. */
static void judge_end(int status, struct finding *finding)
{
    if (status == -ETIMEDOUT)
        finding_fails(finding, "the try did not end within %d s", PATIENCE_MS / 1000);
    else if (WIFSIGNALED(status))
        finding_fails(finding, "the try was ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0)
        finding_fails(finding, "the try ended with status %d", WEXITSTATUS(status));
    else if (finding->seen[0] == '\0')
        finding_fails(finding, "the try said nothing");
}

int trial_run(const struct doctor *doctor, const struct row *row, struct finding *ret_finding)
{
    struct finding *finding = mmap(NULL, sizeof(*finding), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (finding == MAP_FAILED)
        return -errno;
    pid_t parent = getpid();
    pid_t pid = fork();
    int r = pid < 0 ? -errno : 0;
    if (pid == 0) {
        end_with_parent(parent);
        row->run(doctor, row, finding);
        _exit(0);
    }
    if (pid > 0) {
        judge_end(wait_for(pid), finding);
        *ret_finding = *finding;
    }
    (void)munmap(finding, sizeof(*finding));
    return r;
}

bool trial_clone(uint64_t flags, int cgroup_fd, void (*body)(void *user, struct finding *finding), void *user,
        struct finding *finding)
{
    struct clone_args arguments = {
            .flags = flags, .exit_signal = SIGCHLD, .cgroup = cgroup_fd >= 0 ? (uint64_t)cgroup_fd : 0};
    long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid < 0) {
        finding_errno(finding, errno, "clone3");
        return false;
    }
    if (pid == 0) {
        /* The parent's pid reads as 0 from a new PID namespace. */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        body(user, finding);
        _exit(0);
    }
    int status = wait_for((pid_t)pid);
    judge_end(status, finding);
    return status >= 0 && WIFEXITED(status);
}

bool trial_unshare_mounts(struct finding *finding)
{
    int r = unshare(CLONE_NEWNS) < 0 ? -errno : mount_make_private();
    if (r < 0)
        finding_errno(finding, -r, "a private mount namespace");
    return r == 0;
}
