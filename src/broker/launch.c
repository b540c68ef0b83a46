#include "broker/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

#define JOB_NAMESPACES (CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET)

int launch_reset_process(bool reset_oom_score)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    /* Ctrl-C at joblet's terminal is for joblet alone. */
    (void)setsid();
    /* With joblet's score a job would outlive the rest of the host when memory ends. */
    return reset_oom_score ? fd_write_file_at(AT_FDCWD, "/proc/self/oom_score_adj", "0") : 0;
}

int launch_place_fds(const int fds[], unsigned count)
{
    int moved[64];
    if (count > ELEMENTS(moved))
        return -EINVAL;
    for (unsigned i = 0; i < count; i++) {
        moved[i] = fds[i];
        /* A source below could be overwritten before it is used. */
        if (fds[i] >= 0 && fds[i] < (int)count)
            moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, (int)count);
        if (fds[i] >= 0 && moved[i] < 0)
            return -errno;
    }
    for (unsigned i = 0; i < count; i++)
        if (moved[i] >= 0 && dup2(moved[i], (int)i) < 0)
            return -errno;
    return 0;
}

__attribute__((noreturn)) static void run_child(const struct launch *launch)
{
    struct plan_message message = {.magic = PLAN_MESSAGE_MAGIC, .type = PLAN_MESSAGE_FAILED};
    message.error.stage = PLAN_STAGE_CLONE;
    int control = launch->fds[PLAN_FD_CONTROL];
    int r = launch_reset_process(launch->reset_oom_score);
    if (r < 0)
        (void)error_errno(&message.error, -r, "give up joblet's out-of-memory score");
    else if ((r = launch_place_fds(launch->fds, LAUNCH_FDS)) < 0)
        (void)error_errno(&message.error, -r, "place the descriptors of joblet-init");
    else {
        char name[32];
        char variable[64];
        (void)strncpy(name, launch->name, sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        (void)strncpy(variable, launch->variable, sizeof(variable) - 1);
        variable[sizeof(variable) - 1] = '\0';
        char *const arguments[] = {name, NULL};
        char *const environment[] = {variable, NULL};
        control = PLAN_FD_CONTROL;
        (void)execveat(launch->exec_fd, "", arguments, environment, AT_EMPTY_PATH);
        (void)error_errno(&message.error, errno, "execute joblet-init");
    }
    (void)send(control, &message, sizeof(message), MSG_NOSIGNAL);
    _exit(1);
}

int launch_init(const struct launch *launch, pid_t *ret_pid, int *ret_pidfd, struct error *error)
{
    int pidfd = -EBADF;
    struct clone_args arguments = {
            .flags = JOB_NAMESPACES | CLONE_PIDFD,
            .pidfd = (uint64_t)(uintptr_t)&pidfd,
            .exit_signal = SIGCHLD,
    };
    if (launch->cgroup_fd >= 0) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = (uint64_t)launch->cgroup_fd;
    }
    if (launch->new_cgroup_namespace)
        arguments.flags |= CLONE_NEWCGROUP;
    long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid < 0)
        return error_errno(error, errno, "clone joblet-init into new namespaces");
    if (pid == 0)
        run_child(launch);
    *ret_pid = (pid_t)pid;
    *ret_pidfd = pidfd;
    return 0;
}
