/* Control groups, by the same calls that joblet uses. On version 2 a group with processes hands no controllers down: a
 * doctor that was started from a shell sits in such a group, joblet's unit does not. So a second try is made from the
 * root of the hierarchy, where that rule does not hold. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "doctor/row.h"
#include "kernel/cgroup.h"
#include "kernel/disk.h"
#include "kernel/mountinfo.h"

#define GROUP "job-doctor"
#define PROC_FILE_MAX (1U << 20)
#define PROCESSES 8U
#define TOUCHED_BYTES (4U << 20)
#define MEMORY_BYTES (64ULL << 20)
#define IO_BPS (64ULL << 20)
#define REMOVE_TRIES 200

struct group {
    struct cgroup_host host;
    bool at_root;
};

/* Moves this process to the root of the v2 hierarchy. */
static bool go_to_root(void)
{
    _cleanup_free_ char *mounts = NULL;
    struct mountinfo line;
    if (fd_read_file_at(AT_FDCWD, "/proc/self/mountinfo", PROC_FILE_MAX, &mounts, NULL) < 0)
        return false;
    for (const char *at = mounts; mountinfo_next(&at, &line) > 0;) {
        char path[MOUNTINFO_FIELD_MAX + 16];
        (void)snprintf(path, sizeof(path), "%s/cgroup.procs", line.target);
        if (strcmp(line.type, "cgroup2") == 0)
            return fd_write_file_at(AT_FDCWD, path, "0") == 0;
    }
    return false;
}

static bool open_host(struct group *group, struct finding *finding)
{
    char name[CGROUP_NAME_MAX];
    struct error error = {0};
    (void)snprintf(name, sizeof(name), "joblet-doctor-%d", getpid());
    group->at_root = false;
    int r = cgroup_host_open(name, &group->host, &error);
    if (r < 0 && go_to_root()) {
        group->at_root = true;
        r = cgroup_host_open(name, &group->host, &error);
    }
    if (r < 0)
        finding_fails(finding, "%s", error.text);
    return r == 0;
}

static bool open_group(struct group *group, const struct cgroup_limits *limits, struct finding *finding)
{
    struct error error = {0};
    if (!open_host(group, finding))
        return false;
    if (cgroup_make(&group->host, GROUP, limits, &error) == 0)
        return true;
    finding_fails(finding, "%s", error.text);
    cgroup_host_remove(&group->host, /* leave= */ true);
    return false;
}

static void close_group(struct group *group)
{
    /* The kernel lets go of a group a moment after its last process. */
    for (unsigned i = 0; i < REMOVE_TRIES && cgroup_remove(&group->host, GROUP) == -EBUSY; i++)
        (void)usleep(5000);
    cgroup_host_remove(&group->host, /* leave= */ true);
}

static const char *place(const struct group *group)
{
    return group->at_root ? ", tried from the root group: start joblet as its unit" : "";
}

/* What is done inside the group. */
struct inside {
    int tasks[CGROUP_HIERARCHIES_MAX];
    int task_count;
    void (*body)(struct finding *finding);
};

static void enter_and_run(void *user, struct finding *finding)
{
    const struct inside *inside = user;
    for (int i = 0; i < inside->task_count; i++)
        if (write(inside->tasks[i], "0", 1) != 1) {
            finding_errno(finding, errno, "enter a control group");
            return;
        }
    inside->body(finding);
}

/* In a PID namespace of its own, so that nothing of it stays in the group. */
static bool run_inside(const struct group *group, void (*body)(struct finding *finding), struct finding *finding)
{
    struct error error = {0};
    struct inside inside = {.body = body};
    _cleanup_close_ int v2 = cgroup_open_v2(&group->host, GROUP);
    inside.task_count = cgroup_open_tasks(&group->host, GROUP, inside.tasks, &error);
    if (inside.task_count < 0) {
        finding_fails(finding, "%s", error.text);
        return false;
    }
    bool done = trial_clone(
            CLONE_NEWPID | (v2 >= 0 ? (uint64_t)CLONE_INTO_CGROUP : 0), v2, enter_and_run, &inside, finding);
    for (int i = 0; i < inside.task_count; i++)
        (void)fd_close(inside.tasks[i]);
    return done && finding->verdict == VERDICT_HOLDS;
}

