/* A hostile program. `hostile` runs all attempts, `hostile NAME...` only those (NAME may be a number or a group's
 * letter too), `hostile --list` names them: number, promise, name, mechanism, with tabs between. `hostile --leave` is
 * the other job of group J. One line for each: "ok PROMISE NAME: what was seen" or "ESCAPED PROMISE NAME: ...". Exit
 * status 0 only when all were refused. Every attempt runs in a process of its own, so that one that is killed by the
 * kernel counts as refused and does not end the others. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attempt.h"

static const struct attempt_group *const groups[] = {
        &attempts_files,
        &attempts_kernel,
        &attempts_processes,
        &attempts_network,
        &attempts_runtimes,
        &attempts_modules,
        &attempts_syscalls,
        &attempts_jobs,
};

int attempt_expect(long result, char seen[ATTEMPT_SEEN_MAX], const int errnos[])
{
    int code = errno;
    if (result != -1) {
        (void)snprintf(seen, ATTEMPT_SEEN_MAX, "succeeded with %ld", result);
        return -1;
    }
    (void)snprintf(seen, ATTEMPT_SEEN_MAX, "%s", strerrorname_np(code));
    for (; *errnos; errnos++)
        if (code == *errnos)
            return 0;
    size_t used = strlen(seen);
    (void)snprintf(seen + used, ATTEMPT_SEEN_MAX - used, " (not the refusal that is expected)");
    return -1;
}

int attempt_fact(int holds, char seen[ATTEMPT_SEEN_MAX], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(seen, ATTEMPT_SEEN_MAX, format, arguments);
    va_end(arguments);
    return holds ? 0 : -1;
}

const char *attempt_field(const char *path, const char *key, char text[static 128])
{
    static char line[1024];
    text[0] = '\0';
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file)) {
        if (strncmp(line, key, strlen(key)) != 0)
            continue;
        const char *value = line + strlen(key);
        value += strspn(value, " \t");
        (void)snprintf(text, 128, "%.*s", (int)strcspn(value, "\n"), value);
        break;
    }
    if (file)
        (void)fclose(file);
    return text;
}

/* What the child found, in shared memory: the child may be killed at any point. */
struct outcome {
    int finished;
    int refused;
    char seen[ATTEMPT_SEEN_MAX];
};

static int attempt_run(const struct attempt *attempt, struct outcome *outcome)
{
    memset(outcome, 0, sizeof(*outcome));
    (void)fflush(stdout);
    pid_t child = fork();
    if (child < 0) {
        perror("fork");
        return -1;
    }
    if (child == 0) {
        (void)alarm(20);
        outcome->refused = attempt->run(outcome->seen) == 0;
        outcome->finished = 1;
        _exit(0);
    }
    int status;
    if (waitpid(child, &status, 0) != child) {
        perror("waitpid");
        return -1;
    }
    if (!outcome->finished) {
        int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        (void)snprintf(outcome->seen, sizeof(outcome->seen), "ended by signal %d", number);
        /* Killed by the filter or the processor is a refusal; a time-out is not. */
        outcome->refused = number == SIGSYS || number == SIGSEGV || number == SIGILL || number == SIGBUS;
    }
    printf("%s %s %s: %s\n", outcome->refused ? "ok" : "ESCAPED", attempt->promise, attempt->name, outcome->seen);
    return outcome->refused ? 0 : -1;
}

static int is_wanted(const struct attempt *attempt, int count, char **names)
{
    const char letter[] = {attempt->number[0], '\0'};
    if (count == 0)
        return 1;
    for (int i = 0; i < count; i++)
        if (strcmp(attempt->name, names[i]) == 0 || strcmp(attempt->number, names[i]) == 0 ||
                strcmp(letter, names[i]) == 0)
            return 1;
    return 0;
}

int main(int count, char **arguments)
{
    int list = count > 1 && strcmp(arguments[1], "--list") == 0;
    /* On a host some of these would do what they try. */
    if (!list && (!getenv("JOB_ID") || geteuid() == 0)) {
        (void)fprintf(stderr, "hostile: only to be run inside a job\n");
        return 2;
    }
    if (count > 1 && strcmp(arguments[1], "--leave") == 0)
        return jobs_leave();
    if (count > 1 && strcmp(arguments[1], "--take") == 0)
        return jobs_take();
    struct outcome *outcome = mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (outcome == MAP_FAILED) {
        perror("mmap");
        return 2;
    }
    unsigned tried = 0;
    unsigned escaped = 0;
    for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
        for (size_t i = 0; i < groups[g]->count; i++) {
            const struct attempt *attempt = &groups[g]->attempts[i];
            if (list) {
                printf("%s\t%s\t%s\t%s\n", attempt->number, attempt->promise, attempt->name, attempt->mechanism);
                continue;
            }
            if (!is_wanted(attempt, count - 1, arguments + 1))
                continue;
            tried++;
            if (attempt_run(attempt, outcome) < 0)
                escaped++;
        }
    }
    if (list)
        return 0;
    printf("%u attempts, %u escaped\n", tried, escaped);
    return tried > 0 && escaped == 0 ? 0 : 1;
}
