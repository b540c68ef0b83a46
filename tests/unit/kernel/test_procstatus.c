#include "kernel/procstatus.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/fd.h"

static const char sample[] = "Name:\tx\\nUid:\n"
                             "PPid:\t7\nTracerPid:\t0\n"
                             "Uid:\t65535\t65535\t65534\t65535\nGid:\t1\t2\t3\t4\n"
                             "Groups:\t4 24 \nNSpid:\t400\t12\t1\nThreads:\t1\n"
                             "CapInh:\t0000000000000000\nCapPrm:\t000001ffffffffff\nCapEff:\t0000000000000001\n"
                             "CapBnd:\t0000000000000002\nCapAmb:\t0000000000000000\n"
                             "NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";

static void test_parse(void **state)
{
    (void)state;
    struct procstatus status;
    assert_int_equal(procstatus_parse(sample, &status, NULL), 0);
    assert_int_equal(status.uid[2], 65534);
    assert_int_equal(status.gid[3], 4);
    assert_int_equal(status.group_count, 2);
    assert_int_equal(status.groups[1], 24);
    assert_true(status.cap_permitted == 0x1ffffffffffULL);
    assert_int_equal(status.cap_bounding, 2);
    assert_int_equal(status.seccomp, 2);
    assert_int_equal(status.inner_pid, 1);
    assert_int_equal(status.parent_pid, 7);
}

/* Every field is needed: a kernel that does not tell one of them must not pass for one that says 0. */
static void test_missing_field(void **state)
{
    (void)state;
    static const char *const names[] = {"\nUid", "\nGid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
            "NoNewPrivs", "Seccomp:", "Seccomp_filters", "Threads", "NSpid"};
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        char text[sizeof(sample)];
        memcpy(text, sample, sizeof(sample));
        char *at = strstr(text, names[i]);
        assert_non_null(at);
        at[1] = '#';
        struct procstatus status;
        struct error error = {0};
        assert_int_equal(procstatus_parse(text, &status, &error), -EBADMSG);
    }
}

static void test_start_time(void **state)
{
    (void)state;
    uint64_t ticks = 0;
    assert_int_equal(
            procstatus_parse_start_time(
                    "1 (a) b) c) S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 99 1 18446744073709551615\n",
                    &ticks),
            0);
    assert_int_equal(ticks, 4242);
    assert_int_equal(procstatus_parse_start_time("1 (a) S 1", &ticks), -EBADMSG);
    assert_int_equal(procstatus_parse_start_time("", &ticks), -EBADMSG);
}

static void test_id_map(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
        uint32_t lines;
    } cases[] = {
            {"         0     100000      65536\n", 0, 1},
            {"         0     100000      65536\n     65536 300000 1\n", 0, 2},
            {"", -EBADMSG, 0}, /* not written yet */
            {"0 100000 65536", -EBADMSG, 0},
            {"0 100000\n", -EBADMSG, 0},
            {"0 100000 65536 1\n", -EBADMSG, 0},
            {"0 100000 65536\nx\n", -EBADMSG, 0},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        struct procstatus_id_map map = {0};
        int r = procstatus_parse_id_map(cases[i].text, &map);
        if (r != cases[i].result || map.lines != cases[i].lines)
            fail_msg("'%s': %d, %u lines", cases[i].text, r, map.lines);
        if (r == 0)
            assert_true(map.inside == 0 && map.outside == 100000 && map.count == 65536);
    }
}

static void test_limits(void **state)
{
    static const char text[] = "Limit                     Soft Limit           Hard Limit           Units     \n"
                               "Max cpu time              unlimited            unlimited            seconds   \n"
                               "Max core file size        1                    unlimited            bytes     \n"
                               "Max open files            1024                 1048576              files     \n";
    struct procstatus_limits limits = {0};
    (void)state;
    assert_int_equal(procstatus_parse_limits(text, &limits), 0);
    assert_true(limits.core_bytes_soft == 1 && limits.core_bytes_hard == PROCSTATUS_UNLIMITED);
    assert_true(limits.open_files_soft == 1024 && limits.open_files_hard == 1048576);
    static const char *const wrong[] = {"", "Max open files 1 2 files\n", "Max core file size 1\nMax open files 1 2\n",
            "Max core file size x 1\nMax open files 1 2\n", "Max core file size 1 2\nMax open filesystems 1 2\n"};
    for (size_t i = 0; i < ELEMENTS(wrong); i++)
        assert_int_equal(procstatus_parse_limits(wrong[i], &limits), -EBADMSG);
}

/* What a process gives itself is what is read. */
static void test_own_limits_and_maps(void **state)
{
    const struct rlimit files = {55, 66};
    const struct rlimit core = {1, 1};
    struct procstatus_limits limits = {0};
    struct procstatus_id_map map = {0};
    int status = 0;
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        _cleanup_close_ int fd = procstatus_open(getpid());
        bool right = setrlimit(RLIMIT_NOFILE, &files) == 0 && setrlimit(RLIMIT_CORE, &core) == 0 &&
                     procstatus_read_limits(fd, &limits) == 0 && limits.open_files_soft == 55 &&
                     limits.open_files_hard == 66 && limits.core_bytes_soft == 1 && limits.core_bytes_hard == 1 &&
                     procstatus_read_id_map(fd, "gid_map", &map) == 0 && map.lines > 0 && map.count > 0;
        _exit(right ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_self(void **state)
{
    (void)state;
    _cleanup_close_ int fd = procstatus_open(getpid());
    assert_true(fd >= 0);
    struct procstatus status;
    assert_int_equal(procstatus_read(fd, &status, NULL), 0);
    assert_int_equal(status.uid[1], geteuid());
    assert_int_equal(status.threads, 1);
    uint64_t ticks = 0;
    assert_int_equal(procstatus_read_start_time(fd, &ticks), 0);
    assert_true(ticks > 0);
    struct procstatus_namespaces namespaces;
    assert_int_equal(procstatus_read_namespaces(fd, &namespaces, NULL), 0);
    for (unsigned i = 0; i < PROCSTATUS_NS_COUNT; i++)
        assert_true(namespaces.inode[i] != 0);
    assert_string_equal(procstatus_ns_name(PROCSTATUS_NS_CGROUP), "cgroup");
    assert_int_equal(procstatus_check_id_map(fd, "uid_map", 12345, 65536), 0);
    assert_true(procstatus_open(0x3fffffff) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_parse),
            cmocka_unit_test(test_missing_field),
            cmocka_unit_test(test_start_time),
            cmocka_unit_test(test_id_map),
            cmocka_unit_test(test_limits),
            cmocka_unit_test(test_own_limits_and_maps),
            cmocka_unit_test(test_self),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
