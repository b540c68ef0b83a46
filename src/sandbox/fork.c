/* Reading what the client sent, and the two processes that come of one. Neither has a right that works; they part in
 * what they keep open: the command's process its three standard descriptors and its end of the pair, joblet-init the
 * rest. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/capability.h"
#include "sandbox/sandbox.h"

int sandbox_read_spec(struct sandbox *sandbox, struct error *error)
{
    return spec_decode(PLAN_FD_SPEC, &sandbox->spec, error);
}

/* All but the standard descriptors, the pair, the control socket and, where the command is ours, its program. */
static int close_others(const struct sandbox *sandbox)
{
    if (sandbox->plan.type == PLAN_TYPE_STANDARD)
        return close_range(PLAN_FD_CONTROL + 1, ~0U, 0);
    int r = close_range(PLAN_FD_CONTROL + 1, PLAN_FD_PROGRAM - 1, 0);
    return r < 0 ? r : close_range(PLAN_FD_PROGRAM + 1, ~0U, 0);
}

static int become_command(struct sandbox *sandbox, int pair_fd, struct error *error)
{
    sandbox->is_command = true;
    sandbox->command_fd = pair_fd; /* a failure is told through it */
    if (dup3(pair_fd, SANDBOX_COMMAND_FD, O_CLOEXEC) < 0 || dup2(PLAN_FD_STDOUT_WRITE, STDOUT_FILENO) < 0 ||
            dup2(PLAN_FD_STDERR_WRITE, STDERR_FILENO) < 0 || close_others(sandbox) < 0)
        return error_errno(error, errno, "set up the command's descriptors");
    sandbox->command_fd = SANDBOX_COMMAND_FD;
    sandbox->signal_fd = -EBADF;
    sandbox->timer_fd = -EBADF;
    /* A session of its own: no terminal, and kill(0) of the command reaches its own group alone. */
    return setsid() < 0 ? error_errno(error, errno, "start the command's session") : 0;
}

static int stay_init(const struct sandbox *sandbox, struct error *error)
{
    static const int not_ours[] = {PLAN_FD_SPEC, PLAN_FD_STDOUT_WRITE, PLAN_FD_STDERR_WRITE, PLAN_FD_PROGRAM};
    /* Before the ids: whatever an id does to the sets, nothing is left of them. A standard job's are empty already. */
    int r = plan_type_capabilities(sandbox->plan.type) != 0 ? capability_clear() : 0;
    if (r < 0)
        return error_errno(error, -r, "clear the capability sets of joblet-init");
    for (size_t i = 0; i < ELEMENTS(not_ours); i++)
        (void)close(not_ours[i]);
    /* The saved ids were there for the command's process: with them the command could signal this one. */
    const gid_t id = PLAN_SUPERVISOR_ID;
    if (setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0)
        return error_errno(error, errno, "give up the command's id");
    return 0;
}

int sandbox_fork(struct sandbox *sandbox, struct error *error)
{
    if (!sandbox->spec.arguments)
        return error_text(error, EPROTO, "there is no request to run");
    sigset_t all;
    sigset_t wanted;
    (void)sigfillset(&all);
    (void)sigemptyset(&wanted);
    (void)sigaddset(&wanted, SIGCHLD);
    (void)sigaddset(&wanted, SIGTERM);
    if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
        return error_errno(error, errno, "block the signals");
    sandbox->signal_fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    sandbox->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    int pair[2];
    if (sandbox->signal_fd < 0 || sandbox->timer_fd < 0 ||
            socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_errno(error, errno, "make what joblet-init waits for");

    sandbox->is_forked = true;
    pid_t pid = fork();
    if (pid < 0)
        return error_errno(error, errno, "fork the command's process");
    if (pid == 0)
        return become_command(sandbox, pair[1], error);
    (void)close(pair[1]);
    sandbox->command_fd = pair[0];
    sandbox->command_pid = pid;
    return stay_init(sandbox, error);
}

int sandbox_set_command_ids(struct sandbox *sandbox, struct error *error)
{
    const gid_t id = sandbox->plan.command_id;
    if (setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0)
        return error_errno(error, errno, "take the command's id %u", id);
    /* The change of ids set it anew (A3). */
    return sandbox_set_undumpable(sandbox, error);
}
