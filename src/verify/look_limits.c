/* The limits of our job, and those of our build, as the kernel has them: control groups, resource limits, the timer. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "config/config.h"
#include "kernel/mountinfo.h"
#include "kernel/procstatus.h"
#include "verify/run.h"

bool look_read_group(const char *job, const char *file, char ret_text[64])
{
    char path[PATH_MAX];
    char name[PATH_MAX + 64];
    char *text = NULL;
    size_t size = 0;
    ret_text[0] = '\0';
    if (find_groups(job, file, path) == 0 || !path[0])
        return false;
    (void)snprintf(name, sizeof(name), "%s/%s", path, file);
    int r = fd_read_file_at(AT_FDCWD, name, 4096, &text, &size);
    if (r == 0)
        (void)snprintf(ret_text, 64, "%.*s", (int)strcspn(text, "\n"), text);
    free(text);
    return r == 0;
}

/* @v2 or, on a host with version 1, @v1. */
static void check_number(
        struct run *run, const char *job, const char *v2, const char *v1, uint64_t expected, const char *tried)
{
    char text[64];
    if (!look_read_group(job, v2, text) && !look_read_group(job, v1, text)) {
        report_fact(&run->report, 8, REPORT_OUTSIDE, false, tried, "no control group of the job has it");
        return;
    }
    report_fact(&run->report, 8, REPORT_OUTSIDE,
            strtoull(text, NULL, 10) == expected && text[0] >= '0' && text[0] <= '9', tried, "%s, asked for: %llu",
            text, (unsigned long long)expected);
}

/* Version 2 has "QUOTA PERIOD" in one file, version 1 has two. */
static void check_cpu(struct run *run, const char *job)
{
    static const char tried[] = "a job: the processor time of its group";
    char quota[64];
    char period[64];
    if (look_read_group(job, "cpu.max", quota)) {
        const char *blank = strchr(quota, ' ');
        (void)snprintf(period, sizeof(period), "%s", blank ? blank + 1 : "");
    } else if (!look_read_group(job, "cpu.cfs_quota_us", quota) || !look_read_group(job, "cpu.cfs_period_us", period)) {
        report_fact(&run->report, 8, REPORT_OUTSIDE, false, tried, "no control group of the job has it");
        return;
    }
    long of = strtol(period, NULL, 10);
    long percent = of > 0 ? strtol(quota, NULL, 10) * 100 / of : -1;
    report_fact(&run->report, 8, REPORT_OUTSIDE, percent == RUN_CPU_PERCENT, tried, "%ld %% of a core, asked for: %d",
            percent, RUN_CPU_PERCENT);
}

static bool host_has_swap(void)
{
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    /* The first line is the table's head. */
    return fd_read_file_at(AT_FDCWD, "/proc/swaps", 65536, &text, &size) == 0 && strchr(text, '\n') &&
           strchr(text, '\n')[1];
}

/* What is swapped out must not come on top of the memory. Version 1 counts both together. */
static void check_swap(struct run *run, const char *job, uint64_t memory_bytes, const char *tried)
{
    char text[64];
    bool holds = false;
    if (look_read_group(job, "memory.swap.max", text))
        holds = strcmp(text, "0") == 0;
    else if (look_read_group(job, "memory.memsw.limit_in_bytes", text))
        holds = strtoull(text, NULL, 10) == memory_bytes;
    else if (!host_has_swap())
        return report_add(&run->report, 8, REPORT_OUTSIDE, REPORT_LEFT_OUT, tried,
                "this host has no swap, and its kernel does not count it");
    report_fact(&run->report, 8, REPORT_OUTSIDE, holds, tried, "%s, the memory is %llu", text[0] ? text : "not limited",
            (unsigned long long)memory_bytes);
}

/* The last that it may run on. */
static void find_cpu(struct run *run, pid_t pid)
{
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    if (sched_getaffinity(pid, sizeof(cpus), &cpus) < 0)
        return;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &cpus))
            run->cpu = cpu;
}

/* True when the line of /proc/PID/cgroup that has @controller names the job: that of version 2 only where no other has
 * it. A host can have both. */
static bool is_member(const char *text, const char *controller, const char *job)
{
    char *copy = strdup(text);
    bool has_own = false;
    bool found = false;
    char *rest = copy;
    for (char *line; rest && !has_own && (line = strsep(&rest, "\n")) != NULL;) {
        (void)strsep(&line, ":");
        char *controllers = line ? strsep(&line, ":") : NULL;
        if (!controllers || !line)
            continue;
        has_own = mountinfo_has_option(controllers, controller);
        if (has_own || !*controllers)
            found = strstr(line, job);
    }
    free(copy);
    return found;
}

static void check_membership(struct run *run, const struct seen_sandbox *sandbox, const char *tried)
{
    static const char *const controllers[] = {"memory", "pids", "cpu"};
    char path[64];
    char *text = NULL;
    size_t size = 0;
    char missing[64] = "";
    (void)snprintf(path, sizeof(path), "/proc/%d/cgroup", sandbox->command);
    if (fd_read_file_at(AT_FDCWD, path, 65536, &text, &size) < 0)
        return report_add(&run->report, 8, REPORT_OUTSIDE, REPORT_UNABLE, tried, "they cannot be read");
    for (size_t i = 0; i < ELEMENTS(controllers); i++)
        if (!is_member(text, controllers[i], sandbox->job)) {
            size_t used = strlen(missing);
            (void)snprintf(missing + used, sizeof(missing) - used, " %s", controllers[i]);
        }
    report_fact(&run->report, 8, REPORT_OUTSIDE, !missing[0], tried, "outside of:%s", missing[0] ? missing : " none");
    free(text);
}

