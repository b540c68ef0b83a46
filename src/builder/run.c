/* A step must not live on: a daemon that it left could change what the next step or the collecting sees. Since we reap
 * strays (PR_SET_CHILD_SUBREAPER) every process of the step is a descendant of ours, and kill(-1) ends all of them in
 * one go: a fork(2) that races with it fails, because the kernel looks for a pending signal under the same lock. */
#include "builder/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "builder/lines.h"
#include "builder/say.h"

#define WORK_DIRECTORY "/work"
#define CHUNK_SIZE 65536U

enum { WATCH_STDOUT, WATCH_STDERR, WATCH_CHILD, WATCH_TIMER, WATCH_COUNT };

/* What the command's process says when it cannot become the command. */
struct start_failure {
    int code;
    bool in_directory;
};

struct running {
    const struct run_step *step;
    pid_t pid;
    struct lines lines[2];
    int status;
    bool is_over;
    bool is_late;
};

__attribute__((noreturn)) static void execute(const struct run_step *step, const int output[2], int failure_fd)
{
    struct start_failure failure = {0};
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)setsid();
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    char **words = calloc(step->count + 1, sizeof(char *));
    if (null_fd < 0 || !words || dup2(null_fd, STDIN_FILENO) < 0 || dup2(output[0], STDOUT_FILENO) < 0 ||
            dup2(output[1], STDERR_FILENO) < 0) {
        failure.code = errno;
    } else if (chdir(WORK_DIRECTORY) < 0) {
        failure = (struct start_failure){errno, true};
    } else {
        memcpy(words, step->words, step->count * sizeof(char *));
        environ = (char **)(uintptr_t)step->environment; /* execvp takes PATH from here */
        (void)execvp(words[0], words);
        failure.code = errno;
    }
    (void)fd_write_all(failure_fd, &failure, sizeof(failure));
    _exit(127);
}

static int explain(const struct run_step *step, const struct start_failure *failure, struct error *error)
{
    if (failure->in_directory)
        return error_errno(error, failure->code, "%s: directory '%s'", step->name, WORK_DIRECTORY);
    if (failure->code == ENOENT)
        return error_text(error, ENOENT, "%s: command '%.100s' was not found", step->name, step->words[0]);
    return error_errno(error, failure->code, "%s: command '%.100s' cannot be executed", step->name, step->words[0]);
}

struct pipes {
    int output[2][2]; /* standard output, standard error: read end, write end */
    int failure[2];
};

static void close_pipes(struct pipes *pipes)
{
    for (size_t i = 0; i < 2; i++)
        for (size_t end = 0; end < 2; end++)
            pipes->output[i][end] = fd_close(pipes->output[i][end]);
    for (size_t end = 0; end < 2; end++)
        pipes->failure[end] = fd_close(pipes->failure[end]);
}

/* @pipes must have no descriptors yet. */
static int open_pipes(struct pipes *pipes, struct error *error)
{
    if (pipe2(pipes->output[0], O_CLOEXEC) == 0 && pipe2(pipes->output[1], O_CLOEXEC) == 0 &&
            pipe2(pipes->failure, O_CLOEXEC) == 0)
        return 0;
    int code = errno;
    close_pipes(pipes);
    return error_errno(error, code, "pipes of a step");
}

/* Starts the command's process and waits until it is the command. The write ends of @pipes are closed. */
static int start(const struct run_step *step, struct pipes *pipes, pid_t *ret_pid, struct error *error)
{
    pid_t pid = fork();
    if (pid < 0)
        return error_errno(error, errno, "%s: fork", step->name);
    if (pid == 0)
        execute(step, (const int[2]){pipes->output[0][1], pipes->output[1][1]}, pipes->failure[1]);
    pipes->output[0][1] = fd_close(pipes->output[0][1]);
    pipes->output[1][1] = fd_close(pipes->output[1][1]);
    pipes->failure[1] = fd_close(pipes->failure[1]);
    struct start_failure failure;
    int r = fd_read_exact(pipes->failure[0], &failure, sizeof(failure));
    if (r == 0) {
        (void)waitpid(pid, NULL, 0);
        return explain(step, &failure, error);
    }
    *ret_pid = pid; /* the exec closed its end */
    return 0;
}

static void put_line(void *context, size_t stream, const char *text, size_t size)
{
    const struct run_step *step = context;
    if (stream == 0 && step->is_query)
        say_value(step->name, text, size);
    else
        say_log(stream == 0 ? SAY_INFO : SAY_WARN, text, size);
}

/* Reads once. False at the end. */
static bool read_output(struct running *running, size_t stream, int fd)
{
    char chunk[CHUNK_SIZE];
    ssize_t got;
    do
        got = read(fd, chunk, sizeof(chunk));
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return false;
    lines_add(&running->lines[stream], chunk, (size_t)got);
    say_flush();
    return true;
}

