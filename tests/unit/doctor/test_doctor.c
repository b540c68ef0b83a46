/* The doctor on this host, with a prefix that is set up, and with things taken away: a system call, a file, a right. As
 * root; what it made is gone afterwards. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <jansson.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "config/config.h"
#include "doctor/doctor.h"
#include "kernel/procstatus.h"
#include "setup/setup.h"
#include "setup/tree.h"

#define AUDIT_FIRST "state/audit/00000000000000000001.jsonl"

static char prefix[64];

/* What is done to the process that becomes the doctor; 0 when it could be done. */
typedef int (*damage_function)(const void *how);

/* Runs the doctor in a child. Its exit status; @ret_report is its JSON. @cis: with "--cis". */
static int run_any(bool cis, const char *where, damage_function damage, const void *how, json_t **ret_report)
{
    int output = memfd_create("report", MFD_CLOEXEC);
    assert_true(output >= 0);
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        char json[] = "--json";
        char kept[] = "--cis";
        char *arguments[] = {json, kept, NULL};
        if (dup2(output, STDOUT_FILENO) < 0 || (damage && damage(how) < 0))
            _exit(99);
        _exit(doctor_main(where, cis ? 2 : 1, arguments));
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    json_error_t error;
    assert_int_equal(lseek(output, 0, SEEK_SET), 0);
    *ret_report = json_loadfd(output, 0, &error);
    (void)close(output);
    if (!*ret_report)
        fail_msg("not JSON: %s, status %d", error.text, WEXITSTATUS(status));
    return WEXITSTATUS(status);
}

static int run_doctor(const char *where, damage_function damage, const void *how, json_t **ret_report)
{
    return run_any(false, where, damage, how, ret_report);
}

static json_t *find_row(json_t *report, const char *name)
{
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(report, "rows"), i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "name")), name) == 0)
            return row;
    }
    fail_msg("no row '%s'", name);
    return NULL;
}

static void check_row(json_t *report, const char *name, const char *result)
{
    json_t *row = find_row(report, name);
    const char *is = json_string_value(json_object_get(row, "result"));
    if (strcmp(is, result) != 0)
        fail_msg("'%s' %s: %s", name, is, json_string_value(json_object_get(row, "seen")));
    if (strcmp(result, "does not hold") == 0)
        assert_non_null(json_string_value(json_object_get(row, "follows")));
}

/* Not inline: gcc takes what it returns for a pointer to its variable. */
__attribute__((noinline)) static char *read_whole(const char *path)
{
    char *text = NULL;
    size_t size;
    assert_int_equal(fd_read_file_at(AT_FDCWD, path, 16U << 20, &text, &size), 0);
    return text;
}

/* Another doctor on this host has such groups too, for a moment. */
static bool comes_to_nothing(const char *pattern)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    for (unsigned i = 0; i < 600; i++) {
        glob_t found;
        int r = glob(pattern, GLOB_NOSORT, NULL, &found);
        if (r == GLOB_NOMATCH)
            return true;
        if (r == 0)
            globfree(&found);
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

static void check_nothing_left(void)
{
    static const char *const patterns[] = {
            "/sys/fs/cgroup/joblet-doctor-*", "/sys/fs/cgroup/*/joblet-doctor-*", "/sys/fs/cgroup/*/*/joblet-doctor-*"};
    for (size_t i = 0; i < ELEMENTS(patterns); i++)
        assert_true(comes_to_nothing(patterns[i]));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void test_healthy(void **state)
{
    (void)state;
    json_t *report;
    char *mounts = read_whole("/proc/self/mountinfo");
    char *groups = read_whole("/proc/self/cgroup");
    int status = run_doctor(prefix, NULL, NULL, &report);
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(report, "rows"), i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "requiredFor")), "jobs") == 0)
            check_row(report, json_string_value(json_object_get(row, "name")), "holds");
    }
    assert_int_equal(status, 0);
    assert_true(json_is_true(json_object_get(report, "jobsCanRun")));
    json_decref(report);
    char *mounts_after = read_whole("/proc/self/mountinfo");
    char *groups_after = read_whole("/proc/self/cgroup");
    assert_string_equal(mounts, mounts_after);
    assert_string_equal(groups, groups_after);
    free(mounts);
    free(groups);
    free(mounts_after);
    free(groups_after);
    check_nothing_left();
}

struct refusal {
    const char *call;
    const char *row;
};

