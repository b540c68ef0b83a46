#include "broker/limits.h"

#include <errno.h>

#include "broker/context.h"
#include "plan/plan.h"

#define CPU_PERCENT_MAX 10000U
#define PROCESSES_MAX 4194304U /* what a kernel's pid_max can be */
#define TIMEOUT_MAX_NS (365ULL * 24 * 3600 * 1000000000)
/* Package managers and compilers of other ecosystems open more than the usual program. */
#define BUILD_OPEN_FILES 65536U

/* One limit: 0 becomes the default; above the ceiling is an error. */
static int settle(const char *name, uint64_t *value, uint64_t preset, uint64_t ceiling, struct error *error)
{
    if (*value == 0)
        *value = preset;
    if (ceiling > 0 && *value > ceiling)
        return error_text(error, EINVAL, "%s of %llu is above this host's maximum of %llu", name,
                (unsigned long long)*value, (unsigned long long)ceiling);
    return 0;
}

static int check_cpus(const struct broker *broker, const struct channel_limits *limits, struct error *error)
{
    int cpu = cpulist_first_outside(&limits->cpus, &broker->cgroups.cpus);
    return cpu < 0 ? 0 : error_text(error, EINVAL, "CPU %d is none of this host's", cpu);
}

/* What differs between jobs and builds; 0 as a ceiling is none. */
struct bounds {
    uint64_t memory_bytes;
    uint64_t memory_most;
    uint64_t processes;
    uint64_t processes_most;
    uint64_t timeout_ns;
    uint64_t timeout_most;
    uint64_t open_files;
};

static int settle_all(
        const struct broker *broker, const struct bounds *bounds, struct channel_limits *limits, struct error *error)
{
    const struct config *config = broker->config;
    uint64_t cpu_percent = limits->cpu_percent;
    uint64_t processes = limits->processes;
    uint64_t open_files = limits->open_files;
    if (limits->reserved != 0 || (open_files > 0 && open_files < PLAN_OPEN_FILES_MIN))
        return error_text(error, EINVAL, "the limits hold %u open files or what is no limit", limits->open_files);
    int r = settle("memory limit", &limits->memory_bytes, bounds->memory_bytes, bounds->memory_most, error);
    if (r == 0)
        r = settle("CPU limit", &cpu_percent, config->default_cpu_limit,
                config->max_cpu_limit ? config->max_cpu_limit : CPU_PERCENT_MAX, error);
    if (r == 0)
        r = settle("process limit", &processes, bounds->processes, bounds->processes_most, error);
    if (r == 0)
        r = settle("open files limit", &open_files, bounds->open_files, broker->max_open_files, error);
    if (r == 0)
        r = settle("I/O limit", &limits->io_bps, config->default_io_bps, config->max_io_bps, error);
    if (r == 0)
        r = check_cpus(broker, limits, error);
    if (r == 0)
        r = settle("timeout", &limits->timeout_ns, bounds->timeout_ns, bounds->timeout_most, error);
    limits->cpu_percent = (uint32_t)cpu_percent;
    limits->processes = (uint32_t)processes;
    limits->open_files = (uint32_t)open_files;
    return r;
}

int limits_settle_job(const struct broker *broker, struct channel_limits *limits, struct error *error)
{
    const struct config *config = broker->config;
    const struct bounds bounds = {.memory_bytes = config->default_memory_bytes,
            .memory_most = config->max_memory_bytes,
            .processes = config->default_processes,
            .processes_most = config->max_processes ? config->max_processes : PROCESSES_MAX,
            .timeout_ns = config->job_timeout_ns,
            .timeout_most = TIMEOUT_MAX_NS,
            .open_files = broker->default_open_files};
    return settle_all(broker, &bounds, limits, error);
}

int limits_settle_build(const struct broker *broker, struct channel_limits *limits, struct error *error)
{
    const struct config *config = broker->config;
    const struct bounds bounds = {.memory_bytes = config->build_memory_bytes,
            .memory_most = config->build_memory_bytes,
            .processes = config->build_processes,
            .processes_most = config->build_processes,
            .timeout_ns = config->build_timeout_ns,
            .timeout_most = config->build_timeout_ns,
            .open_files = BUILD_OPEN_FILES < broker->max_open_files ? BUILD_OPEN_FILES : broker->max_open_files};
    return settle_all(broker, &bounds, limits, error);
}
