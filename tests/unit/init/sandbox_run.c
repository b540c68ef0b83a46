/* Runs commands in real sandboxes, without the service:
 *     sandbox_run INIT run COMMAND [ARGUMENT...]     one job; prints its log and how it ended
 *     sandbox_run INIT bench N                       clone3 to reaped exit of "true": minimum, median, 99th percentile
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

static int run_one(const struct driver *driver, char *const arguments[])
{
    struct driver_job job;
    driver_job_init(driver, &job, arguments);
    job.with_cgroups = driver->has_v1;
    int r = driver_run(driver, &job);
    if (r == 0) {
        (void)fwrite(job.log, 1, job.log_size, stdout);
        if (job.failed)
            (void)printf("failed at '%s': %s\n", plan_stage_name(job.error.stage), job.error.text);
        (void)printf("joblet-init: %d, record: %s %d %s\n", job.wait_status,
                job.has_record ? record_reason_name(job.record.reason) : "none", job.record.exit_code,
                job.record.error.text);
    }
    driver_job_done(&job);
    return r == 0 && job.has_record && job.record.exit_code == 0 ? 0 : 1;
}

static int compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static int bench(const struct driver *driver, unsigned count)
{
    char *const arguments[] = {(char[]){"/bin/true"}, NULL};
    int64_t *durations = calloc(count, sizeof(*durations));
    for (unsigned i = 0; i < count; i++) {
        struct driver_job job;
        driver_job_init(driver, &job, arguments);
        job.skip_log = true;
        if (driver_run(driver, &job) < 0 || !job.has_record || job.record.exit_code != 0) {
            (void)fprintf(stderr, "run %u failed: %s\n", i, job.error.text);
            free(durations);
            return 1;
        }
        durations[i] = job.duration_ns;
    }
    qsort(durations, count, sizeof(*durations), compare);
    (void)printf("sandbox start to exit, microseconds: min %ld median %ld p99 %ld of %u\n", (long)(durations[0] / 1000),
            (long)(durations[count / 2] / 1000), (long)(durations[count * 99 / 100] / 1000), count);
    free(durations);
    return 0;
}

int main(int count, char **arguments)
{
    bool is_bench = count == 4 && strcmp(arguments[2], "bench") == 0;
    if (count < 4 || (!is_bench && strcmp(arguments[2], "run") != 0)) {
        (void)fprintf(stderr, "usage: sandbox_run INIT run COMMAND [ARGUMENT...] | bench N\n");
        return 2;
    }
    if (geteuid() != 0) {
        (void)printf("skipped: needs root\n");
        return 77;
    }
    struct driver driver;
    if (driver_open(&driver, arguments[1], /* has_hooks= */ false) < 0)
        return 1;
    int r = is_bench ? bench(&driver, (unsigned)atoi(arguments[3])) : run_one(&driver, arguments + 3);
    driver_close(&driver);
    return r;
}