/* A host whose kernel does not have the call. */
static int refuse_call(const void *how)
{
    const struct refusal *refusal = how;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int number = seccomp_syscall_resolve_name(refusal->call);
    /* The doctor itself installs a filter and sets no-new-privileges: not needed here, as root. */
    int r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), number, 0);
    if (r == 0)
        r = seccomp_load(filter);
    seccomp_release(filter);
    return r;
}

static void test_missing_calls(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
            {"pivot_root", "pivot_root"},
            {"mount_setattr", "idmapped base root"},
            {"open_tree", "idmapped base root"},
            {"move_mount", "pivot_root"},
            {"fsopen", "tmpfs"},
            {"landlock_restrict_self", "Landlock"},
            {"landlock_create_ruleset", "Landlock"},
            {"seccomp", "seccomp filter"},
            {"keyctl", "session keyring"},
            {"pidfd_send_signal", "processes by descriptor"},
            {"pidfd_getfd", "processes by descriptor"},
            {"openat2", "paths by descriptor"},
            {"close_range", "paths by descriptor"},
            {"clone3", "PID namespace"},
            {"setns", "rights dropped"},
            {"capset", "rights dropped"},
    };
    for (size_t i = 0; i < ELEMENTS(refusals); i++) {
        json_t *report;
        print_message("without %s\n", refusals[i].call);
        assert_int_equal(run_doctor(prefix, refuse_call, &refusals[i], &report), 1);
        assert_true(json_is_false(json_object_get(report, "jobsCanRun")));
        check_row(report, refusals[i].row, "does not hold");
        json_decref(report);
        check_nothing_left();
    }
}

/* A call that kills instead of answering: the row says so, the doctor goes on. */
static int kill_call(const void *how)
{
    (void)how;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int r = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(pivot_root), 0);
    if (r == 0)
        r = seccomp_load(filter);
    seccomp_release(filter);
    return r;
}

static void test_killed(void **state)
{
    (void)state;
    json_t *report;
    assert_int_equal(run_doctor(prefix, kill_call, NULL, &report), 1);
    check_row(report, "pivot_root", "does not hold");
    check_row(report, "tmpfs", "holds");
    json_decref(report);
}

static int lower_core_limit(const void *how)
{
    (void)how;
    const struct rlimit none = {0, 0};
    return setrlimit(RLIMIT_CORE, &none);
}

/* CAP_SYS_RESOURCE. */
static bool may_raise_limits(void)
{
    struct procstatus status;
    _cleanup_close_ int fd = procstatus_open(getpid());
    assert_int_equal(procstatus_read(fd, &status, NULL), 0);
    return status.cap_effective & 1ULL << 24;
}

static void test_core_limit(void **state)
{
    (void)state;
    json_t *report;
    if (may_raise_limits()) {
        print_message("skipped: root may raise hard limits here\n");
        skip();
    }
    assert_int_equal(run_doctor(prefix, lower_core_limit, NULL, &report), 1);
    check_row(report, "core limit", "does not hold");
    json_decref(report);
}

static int become_nobody(const void *how)
{
    (void)how;
    return setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0 ? -1 : 0;
}

static void test_not_root(void **state)
{
    (void)state;
    json_t *report;
    assert_int_equal(run_doctor(prefix, become_nobody, NULL, &report), 1);
    check_row(report, "root", "does not hold");
    check_row(report, "PID namespace", "not tested");
    check_row(report, "memory", "not tested");
    check_row(report, "kernel", "holds");
    json_decref(report);
}

static void test_no_prefix(void **state)
{
    (void)state;
    json_t *report;
    assert_int_equal(run_doctor("/nowhere/at/all", NULL, NULL, &report), 1);
    check_row(report, "directory", "does not hold");
    check_row(report, "configuration", "does not hold");
    check_row(report, "base root", "not tested");
    check_row(report, "idmapped base root", "holds");
    json_decref(report);
}

static void in_prefix(char path[256], const char *name)
{
    (void)snprintf(path, 256, "%s/%s", prefix, name);
}

static void test_open_keys(void **state)
{
    (void)state;
    json_t *report;
    char path[256];
    in_prefix(path, "config/joblet-config.yml");
    assert_int_equal(chmod(path, 0644), 0);
    int status = run_doctor(prefix, NULL, NULL, &report);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(status, 1);
    check_row(report, "configuration", "does not hold");
    json_decref(report);
}

static void test_closed_way(void **state)
{
    (void)state;
    json_t *report;
    assert_int_equal(chmod(prefix, 0700), 0);
    int status = run_doctor(prefix, NULL, NULL, &report);
    assert_int_equal(chmod(prefix, 0755), 0);
    assert_int_equal(status, 1);
    check_row(report, "way to the state", "does not hold");
    json_decref(report);
}

