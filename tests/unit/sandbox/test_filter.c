/* The two filters against the real kernel: what is refused, with which errno, and that arguments with high bits set do
 * not slip through (A22). Each call runs in a child under the filter. */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "sandbox/filter.h"

#define HIGH (1UL << 32)

static void install(const struct sock_filter *program, unsigned short length)
{
    const struct sock_fprog filter = {.len = length, .filter = (struct sock_filter *)(uintptr_t)program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) < 0 ||
            syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0U, &filter) < 0)
        _exit(99);
}

/* The errno of the call under a filter; 0 when it succeeded. */
static int code_under(const struct sock_filter *program, unsigned short length, long number, unsigned long a,
        unsigned long b, unsigned long c)
{
    pid_t pid = fork();
    if (pid == 0) {
        install(program, length);
        long r = syscall(number, a, b, c, 0UL, 0UL, 0UL);
        if (number == SYS_clone && r == 0)
            _exit(0);
        _exit(r < 0 ? errno : 0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The command's. */
static int code_of(long number, unsigned long a, unsigned long b, unsigned long c)
{
    return code_under(filter_command_program, filter_command_length, number, a, b, c);
}

static int build_code_of(long number, unsigned long a, unsigned long b, unsigned long c)
{
    return code_under(filter_build_program, filter_build_length, number, a, b, c);
}

/* shows: CIS-Docker 2.17, CIS-Docker 5.22, NIST 4.4.3 */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        long number;
        unsigned long arguments[3];
        int code;
    } cases[] = {
            {SYS_clone3, {0, 0, 0}, ENOSYS},
            {425 /* io_uring_setup */, {1, 0, 0}, ENOSYS},
            {470 /* newer than the list */, {0, 0, 0}, ENOSYS},
#ifdef __x86_64__
            {0x40000000 | 39 /* x32 getpid */, {0, 0, 0}, ENOSYS},
#endif
            {SYS_mount, {0, 0, 0}, EPERM},
            {SYS_umount2, {0, 0, 0}, EPERM},
            {SYS_pivot_root, {0, 0, 0}, EPERM},
            {SYS_chroot, {0, 0, 0}, EPERM},
            {SYS_setns, {0, 0, 0}, EPERM},
            {SYS_bpf, {0, 0, 0}, EPERM},
            {SYS_perf_event_open, {0, 0, 0}, EPERM},
            {SYS_userfaultfd, {0, 0, 0}, EPERM},
            {SYS_ptrace, {PTRACE_TRACEME, 0, 0}, EPERM},
            {SYS_process_vm_readv, {0, 0, 0}, EPERM},
            {SYS_keyctl, {KEYCTL_GET_KEYRING_ID, 0, 0}, EPERM},
            {SYS_add_key, {0, 0, 0}, EPERM},
            {SYS_init_module, {0, 0, 0}, EPERM},
            {SYS_open_by_handle_at, {0, 0, 0}, EPERM},
            {SYS_clock_settime, {0, 0, 0}, EPERM},
            {SYS_unshare, {CLONE_NEWUSER, 0, 0}, EPERM},
            {SYS_unshare, {CLONE_NEWUSER | HIGH, 0, 0}, EPERM},
            {SYS_unshare, {CLONE_NEWNET | CLONE_FS, 0, 0}, EPERM},
            {SYS_unshare, {0x80 /* CLONE_NEWTIME */, 0, 0}, EPERM},
            {SYS_clone, {CLONE_NEWUSER | SIGCHLD, 0, 0}, EPERM},
            {SYS_clone, {CLONE_NEWNS | SIGCHLD, 0, 0}, EPERM},
            {SYS_clone, {CLONE_NEWPID | HIGH | SIGCHLD, 0, 0}, EPERM},
            {SYS_ioctl, {0, TIOCSTI, 0}, EPERM},
            {SYS_ioctl, {0, TIOCSTI | HIGH, 0}, EPERM},
            {SYS_ioctl, {0, TIOCLINUX, 0}, EPERM},
            {SYS_ioctl, {0, TIOCLINUX | HIGH, 0}, EPERM},
            {SYS_socket, {AF_PACKET, SOCK_RAW, 0}, EAFNOSUPPORT},
            {SYS_socket, {AF_VSOCK, SOCK_STREAM, 0}, EAFNOSUPPORT},
            {SYS_socket, {AF_ALG, SOCK_SEQPACKET, 0}, EAFNOSUPPORT},
            {SYS_socket, {AF_BLUETOOTH, SOCK_RAW, 0}, EAFNOSUPPORT},
            {SYS_socket, {AF_X25, SOCK_SEQPACKET, 0}, EAFNOSUPPORT},
            {SYS_socket, {AF_NETLINK, SOCK_RAW, 9 /* audit */}, EPROTONOSUPPORT},
            {SYS_socket, {AF_NETLINK, SOCK_RAW, 12 /* netfilter */}, EPROTONOSUPPORT},
            {SYS_socket, {AF_NETLINK, SOCK_RAW, HIGH | 12}, EPROTONOSUPPORT},
            {SYS_personality, {0x0400000 /* READ_IMPLIES_EXEC */, 0, 0}, ENOSYS},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        int code = code_of(cases[i].number, cases[i].arguments[0], cases[i].arguments[1], cases[i].arguments[2]);
        if (code != cases[i].code)
            print_error("case %zu: system call %ld said %d\n", i, cases[i].number, code);
        assert_int_equal(code, cases[i].code);
        /* A build's is the same but for one call. */
        if (cases[i].number == SYS_chroot)
            continue;
        code = build_code_of(cases[i].number, cases[i].arguments[0], cases[i].arguments[1], cases[i].arguments[2]);
        if (code != cases[i].code)
            print_error("case %zu, a build: system call %ld said %d\n", i, cases[i].number, code);
        assert_int_equal(code, cases[i].code);
    }
}

static void test_allowed(void **state)
{
    (void)state;
    assert_int_equal(code_of(SYS_getpid, 0, 0, 0), 0);
    assert_int_equal(code_of(SYS_socket, AF_UNIX, SOCK_STREAM, 0), 0);
    assert_int_equal(code_of(SYS_socket, AF_INET, SOCK_STREAM, 0), 0);
    assert_int_equal(code_of(SYS_socket, AF_INET6, SOCK_DGRAM, 0), 0);
    assert_int_equal(code_of(SYS_socket, AF_NETLINK, SOCK_RAW, 0), 0);
    assert_int_equal(code_of(SYS_clone, SIGCHLD, 0, 0), 0);
    assert_int_equal(code_of(SYS_unshare, CLONE_FS, 0, 0), 0);
    assert_int_equal(code_of(SYS_personality, 0xffffffffU, 0, 0), 0);
}

/* A build may change its root, and may not change the limits of joblet-init, whose id it can take. */
static void test_build(void **state)
{
    (void)state;
    const struct rlimit files = {.rlim_cur = 50, .rlim_max = 60};
    assert_int_equal(build_code_of(SYS_chroot, (uintptr_t) "/nowhere", 0, 0), ENOENT);
    assert_int_equal(build_code_of(SYS_prlimit64, 1, RLIMIT_NOFILE, (uintptr_t)&files), EPERM);
    assert_int_equal(build_code_of(SYS_prlimit64, HIGH | 1, RLIMIT_NOFILE, (uintptr_t)&files), EPERM);
    assert_int_equal(build_code_of(SYS_prlimit64, 0, RLIMIT_NOFILE, (uintptr_t)&files), 0);
    assert_int_equal(build_code_of(SYS_prlimit64, 1, RLIMIT_NOFILE, 0), 0);
    assert_int_equal(code_of(SYS_prlimit64, 1, RLIMIT_NOFILE, 0), 0);
    static const long allowed[] = {SYS_getpid, SYS_getuid, SYS_sync, SYS_umask};
    for (size_t i = 0; i < ELEMENTS(allowed); i++)
        assert_int_equal(build_code_of(allowed[i], 0, 0, 0), 0);
    assert_int_equal(build_code_of(SYS_setxattr, 0, 0, 0), EFAULT);
    assert_int_equal(build_code_of(SYS_mknodat, (unsigned long)AT_FDCWD, (uintptr_t) "/tmp/x", S_IFCHR), EPERM);
}

/* The core limit does not move, and whoever tries to move it hears success; other limits do move. */
/* shows: CIS-Linux 1.5.1 */
static void test_core_limit(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        const struct rlimit one = {.rlim_cur = 1, .rlim_max = 1};
        const struct rlimit zero = {0};
        const struct rlimit files = {.rlim_cur = 50, .rlim_max = 60};
        struct rlimit now;
        if (setrlimit(RLIMIT_CORE, &one) < 0)
            _exit(1);
        install(filter_command_program, filter_command_length);
        if (setrlimit(RLIMIT_CORE, &zero) < 0 || syscall(SYS_setrlimit, RLIMIT_CORE, &zero) < 0 ||
                syscall(SYS_setrlimit, RLIMIT_CORE | HIGH, &zero) < 0 ||
                syscall(SYS_prlimit64, 0, RLIMIT_CORE | HIGH, &zero, NULL) < 0)
            _exit(2);
        if (getrlimit(RLIMIT_CORE, &now) < 0 || now.rlim_cur != 1 || now.rlim_max != 1)
            _exit(3);
        if (setrlimit(RLIMIT_NOFILE, &files) < 0 || getrlimit(RLIMIT_NOFILE, &now) < 0 || now.rlim_cur != 50)
            _exit(4);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void *set_five(void *argument)
{
    *(int *)argument = 5;
    return NULL;
}

/* Without clone3 the C library falls back to clone: threads and children work. */
static void test_threads(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        install(filter_command_program, filter_command_length);
        pthread_t thread;
        int done = 0;
        if (pthread_create(&thread, NULL, set_five, &done) != 0 || pthread_join(thread, NULL) != 0)
            _exit(1);
        _exit(done == 5 && system("exit 7") == 7 << 8 ? 0 : 2);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* joblet-init under its filter: the probe is refused, anything else ends it. */
static void test_supervisor(void **state)
{
    (void)state;
    static const long deadly[] = {
            SYS_openat, SYS_execve, SYS_kill, SYS_ptrace, SYS_mmap, SYS_clone, SYS_connect, SYS_setresuid, SYS_mount};
    for (size_t i = 0; i < ELEMENTS(deadly); i++) {
        pid_t pid = fork();
        if (pid == 0) {
            install(filter_supervisor_program, filter_supervisor_length);
            if (socket(AF_UNIX, SOCK_STREAM, 0) != -1 || errno != EPERM)
                _exit(1);
            if (prctl(PR_GET_SECCOMP, 0UL, 0UL, 0UL, 0UL) != 2)
                _exit(2);
            (void)syscall(deadly[i], 0, 0, 0, 0, 0, 0);
            _exit(3);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSYS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_refused),
            cmocka_unit_test(test_allowed),
            cmocka_unit_test(test_build),
            cmocka_unit_test(test_core_limit),
            cmocka_unit_test(test_threads),
            cmocka_unit_test(test_supervisor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