void try_cgroup_version(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    _cleanup_free_ char *mounts = NULL;
    struct mountinfo line;
    bool v1 = false;
    bool v2 = false;
    int r = fd_read_file_at(AT_FDCWD, "/proc/self/mountinfo", PROC_FILE_MAX, &mounts, NULL);
    for (const char *at = mounts; r == 0 && mountinfo_next(&at, &line) > 0;) {
        v1 = v1 || strcmp(line.type, "cgroup") == 0;
        v2 = v2 || strcmp(line.type, "cgroup2") == 0;
    }
    if (v1 && v2)
        finding_holds(finding, "hybrid: version 1 and 2");
    else if (v1 || v2)
        finding_holds(finding, "version %d", v1 ? 1 : 2);
    else
        finding_fails(finding, "no control groups are mounted");
}

static void fork_to_the_limit(struct finding *finding)
{
    unsigned count = 1;
    for (; count <= 2 * PROCESSES; count++) {
        pid_t pid = fork();
        if (pid == 0)
            for (;;)
                (void)pause();
        if (pid < 0)
            break;
    }
    if (count == PROCESSES && errno == EAGAIN)
        finding_holds(finding, "process %u of %u was refused", PROCESSES + 1, PROCESSES);
    else
        finding_fails(finding, "%u processes with a limit of %u", count, PROCESSES);
}

static void do_nothing(struct finding *finding)
{
    finding_holds(finding, "set to half a core, and entered");
}

void try_cgroup_limit(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    bool is_cpu = row->argument == CGROUP_CPU;
    const struct cgroup_limits limits = {.cpu_percent = is_cpu ? 50 : 0, .processes = PROCESSES};
    struct group group;
    if (!open_group(&group, &limits, finding))
        return;
    if (run_inside(&group, is_cpu ? do_nothing : fork_to_the_limit, finding)) {
        struct finding found = *finding;
        finding_holds(finding, "%s%s", found.seen, place(&group));
    }
    close_group(&group);
}

static void count_cpus(struct finding *finding)
{
    cpu_set_t mask;
    if (sched_getaffinity(0, sizeof(mask), &mask) < 0)
        finding_errno(finding, errno, "ask for the own CPUs");
    else if (CPU_COUNT(&mask) != 1)
        finding_fails(finding, "a group with one CPU runs on %d", CPU_COUNT(&mask));
    else
        finding_holds(finding, "a group with one CPU stays on it");
}

void try_cgroup_cpus(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    struct cgroup_limits limits = {.processes = PROCESSES};
    struct group group;
    if (!open_host(&group, finding))
        return;
    for (unsigned i = 0; i < ELEMENTS(limits.cpus.bits) && cpulist_is_empty(&limits.cpus); i++)
        limits.cpus.bits[i] = group.host.cpus.bits[i] & -group.host.cpus.bits[i];
    struct error error = {0};
    if (cgroup_make(&group.host, GROUP, &limits, &error) < 0) {
        finding_fails(finding, "%s", error.text);
        cgroup_host_remove(&group.host, /* leave= */ true);
        return;
    }
    (void)run_inside(&group, count_cpus, finding);
    close_group(&group);
}

void try_cgroup_io(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    struct cgroup_limits limits = {.processes = PROCESSES, .io_bps = IO_BPS};
    struct group group;
    _cleanup_close_ int fd = open(doctor->prefix, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        finding_untested(finding, "there is no prefix");
        return;
    }
    (void)disk_find_whole(fd, &limits.disks[0]); /* without one the limit is refused, by that name */
    if (!open_group(&group, &limits, finding))
        return;
    finding_holds(finding, "set for device %u:%u%s", major(limits.disks[0]), minor(limits.disks[0]), place(&group));
    close_group(&group);
}