static void check_resource_limits(struct run *run, const struct seen_sandbox *sandbox)
{
    struct procstatus_limits limits;
    _cleanup_close_ int fd = procstatus_open(sandbox->command);
    int r = fd < 0 ? fd : procstatus_read_limits(fd, &limits);
    if (r < 0)
        return report_add(
                &run->report, 8, REPORT_OUTSIDE, REPORT_UNABLE, "a job: its resource limits", "%s", strerror(-r));
    report_fact(&run->report, 8, REPORT_OUTSIDE,
            limits.open_files_soft == RUN_OPEN_FILES && limits.open_files_hard == RUN_OPEN_FILES,
            "a job: its open files", "%llu, asked for: %d", (unsigned long long)limits.open_files_hard, RUN_OPEN_FILES);
    report_fact(&run->report, 2, REPORT_OUTSIDE, limits.core_bytes_soft == 1 && limits.core_bytes_hard == 1,
            "a job: no core handler of the host is run for it", "core limit %llu and %llu, promised: 1",
            (unsigned long long)limits.core_bytes_soft, (unsigned long long)limits.core_bytes_hard);
}

void look_at_limits(struct run *run, const struct seen_sandbox *sandbox)
{
    check_number(run, sandbox->job, "memory.max", "memory.limit_in_bytes", (uint64_t)RUN_MEMORY_MIB << 20,
            "a job: the memory of its group");
    check_number(run, sandbox->job, "pids.max", "pids.max", RUN_PROCESSES, "a job: the processes of its group");
    check_cpu(run, sandbox->job);
    check_swap(run, sandbox->job, (uint64_t)RUN_MEMORY_MIB << 20, "a job: swap counts as its memory");
    check_membership(run, sandbox, "a job: its command is in the job's control groups");
    check_resource_limits(run, sandbox);
    find_cpu(run, sandbox->command);
}

/* --- of a build --- */

/* What was changed since the service started is not in force yet. */
static bool is_in_force(const struct run *run)
{
    char path[PATH_MAX];
    struct stat config;
    struct stat service;
    bool is_default = strcmp(run->prefix, CONFIG_PREFIX_DEFAULT) == 0;
    (void)snprintf(path, sizeof(path), "%s/%s", run->prefix, CONFIG_FILE);
    if (stat(path, &config) < 0)
        return false;
    (void)snprintf(
            path, sizeof(path), "%s/run%s/joblet.pid", is_default ? "" : run->prefix, is_default ? "/joblet" : "");
    if (stat(path, &service) < 0)
        return false;
    return config.st_mtim.tv_sec < service.st_mtim.tv_sec ||
           (config.st_mtim.tv_sec == service.st_mtim.tv_sec && config.st_mtim.tv_nsec <= service.st_mtim.tv_nsec);
}

/* Seconds until the first timer of the process @pid goes off; 0 when none is set. */
static unsigned long long find_timer(pid_t pid)
{
    char path[64];
    unsigned long long first = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/fdinfo", pid);
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory)) != NULL;) {
        _cleanup_free_ char *text = NULL;
        unsigned long long left;
        if (fd_read_file_at(dirfd(directory), entry->d_name, 4096, &text, NULL) < 0)
            continue;
        const char *value = strstr(text, "\nit_value: (");
        if (value && sscanf(value, "\nit_value: (%llu", &left) == 1 && left > 0 && (first == 0 || left < first))
            first = left;
    }
    if (directory)
        (void)closedir(directory);
    return first;
}

void look_at_build_limits(struct run *run, const struct seen_sandbox *sandbox)
{
    static const char tried[] = "a build: its limits";
    _cleanup_(config_freep) struct config *config = NULL;
    struct error error = {0};
    if (config_load(run->prefix, &config, &error) < 0)
        return report_add(&run->report, 8, REPORT_OUTSIDE, REPORT_UNABLE, tried, "%s", error.text);
    if (!is_in_force(run))
        return report_add(&run->report, 8, REPORT_OUTSIDE, REPORT_UNABLE, tried,
                "the configuration was changed since the service started: start it again");
    if (config->build_memory_bytes > 0) {
        check_number(run, sandbox->job, "memory.max", "memory.limit_in_bytes", config->build_memory_bytes,
                "a build: the memory of its group");
        check_swap(run, sandbox->job, config->build_memory_bytes, "a build: swap counts as its memory");
    }
    check_number(
            run, sandbox->job, "pids.max", "pids.max", config->build_processes, "a build: the processes of its group");
    check_membership(run, sandbox, "a build: its command is in the build's control groups");
    unsigned long long left = find_timer(sandbox->init);
    report_fact(&run->report, 8, REPORT_OUTSIDE, left > 0 && left * 1000000000 <= config->build_timeout_ns,
            "a build: its time", "it ends in %llu s at the latest, 0: never; configured: %llu", left,
            (unsigned long long)config->build_timeout_ns / 1000000000);
    look_at_build_disk(run, sandbox, config->build_disk_bytes);
}
