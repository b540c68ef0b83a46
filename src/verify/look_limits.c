/* The limits of our job as the kernel has them: its control groups and its resource limits. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "kernel/mountinfo.h"
#include "kernel/procstatus.h"
#include "verify/run.h"

/* The text of @file in the group of @job that has it, without its line break. False when none has. */
static bool read_group(const char *job, const char *file, char ret_text[64])
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
    if (!read_group(job, v2, text) && !read_group(job, v1, text)) {
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
    if (read_group(job, "cpu.max", quota)) {
        const char *blank = strchr(quota, ' ');
        (void)snprintf(period, sizeof(period), "%s", blank ? blank + 1 : "");
    } else if (!read_group(job, "cpu.cfs_quota_us", quota) || !read_group(job, "cpu.cfs_period_us", period)) {
        report_fact(&run->report, 8, REPORT_OUTSIDE, false, tried, "no control group of the job has it");
        return;
    }
    long of = strtol(period, NULL, 10);
    long percent = of > 0 ? strtol(quota, NULL, 10) * 100 / of : -1;
    report_fact(&run->report, 8, REPORT_OUTSIDE, percent == RUN_CPU_PERCENT, tried, "%ld %% of a core, asked for: %d",
            percent, RUN_CPU_PERCENT);
}

/* True when a line of /proc/PID/cgroup for @controller, or of version 2, names the job. */
static bool is_member(const char *text, const char *controller, const char *job)
{
    char *copy = strdup(text);
    bool found = false;
    char *rest = copy;
    for (char *line; rest && !found && (line = strsep(&rest, "\n")) != NULL;) {
        (void)strsep(&line, ":");
        char *controllers = line ? strsep(&line, ":") : NULL;
        bool is_it = controllers && (!*controllers || strcmp(controllers, controller) == 0 ||
                                            mountinfo_has_option(controllers, controller));
        found = is_it && line && strstr(line, job);
    }
    free(copy);
    return found;
}

static void check_membership(struct run *run, const struct seen_sandbox *sandbox)
{
    static const char *const controllers[] = {"memory", "pids", "cpu"};
    char path[64];
    char *text = NULL;
    size_t size = 0;
    char missing[64] = "";
    (void)snprintf(path, sizeof(path), "/proc/%d/cgroup", sandbox->command);
    if (fd_read_file_at(AT_FDCWD, path, 65536, &text, &size) < 0)
        return report_add(
                &run->report, 8, REPORT_OUTSIDE, REPORT_UNABLE, "a job: its control groups", "cannot be read");
    for (size_t i = 0; i < ELEMENTS(controllers); i++)
        if (!is_member(text, controllers[i], sandbox->job)) {
            size_t used = strlen(missing);
            (void)snprintf(missing + used, sizeof(missing) - used, " %s", controllers[i]);
        }
    report_fact(&run->report, 8, REPORT_OUTSIDE, !missing[0], "a job: its command is in the job's control groups",
            "outside of:%s", missing[0] ? missing : " none");
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
    check_membership(run, sandbox);
    check_resource_limits(run, sandbox);
}
