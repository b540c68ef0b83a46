/* Control groups of this host, whatever version: limits are in force, members are told apart, nothing is left. Needs
 * root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/cgroup.h"
#include "kernel/cgroup_limits.h"
#include "kernel/disk.h"
#include "kernel/procstatus.h"

static char parent[CGROUP_NAME_MAX];
static struct cgroup_host host;

static int open_host(void **state)
{
    struct error error = {0};
    (void)state;
    (void)snprintf(parent, sizeof(parent), "joblet-test-%d", getpid());
    if (cgroup_host_open(parent, &host, &error) == 0)
        return 0;
    print_message("%s\n", error.text);
    return -1;
}

static int close_host(void **state)
{
    (void)state;
    struct cgroup_host copy = host;
    cgroup_host_remove(&host, /* leave= */ true);
    for (unsigned i = 0; i < copy.count; i++)
        if (access(copy.hierarchies[i].directory, F_OK) == 0) {
            print_message("left: %s\n", copy.hierarchies[i].directory);
            return -1;
        }
    return 0;
}

/* A process in the group, by way of the tasks files or of v2's. */
static pid_t fork_member(const char *name)
{
    int tasks[CGROUP_HIERARCHIES_MAX];
    int ready[2];
    int count = cgroup_open_tasks(&host, name, tasks, NULL);
    _cleanup_close_ int v2 = cgroup_open_v2(&host, name);
    assert_true(count >= 0 && (count > 0 || v2 >= 0));
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < count; i++)
            if (write(tasks[i], "0", 1) != 1)
                _exit(1);
        if (v2 >= 0 && fd_write_file_at(v2, "cgroup.procs", "0") < 0)
            _exit(1);
        (void)fd_write_all(ready[1], "r", 1);
        for (;;)
            (void)pause();
    }
    char byte;
    (void)fd_close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)fd_close(ready[0]);
    for (int i = 0; i < count; i++)
        (void)fd_close(tasks[i]);
    return pid;
}

static void test_every_needed_controller_is_found_once(void **state)
{
    (void)state;
    assert_true(host.controllers[CGROUP_CPU] >= 0 && host.controllers[CGROUP_MEMORY] >= 0 &&
                host.controllers[CGROUP_PIDS] >= 0);
    uint32_t seen = 0;
    for (unsigned i = 0; i < host.count; i++) {
        assert_int_equal(seen & host.hierarchies[i].controllers, 0);
        seen |= host.hierarchies[i].controllers;
    }
}

static void read_limit(enum cgroup_controller controller, const char *v1, const char *v2, char text[64])
{
    const struct cgroup_hierarchy *hierarchy = &host.hierarchies[host.controllers[controller]];
    char path[128];
    (void)snprintf(path, sizeof(path), "job-a/%s", hierarchy->v2 ? v2 : v1);
    _cleanup_close_ int fd = openat(hierarchy->parent_fd, path, O_RDONLY | O_CLOEXEC);
    ssize_t got = read(fd, text, 63);
    assert_true(got > 0);
    text[got] = '\0';
}

static void test_limits_are_in_force(void **state)
{
    const struct cgroup_limits limits = {.memory_bytes = 64 << 20, .cpu_percent = 150, .processes = 7};
    struct error error = {0};
    char text[64];
    (void)state;
    assert_int_equal(cgroup_make(&host, "job-a", &limits, &error), 0);
    assert_int_equal(cgroup_make(&host, "job-a", &limits, &error), -EEXIST);
    /* The failed one has taken nothing away, or it would have been another job's. */
    assert_int_equal(cgroup_make(&host, "job-a", &limits, &error), -EEXIST);
    read_limit(CGROUP_MEMORY, "memory.limit_in_bytes", "memory.max", text);
    assert_string_equal(text, "67108864\n");
    read_limit(CGROUP_CPU, "cpu.cfs_quota_us", "cpu.max", text);
    assert_int_equal(strncmp(text, "150000", 6), 0);
    read_limit(CGROUP_PIDS, "pids.max", "pids.max", text);
    assert_string_equal(text, "7\n");
    struct cgroup_limits_in_force found;
    assert_int_equal(cgroup_read_limits(&host, "job-a", &found), 0);
    assert_true(found.memory_bytes == limits.memory_bytes && found.processes == 7);
    assert_int_equal(found.cpu_percent, 150);
    assert_true(found.swap_bytes == 0 || (found.swap_bytes == CGROUP_NOT_SET && !host.swap));
    assert_int_equal(cgroup_remove(&host, "job-a"), 0);
    assert_int_equal(cgroup_remove(&host, "job-a"), 0);
}

