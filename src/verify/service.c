/* What this program's own other verbs find: they look at the same host and prefix. */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "verify/run.h"

/* Runs this program with another verb and its @words (ended by NULL). The exit status as client_run; @client in any
 * case. */
static int run_own(const struct run *run, const char *const words[], struct client *client, struct error *error)
{
    char path[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[size < 0 ? 0 : size] = '\0';
    const char *all[8] = {path, "--prefix", run->prefix};
    for (size_t i = 0; words[i]; i++)
        all[3 + i] = words[i];
    return client_run(all, run->deadline_ns, client, error);
}

/* P6: everything that a sandbox needs is tried on this host by the table that the service refuses by, and a request
 * that cannot be kept is refused with its reason. */
void verify_doctor(struct run *run)
{
    struct client client;
    struct error error = {0};
    const char *const own[] = {"doctor", "--json", NULL};
    int status = run_own(run, own, &client, &error);
    json_t *root = status >= 0 ? json_loads(client.output, 0, NULL) : NULL;
    const json_t *can_run = json_object_get(root, "jobsCanRun");
    if (can_run)
        report_fact(&run->report, 6, REPORT_OUTSIDE, json_is_true(can_run),
                "each protection that a job needs holds on this host (joblet doctor)", "%zu rows, jobs %s run",
                json_array_size(json_object_get(root, "rows")), json_is_true(can_run) ? "can" : "cannot");
    else
        report_add(&run->report, 6, REPORT_OUTSIDE, REPORT_UNABLE, "each protection that a job needs (joblet doctor)",
                "%s", status < CLIENT_ENDED ? error.text : "no answer");
    json_decref(root);
    client_done(&client);

    const char *const words[] = {"job", "run", "--cpu-cores", "1000", "true", NULL};
    char job[RUN_JOB_MAX];
    status = run_rnx(run, words, &client, &error);
    bool ran = status == 0 && run_find_id(client.output, job);
    run_fact(run, 6, REPORT_CLIENT, status > 0, "a job on a processor that is not there", "%s",
            status > 0 ? client.output : "it was not refused");
    if (ran)
        (void)run_delete_job(run, job);
    client_done(&client);
    report_add(&run->report, 6, REPORT_OUTSIDE, REPORT_LEFT_OUT, "a protection that fails at a job's start",
            "not on a service in use; tests/e2e/test_fail_closed.py does it, for each call");
}

/* P9: the audit log's own check, and the records of a job of ours: one that was asked for, ran and ended. */
void verify_audit(struct run *run)
{
    static const char *const actions[] = {"job.run", "job.start", "job.end"};
    struct client client;
    struct error error = {0};
    const char *const verify[] = {"audit", "verify", NULL};
    int status = run_own(run, verify, &client, &error);
    run_fact(run, 9, REPORT_OUTSIDE, status == 0, "the audit log's chain (joblet audit verify)", "%s",
            client_why(&client, status, &error));
    client_done(&client);
    if (!run->recorded[0])
        return; /* the job's own row says why */
    const char *const list[] = {"audit", "list", "--job", run->recorded, NULL};
    char missing[64] = "";
    status = run_own(run, list, &client, &error);
    for (size_t i = 0; i < ELEMENTS(actions); i++) {
        size_t used = strlen(missing);
        if (status != 0 || !strstr(client.output, actions[i]))
            (void)snprintf(missing + used, sizeof(missing) - used, " %s", actions[i]);
    }
    run_fact(run, 9, REPORT_OUTSIDE, !missing[0], "the audit log has what was done with a job of ours", "missing:%s",
            missing[0] ? missing : " nothing");
    client_done(&client);
}
