/* The suite in a job, and our look at the job meanwhile. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "verify/run.h"
#include "verify/tap.h"

#define NUMBER(value) TEXT_OF(value)
#define TEXT_OF(value) #value
/* The suite is an argument of its own: no quoting. Then the job stays to be looked at; it says so when it holds still,
 * because what a shell or a program that starts opens for a moment would be seen as left open. */
#define HOLDER ("sh -c \"$1\"; echo x >/work/touched; sleep 50 & echo; echo '" RUN_HELD "'; wait")

/* A row for each promise that a job is looked at for. */
static void give_up(struct run *run, const char *why)
{
    for (unsigned promise = 1; promise <= REPORT_PROMISES; promise++)
        if (promise != 6 && promise != 9)
            report_add(&run->report, promise, REPORT_CLIENT, REPORT_UNABLE, "a job with the host-protection suite",
                    "%s", why);
}

/* As soon as a job runs its note is there from which the next joblet takes it over, and its log goes to a file. */
static void check_survival(struct run *run, const struct seen_sandbox *sandbox)
{
    char path[PATH_MAX];
    struct stat note;
    struct stat log;
    (void)snprintf(path, sizeof(path), "%s/state/jobs/%s/run", run->prefix, sandbox->job);
    bool has_note = lstat(path, &note) == 0 && S_ISREG(note.st_mode) && note.st_size > 0;
    report_fact(&run->report, 10, REPORT_OUTSIDE, has_note, "the note from which the next joblet takes the job over",
            "%s", has_note ? "it is there" : "it is missing");
    (void)snprintf(path, sizeof(path), "%s/state/jobs/%s/log", run->prefix, sandbox->job);
    bool has_log = lstat(path, &log) == 0 && S_ISREG(log.st_mode) && log.st_size > 0;
    report_fact(&run->report, 10, REPORT_OUTSIDE, has_log, "the output of a running job is in its file already",
            "%lld bytes", has_log ? (long long)log.st_size : 0LL);
    report_add(&run->report, 10, REPORT_OUTSIDE, REPORT_LEFT_OUT, "killing joblet and joblet-api under a running job",
            "not on a service in use; tests/e2e/test_crash.py does it");
}

static void check_status(struct run *run, const struct seen_sandbox *sandbox)
{
    struct client client;
    struct error error = {0};
    const char *const words[] = {"job", "status", "--json", sandbox->job, NULL};
    if (run_rnx(run, words, &client, &error) == 0) {
        look_at_view(run, sandbox, client.output);
        look_at_sizes(run, sandbox, client.output);
    } else {
        report_add(
                &run->report, 5, REPORT_CLIENT, REPORT_UNABLE, "what joblet saw of the job", "rnx job status failed");
        report_add(&run->report, 8, REPORT_CLIENT, REPORT_UNABLE, "a job: the sizes of what it writes to",
                "rnx job status failed");
    }
    client_done(&client);
}

static void look(struct run *run, struct seen_sandbox *sandbox, const char *keyrings)
{
    look_at_keyrings(run, SANDBOX_JOB, keyrings);
    look_at_sandbox(run, sandbox);
    look_at_mounts(run, sandbox);
    look_at_limits(run, sandbox);
    check_survival(run, sandbox);
    check_status(run, sandbox);
}

static bool no_files(void *user)
{
    return access(user, F_OK) < 0;
}

static void check_end(struct run *run, const struct seen_sandbox *sandbox)
{
    char path[PATH_MAX];
    long ms = 0;
    look_at_leftovers(run, sandbox);
    bool deleted = run_delete_job(run, sandbox->job);
    (void)snprintf(path, sizeof(path), "%s/state/jobs/%s", run->prefix, sandbox->job);
    enum report_verdict gone = deleted            ? run_until(run, no_files, path, RUN_PATIENCE_MS, &ms)
                               : run_is_over(run) ? REPORT_UNABLE
                                                  : REPORT_BROKEN;
    report_add(&run->report, 7, REPORT_OUTSIDE, gone, "a job that was deleted: no file is left",
            gone == REPORT_KEPT ? "gone after %ld ms" : "still there after %ld ms", ms);
}

/* Waits for the suite's end, reads its answer, and looks. */
static void follow(struct run *run, const char *job, const char *keyrings)
{
    struct seen_sandbox sandbox;
    struct client log;
    struct client stop;
    struct error error = {0};
    const char *const log_words[] = {"job", "log", job, NULL};
    const char *const stop_words[] = {"job", "stop", job, NULL};
    struct tap *tap = calloc(1, sizeof(*tap));
    bool held = tap && run_start_rnx(run, log_words, &log, &error) == 0 &&
                client_read_until(&log, RUN_HELD, run->deadline_ns);
    if (held && find_job(job, &sandbox) == 0) {
        tap_parse(log.output, log.size, tap);
        tap_report(tap, REPORT_INSIDE_JOB, &run->report);
        look(run, &sandbox, keyrings);
        (void)run_rnx(run, stop_words, &stop, &error);
        client_done(&stop);
        check_end(run, &sandbox);
    } else {
        give_up(run, held ? "no joblet-init of the job is found on this host" : "the suite did not come to its end");
        (void)run_delete_job(run, job);
    }
    if (tap)
        client_done(&log);
    free(tap);
}

void verify_job(struct run *run)
{
    char *suite = NULL;
    size_t size = 0;
    struct client client;
    struct error error = {0};
    char job[RUN_JOB_MAX];
    _cleanup_free_ char *keyrings = look_take_keyrings();
    if (fd_read_file_at(AT_FDCWD, run->suite, 100000, &suite, &size) < 0)
        return give_up(run, "the suite cannot be read");
    const char *const words[] = {"job", "run", "--max-memory", NUMBER(RUN_MEMORY_MIB), "--max-processes",
            NUMBER(RUN_PROCESSES), "--max-cpu", NUMBER(RUN_CPU_PERCENT), "--max-open-files", NUMBER(RUN_OPEN_FILES),
            "--timeout", "55s", "sh", "-c", HOLDER, "sh", suite, NULL};
    int status = run_rnx(run, words, &client, &error);
    if (status == 0 && run_find_id(client.output, job))
        follow(run, job, keyrings);
    else
        give_up(run, client_why(&client, status, &error));
    client_done(&client);
    free(suite);
}