static void test_no_base(void **state)
{
    (void)state;
    json_t *report;
    char path[256];
    char aside[256];
    in_prefix(path, "base");
    in_prefix(aside, "aside");
    assert_int_equal(rename(path, aside), 0);
    int status = run_doctor(prefix, NULL, NULL, &report);
    assert_int_equal(rename(aside, path), 0);
    assert_int_equal(status, 1);
    check_row(report, "base root", "does not hold");
    json_decref(report);
}

static void test_arguments(void **state)
{
    (void)state;
    char wrong[] = "--wrong";
    char *arguments[] = {wrong, NULL};
    assert_int_equal(doctor_main(prefix, 1, arguments), 2);
}

/* --- "doctor --cis" --- */

static void check_cis(damage_function damage, const void *how, const char *id, const char *result)
{
    json_t *report;
    json_t *row;
    size_t i;
    bool is_there = false;
    int status = run_any(true, prefix, damage, how, &report);
    json_array_foreach(json_object_get(report, "checks"), i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "id")), id) != 0)
            continue;
        is_there = true;
        if (strcmp(json_string_value(json_object_get(row, "result")), result) != 0)
            fail_msg("%s is %s: %s", id, json_string_value(json_object_get(row, "result")),
                    json_string_value(json_object_get(row, "seen")));
        assert_int_equal(json_is_string(json_object_get(row, "mend")), strcmp(result, "FAIL") == 0);
    }
    assert_true(is_there);
    assert_int_equal(status, json_integer_value(json_object_get(report, "failed")) > 0);
    if (strcmp(result, "FAIL") == 0)
        assert_int_equal(status, 1);
    json_decref(report);
}

struct setting_value {
    const char *path;
    const char *value;
};

/* A mount namespace of the doctor's own. */
static int unshare_mounts(void)
{
    return unshare(CLONE_NEWNS) < 0 ? -1 : mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static int change_setting(const void *how)
{
    const struct setting_value *setting = how;
    char file[] = "/tmp/joblet-doctor-setting-XXXXXX";
    if (unshare_mounts() < 0)
        return -1;
    int made = mkstemp(file);
    if (made < 0 || fd_write_all(made, setting->value, strlen(setting->value)) < 0)
        return -1;
    int r = mount(file, setting->path, NULL, MS_BIND, NULL);
    (void)unlink(file);
    (void)close(made);
    return r;
}

static void test_cis_settings(void **state)
{
    (void)state;
    static const struct {
        const char *id;
        const char *path;
        const char *good;
        const char *bad;
    } settings[] = {
            {"KERNEL-1", "/proc/sys/kernel/kptr_restrict", "1\n", "0\n"},
            {"KERNEL-2", "/proc/sys/kernel/dmesg_restrict", "1\n", "0\n"},
            {"KERNEL-3", "/proc/sys/kernel/unprivileged_bpf_disabled", "2\n", "0\n"},
            {"KERNEL-4", "/proc/sys/fs/protected_hardlinks", "1\n", "0\n"},
            {"KERNEL-5", "/proc/sys/fs/protected_symlinks", "1\n", "0\n"},
            {"KERNEL-6", "/proc/sys/fs/suid_dumpable", "0\n", "2\n"},
            {"KERNEL-7", "/proc/sys/kernel/randomize_va_space", "2\n", "1\n"},
            {"KERNEL-8", "/proc/sys/net/ipv4/ip_forward", "0\n", "1\n"},
            {"KERNEL-9", "/proc/sys/net/ipv4/conf/all/send_redirects", "0\n", "1\n"},
    };
    for (size_t i = 0; i < ELEMENTS(settings); i++) {
        const struct setting_value good = {settings[i].path, settings[i].good};
        const struct setting_value bad = {settings[i].path, settings[i].bad};
        if (access(settings[i].path, F_OK) < 0) {
            print_message("skipped %s: this kernel has none\n", settings[i].path);
            continue;
        }
        check_cis(change_setting, &good, settings[i].id, "PASS");
        check_cis(change_setting, &bad, settings[i].id, "FAIL");
    }
}

static void check_mode(const char *name, mode_t good, mode_t bad, const char *id)
{
    char path[256];
    in_prefix(path, name);
    check_cis(NULL, NULL, id, "PASS");
    assert_int_equal(chmod(path, bad), 0);
    check_cis(NULL, NULL, id, "FAIL");
    assert_int_equal(chmod(path, good), 0);
}

static void test_cis_files(void **state)
{
    (void)state;
    char audit[256];
    char aside[256];
    check_mode("config/ca.key", 0600, 0644, "PREFIX-5");
    check_mode("config/rnx-config.yml", 0600, 0640, "PREFIX-5");
    check_mode("state/db", 0700, 0755, "PREFIX-6");
    check_mode("state/jobs", 0750, 0755, "PREFIX-6");
    check_mode("config/joblet-config.yml", 0600, 0640, "PREFIX-3");
    check_mode("config", 0700, 0750, "PREFIX-3");
    check_mode(".", 0755, 0775, "PREFIX-1");
    check_cis(NULL, NULL, "PREFIX-7", "PASS"); /* setup records itself */
    check_mode("state/audit/head", 0640, 0666, "PREFIX-7");
    in_prefix(audit, "state/audit");
    in_prefix(aside, "state/aside");
    assert_int_equal(rename(audit, aside), 0);
    check_cis(NULL, NULL, "PREFIX-7", "FAIL");
    assert_int_equal(mkdir(audit, 0750), 0);
    check_cis(NULL, NULL, "PREFIX-7", "FAIL");
    assert_int_equal(rmdir(audit), 0);
    assert_int_equal(rename(aside, audit), 0);
    check_cis(NULL, NULL, "TLS-2", "PASS");
    check_cis(NULL, NULL, "SERVICE-1", "PASS");
    check_cis(NULL, NULL, "TLS-3", "INFO"); /* it does not run: test_doctor.py */
}

static void write_whole(const char *path, const char *text, size_t size)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, size), 0);
    assert_int_equal(close(fd), 0);
}

