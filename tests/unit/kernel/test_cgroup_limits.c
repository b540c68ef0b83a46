/* Limits read back from files as the kernel writes them, of version 1, 2 and both, and the groups of a process. The
 * kernel's own files are tried in test_cgroup.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/cgroup_limits.h"

struct fixture {
    char path[64];
    struct cgroup_host host;
};

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.path = "/tmp/joblet-limits-XXXXXX"};
    *state = &fixture;
    return mkdtemp(fixture.path) ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char command[128];
    for (unsigned i = 0; i < fixture->host.count; i++)
        (void)fd_close(fixture->host.hierarchies[i].parent_fd);
    (void)snprintf(command, sizeof(command), "rm -r %s", fixture->path);
    return system(command);
}

/* One more hierarchy with the group "job". */
static void add_hierarchy(struct fixture *fixture, const char *list)
{
    char path[128];
    struct cgroup_hierarchy *hierarchy = &fixture->host.hierarchies[fixture->host.count];
    (void)snprintf(path, sizeof(path), "%s/%u", fixture->path, fixture->host.count++);
    assert_int_equal(mkdir(path, 0700), 0);
    hierarchy->v2 = !*list;
    (void)snprintf(hierarchy->list, sizeof(hierarchy->list), "%s", list);
    hierarchy->parent_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(hierarchy->parent_fd, "job", 0700), 0);
}

