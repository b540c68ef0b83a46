#include "doctor/doctor.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "config/config.h"
#include "doctor/row.h"
#include "setup/ids.h"

/* Where setup would look for ranges: good enough to try with. */
#define EXAMPLE_RANGE 0x70000000U
#define EXAMPLE_DISK 0x7ffe0000U
#define EXAMPLE_COUNT 64U

static void read_configuration(struct doctor *doctor)
{
    doctor->range_start = EXAMPLE_RANGE;
    doctor->range_count = EXAMPLE_COUNT;
    doctor->disk_start = EXAMPLE_DISK;
    if (config_load(doctor->prefix, &doctor->config, &doctor->config_error) < 0) {
        doctor->config = NULL;
        return;
    }
    doctor->range_start = doctor->config->id_range_start;
    doctor->range_count = doctor->config->id_range_count;
    doctor->disk_start = doctor->config->disk_id_start;
}

/* An interrupt waits for the end of a try, which cleans up behind itself. */
static int try_row(const struct doctor *doctor, const struct row *row, struct finding *ret_finding)
{
    sigset_t interrupts;
    sigset_t before;
    if (row->needs_root && !doctor->is_root) {
        finding_untested(ret_finding, "needs root");
        return 0;
    }
    (void)sigemptyset(&interrupts);
    (void)sigaddset(&interrupts, SIGINT);
    (void)sigaddset(&interrupts, SIGTERM);
    (void)sigaddset(&interrupts, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &interrupts, &before);
    int r = trial_run(doctor, row, ret_finding);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return r;
}

static bool can_run(const struct finding findings[])
{
    for (size_t i = 0; i < doctor_row_count; i++)
        if (doctor_rows[i].need == NEED_JOBS && findings[i].verdict != VERDICT_HOLDS)
            return false;
    return true;
}

static int finish(int r, bool is_well)
{
    if (r < 0)
        (void)fprintf(stderr, "joblet doctor: the report could not be written\n");
    return r == 0 && is_well ? 0 : 1;
}

static bool is_asked_for(const struct row *row, bool cis)
{
    return cis ? row->id != NULL : row->need != NEED_CIS;
}

static int examine(struct doctor *doctor, bool json, bool cis)
{
    _cleanup_free_ struct finding *findings = calloc(doctor_row_count, sizeof(*findings));
    if (!findings) {
        (void)fprintf(stderr, "joblet doctor: no memory\n");
        return 1;
    }
    for (size_t i = 0; i < doctor_row_count; i++) {
        if (!is_asked_for(&doctor_rows[i], cis))
            continue;
        int r = try_row(doctor, &doctor_rows[i], &findings[i]);
        if (r < 0)
            finding_errno(&findings[i], -r, "start a try");
    }
    if (cis)
        return finish(json ? report_cis_json(doctor, findings) : report_cis_text(doctor, findings),
                report_cis_failures(findings) == 0);
    bool jobs_can_run = can_run(findings);
    int r = json ? report_json(doctor, findings, jobs_can_run) : report_text(doctor, findings, jobs_can_run);
    return finish(r, jobs_can_run);
}

int doctor_main(const char *prefix, int count, char **arguments)
{
    bool json = false;
    bool cis = false;
    for (int i = 0; i < count; i++) {
        if (strcmp(arguments[i], "--json") == 0) {
            json = true;
        } else if (strcmp(arguments[i], "--cis") == 0) {
            cis = true;
        } else if (strcmp(arguments[i], "--help") == 0) {
            (void)printf("usage: joblet [--prefix DIR] doctor [--cis] [--json]\n\n"
                         "Tries what a sandbox needs and says what holds. The exit status is 0 when jobs can run.\n"
                         "--cis: says how well the host and the installation are kept; 0 when nothing fails.\n");
            return fflush(stdout) == 0 ? 0 : 1;
        } else {
            (void)fprintf(stderr, "joblet doctor: unknown argument '%s' (see 'joblet doctor --help')\n", arguments[i]);
            return 2;
        }
    }
    struct doctor doctor = {.prefix = prefix, .is_root = geteuid() == 0};
    read_configuration(&doctor);
    /* A try is a fork: what is buffered would be written twice. */
    (void)fflush(stdout);
    int status = examine(&doctor, json, cis);
    config_free(doctor.config);
    return status;
}