static void touch_memory(struct finding *finding)
{
    char *memory = mmap(NULL, TOUCHED_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        finding_errno(finding, errno, "memory for a try");
    else
        finding_holds(finding, "touched");
}

/* That memory is counted; going over a limit is not tried, because some hosts are set to stop at that. */
void try_cgroup_memory(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    const struct cgroup_limits limits = {.processes = PROCESSES};
    struct cgroup_usage usage;
    struct group group;
    if (!open_group(&group, &limits, finding))
        return;
    if (run_inside(&group, touch_memory, finding)) {
        cgroup_read_usage(&group.host, GROUP, &usage);
        if (usage.memory_peak_bytes < TOUCHED_BYTES)
            finding_fails(finding, "%u MiB touched, %llu bytes counted", TOUCHED_BYTES >> 20,
                    (unsigned long long)usage.memory_peak_bytes);
        else
            finding_holds(finding, "what a group uses is counted%s", place(&group));
    }
    close_group(&group);
}

void try_swap(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    const struct cgroup_limits limits = {.processes = PROCESSES, .memory_bytes = MEMORY_BYTES};
    struct group group;
    if (!open_group(&group, &limits, finding))
        return;
    finding_holds(finding, "%s", group.host.swap ? "a limit covers memory and swap" : "set; the host has no swap");
    close_group(&group);
}

void try_cgroup_out_of_memory(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    const struct cgroup_limits limits = {.processes = PROCESSES};
    struct error error = {0};
    struct group group;
    if (!open_group(&group, &limits, finding))
        return;
    int event = cgroup_open_oom_event(&group.host, GROUP, &error);
    if (event == -ENOENT)
        finding_holds(finding, "the kernel ends a group as a unit"); /* cgroup_make has set memory.oom.group */
    else if (event < 0)
        finding_fails(finding, "%s", error.text);
    else
        finding_holds(finding, "told by an event (version 1)");
    (void)fd_close(event);
    close_group(&group);
}

/* Where a clone with CLONE_INTO_CGROUP is, as /proc says from outside. */
static void check_place(const struct group *group, struct finding *finding)
{
    _cleanup_close_ int v2 = cgroup_open_v2(&group->host, GROUP);
    struct clone_args arguments = {
            .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = v2 >= 0 ? (uint64_t)v2 : 0};
    long pid = v2 < 0 ? -1 : syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid < 0) {
        finding_errno(finding, errno, "clone3 with CLONE_INTO_CGROUP");
        return;
    }
    if (pid == 0) /* waits to be looked at from outside */
        for (;;)
            (void)pause();
    pid_t found = 0;
    const struct cgroup_hierarchy *hierarchy = &group->host.hierarchies[group->host.v2];
    _cleanup_free_ char *text = NULL;
    if (fd_read_file_at(hierarchy->parent_fd, GROUP "/cgroup.procs", PROC_FILE_MAX, &text, NULL) == 0)
        found = (pid_t)strtol(text, NULL, 10);
    (void)kill((pid_t)pid, SIGKILL);
    (void)waitpid((pid_t)pid, NULL, 0);
    if (found == (pid_t)pid)
        finding_holds(finding, "a process starts in its group");
    else
        finding_fails(finding, "a process was cloned into a group and is not in it");
}

void try_cgroup_place(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    const struct cgroup_limits limits = {.processes = PROCESSES};
    struct group group;
    if (!open_group(&group, &limits, finding))
        return;
    if (group.host.v2 < 0)
        finding_fails(finding, "cgroup version 2 is not mounted");
    else
        check_place(&group, finding);
    close_group(&group);
}

void try_cgroup_kill(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    const struct cgroup_limits limits = {.processes = PROCESSES};
    struct group group;
    if (!open_group(&group, &limits, finding))
        return;
    _cleanup_close_ int v2 = cgroup_open_v2(&group.host, GROUP);
    int r = v2 < 0 ? v2 : fd_write_file_at(v2, "cgroup.kill", "1");
    if (r < 0)
        finding_errno(finding, -r, "cgroup.kill");
    else
        finding_holds(finding, "a group is ended by one write");
    close_group(&group);
}
