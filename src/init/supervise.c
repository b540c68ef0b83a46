#include "init/supervise.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/text.h"
#include "init/command.h"
#include "init/control.h"
#include "init/pump.h"
#include "sandbox/sandbox.h"

#define EXIT_TIMEOUT 124
#define EXIT_KILLED (128 + SIGKILL)

struct supervisor {
    struct sandbox *sandbox;
    struct pump pump;
    struct record record;
    siginfo_t command; /* si_pid is 0 until the command was reaped */
    bool is_stopped;
};

/* The index is the role: a closed one is -1, which poll skips. */
enum watch { WATCH_SIGNAL, WATCH_STDOUT, WATCH_STDERR, WATCH_OOM, WATCH_TIMER, WATCH_COUNT };

static void reap(struct supervisor *supervisor)
{
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
            return;
        if (info.si_pid == supervisor->sandbox->command_pid)
            supervisor->command = info;
    }
}

static void read_signals(struct supervisor *supervisor)
{
    struct signalfd_siginfo info;
    while (read(supervisor->sandbox->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        /* A sender outside the PID namespace has no pid in it. The job's own processes have one, and are not heard. */
        if (info.ssi_signo == SIGTERM && info.ssi_pid == 0)
            supervisor->is_stopped = true;
    }
    reap(supervisor);
}

static bool is_readable(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    return fd >= 0 && poll(&entry, 1, 0) == 1 && (entry.revents & POLLIN);
}

static int oom_fd(const struct supervisor *supervisor)
{
    return supervisor->sandbox->plan.cgroup_oom_eventfd ? PLAN_FD_OOM : -1;
}

static void set_end(struct supervisor *supervisor, enum record_reason reason, int exit_code, int number)
{
    supervisor->record.reason = reason;
    supervisor->record.exit_code = exit_code;
    supervisor->record.signal = number;
}

static void set_command_end(struct supervisor *supervisor)
{
    const siginfo_t *info = &supervisor->command;
    if (info->si_code == CLD_EXITED)
        set_end(supervisor, RECORD_REASON_EXITED, info->si_status & 0xff, 0);
    /* The kernel notifies before it kills, so a kill for lack of memory is known by now. */
    else if (info->si_status == SIGKILL && is_readable(oom_fd(supervisor)))
        set_end(supervisor, RECORD_REASON_OUT_OF_MEMORY, EXIT_KILLED, SIGKILL);
    else
        set_end(supervisor, RECORD_REASON_SIGNAL, 128 + info->si_status, info->si_status);
}

/* True when the job is at its end; the record then says how. What the command did itself goes before what was done to
 * it in the same moment. */
static bool find_end(struct supervisor *supervisor, const struct pollfd watches[WATCH_COUNT])
{
    if (supervisor->command.si_pid != 0)
        set_command_end(supervisor);
    else if (supervisor->is_stopped)
        set_end(supervisor, RECORD_REASON_STOPPED, EXIT_KILLED, SIGKILL);
    else if (watches[WATCH_OOM].revents)
        set_end(supervisor, RECORD_REASON_OUT_OF_MEMORY, EXIT_KILLED, SIGKILL);
    else if (watches[WATCH_TIMER].revents)
        set_end(supervisor, RECORD_REASON_TIMEOUT, EXIT_TIMEOUT, SIGKILL);
    else
        return false;
    return true;
}

static void move_output(struct supervisor *supervisor, struct pollfd *watch, enum joblog_stream stream)
{
    if (!watch->revents)
        return;
    int64_t moved = pump_move(&supervisor->pump, watch->fd, stream);
    if (moved == 0 || (moved < 0 && moved != -EAGAIN))
        watch->fd = -1; /* at its end */
}

static void watch_job(struct supervisor *supervisor)
{
    struct pollfd watches[WATCH_COUNT] = {
            [WATCH_SIGNAL] = {.fd = supervisor->sandbox->signal_fd, .events = POLLIN},
            [WATCH_STDOUT] = {.fd = PLAN_FD_STDOUT_READ, .events = POLLIN},
            [WATCH_STDERR] = {.fd = PLAN_FD_STDERR_READ, .events = POLLIN},
            [WATCH_OOM] = {.fd = oom_fd(supervisor), .events = POLLIN},
            [WATCH_TIMER] = {.fd = supervisor->sandbox->timer_fd, .events = POLLIN},
    };
    for (;;) {
        if (poll(watches, WATCH_COUNT, -1) < 0)
            continue;
        move_output(supervisor, &watches[WATCH_STDOUT], JOBLOG_STREAM_STDOUT);
        move_output(supervisor, &watches[WATCH_STDERR], JOBLOG_STREAM_STDERR);
        if (watches[WATCH_SIGNAL].revents)
            read_signals(supervisor);
        if (find_end(supervisor, watches))
            return;
    }
}

static void finish(struct supervisor *supervisor)
{
    struct pump *pump = &supervisor->pump;
    supervisor->record.ended_unix_ns = text_now_unix_ns();
    pump_drain(pump, PLAN_FD_STDOUT_READ, JOBLOG_STREAM_STDOUT);
    pump_drain(pump, PLAN_FD_STDERR_READ, JOBLOG_STREAM_STDERR);
    if (pump->left_out_bytes > 0) {
        char text[96];
        (void)snprintf(text, sizeof(text), "%" PRIu64 " bytes of output were left out: the log is at its limit",
                pump->left_out_bytes);
        pump_add_line(pump, text);
    }
    supervisor->record.log_bytes = pump->log_bytes;
    supervisor->record.log_left_out_bytes = pump->left_out_bytes;
}

/* Waits for joblet's go, or for the command's process to fail before it. */
static int wait_for_go(struct supervisor *supervisor, struct error *error)
{
    struct pollfd entries[] = {
            {.fd = PLAN_FD_CONTROL, .events = POLLIN},
            {.fd = supervisor->sandbox->command_fd, .events = POLLIN},
    };
    while (poll(entries, ELEMENTS(entries), -1) < 0)
        if (errno != EINTR)
            return error_errno(error, errno, "wait for joblet");
    if (entries[1].revents) {
        struct command_failure failure;
        ssize_t size = recv(supervisor->sandbox->command_fd, &failure, sizeof(failure), 0);
        if (size != sizeof(failure) || failure.error.code <= 0)
            return error_text(error, ECHILD, "the command's process ended before it was ready");
        failure.error.text[sizeof(failure.error.text) - 1] = '\0';
        *error = failure.error;
        return -failure.error.code;
    }
    int r = control_receive_go(PLAN_FD_CONTROL);
    if (r == -EPIPE)
        return error_text(error, EPIPE, "joblet went away before it said go");
    return r < 0 ? error_errno(error, -r, "receive joblet's go") : 0;
}

/* Counted from here, so that a limit that cannot be set is a job that does not start. */
static int arm_time_limit(const struct sandbox *sandbox, struct error *error)
{
    uint64_t ns = sandbox->plan.timeout_ns;
    const struct itimerspec value = {
            .it_value = {.tv_sec = (time_t)(ns / 1000000000U), .tv_nsec = (long)(ns % 1000000000U)}};
    if (ns > 0 && timerfd_settime(sandbox->timer_fd, 0, &value, NULL) < 0)
        return error_errno(error, errno, "set the time limit");
    return 0;
}

/* Lets the command's process go on. 1: it executed, or nobody can say that it did not; 0: it could not, the record says
 * why. */
static int start_command(struct supervisor *supervisor, struct error *error)
{
    int fd = supervisor->sandbox->command_fd;
    int r = arm_time_limit(supervisor->sandbox, error);
    if (r < 0)
        return r;
    if (send(fd, "G", 1, MSG_NOSIGNAL) != 1)
        return error_errno(error, errno, "let the command's process go");
    struct command_failure failure;
    ssize_t size;
    do
        size = recv(fd, &failure, sizeof(failure), 0);
    while (size < 0 && errno == EINTR);
    supervisor->record.started_unix_ns = text_now_unix_ns();
    if (size < 0 && errno == ECONNRESET)
        return error_text(error, ECHILD, "the command's process ended before it was executed");
    if (size <= 0)
        return 1; /* the exec closed its end */
    if (size != sizeof(failure))
        return error_text(error, EPROTO, "the command's process spoke nonsense");
    failure.error.text[sizeof(failure.error.text) - 1] = '\0';
    supervisor->record.error = failure.error;
    set_end(supervisor, RECORD_REASON_EXITED, failure.exit_code, 0);
    return 0;
}

static int run(struct sandbox *sandbox, struct record *ret_record, struct error *error)
{
    struct supervisor supervisor = {.sandbox = sandbox};
    struct pump *pump = &supervisor.pump;
    pump_init(pump, PLAN_FD_LOG, PLAN_FD_INDEX, STDOUT_FILENO, sandbox->plan.log_quota_bytes);
    memcpy(supervisor.record.job_id, sandbox->plan.job_id, sizeof(supervisor.record.job_id));
    spec_done(&sandbox->spec); /* the secrets in it are the command's */

    int r = control_send(PLAN_FD_CONTROL, PLAN_MESSAGE_READY, 0, NULL);
    if (r < 0)
        return error_errno(error, -r, "tell joblet that the sandbox is ready");
    r = wait_for_go(&supervisor, error);
    if (r == 0)
        r = start_command(&supervisor, error);
    if (r < 0)
        return r;
    if (r == 1) {
        /* joblet may be gone by now; the job goes on without it (P10). */
        (void)control_send(PLAN_FD_CONTROL, PLAN_MESSAGE_STARTED, supervisor.record.started_unix_ns, NULL);
        (void)close(PLAN_FD_CONTROL);
        watch_job(&supervisor);
    } else {
        pump_add_line(pump, supervisor.record.error.text);
        (void)control_send(PLAN_FD_CONTROL, PLAN_MESSAGE_NOT_STARTED, 0, &supervisor.record.error);
    }
    finish(&supervisor);
    *ret_record = supervisor.record;
    return 0;
}

int supervise_run(struct sandbox *sandbox, struct record *ret_record, struct error *error)
{
    int r = run(sandbox, ret_record, error);
    if (r < 0 && error->stage == PLAN_STAGE_NONE) /* the command's process says its own */
        error->stage = PLAN_STAGE_EXEC;
    return r;
}
