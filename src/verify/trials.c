/* Limits and records that are tried out by small jobs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

void verify_limits(struct run *run)
{
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
