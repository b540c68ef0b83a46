/* The filter of the command, asked by number and by argument, and compared with syscalls.h, which is written by hand:
 * who changes the filter has to change it there too.
 *
 * How to ask without doing: this program adds a filter of its own that hands each call with a mark in its sixth
 * argument to us (SECCOMP_RET_USER_NOTIF). Of two filters the stricter answer counts, and an errno is stricter than a
 * question: so what the job's filter refuses comes back refused, and what it permits comes to us and is never made. Any
 * call can be asked this way, exit and reboot too, on any kernel. What is refused is then made once more in earnest. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attempt.h"

#ifdef __x86_64__

#define MARK 0x6a6f626c65743aULL
#define PERMITTED 4242L /* what we answer */

#define ALLOW PERMITTED
#define DENY (-EPERM)
#define ABSENT (-ENOSYS)
#define FAMILY (-EAFNOSUPPORT)
#define PASSED (-ENOTRECOVERABLE) /* no call answers this */
#define CALL(number, name, answer) [number] = {#name, answer},
static const struct {
    const char *name; /* NULL: no call has this number */
    long answer;
} calls[601] = {
#include "syscalls.h"
};

static long answer_of(unsigned number)
{
    return number < sizeof(calls) / sizeof(calls[0]) && calls[number].name ? calls[number].answer : ABSENT;
}

static long make_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t mark)
{
    register uint64_t r10 __asm__("r10") = 0;
    register uint64_t r8 __asm__("r8") = 0;
    register uint64_t r9 __asm__("r9") = mark;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static const char *name_answer(long answer)
{
    if (answer == PERMITTED)
        return "permitted";
    const char *name = answer < 0 ? strerrorname_np((int)-answer) : NULL;
    return answer == 0 ? "success without doing it" : name ? name : "made";
}

/* Adds the filter that hands marked calls to the holder of the descriptor, which is returned. */
static int install_question(void)
{
    const size_t sixth = offsetof(struct seccomp_data, args[5]);
    struct sock_filter instructions[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, sixth),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)MARK, 0, 3),
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, sixth + 4),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(MARK >> 32), 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(instructions) / sizeof(instructions[0]), instructions};
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static int send_fd(int socket, int fd)
{
    char space[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec byte = {"x", 1};
    struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(header), &fd, sizeof(fd));
    return (int)sendmsg(socket, &message, 0);
}

static int receive_fd(int socket)
{
    char space[CMSG_SPACE(sizeof(int))];
    char bytes[1];
    struct iovec byte = {bytes, 1};
    struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
    int fd = -1;
    if (recvmsg(socket, &message, 0) == 1 && CMSG_FIRSTHDR(&message))
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
    return fd;
}

/* Until the asking process is gone: its end of the pair tells. (Before 6.11 the listener tells only when it was waited
 * for.) */
static void answer_questions(int listener, int pair)
{
    struct pollfd poll_fds[] = {{listener, POLLIN, 0}, {pair, POLLIN, 0}};
    while (poll(poll_fds, 2, 10000) > 0) {
        if (!(poll_fds[0].revents & POLLIN)) {
            if (poll_fds[0].revents || poll_fds[1].revents)
                return;
            continue;
        }
        struct seccomp_notif question = {0};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &question) < 0)
            continue;
        struct seccomp_notif_resp answer = {.id = question.id, .val = PERMITTED};
        (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
}

/* What was found by the process that asks, in memory that it shares with this one. */
struct findings {
    unsigned asked;
    unsigned wrong;
    int finished;
    char text[ATTEMPT_SEEN_MAX];
};
static struct findings *findings;

static void compare(const char *what, unsigned long long detail, long expected, long found)
{
    findings->asked++;
    if (found == expected || findings->wrong++)
        return;
    char wanted[32];
    (void)snprintf(wanted, sizeof(wanted), "%s", name_answer(expected));
    (void)snprintf(findings->text, sizeof(findings->text), "%s (%#llx): %s (%ld), should be %s", what, detail,
            name_answer(found), found, wanted);
}

/* Asks once and compares. */
static void ask(const char *name, long expected, uint64_t number, uint64_t a, uint64_t b, uint64_t c)
{
    compare(name, b ? b : a, expected, make_call(number, a, b, c, MARK));
}

