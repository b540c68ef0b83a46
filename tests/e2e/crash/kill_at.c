/* Kills a process at one of its steps: each entry to and each return from a system call is one.
 *
 *     kill_at process PID STEPS        that process, all of its threads counted together
 *     kill_at child PID STEPS          the next joblet-init that this joblet starts, from its first instruction
 *     kill_at timed PID MICROSECONDS   the same, but untraced and so long after its birth: a sandbox refuses to be made
 *                                      under a tracer's eyes, so its last steps cannot be counted
 *
 * Says "ready" when everything is watched, then "killed STEPS CALL" or "ended STEPS" when it ended by itself before.
 * Without either it ends, and lets go, on a signal. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/ptrace.h>

static unsigned long limit;
static unsigned long steps;
static pid_t target; /* the process to be killed; 0: not born yet */

__attribute__((noreturn, format(printf, 1, 2))) static void finish(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vprintf(format, arguments);
    va_end(arguments);
    (void)fflush(stdout);
    _exit(0);
}

static void on_signal(int number)
{
    (void)number;
    char text[64];
    int size = snprintf(text, sizeof(text), "passed %lu\n", steps);
    (void)!write(STDOUT_FILENO, text, (size_t)size);
    _exit(0); /* the kernel lets go of what we trace */
}

static void seize(pid_t pid, unsigned long options)
{
    if (ptrace(PTRACE_SEIZE, pid, NULL, options) < 0 || ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0) {
        if (errno == ESRCH) /* it was faster */
            finish("ready\nended 0\n");
        (void)fprintf(stderr, "kill_at: seize %d: %s\n", pid, strerror(errno));
        exit(1);
    }
}

static void seize_threads(pid_t pid)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        if (entry->d_name[0] != '.')
            seize((pid_t)strtol(entry->d_name, NULL, 10), PTRACE_O_TRACESYSGOOD);
    if (directory)
        (void)closedir(directory);
}

/* A child in a PID namespace of its own: no other is joblet-init. */
static bool is_init(pid_t pid)
{
    char path[64];
    char line[256];
    int outer = 0;
    int inner = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, "NSpid:", 6) == 0 && sscanf(line + 6, "%d %d", &outer, &inner) == 2)
            break;
    if (file)
        (void)fclose(file);
    return inner == 1;
}

static long call_of(pid_t pid)
{
    struct ptrace_syscall_info info = {0};
    if (ptrace((enum __ptrace_request)PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <= 0)
        return -1;
    return info.op == PTRACE_SYSCALL_INFO_ENTRY ? (long)info.entry.nr : -1;
}

static void step(pid_t pid)
{
    if (++steps < limit)
        return;
    long call = call_of(pid);
    (void)kill(target, SIGKILL);
    finish("killed %lu %ld\n", steps, call);
}

static void go_on(pid_t pid, int status)
{
    int number = WSTOPSIG(status);
    bool group_stop =
            status >> 16 == PTRACE_EVENT_STOP && (number == SIGSTOP || number == SIGTSTP || number == SIGTTIN);
    bool plain = status >> 16 == 0 && number != (SIGTRAP | 0x80);
    if (group_stop)
        (void)ptrace((enum __ptrace_request)PTRACE_LISTEN, pid, NULL, NULL);
    else
        (void)ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(uintptr_t)(plain ? (unsigned)number : 0));
}

static void watch(pid_t pid, int status)
{
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
        if (pid == target)
            finish("ended %lu\n", steps);
        return;
    }
    if (WSTOPSIG(status) == (SIGTRAP | 0x80))
        step(pid);
    go_on(pid, status);
}

/* The newly born is stopped: which is it? */
static void meet(pid_t pid, bool timed)
{
    if (target || !is_init(pid)) {
        (void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
        return;
    }
    target = pid;
    if (!timed) {
        (void)ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
        return;
    }
    const struct timespec delay = {.tv_sec = (time_t)(limit / 1000000), .tv_nsec = (long)(limit % 1000000) * 1000};
    (void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
    (void)nanosleep(&delay, NULL);
    (void)kill(pid, SIGKILL);
    finish("killed %lu -1\n", limit);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    bool own = strcmp(argv[1], "process") == 0;
    bool timed = strcmp(argv[1], "timed") == 0;
    pid_t pid = (pid_t)strtol(argv[2], NULL, 10);
    limit = strtoul(argv[3], NULL, 10);
    (void)signal(SIGTERM, on_signal);
    if (own) {
        target = pid;
        seize_threads(pid);
    } else {
        seize(pid, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK);
    }
    (void)printf("ready\n");
    (void)fflush(stdout);
    for (;;) {
        int status;
        pid_t stopped = waitpid(-1, &status, __WALL);
        if (stopped < 0)
            finish("ended %lu\n", steps);
        if (own || stopped == target)
            watch(stopped, status);
        else if (stopped != pid)
            meet(stopped, timed);
        else if (!WIFEXITED(status) && !WIFSIGNALED(status))
            (void)ptrace(PTRACE_CONT, stopped, NULL,
                    (void *)(uintptr_t)(status >> 16 == 0 ? (unsigned)WSTOPSIG(status) : 0));
    }
}