/* @name of the prefix with the first @old in it replaced by @new of the same size; then as it was. */
static void check_forged(const char *name, const char *old, const char *new, const char *result)
{
    char path[256];
    in_prefix(path, name);
    char *was = read_whole(path);
    char *forged = read_whole(path);
    char *place = strstr(forged, old);
    assert_non_null(place);
    memcpy(place, new, strlen(old));
    write_whole(path, forged, strlen(forged));
    check_cis(NULL, NULL, "PREFIX-7", result);
    write_whole(path, was, strlen(was));
    free(was);
    free(forged);
}

static void test_cis_audit(void **state)
{
    (void)state;
    char path[256];
    char aside[256];
    check_cis(NULL, NULL, "PREFIX-7", "PASS");
    check_forged(AUDIT_FIRST, "setup", "Setup", "FAIL");
    check_forged("state/audit/head", "\"first\":1", "\"first\":2", "FAIL"); /* not what was signed */
    check_forged("state/audit/head", "\"first\":1", "\"first\":1", "PASS");

    /* The last record is gone, as a whole; then half of it, which only a kill before the head could leave. */
    in_prefix(path, AUDIT_FIRST);
    char *was = read_whole(path);
    size_t size = strlen(was);
    size_t last = size - 1;
    while (last > 0 && was[last - 1] != '\n')
        last--;
    assert_true(last > 0);
    write_whole(path, was, last);
    check_cis(NULL, NULL, "PREFIX-7", "FAIL");
    write_whole(path, was, size - 10);
    check_cis(NULL, NULL, "PREFIX-7", "FAIL");
    /* Behind the head, half a line is on its way. */
    char *more = malloc(size + 10);
    assert_non_null(more);
    memcpy(more, was, size);
    memcpy(more + size, "{\"v\":1,\"s", 9);
    write_whole(path, more, size + 9);
    check_cis(NULL, NULL, "PREFIX-7", "PASS");
    memcpy(more + size, "forged!!\n", 9);
    write_whole(path, more, size + 9);
    check_cis(NULL, NULL, "PREFIX-7", "FAIL");
    write_whole(path, was, size);
    free(more);
    free(was);

    /* Without a head, without the key, without records; what a start has put aside. */
    static const char *const names[] = {"state/audit/head", "config/audit-public.pem", AUDIT_FIRST};
    in_prefix(aside, "state/aside");
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        in_prefix(path, names[i]);
        assert_int_equal(rename(path, aside), 0);
        check_cis(NULL, NULL, "PREFIX-7", "FAIL");
        assert_int_equal(rename(aside, path), 0);
    }
    in_prefix(path, "state/audit/head.damaged-1");
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    assert_true(fd >= 0 && close(fd) == 0);
    check_cis(NULL, NULL, "PREFIX-7", "FAIL");
    assert_int_equal(unlink(path), 0);
    check_cis(NULL, NULL, "PREFIX-7", "PASS");
}