/* Reaps what has ended. */
static void reap(struct running *running)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == running->pid) {
            running->is_over = true;
            running->status = status;
        }
    }
}

static void empty(int fd)
{
    struct signalfd_siginfo info[8];
    while (read(fd, info, sizeof(info)) > 0)
        ;
}

static void watch(struct running *running, struct pollfd watches[WATCH_COUNT])
{
    while (!running->is_over) {
        if (poll(watches, WATCH_COUNT, -1) < 0)
            continue;
        for (size_t i = 0; i < 2; i++)
            if (watches[i].revents && !read_output(running, i, watches[i].fd))
                watches[i].fd = -1;
        if (watches[WATCH_CHILD].revents) {
            empty(watches[WATCH_CHILD].fd);
            reap(running);
        }
        if (watches[WATCH_TIMER].revents && !running->is_over) {
            running->is_late = true;
            (void)kill(-1, SIGKILL);
            (void)waitpid(running->pid, &running->status, 0);
            running->is_over = true;
        }
    }
}

void run_end_others(void)
{
    for (;;) {
        bool none = kill(-1, SIGKILL) < 0;
        pid_t pid;
        do
            pid = waitpid(-1, NULL, 0);
        while (pid > 0 || (pid < 0 && errno == EINTR));
        if (none)
            return;
    }
}

static int arm(uint64_t ns, struct error *error)
{
    _cleanup_close_ int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    const struct itimerspec value = {
            .it_value = {.tv_sec = (time_t)(ns / 1000000000U), .tv_nsec = (long)(ns % 1000000000U)}};
    if (fd < 0 || timerfd_settime(fd, 0, &value, NULL) < 0)
        return error_errno(error, errno, "time limit of a step");
    return TAKE_FD(fd);
}

/* The clock that times of files come from: behind the other by up to a tick, or more where the machine itself waits. */
static int64_t file_clock_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Waits until no file that comes from now on can bear a time of before: so times tell which step wrote what. */
static void part_from(int64_t end_ns)
{
    const struct timespec tick = {.tv_nsec = 500000};
    for (int i = 0; i < 2000 && file_clock_ns() <= end_ns; i++)
        (void)nanosleep(&tick, NULL);
}

static int judge(const struct running *running, struct error *error)
{
    const struct run_step *step = running->step;
    int status = running->status;
    bool exited = WIFEXITED(status);
    int64_t end_ns = text_now_unix_ns();
    part_from(end_ns);
    say_end(step->name, end_ns, exited ? "exit" : "signal", exited ? WEXITSTATUS(status) : WTERMSIG(status));
    if (running->is_late) {
        char limit[TEXT_DURATION_MAX];
        text_format_duration(step->timeout_ns, limit);
        return error_text(error, EIO, "%s: not done within %s", step->name, limit);
    }
    if (!exited)
        return error_text(error, EIO, "%s: ended by signal %d", step->name, WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        return error_text(error, EIO, "%s: exit status %d", step->name, WEXITSTATUS(status));
    return 0;
}

/* With SIGCHLD blocked and readable from @signal_fd. */
static int run(const struct run_step *step, int signal_fd, struct error *error)
{
    struct pipes pipes = {{{-EBADF, -EBADF}, {-EBADF, -EBADF}}, {-EBADF, -EBADF}};
    struct running running = {.step = step};
    for (size_t i = 0; i < 2; i++)
        lines_init(&running.lines[i], put_line, (void *)(uintptr_t)step, i);
    _cleanup_close_ int timer_fd = arm(step->timeout_ns, error);
    if (timer_fd < 0)
        return timer_fd;
    int r = open_pipes(&pipes, error);
    if (r < 0)
        return r;
    say_begin(step->name, file_clock_ns());
    r = start(step, &pipes, &running.pid, error);
    if (r == 0) {
        struct pollfd watches[WATCH_COUNT] = {
                [WATCH_STDOUT] = {.fd = pipes.output[0][0], .events = POLLIN},
                [WATCH_STDERR] = {.fd = pipes.output[1][0], .events = POLLIN},
                [WATCH_CHILD] = {.fd = signal_fd, .events = POLLIN},
                [WATCH_TIMER] = {.fd = timer_fd, .events = POLLIN},
        };
        watch(&running, watches);
        run_end_others();
        for (size_t i = 0; i < 2; i++) {
            while (watches[i].fd >= 0 && read_output(&running, i, watches[i].fd))
                ; /* nobody writes any more */
            lines_end(&running.lines[i]);
        }
        r = judge(&running, error);
    }
    close_pipes(&pipes);
    return r;
}

int run_step(const struct run_step *step, struct error *error)
{
    sigset_t child;
    (void)sigemptyset(&child);
    (void)sigaddset(&child, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &child, NULL);
    _cleanup_close_ int signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signal_fd < 0)
        return error_errno(error, errno, "%s: signals", step->name);
    return run(step, signal_fd, error);
}