/* Runs @questions in a process whose marked calls come to us. */
static int run_questions(void (*questions)(void), char seen[ATTEMPT_SEEN_MAX])
{
    findings = mmap(NULL, sizeof(*findings), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int pair[2];
    if (findings == MAP_FAILED || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return attempt_fact(0, seen, "cannot begin: %s", strerrorname_np(errno));
    pid_t child = fork();
    if (child == 0) {
        (void)alarm(15);
        int listener = install_question();
        if (listener < 0 || send_fd(pair[1], listener) < 0)
            _exit(1);
        (void)close(listener);
        questions();
        findings->finished = 1;
        _exit(0);
    }
    (void)close(pair[1]);
    int listener = receive_fd(pair[0]);
    if (listener < 0)
        return attempt_fact(0, seen, "no filter of our own could be added");
    answer_questions(listener, pair[0]);
    (void)waitpid(child, NULL, 0);
    if (!findings->finished)
        return attempt_fact(0, seen, "ended after %u questions: %s", findings->asked, findings->text);
    if (findings->wrong)
        return attempt_fact(0, seen, "%u of %u are wrong, first %s", findings->wrong, findings->asked, findings->text);
    return attempt_fact(1, seen, "%u of %u as they should be", findings->asked, findings->asked);
}

static void ask_numbers(void)
{
    for (unsigned number = 0; number <= 600; number++)
        if (answer_of(number) != PASSED)
            ask(calls[number].name ? calls[number].name : "no call", answer_of(number), number, 0, 0, 0);
}

static int all_numbers(char seen[ATTEMPT_SEEN_MAX])
{
    return run_questions(ask_numbers, seen);
}

/* The same without any filter of ours: what is refused may be made. */
static int all_refused_in_earnest(char seen[ATTEMPT_SEEN_MAX])
{
    unsigned made = 0;
    for (unsigned number = 0; number <= 600; number++) {
        if (answer_of(number) == ALLOW || answer_of(number) == PASSED)
            continue;
        long result = make_call(number, 0, 0, 0, 0);
        if (result != answer_of(number))
            return attempt_fact(0, seen, "%s (%u): %s", calls[number].name ? calls[number].name : "no call", number,
                    name_answer(result));
        made++;
    }
    return attempt_fact(made > 280, seen, "%u calls made, all refused", made);
}

/* What the kernel itself put into a program for probes calls these; from elsewhere they are nothing, or the end. */
static int calls_past_filters(char seen[ATTEMPT_SEEN_MAX])
{
    static const unsigned numbers[] = {335, 336};
    int used = snprintf(seen, ATTEMPT_SEEN_MAX, "%s", "");
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        pid_t child = fork();
        if (child == 0) {
            long result = make_call(numbers[i], 0, 0, 0, 0);
            _exit(result == -ENOSYS ? 1 : result == -ENXIO ? 2 : 3);
        }
        int status;
        (void)waitpid(child, &status, 0);
        used += snprintf(seen + used, ATTEMPT_SEEN_MAX - used, "%u: %s %d; ", numbers[i],
                WIFSIGNALED(status) ? "signal" : "answer",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        if (WIFSIGNALED(status) ? WTERMSIG(status) != SIGILL && WTERMSIG(status) != SIGSEGV : WEXITSTATUS(status) > 2)
            return -1;
    }
    return 0;
}

static void ask_namespaces(void)
{
    const uint64_t namespaces =
            CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t flag = 1ULL << bit;
        ask("clone", flag & namespaces ? DENY : ALLOW, SYS_clone, flag, 0, 0);
        ask("unshare", flag & (namespaces | 0x80) ? DENY : ALLOW, SYS_unshare, flag, 0, 0);
        /* With any other bit beside it. */
        ask("clone", DENY, SYS_clone, flag | CLONE_NEWUSER, 0, 0);
        ask("unshare", DENY, SYS_unshare, flag | CLONE_NEWNS, 0, 0);
    }
    ask("clone", ALLOW, SYS_clone, 0x3d0f00 /* a thread of the C library */, 0, 0);
    ask("clone", ALLOW, SYS_clone, 0x1200011 /* its fork */, 0, 0);
}

static void ask_sockets(void)
{
    for (unsigned family = 0; family < 64; family++) {
        long stream = family == AF_UNIX || family == AF_INET || family == AF_INET6 ? ALLOW
                      : family == AF_NETLINK                                       ? ALLOW
                                                                                   : FAMILY;
        ask("socket", stream, SYS_socket, family, SOCK_STREAM, 0);
        /* Above 32 bits nothing is permitted: the kernel would not see it. */
        long high = make_call(SYS_socket, 1ULL << 32 | family, SOCK_STREAM, 0, MARK);
        compare("socket with high bits", family, high < 0 ? high : DENY, high);
        ask("socketpair", family == AF_UNIX ? ALLOW : ABSENT, SYS_socketpair, family, SOCK_STREAM, 0);
    }
    for (unsigned protocol = 1; protocol < 64; protocol++)
        ask("netlink", -EPROTONOSUPPORT, SYS_socket, AF_NETLINK, SOCK_RAW, protocol);
    ask("netlink", -EPROTONOSUPPORT, SYS_socket, AF_NETLINK, SOCK_RAW, 1ULL << 32);
}

static long answer_of_inet(unsigned family, uint64_t type, uint64_t protocol)
{
    uint64_t icmp = family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    if (type == SOCK_RAW)
        return DENY;
    if ((type == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP)) ||
            (type == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP || protocol == icmp)))
        return ALLOW;
    return -EPROTONOSUPPORT;
}

