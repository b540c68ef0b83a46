/* Every pair of steps swapped, and every step left out, must be refused before anything is executed: by a step or the
 * proof, from the kernel's state; by the order guard alone only where the kernel's state comes out the same. Runs
 * joblet-init with its test hooks. Root only.
 *     test_swaps INIT_WITH_HOOKS [build] [-v]     build: of a build instead of a standard job; -v: one line for each */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "builder.h"
#include "driver.h"

static char *const arguments[] = {
        (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t) "echo ran", NULL};

/* Of builds, when they are what is tried. */
static struct builder builder;
static bool is_build;

static void init_job(const struct driver *driver, struct driver_job *job)
{
    if (is_build)
        builder_job_init(&builder, job, PLAN_TYPE_BUILD, arguments);
    else
        driver_job_init(driver, job, arguments);
    job->with_cgroups = driver->has_v1;
}

enum verdict { VERDICT_KERNEL, VERDICT_GUARD, VERDICT_BAD };

/* The pairs that the kernel facts name as holes: here the guard alone is not enough. */
static const struct {
    uint32_t first;
    uint32_t second;
} must_show[] = {
        {PLAN_STAGE_PROPAGATION, PLAN_STAGE_ROOT}, {PLAN_STAGE_CGROUP_ATTACH, PLAN_STAGE_CGROUP_NS}, /* A24 */
        {PLAN_STAGE_USERNS, PLAN_STAGE_BOUNDING},                                                    /* A1 */
        {PLAN_STAGE_USERNS, PLAN_STAGE_CAPABILITIES},                                                /* A1 */
        {PLAN_STAGE_USERNS, PLAN_STAGE_NS_LIMITS},                                                   /* A20 */
        {PLAN_STAGE_USERNS, PLAN_STAGE_ROOT},                                                        /* A16 */
        {PLAN_STAGE_USERNS, PLAN_STAGE_PIVOT}, {PLAN_STAGE_USERNS, PLAN_STAGE_HOSTNAME},             /* A31 */
        {PLAN_STAGE_BOUNDING, PLAN_STAGE_CAPABILITIES}, {PLAN_STAGE_IDS, PLAN_STAGE_CAPABILITIES},   /* A2 */
        {PLAN_STAGE_PIVOT, PLAN_STAGE_LANDLOCK},                                                     /* A23 */
        {PLAN_STAGE_ROOT, PLAN_STAGE_PIVOT}, {PLAN_STAGE_LANDLOCK, PLAN_STAGE_COMMAND_PROOF},
        {PLAN_STAGE_FDS, PLAN_STAGE_PIVOT},
        {PLAN_STAGE_COMMAND_FILTER, PLAN_STAGE_FILTER}, /* A32: one filter for both is wrong */
};

static bool guard_is_enough(uint32_t first, uint32_t second)
{
    for (size_t i = 0; i < ELEMENTS(must_show); i++)
        if (must_show[i].first == first && must_show[i].second == second)
            return false;
    return true;
}

/* What the child of one try found. */
struct outcome {
    enum verdict verdict;
    bool was_ready;
    bool failed;
    struct error error;
};

static void try_here(
        const struct driver *driver, uint32_t first, uint32_t second, uint32_t left_out, struct outcome *outcome)
{
    struct driver_job job;
    init_job(driver, &job);
    /* A pooled one keeps what an earlier run set. */
    job.with_fresh_userns = true;
    job.plan.swap_first = first;
    job.plan.swap_second = second;
    job.plan.leave_out = left_out;
    int r = driver_run(driver, &job);
    if (r < 0)
        (void)printf("the driver failed: %s\n", strerror(-r));
    outcome->was_ready = job.was_ready;
    outcome->failed = job.failed;
    outcome->error = job.error;
    /* Nothing ran, no GO was given, the host's mounts are as before. */
    /* The first step is never swapped: who fails there was given nonsense by this test. */
    if (r < 0 || job.was_ready || job.log_size != 0 || job.leaked_mounts != 0 || job.error.stage == PLAN_STAGE_START)
        outcome->verdict = VERDICT_BAD;
    else if (job.failed && strncmp(job.error.text, "order guard", strlen("order guard")) == 0)
        outcome->verdict = VERDICT_GUARD;
    else
        outcome->verdict = VERDICT_KERNEL;
    driver_job_done(&job);
}

/* In a mount namespace of its own, shared within as a host's is: a swap that lets mounts out does not reach the next
 * try, nor the host. */
static struct outcome try_plan(const struct driver *driver, uint32_t first, uint32_t second, uint32_t left_out)
{
    struct outcome outcome = {.verdict = VERDICT_BAD};
    struct outcome *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return outcome;
    shared->verdict = VERDICT_BAD;
    (void)fflush(stdout);
    if (is_build && builder_renew_disk(&builder) < 0)
        return outcome;
    pid_t pid = fork();
    if (pid == 0) {
        if (driver_isolate() == 0)
            try_here(driver, first, second, left_out, shared);
        (void)fflush(stdout);
        _exit(0);
    }
    if (pid > 0 && waitpid(pid, NULL, 0) == pid)
        outcome = *shared;
    (void)munmap(shared, sizeof(*shared));
    return outcome;
}

