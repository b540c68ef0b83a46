/* Runs busybox in sandboxes that are not standard, without the service, one after the other over one disk:
 *     builder_run INIT TYPE SCRIPT [TYPE SCRIPT...]      TYPE: build, collect, verify, sweep
 *     builder_run INIT bench N                           clone3 to reaped exit of "true" in a builder root
 *     builder_run INIT bench-small N                     the same over a host with next to no files: all but the walk
 * SCRIPT is a shell's. Prints each log and how it ended. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "builder.h"

static uint32_t type_of(const char *name)
{
    static const char *const names[] = {[PLAN_TYPE_BUILD] = "build",
            [PLAN_TYPE_COLLECT] = "collect",
            [PLAN_TYPE_VERIFY] = "verify",
            [PLAN_TYPE_SWEEP] = "sweep"};
    for (uint32_t type = PLAN_TYPE_BUILD; type <= PLAN_TYPE_SWEEP; type++)
        if (strcmp(names[type], name) == 0)
            return type;
    return 0;
}

static int run_one(struct builder *builder, uint32_t type, char *script)
{
    char *const arguments[] = {(char[]){"sh"}, (char[]){"-c"}, script, NULL};
    struct driver_job job;
    builder_job_init(builder, &job, type, arguments);
    job.wait_ms = 600000;
    int r = driver_run(builder->driver, &job);
    if (r == 0) {
        (void)fwrite(job.log, 1, job.log_size, stdout);
        if (job.failed)
            (void)printf("failed at '%s': %s\n", plan_stage_name(job.error.stage), job.error.text);
        (void)printf("joblet-init: %d, record: %s %d %s; %ld us, %u mounts leaked\n", job.wait_status,
                job.has_record ? record_reason_name(job.record.reason) : "none", job.record.exit_code,
                job.record.error.text, (long)(job.duration_ns / 1000), job.leaked_mounts);
    }
    bool is_good = r == 0 && job.has_record && job.record.exit_code == 0;
    driver_job_done(&job);
    return is_good ? 0 : 1;
}

static int compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static int bench(struct builder *builder, unsigned count)
{
    char *const arguments[] = {(char[]){"true"}, NULL};
    int64_t *durations = calloc(count, sizeof(*durations));
    int r = durations ? 0 : 1;
    for (unsigned i = 0; r == 0 && i < count; i++) {
        struct driver_job job;
        builder_job_init(builder, &job, PLAN_TYPE_BUILD, arguments);
        job.skip_log = true;
        if (driver_run(builder->driver, &job) < 0 || !job.has_record || job.record.exit_code != 0 ||
                builder_renew_disk(builder) < 0) {
            (void)fprintf(stderr, "run %u failed: %s\n", i, job.error.text);
            r = 1;
        }
        durations[i] = job.duration_ns;
    }
    if (r == 0) {
        qsort(durations, count, sizeof(*durations), compare);
        (void)printf("builder start to exit, microseconds: min %ld median %ld max %ld of %u\n",
                (long)(durations[0] / 1000), (long)(durations[count / 2] / 1000), (long)(durations[count - 1] / 1000),
                count);
    }
    free(durations);
    return r;
}

int main(int count, char **arguments)
{
    if (count < 4 || count % 2 != 0) {
        (void)fprintf(stderr, "usage: builder_run INIT TYPE SCRIPT [TYPE SCRIPT...] | bench N | bench-small N\n");
        return 2;
    }
    if (geteuid() != 0) {
        (void)printf("skipped: needs root\n");
        return 77;
    }
    struct driver driver;
    struct builder builder;
    if (driver_open(&driver, arguments[1], /* has_hooks= */ false) < 0)
        return 1;
    int r = builder_open(&builder, &driver) < 0 ? 1 : 0;
    bool is_small = strcmp(arguments[2], "bench-small") == 0;
    if (r == 0 && is_small && builder_cover_host(&builder) < 0)
        r = 1;
    if (r == 0 && (is_small || strcmp(arguments[2], "bench") == 0))
        r = bench(&builder, (unsigned)atoi(arguments[3]));
    else
        for (int i = 2; r == 0 && i < count; i += 2)
            r = run_one(&builder, type_of(arguments[i]), arguments[i + 1]);
    builder_close(&builder);
    driver_close(&driver);
    return r;
}
