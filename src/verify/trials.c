/* Limits and records that are tried out by small jobs. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "verify/run.h"

/* Runs @words to its end and deletes the job. The exit status; @ret_output (the caller's) has what rnx wrote. */
static int run_to_end(struct run *run, const char *const words[], char **ret_output)
{
    struct client client;
    struct error error = {0};
    char job[RUN_JOB_MAX];
    int status = run_rnx(run, words, &client, &error);
    *ret_output = strdup(client.size == 0 ? client_why(&client, status, &error) : client.output);
    if (status >= CLIENT_ENDED && run_find_id(client.output, job))
        (void)run_delete_job(run, job);
    client_done(&client);
    return status;
}

/* The part of a job's id that its host name, "job-XXXXXXXX", shows: it prints that first. */
static void delete_by_name(struct run *run, const char *output)
{
    char job[RUN_JOB_MAX];
    const char *at = output ? strstr(output, "joblet-verify-id ") : NULL;
    uint8_t id[16];
    if (!at)
        return;
    (void)snprintf(job, sizeof(job), "%.36s", at + strlen("joblet-verify-id "));
    if (text_parse_uuid(job, id) == 0)
        (void)run_delete_job(run, job);
}

#define SAY_ID "echo joblet-verify-id $JOB_ID; "

static const struct trial {
    const char *tried;
    const char *option;
    const char *value;
    const char *script;
    const char *says; /* rnx or the script says so */
    int status;       /* -1: not looked at, what is said is enough */
} trials[] = {
        {"32 MiB of memory, 200 MiB taken", "--max-memory", "32", SAY_ID "head -c 200M /dev/zero | tail | wc -c",
                "out of memory", 137},
        {"16 processes, 40 started", "--max-processes", "16",
                SAY_ID "exec 2>&1; i=0; while [ $i -lt 40 ]; do sleep 3 & i=$((i + 1)); done; echo all started", "ork",
                -1},
        {"a second of time, five taken", "--timeout", "1s", SAY_ID "sleep 5", "timeout", 124},
};

/* The last line that has something in it; what stands behind it is cut off. */
static const char *last_line(char *text)
{
    size_t length = text ? strlen(text) : 0;
    while (length > 0 && text[length - 1] == '\n')
        text[--length] = '\0';
    const char *line = length > 0 ? strrchr(text, '\n') : NULL;
    return line ? line + 1 : length > 0 ? text : "";
}

/* --- limits that not every host can enforce: there a job that asks for one is refused --- */

/* Looks at a job that runs: whether it has @value. */
typedef bool (*asked_function)(const struct seen_sandbox *sandbox, const char *value, char ret_seen[64]);

static bool has_one_cpu(const struct seen_sandbox *sandbox, const char *value, char ret_seen[64])
{
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    int r = sched_getaffinity(sandbox->command, sizeof(cpus), &cpus);
    (void)snprintf(ret_seen, 64, "it may run on %d processors", r < 0 ? 0 : CPU_COUNT(&cpus));
    return r == 0 && CPU_COUNT(&cpus) == 1 && CPU_ISSET((size_t)strtoul(value, NULL, 10), &cpus);
}

static bool has_traffic(const struct seen_sandbox *sandbox, const char *value, char ret_seen[64])
{
    char expected[64];
    if (!look_read_group(sandbox->job, "io.max", ret_seen))
        (void)snprintf(ret_seen, 64, "it runs without a limit");
    (void)snprintf(expected, sizeof(expected), " rbps=%s wbps=%s", value, value);
    return strstr(ret_seen, expected);
}

static bool is_running(void *user)
{
    struct seen_sandbox *sandbox = user;
    char job[RUN_JOB_MAX];
    memcpy(job, sandbox->job, sizeof(job));
    return find_job(job, sandbox) == 0;
}

/* "job UUID was not started: ...": its record is there. */
static void delete_refused(struct run *run, const char *output)
{
    char job[RUN_JOB_MAX];
    uint8_t id[16];
    const char *end = strstr(output, " was not started");
    if (!end || end - output < 36)
        return;
    (void)snprintf(job, sizeof(job), "%.36s", end - 36);
    if (text_parse_uuid(job, id) == 0)
        (void)run_delete_job(run, job);
}

static void try_asked(struct run *run, const char *option, const char *value, asked_function has_it, const char *tried)
{
    const char *const words[] = {"job", "run", "--timeout", "30s", option, value, "sleep", "30", NULL};
    struct client client;
    struct error error = {0};
    struct seen_sandbox sandbox = {0};
    char seen[64] = "";
    long ms;
    int status = run_rnx(run, words, &client, &error);
    if (status == 0 && run_find_id(client.output, sandbox.job)) {
        bool found = run_until(run, is_running, &sandbox, RUN_PATIENCE_MS, &ms) == REPORT_KEPT;
        bool holds = found && has_it(&sandbox, value, seen);
        if (found)
            run_fact(run, 8, REPORT_OUTSIDE, holds, tried, "%s", seen);
        else
            report_add(&run->report, 8, REPORT_OUTSIDE, REPORT_UNABLE, tried, "its process is not found");
        (void)run_delete_job(run, sandbox.job);
    } else {
        bool is_refused = status > 0 && strstr(client.output, "cannot be enforced on this host");
        report_add(&run->report, 8, REPORT_CLIENT, is_refused ? REPORT_KEPT : REPORT_UNABLE, tried, "%.200s",
                client_why(&client, status, &error));
        delete_refused(run, status < CLIENT_ENDED ? "" : client.output);
    }
    client_done(&client);
}