static bool has_cpuset_group(void)
{
    const struct cgroup_hierarchy *cpuset = &host.hierarchies[host.controllers[CGROUP_CPUSET]];
    return faccessat(cpuset->parent_fd, "job-a", F_OK, 0) == 0;
}

/* A v1 hierarchy of nothing but cpusets holds only the jobs that ask for CPUs; those are kept on them. */
static void test_cpus(void **state)
{
    struct cgroup_limits limits = {.processes = 7};
    struct error error = {0};
    char text[64];
    cpu_set_t mask;
    (void)state;
    assert_false(cpulist_is_empty(&host.cpus));
    if (host.controllers[CGROUP_CPUSET] < 0)
        skip();
    bool is_v1 = !host.hierarchies[host.controllers[CGROUP_CPUSET]].v2;
    assert_int_equal(cgroup_make(&host, "job-a", &limits, &error), 0);
    if (is_v1)
        assert_false(has_cpuset_group());
    pid_t pid = fork_member("job-a");
    _cleanup_close_ int member = procstatus_open(pid);
    assert_int_equal(cgroup_check_member(&host, "job-a", member), 1);
    assert_int_equal(cgroup_kill(&host, "job-a"), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(cgroup_remove(&host, "job-a"), 0);

    limits.cpus.bits[0] = 1;
    assert_int_equal(cgroup_make(&host, "job-a", &limits, &error), 0);
    read_limit(CGROUP_CPUSET, "cpuset.cpus", "cpuset.cpus", text);
    assert_string_equal(text, "0\n");
    pid = fork_member("job-a");
    _cleanup_close_ int pinned = procstatus_open(pid);
    assert_int_equal(cgroup_check_member(&host, "job-a", pinned), 1);
    assert_int_equal(sched_getaffinity(pid, sizeof(mask), &mask), 0);
    assert_true(CPU_COUNT(&mask) == 1 && CPU_ISSET(0, &mask));
    assert_int_equal(cgroup_kill(&host, "job-a"), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(cgroup_remove(&host, "job-a"), 0);
    assert_false(has_cpuset_group());

    limits.cpus = (struct cpulist){.bits = {[CPULIST_CPUS_MAX / 64 - 1] = 1ULL << 63}};
    assert_true(cgroup_make(&host, "job-a", &limits, &error) < 0);
    assert_non_null(strstr(error.text, "CPU cores '1023'"));
    assert_false(has_cpuset_group());
}

static void test_io(void **state)
{
    struct cgroup_limits limits = {.processes = 7, .io_bps = 1 << 20};
    struct error error = {0};
    char text[64];
    (void)state;
    assert_int_equal(cgroup_make(&host, "job-a", &limits, &error), -EOPNOTSUPP);
    assert_non_null(strstr(error.text, "I/O limit of 1048576 bytes/s cannot be enforced"));
    _cleanup_close_ int fd = open("/usr", O_RDONLY | O_CLOEXEC);
    if (host.controllers[CGROUP_IO] < 0 || disk_find_whole(fd, &limits.disks[0]) < 0)
        skip(); /* refused was all that there is to see */
    assert_int_equal(cgroup_make(&host, "job-a", &limits, &error), 0);
    read_limit(CGROUP_IO, "", "io.max", text);
    assert_non_null(strstr(text, "rbps=1048576 wbps=1048576"));
    assert_int_equal(cgroup_remove(&host, "job-a"), 0);
}

static void test_unenforceable_limit_is_named(void **state)
{
    const struct cgroup_limits none = {.processes = 0};
    const struct cgroup_limits processes = {.processes = UINT32_MAX};
    struct error error = {0};
    (void)state;
    assert_true(cgroup_make(&host, "job-a", &none, &error) < 0);
    assert_non_null(strstr(error.text, "process"));
    assert_true(cgroup_make(&host, "job-a", &processes, &error) < 0);
    assert_non_null(strstr(error.text, "4294967295 processes"));
    for (unsigned i = 0; i < host.count; i++)
        assert_int_equal(faccessat(host.hierarchies[i].parent_fd, "job-a", F_OK, 0), -1);
}

static void test_members_are_known_and_killed(void **state)
{
    const struct cgroup_limits limits = {.processes = 10};
    struct cgroup_usage usage;
    pid_t pids[4];
    int status;
    (void)state;
    assert_int_equal(cgroup_make(&host, "job-a", &limits, NULL), 0);
    assert_int_equal(cgroup_make(&host, "job-b", &limits, NULL), 0);
    pid_t pid = fork_member("job-a");
    _cleanup_close_ int member = procstatus_open(pid);
    _cleanup_close_ int stranger = procstatus_open(getpid());
    assert_int_equal(cgroup_check_member(&host, "job-a", member), 1);
    assert_int_equal(cgroup_check_member(&host, "job-b", member), 0);
    assert_int_equal(cgroup_check_member(&host, "job", member), 0);
    assert_int_equal(cgroup_check_member(&host, "job-a", stranger), 0);
    assert_int_equal(cgroup_list_processes(&host, "job-a", pids, 4), 1);
    assert_int_equal(pids[0], pid);
    assert_int_equal(cgroup_list_processes(&host, "job-b", pids, 4), 0);
    assert_int_equal(cgroup_remove(&host, "job-a"), -EBUSY);
    cgroup_read_usage(&host, "job-a", &usage);
    assert_int_equal(usage.oom_kills, 0);
    assert_int_equal(cgroup_kill(&host, "job-b"), 0);
    assert_int_equal(kill(pid, 0), 0);
    assert_int_equal(cgroup_kill(&host, "job-a"), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(cgroup_remove(&host, "job-a"), 0);
    assert_int_equal(cgroup_remove(&host, "job-b"), 0);
    assert_int_equal(cgroup_kill(&host, "job-b"), 0);
}

static void count_group(const char *name, void *user)
{
    unsigned *found = user;
    *found += strcmp(name, "job-a") == 0;
}

static void test_groups_are_found_again(void **state)
{
    const struct cgroup_limits limits = {.processes = 10};
    struct cgroup_host again = host;
    unsigned found = 0;
    (void)state;
    assert_int_equal(cgroup_make(&host, "job-a", &limits, NULL), 0);
    assert_int_equal(cgroup_host_reopen(&again), 0);
    assert_true(cgroup_host_equal(&host, &again));
    assert_int_equal(cgroup_walk(&again, count_group, &found), 0);
    /* None in a hierarchy that is only for jobs with CPUs of their own. */
    assert_true(found == host.count || found + 1 == host.count);
    assert_int_equal(cgroup_remove(&again, "job-a"), 0);
    cgroup_host_done(&again);
}

int main(void)
{
    if (geteuid() != 0) {
        (void)printf("SKIP: control groups are made by root\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_every_needed_controller_is_found_once),
            cmocka_unit_test(test_limits_are_in_force),
            cmocka_unit_test(test_cpus),
            cmocka_unit_test(test_io),
            cmocka_unit_test(test_unenforceable_limit_is_named),
            cmocka_unit_test(test_members_are_known_and_killed),
            cmocka_unit_test(test_groups_are_found_again),
    };
    return cmocka_run_group_tests(tests, open_host, close_host);
}