/* Most of all combinations are made in earnest by inet-protocols; here those with flags and with high bits. */
static void ask_inet(void)
{
    static const unsigned families[] = {AF_INET, AF_INET6};
    static const unsigned protocols[] = {0, 1, 2, 6, 17, 33, 41, 58, 115, 132, 136, 255, 256, 262};
    for (unsigned f = 0; f < 2; f++)
        for (uint64_t type = 0; type < 16; type++)
            for (unsigned i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
                uint64_t protocol = protocols[i];
                long expected = answer_of_inet(families[f], type, protocol);
                ask("socket", expected, SYS_socket, families[f], type, protocol);
                ask("socket", expected, SYS_socket, families[f], type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
                ask("socket", -EPROTONOSUPPORT, SYS_socket, families[f], type | 1ULL << 34, protocol);
                if (type != SOCK_RAW)
                    ask("socket", -EPROTONOSUPPORT, SYS_socket, families[f], type, protocol | 1ULL << 33);
            }
}

static const unsigned denied_requests[] = {0x5412 /* TIOCSTI */, 0x541c /* TIOCLINUX */, 0x541d /* TIOCCONS */,
        0x5423 /* TIOCSETD */, 0x8940 /* SIOCGIFBR */, 0x8941 /* SIOCSIFBR */, 0x8982 /* SIOCGIFVLAN */,
        0x8983 /* SIOCSIFVLAN */, 0x89a0 /* SIOCBRADDBR */, 0x89a1 /* SIOCBRDELBR */};

static long answer_of_request(unsigned request)
{
    for (size_t i = 0; i < sizeof(denied_requests) / sizeof(denied_requests[0]); i++)
        if (denied_requests[i] == request)
            return DENY;
    return ALLOW;
}

static void ask_requests(void)
{
    /* All of terminals and of sockets. */
    for (unsigned request = 0x5400; request < 0x5480; request++) {
        ask("ioctl", answer_of_request(request), SYS_ioctl, 0, request, 0);
        ask("ioctl", answer_of_request(request), SYS_ioctl, 0, request | 1ULL << 32, 0);
        ask("ioctl", answer_of_request(request), SYS_ioctl, 0, request | 0xffffffffULL << 32, 0);
    }
    for (unsigned request = 0x8900; request < 0x8a00; request++) {
        ask("ioctl", answer_of_request(request), SYS_ioctl, 0, request, 0);
        ask("ioctl", answer_of_request(request), SYS_ioctl, 0, request | 1ULL << 63, 0);
    }
}

static void ask_others(void)
{
    for (unsigned option = 0; option < 64; option++) {
        long expected =
                option == 14 || option == 31 || option == 32 || (option >= 38 && option <= 40) ? -ENOPROTOOPT : ALLOW;
        ask("setsockopt", expected, SYS_setsockopt, 0, IPPROTO_TCP, option);
        ask("setsockopt", expected, SYS_setsockopt, 0, IPPROTO_TCP | 1ULL << 32, option | 1ULL << 40);
        ask("setsockopt", ALLOW, SYS_setsockopt, 0, SOL_SOCKET, option);
    }
    for (unsigned resource = 0; resource < 20; resource++) {
        for (unsigned shift = 0; shift < 64; shift += 33) {
            uint64_t wide = resource | (shift ? 1ULL << shift : 0);
            ask("setrlimit", resource == 4 ? 0 : ALLOW, SYS_setrlimit, wide, 1, 0);
            ask("prlimit64", resource == 4 ? 0 : ALLOW, SYS_prlimit64, 0, wide, 1);
            ask("prlimit64", ALLOW, SYS_prlimit64, 0, wide, 0);
        }
    }
    for (uint64_t type = 0; type < 16; type++) {
        /* A block device is refused by the kernel, which wants a capability; a whiteout would not be. */
        long expected = type << 12 == S_IFCHR ? DENY : ALLOW;
        ask("mknod", expected, SYS_mknod, 0, type << 12 | 0666, 0);
        ask("mknodat", expected, SYS_mknodat, 0, 0, type << 12 | 0666);
    }
    for (unsigned bit = 0; bit < 32; bit++)
        ask("personality", bit == 17 || bit == 18 ? ALLOW : ABSENT, SYS_personality, 1ULL << bit, 0, 0);
    ask("personality", ALLOW, SYS_personality, 0, 0, 0);
    ask("personality", ALLOW, SYS_personality, 0xffffffffU, 0, 0);
    ask("personality", ABSENT, SYS_personality, 0x0400000 /* READ_IMPLIES_EXEC */, 0, 0);
}

static int namespace_arguments(char seen[ATTEMPT_SEEN_MAX])
{
    return run_questions(ask_namespaces, seen);
}

static int socket_arguments(char seen[ATTEMPT_SEEN_MAX])
{
    return run_questions(ask_sockets, seen);
}

static int inet_arguments(char seen[ATTEMPT_SEEN_MAX])
{
    return run_questions(ask_inet, seen);
}

static int request_arguments(char seen[ATTEMPT_SEEN_MAX])
{
    return run_questions(ask_requests, seen);
}

static int other_arguments(char seen[ATTEMPT_SEEN_MAX])
{
    return run_questions(ask_others, seen);
}

/* x32: the calls of the common table with a bit, and 512 to 547, which were reachable without it. */
static void ask_x32(void)
{
    for (uint64_t number = 0; number <= 600; number++)
        ask("x32", ABSENT, 0x40000000 | number, 0, 0, 0);
    for (uint64_t number = 512; number <= 547; number++) {
        ask("x32 without its bit", ABSENT, number, 0, 0, 0);
        ask("x32 by sign", ABSENT, 0xffffffff40000000ULL | number, 0, 0, 0);
    }
}

static int x32_numbers(char seen[ATTEMPT_SEEN_MAX])
{
    return run_questions(ask_x32, seen);
}

/* The kernel takes 32 bits of the number; some have taken fewer, some more. */
static int wide_numbers(char seen[ATTEMPT_SEEN_MAX])
{
    static const uint64_t highs[] = {1ULL << 32, 1ULL << 63, 0xffffffffULL << 32};
    static const unsigned numbers[] = {SYS_mount, SYS_ptrace, SYS_bpf, SYS_reboot, SYS_init_module, SYS_clone3};
    for (size_t i = 0; i < sizeof(highs) / sizeof(highs[0]); i++)
        for (size_t j = 0; j < sizeof(numbers) / sizeof(numbers[0]); j++) {
            long result = make_call(highs[i] | numbers[j], 0, 0, 0, 0);
            if (result != -EPERM && result != -ENOSYS)
                return attempt_fact(0, seen, "call %u with high bits: %s", numbers[j], name_answer(result));
        }
    static const uint64_t strange[] = {0xffffffffULL, UINT64_MAX, 0x80000000ULL, 0x7fffffffULL, 0xffff, 0x10000,
            0x20000000, 0x80000000ULL | SYS_mount, 0xffff0000ULL | SYS_mount};
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
        long result = make_call(strange[i], 0, 0, 0, 0);
        if (result != -ENOSYS)
            return attempt_fact(0, seen, "call %#llx: %s", (unsigned long long)strange[i], name_answer(result));
    }
    return attempt_fact(1, seen, "EPERM or ENOSYS for each");
}