static void try_cpu(struct run *run)
{
    static const char tried[] = "a job that asks for one processor";
    char cpu[16];
    (void)snprintf(cpu, sizeof(cpu), "%d", run->cpu);
    if (run->cpu < 0)
        report_add(&run->report, 8, REPORT_OUTSIDE, REPORT_UNABLE, tried, "no processor of jobs is known");
    else
        try_asked(run, "--cpu-cores", cpu, has_one_cpu, tried);
}

/* --- the log --- */

/* Larger ones would take the disk of a service in use. */
#define LOG_TRIED_MAX (64ULL << 20)
#define LOG_BEYOND (1U << 20)
/* The service's own line behind what was kept. */
#define LOG_LINE_MAX 256

static void check_log(struct run *run, const char *job, const char *tried)
{
    char path[PATH_MAX];
    char line[LOG_LINE_MAX + 1] = "";
    struct stat status;
    uint8_t id[16];
    (void)snprintf(path, sizeof(path), "%s/state/jobs/%s/log", run->prefix, job);
    _cleanup_close_ int fd = text_parse_uuid(job, id) < 0 ? -EBADF : open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0 || status.st_size < LOG_LINE_MAX ||
            pread(fd, line, LOG_LINE_MAX, status.st_size - LOG_LINE_MAX) != LOG_LINE_MAX)
        return report_add(&run->report, 8, REPORT_OUTSIDE, REPORT_UNABLE, tried, "the log cannot be read");
    bool is_told = strstr(line, "left out");
    run_fact(run, 8, REPORT_OUTSIDE, is_told && (uint64_t)status.st_size <= run->log_bytes + LOG_LINE_MAX, tried,
            "%lld bytes are in the log, promised: %llu; it %s that some were left out", (long long)status.st_size,
            (unsigned long long)run->log_bytes, is_told ? "says" : "does not say");
}

static void try_log(struct run *run)
{
    static const char tried[] = "a job that writes more than its log may hold";
    char bytes[24];
    char *output = NULL;
    const char *const words[] = {"job", "run", "--follow", "--timeout", "30s", "sh", "-c",
            (SAY_ID "head -c \"$1\" /dev/zero | tr '\\0' x"), "sh", bytes, NULL};
    if (run->log_bytes == 0 || run->log_bytes > LOG_TRIED_MAX)
        return report_add(&run->report, 8, REPORT_OUTSIDE, REPORT_LEFT_OUT, tried,
                "it may hold %llu MiB, 0: all; more than 64 are not filled on a service in use",
                (unsigned long long)run->log_bytes >> 20);
    (void)snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)run->log_bytes + LOG_BEYOND);
    (void)run_to_end(run, words, &output);
    const char *at = output ? strstr(output, "joblet-verify-id ") : NULL;
    char job[RUN_JOB_MAX] = "";
    if (at)
        (void)snprintf(job, sizeof(job), "%.36s", at + strlen("joblet-verify-id "));
    check_log(run, job, tried);
    delete_by_name(run, output);
    free(output);
}

void verify_limits(struct run *run)
{
    try_cpu(run);
    try_asked(run, "--max-iobps", "1048576", has_traffic, "a job that asks for 1 MiB of disk traffic a second");
    try_log(run);
    for (size_t i = 0; i < ELEMENTS(trials); i++) {
        const struct trial *trial = &trials[i];
        char *output = NULL;
        const char *const words[] = {
                "job", "run", "--follow", trial->option, trial->value, "sh", "-c", trial->script, NULL};
        int status = run_to_end(run, words, &output);
        bool holds = (trial->status < 0 || status == trial->status) && output && strstr(output, trial->says);
        bool ran = output && strstr(output, "joblet-verify-id ");
        report_add(&run->report, 8, REPORT_CLIENT,
                holds                      ? REPORT_KEPT
                : ran && !run_is_over(run) ? REPORT_BROKEN
                                           : REPORT_UNABLE,
                trial->tried, "exit status %d: %.150s", status, last_line(output));
        delete_by_name(run, output);
        free(output);
    }
}

void verify_records(struct run *run)
{
    char *output = NULL;
    char *log = NULL;
    char job[RUN_JOB_MAX] = "";
    const char *const words[] = {
            "job", "run", "--follow", "sh", "-c", (SAY_ID "echo to-output; echo to-error >&2; exit 7"), NULL};
    int status = run_to_end(run, words, &output);
    const char *at = output ? strstr(output, "joblet-verify-id ") : NULL;
    if (!at) {
        report_add(&run->report, 9, REPORT_CLIENT, REPORT_UNABLE, "a job's record", "%s", output ? output : "");
        free(output);
        return;
    }
    (void)snprintf(job, sizeof(job), "%.36s", at + strlen("joblet-verify-id "));
    uint8_t id[16];
    if (text_parse_uuid(job, id) == 0)
        (void)snprintf(run->recorded, sizeof(run->recorded), "%s", job);
    run_fact(run, 9, REPORT_CLIENT, status == 7, "how a job ended", "exit status %d, it was 7", status);
    const char *const log_words[] = {"job", "log", job, NULL};
    (void)run_to_end(run, log_words, &log);
    bool has_both = log && strstr(log, "to-output") && strstr(log, "to-error");
    run_fact(run, 9, REPORT_CLIENT, has_both, "every byte of a job's output is in its log", "%s",
            has_both ? "standard output and standard error" : "something is missing");
    delete_by_name(run, output);
    free(output);
    free(log);
}