static void put(const struct fixture *fixture, unsigned hierarchy, const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "job/%s", name);
    _cleanup_close_ int fd = openat(
            fixture->host.hierarchies[hierarchy].parent_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static struct cgroup_limits_in_force read_limits(const struct fixture *fixture)
{
    struct cgroup_limits_in_force limits;
    assert_int_equal(cgroup_read_limits(&fixture->host, "job", &limits), 0);
    return limits;
}

static void test_version_2(void **state)
{
    struct fixture *fixture = *state;
    add_hierarchy(fixture, "");
    put(fixture, 0, "memory.max", "134217728\n");
    put(fixture, 0, "memory.swap.max", "0\n");
    put(fixture, 0, "cpu.max", "150000 100000\n");
    put(fixture, 0, "pids.max", "7\n");
    put(fixture, 0, "cpuset.cpus.effective", "0-3,8\n");
    put(fixture, 0, "io.max",
            "8:0 rbps=1048576 wbps=max riops=max wiops=max\n8:16 rbps=max wbps=5 riops=max wiops=9\n7:1 rbps=1\n");
    struct cgroup_limits_in_force limits = read_limits(fixture);
    assert_true(limits.memory_bytes == 134217728 && limits.swap_bytes == 0);
    assert_int_equal(limits.cpu_percent, 150);
    assert_int_equal(limits.processes, 7);
    assert_string_equal(limits.cpus, "0-3,8");
    assert_int_equal(limits.device_count, 3);
    assert_true(limits.devices[0].major == 8 && limits.devices[0].minor == 0);
    assert_true(limits.devices[0].read_bps == 1048576 && limits.devices[0].write_bps == CGROUP_NO_LIMIT);
    assert_true(limits.devices[1].minor == 16 && limits.devices[1].write_bps == 5);
    put(fixture, 0, "memory.max", "max\n");
    put(fixture, 0, "memory.swap.max", "max\n");
    put(fixture, 0, "cpu.max", "max 100000\n");
    put(fixture, 0, "pids.max", "max\n");
    put(fixture, 0, "io.max", "");
    limits = read_limits(fixture);
    assert_true(limits.memory_bytes == CGROUP_NO_LIMIT && limits.swap_bytes == CGROUP_NO_LIMIT);
    assert_true(limits.cpu_percent == CGROUP_NO_LIMIT && limits.processes == CGROUP_NO_LIMIT);
    assert_int_equal(limits.device_count, 0);
}

static void test_version_1(void **state)
{
    struct fixture *fixture = *state;
    add_hierarchy(fixture, "cpu,cpuacct");
    add_hierarchy(fixture, "memory");
    add_hierarchy(fixture, "pids");
    add_hierarchy(fixture, "cpuset");
    add_hierarchy(fixture, ""); /* beside them, without controllers */
    put(fixture, 0, "cpu.cfs_quota_us", "25000\n");
    put(fixture, 0, "cpu.cfs_period_us", "50000\n");
    put(fixture, 1, "memory.limit_in_bytes", "134217728\n");
    put(fixture, 1, "memory.memsw.limit_in_bytes", "134217828\n");
    put(fixture, 2, "pids.max", "512\n");
    put(fixture, 3, "cpuset.effective_cpus", "1\n");
    struct cgroup_limits_in_force limits = read_limits(fixture);
    assert_true(limits.memory_bytes == 134217728 && limits.swap_bytes == 100);
    assert_int_equal(limits.cpu_percent, 50);
    assert_int_equal(limits.processes, 512);
    assert_string_equal(limits.cpus, "1");
    assert_int_equal(limits.device_count, 0);
    put(fixture, 0, "cpu.cfs_quota_us", "-1\n");
    put(fixture, 1, "memory.limit_in_bytes", "9223372036854771712\n");
    put(fixture, 1, "memory.memsw.limit_in_bytes", "9223372036854771712\n");
    limits = read_limits(fixture);
    assert_true(limits.cpu_percent == CGROUP_NO_LIMIT && limits.memory_bytes == CGROUP_NO_LIMIT);
    assert_true(limits.swap_bytes == CGROUP_NO_LIMIT);
}

/* What is not there is not taken for "no limit", nor for 0. */
static void test_not_set(void **state)
{
    struct fixture *fixture = *state;
    add_hierarchy(fixture, "memory");
    add_hierarchy(fixture, "");
    put(fixture, 0, "memory.limit_in_bytes", "4096\n"); /* no swap accounting */
    put(fixture, 1, "cpu.max", "\n");
    put(fixture, 1, "pids.max", "many\n");
    struct cgroup_limits_in_force limits = read_limits(fixture);
    assert_int_equal(limits.memory_bytes, 4096);
    assert_true(limits.swap_bytes == CGROUP_NOT_SET && limits.cpu_percent == CGROUP_NOT_SET);
    assert_true(limits.processes == CGROUP_NOT_SET && limits.device_count == 0);
    assert_string_equal(limits.cpus, "");
}

static void test_devices(void **state)
{
    struct cgroup_device_limit limit;
    (void)state;
    static const char *const wrong[] = {
            "", "8", "8:", ":0 rbps=1", "8:x rbps=1", "max:0 rbps=1", "4294967296:0 rbps=1"};
    for (size_t i = 0; i < ELEMENTS(wrong); i++)
        assert_int_equal(cgroup_parse_device(wrong[i], &limit), -EBADMSG);
    assert_int_equal(cgroup_parse_device("259:3 rbps=18446744073709551615 wbps=x\n", &limit), 0);
    assert_true(limit.read_bps == CGROUP_NO_LIMIT && limit.write_bps == CGROUP_NOT_SET);
}

static void expect_paths(struct fixture *fixture, const char *text, size_t size, int result, const char *expected)
{
    char copy[512];
    char paths[256] = "";
    (void)snprintf(copy, sizeof(copy), "%s", text);
    assert_int_equal(cgroup_parse_paths(&fixture->host, copy, paths, size), result);
    if (result == 0) {
        assert_string_equal(paths, expected);
        assert_true(strlen(paths) < size);
    }
}

static void test_paths(void **state)
{
    struct fixture *fixture = *state;
    static const char text[] =
            "9:name=systemd:/a\n4:memory:/x/job\n3:cpuset:/a\n2:cpu,cpuacct:/job\n1:pids:/job\n0::/job\n";
    add_hierarchy(fixture, "cpu,cpuacct");
    add_hierarchy(fixture, "memory");
    add_hierarchy(fixture, "pids");
    add_hierarchy(fixture, "");
    expect_paths(fixture, text, 256, 0, "memory /x/job\ncpu,cpuacct,pids,v2 /job\n");
    expect_paths(fixture, "", 256, 0, "");
    expect_paths(fixture, "0::/a b:c\n", 256, 0, "v2 /a b:c\n");
    expect_paths(fixture, "nonsense\n", 256, -EBADMSG, NULL);
    /* The end of a path is what tells it from others. */
    expect_paths(fixture, "4:memory:/0123456789/0123456789/job-1\n0::/0123456789/job-2\n", 46, 0,
            "memory ...56789/job-1\nv2 /0123456789/job-2\n");
    expect_paths(fixture, "0::/0123456789/job-2\n", 19, 0, "v2 ...56789/job-2\n");
    expect_paths(fixture, "0::/0123456789/job-2\n", 8, -ENOSPC, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(test_version_2, setup, teardown),
            cmocka_unit_test_setup_teardown(test_version_1, setup, teardown),
            cmocka_unit_test_setup_teardown(test_not_set, setup, teardown),
            cmocka_unit_test(test_devices),
            cmocka_unit_test_setup_teardown(test_paths, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