/* The whole i386 table through int 0x80. Kernels without it end the process. */
static int i386_numbers(char seen[ATTEMPT_SEEN_MAX])
{
    for (long number = 0; number <= 600; number++) {
        long result;
        __asm__ volatile("int $0x80"
                         : "=a"(result)
                         : "a"(number), "b"(0L), "c"(0L), "d"(0L), "S"(0L), "D"(0L)
                         : "memory", "r8", "r9", "r10", "r11");
        if (result != -ENOSYS)
            return attempt_fact(0, seen, "call %ld: %s", number, name_answer(result));
    }
    return attempt_fact(1, seen, "601 of 601 ENOSYS");
}

/* Whoever may add filters may make ours stricter, never looser. */
static int filter_of_its_own(char seen[ATTEMPT_SEEN_MAX])
{
    static const uint32_t answers[] = {SECCOMP_RET_ALLOW, SECCOMP_RET_LOG, SECCOMP_RET_TRACE | 1};
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct sock_filter instructions[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mount, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, answers[i]),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = {4, instructions};
        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
            return attempt_fact(0, seen, "no filter could be added: %s", strerrorname_np(errno));
        if (make_call(SYS_mount, 0, 0, 0, 0) != -EPERM)
            return attempt_fact(0, seen, "mount is no longer refused");
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) != -1 || prctl(PR_SET_SECCOMP, 0, 0, 0, 0) != -1)
        return attempt_fact(0, seen, "a flag could be taken back");
    return attempt_fact(1, seen, "mount stays refused");
}