/* The clock is the host's, and not touched: what the kernel says of it is said here. */
static const struct clock_case {
    int state;
    int status;
    const char *result;
} clock_cases[] = {{TIME_OK, 0, "PASS"}, {TIME_OK, STA_UNSYNC, "FAIL"}, {TIME_ERROR, 0, "FAIL"}, {-1, 0, "INFO"}};
static const struct clock_case *clock_now = &clock_cases[0];

int adjtimex(struct timex *clock)
{
    if (clock->modes != 0)
        _exit(98); /* it would be set */
    clock->status = clock_now->status;
    return clock_now->state;
}

static int choose_clock(const void *how)
{
    clock_now = how;
    return 0;
}

static void test_cis_clock(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELEMENTS(clock_cases); i++)
        check_cis(choose_clock, &clock_cases[i], "HOST-1", clock_cases[i].result);
}

/* mkdir -p */
static int make_path(const char *path)
{
    char part[4096];
    for (size_t i = 1; path[i - 1] != '\0'; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        (void)snprintf(part, sizeof(part), "%.*s", (int)i, path);
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return -1;
    }
    return 0;
}

static int make_file(const char *path, mode_t mode, uid_t owner)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    return fd < 0 || fchown(fd, owner, 0) < 0 ? -1 : fchmod(fd, mode);
}

struct kept_file {
    mode_t directory_mode;
    uid_t directory_owner;
    mode_t mode;
    uid_t owner;
    const char *result;
};

/* Over the first directory of this program's path an empty one, with that path in it and a program beside this one. */
static int place_program(const void *how)
{
    const struct kept_file *wanted = how;
    char path[4096];
    char top[4096];
    ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 32);
    if (size < 0 || unshare_mounts() < 0)
        return -1;
    path[size] = '\0';
    *strrchr(path, '/') = '\0';
    (void)snprintf(top, sizeof(top), "%.*s", (int)(1 + strcspn(path + 1, "/")), path);
    if (mount("none", top, "tmpfs", 0, "mode=755") < 0 || make_path(path) < 0 ||
            chown(path, wanted->directory_owner, 0) < 0 || chmod(path, wanted->directory_mode) < 0)
        return -1;
    (void)strcat(path, "/joblet-builder");
    return make_file(path, wanted->mode, wanted->owner);
}