struct tally {
    unsigned tried;
    unsigned by_kernel;
    unsigned by_guard;
    bool verbose;
};

static void count_one(struct tally *tally, const struct outcome *outcome, bool needs_kernel, const char *what)
{
    enum verdict verdict = outcome->verdict;
    tally->tried++;
    tally->by_kernel += verdict == VERDICT_KERNEL;
    tally->by_guard += verdict == VERDICT_GUARD && !needs_kernel;
    bool is_bad = verdict == VERDICT_BAD || (verdict == VERDICT_GUARD && needs_kernel);
    if (tally->verbose || is_bad)
        (void)printf("%s%s: %s: %s\n", is_bad ? "NOT REFUSED AS IT MUST BE: " : "", what,
                outcome->failed ? plan_stage_name(outcome->error.stage) : "joblet-init ended",
                outcome->failed      ? outcome->error.text
                : outcome->was_ready ? "it was ready"
                                     : "without a word");
}

static void report(const struct tally *tally, const char *what)
{
    (void)printf("%u of %u %s refused: %u by the kernel's state, %u by the order guard (same state in the kernel)\n",
            tally->by_kernel + tally->by_guard, tally->tried, what, tally->by_kernel, tally->by_guard);
}

static bool swap_all(const struct driver *driver, bool verbose)
{
    struct tally tally = {.verbose = verbose};
    for (uint32_t first = PLAN_STAGE_PROPAGATION; first < PLAN_STAGE_FILTER; first++) {
        for (uint32_t second = first + 1; second <= PLAN_STAGE_FILTER; second++) {
            char what[80];
            (void)snprintf(what, sizeof(what), "%s <-> %s", plan_stage_name(first), plan_stage_name(second));
            struct outcome outcome = try_plan(driver, first, second, 0);
            count_one(&tally, &outcome, driver->has_v1 && !guard_is_enough(first, second), what);
        }
    }
    report(&tally, "pairs");
    return tally.by_kernel + tally.by_guard == tally.tried;
}

/* Without these the kernel's state is what the plan says anyway, on this host; so the guard's refusal is enough. */
static bool is_without_trace(uint32_t stage)
{
    return stage == PLAN_STAGE_AMBIENT ||  /* joining a user namespace empties the ambient set */
           stage == PLAN_STAGE_DUMPABLE || /* where fs.suid_dumpable is 0, the change of ids clears the flag */
           stage == PLAN_STAGE_PROOF || stage == PLAN_STAGE_COMMAND_PROOF; /* they only look */
}

static bool leave_out_each(const struct driver *driver, bool verbose)
{
    struct tally tally = {.verbose = verbose};
    for (uint32_t stage = PLAN_STAGE_PROPAGATION; stage <= PLAN_STAGE_FILTER; stage++) {
        bool is_v1 = stage == PLAN_STAGE_CGROUP_ATTACH || stage == PLAN_STAGE_CGROUP_NS;
        char what[80];
        (void)snprintf(what, sizeof(what), "without %s", plan_stage_name(stage));
        struct outcome outcome = try_plan(driver, 0, 0, stage);
        count_one(&tally, &outcome, !is_without_trace(stage) && (driver->has_v1 || !is_v1), what);
    }
    report(&tally, "left-out steps");
    return tally.by_kernel + tally.by_guard == tally.tried;
}

/* The build with hooks must run a job when nothing is swapped, or the refusals would prove nothing. */
static bool run_straight(const struct driver *driver)
{
    struct driver_job job;
    init_job(driver, &job);
    job.with_fresh_userns = true;
    bool is_good = driver_run(driver, &job) == 0 && job.was_ready && job.has_record &&
                   job.record.reason == RECORD_REASON_EXITED && job.record.exit_code == 0 && job.log &&
                   strcmp(job.log, "ran\n") == 0;
    if (!is_good)
        (void)printf("nothing swapped, but: %s: %s\n", plan_stage_name(job.error.stage), job.error.text);
    driver_job_done(&job);
    return is_good;
}

static bool has_option(int count, char **options, const char *name)
{
    for (int i = 2; i < count; i++)
        if (strcmp(options[i], name) == 0)
            return true;
    return false;
}

int main(int count, char **options)
{
    if (geteuid() != 0) {
        (void)printf("skipped: needs root\n");
        return 77;
    }
    struct driver driver;
    bool verbose = has_option(count, options, "-v");
    if (count < 2 || driver_open(&driver, options[1], /* has_hooks= */ true) < 0)
        return 1;
    is_build = has_option(count, options, "build");
    bool is_good = !is_build || (builder_open(&builder, &driver) == 0 && builder_cover_host(&builder) == 0);
    is_good = is_good && run_straight(&driver);
    is_good = is_good && swap_all(&driver, verbose);
    is_good = is_good && leave_out_each(&driver, verbose);
    if (is_build)
        builder_close(&builder);
    driver_close(&driver);
    return is_good ? 0 : 1;
}