static void *mount_in_thread(void *result)
{
    *(long *)result = make_call(SYS_mount, 0, 0, 0, 0);
    return NULL;
}

/* Threads, children and executed programs have the filter too. */
static int filter_is_inherited(char seen[ATTEMPT_SEEN_MAX])
{
    pthread_t thread;
    long result = 0;
    if (pthread_create(&thread, NULL, mount_in_thread, &result) != 0 || pthread_join(thread, NULL) != 0)
        return attempt_fact(0, seen, "no thread: %s", strerrorname_np(errno));
    if (result != -EPERM)
        return attempt_fact(0, seen, "a thread may mount: %s", name_answer(result));
    pid_t child = fork();
    if (child == 0) {
        (void)freopen("/dev/null", "w", stdout);
        char *arguments[] = {"hostile", "new-privileges", "wide-numbers", "i386", NULL};
        (void)execv("/proc/self/exe", arguments);
        _exit(127);
    }
    int status;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return attempt_fact(0, seen, "an executed program found more: %#x", status);
    return attempt_fact(1, seen, "by a thread, a child and an executed program");
}

static const struct attempt syscalls_attempts[] = {
        {"S01", "P2", "all-numbers", "system calls 0 to 600 against the table in syscalls.h", all_numbers},
        {"S02", "P2", "all-refused-in-earnest", "the refused ones of them, made", all_refused_in_earnest},
        {"S03", "P2", "namespace-arguments", "each bit of clone and unshare: CVE-2018-18955", namespace_arguments},
        {"S04", "P2", "socket-arguments", "families, pairs and netlink protocols", socket_arguments},
        {"S05", "P2", "inet-arguments", "types and protocols of IP sockets: CVE-2017-6074", inet_arguments},
        {"S06", "P2", "request-arguments", "ioctl of terminals and interfaces, with high bits: CVE-2019-7303",
                request_arguments},
        {"S07", "P2", "other-arguments", "limits, device nodes, personality and TCP options", other_arguments},
        {"S08", "P5", "x32-numbers", "the whole x32 table, and 512 to 547 without its bit", x32_numbers},
        {"S09", "P5", "wide-numbers", "numbers wider or stranger than the table", wide_numbers},
        {"S10", "P5", "i386-numbers", "the whole i386 table by int 0x80", i386_numbers},
        {"S11", "P5", "filter-of-its-own", "loosening the filter by another filter", filter_of_its_own},
        {"S12", "P5", "filter-is-inherited", "leaving the filter by thread, fork and exec", filter_is_inherited},
        {"S13", "P5", "calls-past-filters", "calls that no filter sees: uretprobe and uprobe", calls_past_filters},
};

const struct attempt_group attempts_syscalls = {
        syscalls_attempts, sizeof(syscalls_attempts) / sizeof(syscalls_attempts[0])};

#else
const struct attempt_group attempts_syscalls = {NULL, 0};
#endif