static void test_cis_programs(void **state)
{
    (void)state;
    static const struct kept_file cases[] = {
            {0755, 0, 0755, 0, "PASS"},
            {01777, 0, 0755, 0, "PASS"},
            {0755, 0, 0775, 0, "FAIL"},
            {0755, 0, 0757, 0, "FAIL"},
            {0755, 0, 0755, 65534, "FAIL"},
            {0777, 0, 0755, 0, "FAIL"},
            {0755, 65534, 0755, 0, "FAIL"},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        check_cis(place_program, &cases[i], "HOST-2", cases[i].result);
}

/* An /etc with nothing else in it. */
static int place_unit(const void *how)
{
    const struct kept_file *wanted = how;
    static const char directory[] = "/etc/systemd/system";
    if (unshare_mounts() < 0 || mount("none", "/etc", "tmpfs", 0, "mode=755") < 0 || make_path(directory) < 0)
        return -1;
    return make_file("/etc/systemd/system/joblet.service", wanted->mode, wanted->owner);
}

static void test_cis_unit(void **state)
{
    (void)state;
    static const struct kept_file cases[] = {
            {.mode = 0644, .owner = 0, .result = "PASS"},
            {.mode = 0664, .owner = 0, .result = "FAIL"},
            {.mode = 0646, .owner = 0, .result = "FAIL"},
            {.mode = 0644, .owner = 65534, .result = "FAIL"},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        check_cis(place_unit, &cases[i], "HOST-3", cases[i].result);
}

struct place {
    const char *source; /* NULL: a file system in memory with @options */
    const char *options;
    const char *id;
    const char *result;
};

static int mount_at_prefix(const void *how)
{
    const struct place *place = how;
    if (unshare_mounts() < 0)
        return -1;
    return place->source ? mount(place->source, prefix, NULL, MS_BIND, NULL)
                         : mount("none", prefix, "tmpfs", 0, place->options);
}

static void test_cis_place(void **state)
{
    (void)state;
    static const struct place places[] = {
            {NULL, "mode=755", "PREFIX-4", "PASS"},
            {"/", NULL, "PREFIX-4", "FAIL"},
            {NULL, "mode=755,size=512m", "PREFIX-2", "PASS"},
            {NULL, "mode=755,size=128m", "PREFIX-2", "FAIL"},
            {NULL, "mode=755,size=512m,nr_inodes=1000", "PREFIX-2", "FAIL"},
    };
    for (size_t i = 0; i < ELEMENTS(places); i++)
        check_cis(mount_at_prefix, &places[i], places[i].id, places[i].result);
}

/* The configuration, changed by @change, in place of the one that is there. */
static void check_config(void (*change)(struct config *config), const char *id, const char *result)
{
    char path[256];
    struct error error = {0};
    _cleanup_free_ char *text = NULL;
    _cleanup_(config_freep) struct config *config = NULL;
    in_prefix(path, "config/joblet-config.yml");
    if (config_load(prefix, &config, &error) < 0)
        fail_msg("%s", error.text);
    change(config);
    size_t size;
    assert_int_equal(config_format(config, &text, &size), 0);
    const struct setting_value file = {path, text};
    check_cis(change_setting, &file, id, result);
}

static void keep_config(struct config *config)
{
    (void)config;
}

static void log_less(struct config *config)
{
    config->log_level = LOG_LEVEL_WARN;
}

/* The authority's is for ten years: too long for a server's. */
static void take_long_certificate(struct config *config)
{
    free(config->server_cert);
    config->server_cert = strdup(config->ca_cert);
    assert_non_null(config->server_cert);
}

static void take_no_certificate(struct config *config)
{
    free(config->server_cert);
    config->server_cert = strdup("-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n");
    assert_non_null(config->server_cert);
}

static void test_cis_configuration(void **state)
{
    (void)state;
    check_config(keep_config, "SERVICE-1", "PASS");
    check_config(log_less, "SERVICE-1", "FAIL");
    check_config(keep_config, "TLS-2", "PASS");
    check_config(take_long_certificate, "TLS-2", "FAIL");
    check_config(take_no_certificate, "TLS-2", "FAIL");
}

/* One of the host's files that the base root was made of is another. */
static void test_cis_stale_base(void **state)
{
    (void)state;
    char path[256];
    in_prefix(path, "base.manifest");
    char *manifest = read_whole(path);
    char *line = strstr(manifest, "\nf ");
    assert_non_null(line);
    char *file = strchr(line, '/');
    assert_non_null(file);
    file[strcspn(file, "\n")] = '\0';
    const struct setting_value other = {file, "another\n"};
    check_cis(NULL, NULL, "PREFIX-8", "PASS");
    check_cis(change_setting, &other, "PREFIX-8", "FAIL");
    free(manifest);
}

static int set_up(void **state)
{
    (void)state;
    char template[] = "/tmp/joblet-doctor-XXXXXX";
    assert_non_null(mkdtemp(template));
    assert_int_equal(chmod(template, 0755), 0);
    (void)strcpy(prefix, template);
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        char user[] = "--user", name[] = "nobody";
        char *arguments[] = {user, name, NULL};
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        _exit(null < 0 || dup2(null, STDOUT_FILENO) < 0 ? 99 : setup_main(prefix, 2, arguments));
    }
    int status = 1;
    (void)waitpid(pid, &status, 0);
    return status == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    _cleanup_close_ int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return tree_remove(fd, prefix + strlen("/tmp/"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_healthy),
            cmocka_unit_test(test_missing_calls),
            cmocka_unit_test(test_killed),
            cmocka_unit_test(test_core_limit),
            cmocka_unit_test(test_not_root),
            cmocka_unit_test(test_no_prefix),
            cmocka_unit_test(test_open_keys),
            cmocka_unit_test(test_closed_way),
            cmocka_unit_test(test_no_base),
            cmocka_unit_test(test_arguments),
            cmocka_unit_test(test_cis_settings),
            cmocka_unit_test(test_cis_files),
            cmocka_unit_test(test_cis_audit),
            cmocka_unit_test(test_cis_clock),
            cmocka_unit_test(test_cis_programs),
            cmocka_unit_test(test_cis_unit),
            cmocka_unit_test(test_cis_place),
            cmocka_unit_test(test_cis_configuration),
            cmocka_unit_test(test_cis_stale_base),
    };
    if (geteuid() != 0) {
        (void)printf("skipped: the doctor is tested as root\n");
        return 77;
    }
    /* Orphans of a try become ours, where they are seen. */
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
