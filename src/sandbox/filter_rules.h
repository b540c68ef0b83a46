/* Which system calls the two processes of a job may make. Read at build time by filter_generate.c alone.
 *
 * Two lists make one program. The denials come first: what is known to be dangerous, and the dangerous arguments of
 * what is needed. Denials compare masked, as the kernel reads 32 bits where a filter sees 64 (A22). Then the
 * allowances, compared exactly. What is in neither list is newer than the list and gets ENOSYS, so that libraries fall
 * back; so do other architectures' calls (i386, x32).
 *
 * Beside what is dangerous by itself, two things are kept from a job: calls that make the kernel run modprobe, as host
 * root, for a module of the caller's choice (many ask without any capability), and what is counted for the whole
 * machine (the contexts of io_setup: ENOSYS, programs go back to plain reads). docs/ESCAPES.md, groups M and K, has the
 * list. */
#pragma once

#include <linux/capability.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define LOW 0xffffffffULL

/* Dangerous whatever the arguments: EPERM. */
static const char *const command_denied[] = {
        /* mounts and roots */
        "mount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount",
        "fspick", "mount_setattr", "setns", "swapon", "swapoff", "quotactl", "quotactl_fd", "open_by_handle_at",
        "name_to_handle_at",
        /* the kernel itself */
        "init_module", "finit_module", "delete_module", "create_module", "kexec_load", "kexec_file_load", "reboot",
        "bpf", "perf_event_open", "userfaultfd", "syslog", "acct", "iopl", "ioperm", "modify_ldt", "vhangup",
        "lookup_dcookie", "nfsservctl", "_sysctl", "sysfs", "uselib", "ustat", "fanotify_init", "fanotify_mark",
        /* keyrings */
        "add_key", "request_key", "keyctl",
        /* other processes */
        "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd", "migrate_pages",
        "move_pages",
        /* clock and names */
        "settimeofday", "stime", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname"};

/* Not so in a build: dpkg and rpm change their root, and there is none to get out of but that of the namespace. */
static const char *const build_permitted[] = {"chroot"};

struct condition {
    unsigned argument;
    uint64_t mask; /* 0: no condition */
    uint64_t value;
};
struct denial {
    const char *name;
    int code; /* errno; 0: the call succeeds without doing anything */
    struct condition conditions[2];
    bool second_is_not_zero; /* instead: the second condition's argument is not 0 */
};

#define DENY_CLONE(flag)                                                                                               \
    {"clone", EPERM, {{0, flag, flag}}, false},                                                                        \
    {                                                                                                                  \
        "unshare", EPERM, {{0, flag, flag}}, false                                                                     \
    }

#define DENY_REQUEST(request)                                                                                          \
    {                                                                                                                  \
        "ioctl", EPERM, {{1, LOW, request}}, false                                                                     \
    }
/* As a kernel would that does not have it. */
#define DENY_TCP_OPTION(option)                                                                                        \
    {                                                                                                                  \
        "setsockopt", ENOPROTOOPT, {{1, LOW, IPPROTO_TCP}, {2, LOW, option}}, false                                    \
    }

static const struct denial command_denied_arguments[] = {
        /* No namespaces. clone3 hides its flags in memory and gets ENOSYS as a whole: libraries then take clone. */
        DENY_CLONE(CLONE_NEWNS), DENY_CLONE(CLONE_NEWCGROUP), DENY_CLONE(CLONE_NEWUTS), DENY_CLONE(CLONE_NEWIPC),
        DENY_CLONE(CLONE_NEWUSER), DENY_CLONE(CLONE_NEWPID), DENY_CLONE(CLONE_NEWNET),
        {"unshare", EPERM, {{0, CLONE_NEWTIME, CLONE_NEWTIME}}, false},
        /* Typing into a terminal that others read. */
        DENY_REQUEST(TIOCSTI), DENY_REQUEST(TIOCLINUX),
        /* The output of the host's console on a terminal of the job's. */
        DENY_REQUEST(TIOCCONS),
        /* Each makes the kernel look for a module before it asks who is calling: a line discipline (CVE-2017-2636), the
         * bridge, 8021q. */
        DENY_REQUEST(TIOCSETD), DENY_REQUEST(SIOCGIFBR), DENY_REQUEST(SIOCSIFBR), DENY_REQUEST(SIOCBRADDBR),
        DENY_REQUEST(SIOCBRDELBR), DENY_REQUEST(SIOCGIFVLAN), DENY_REQUEST(SIOCSIFVLAN),
        /* So do these, for ciphers by a name that the caller gives; TLS in the kernel is much code for little. */
        DENY_TCP_OPTION(14 /* TCP_MD5SIG */), DENY_TCP_OPTION(31 /* TCP_ULP */),
        DENY_TCP_OPTION(32 /* TCP_MD5SIG_EXT */), DENY_TCP_OPTION(38 /* TCP_AO_ADD_KEY */),
        DENY_TCP_OPTION(39 /* TCP_AO_DEL_KEY */), DENY_TCP_OPTION(40 /* TCP_AO_INFO */),
        /* Device nodes. The kernel asks for no capability when the node is a whiteout (0:0), and Landlock of 6.1 takes
         * that for a regular file: a job could prepare one for whoever puts its files into an overlay (A10). */
        {"mknod", EPERM, {{1, S_IFMT, S_IFCHR}}, false}, {"mknodat", EPERM, {{2, S_IFMT, S_IFCHR}}, false},
        /* The core limit stays at 1 (A21); programs that try to change it go on. */
        {"setrlimit", 0, {{0, LOW, RLIMIT_CORE}}, false}, {"prlimit64", 0, {{1, LOW, RLIMIT_CORE}, {2, 0, 0}}, true}};

/* Only in a build, whose root can take any id: also joblet-init's, whose limits it could then change. */
static const struct denial build_denied_arguments[] = {{"prlimit64", EPERM, {{0, LOW, 1}, {2, 0, 0}}, true}};

/* Permitted with one exact value of one or two arguments. */
struct allowance {
    const char *name;
    struct {
        unsigned argument;
        uint64_t value;
    } conditions[2];
    unsigned condition_count;
};
static const struct allowance command_allowed_arguments[] = {{"socket", {{0, AF_UNIX}}, 1},
        {"socket", {{0, AF_NETLINK}, {2, NETLINK_ROUTE}}, 2}, {"socketpair", {{0, AF_UNIX}}, 1},
        {"personality", {{0, PER_LINUX}}, 1}, {"personality", {{0, 0xffffffffU}}, 1},
        {"personality", {{0, UNAME26}}, 1}, {"personality", {{0, ADDR_NO_RANDOMIZE}}, 1}};

/* The IP sockets, a list of their own: for any other type or protocol the kernel looks for a module (SCTP, DCCP, L2TP
 * and whatever else there is). The flags of the type may be set; all other bits count. */
#define INET_SOCKET_FLAGS ((uint64_t)(SOCK_NONBLOCK | SOCK_CLOEXEC))
static const struct inet_socket {
    uint32_t family;
    uint32_t type;
    uint32_t protocol;
} command_inet_sockets[] = {
        {AF_INET, SOCK_STREAM, 0},
        {AF_INET, SOCK_STREAM, IPPROTO_TCP},
        {AF_INET, SOCK_DGRAM, 0},
        {AF_INET, SOCK_DGRAM, IPPROTO_UDP},
        {AF_INET, SOCK_DGRAM, IPPROTO_ICMP},
        {AF_INET6, SOCK_STREAM, 0},
        {AF_INET6, SOCK_STREAM, IPPROTO_TCP},
        {AF_INET6, SOCK_DGRAM, 0},
        {AF_INET6, SOCK_DGRAM, IPPROTO_UDP},
        {AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6},
};

static const char *const command_allowed[] = {"_llseek", "_newselect", "accept", "accept4", "access", "alarm",
        "arch_prctl", "bind", "brk", "capget", "capset", "chdir", "chmod", "chown", "clock_getres", "clock_gettime",
        "clock_nanosleep", "clone", "close", "close_range", "connect", "copy_file_range", "creat", "dup", "dup2",
        "dup3", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_pwait2",
        "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "execve", "execveat", "exit", "exit_group", "faccessat",
        "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat", "fchown", "fchownat", "fcntl",
        "fdatasync", "fgetxattr", "flistxattr", "flock", "fork", "fremovexattr", "fsetxattr", "fstat", "fstatfs",
        "fsync", "ftruncate", "futex", "futex_waitv", "futimesat", "get_mempolicy", "get_robust_list",
        "get_thread_area", "getcpu", "getcwd", "getdents", "getdents64", "getegid", "geteuid", "getgid", "getgroups",
        "getitimer", "getpeername", "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getrandom", "getresgid",
        "getresuid", "getrlimit", "getrusage", "getsid", "getsockname", "getsockopt", "gettid", "gettimeofday",
        "getuid", "getxattr", "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "ioctl",
        "ioprio_get", "ioprio_set", "kill", "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self",
        "lchown", "lgetxattr", "link", "linkat", "listen", "listxattr", "llistxattr", "lremovexattr", "lseek",
        "lsetxattr", "lstat", "madvise", "mbind", "membarrier", "memfd_create", "mincore", "mkdir", "mkdirat", "mknod",
        "mknodat", "mlock", "mlock2", "mlockall", "mmap", "mprotect", "mq_getsetattr", "mq_notify", "mq_open",
        "mq_timedreceive", "mq_timedsend", "mq_unlink", "mremap", "msgctl", "msgget", "msgrcv", "msgsnd", "msync",
        "munlock", "munlockall", "munmap", "nanosleep", "newfstatat", "open", "openat", "openat2", "pause",
        "pidfd_open", "pidfd_send_signal", "pipe", "pipe2", "pkey_alloc", "pkey_free", "pkey_mprotect", "poll", "ppoll",
        "prctl", "pread64", "preadv", "preadv2", "prlimit64", "process_mrelease", "pselect6", "pwrite64", "pwritev",
        "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv", "recvfrom", "recvmmsg", "recvmsg",
        "removexattr", "rename", "renameat", "renameat2", "restart_syscall", "rmdir", "rseq", "rt_sigaction",
        "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
        "rt_tgsigqueueinfo", "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr",
        "sched_getparam", "sched_getscheduler", "sched_rr_get_interval", "sched_setaffinity", "sched_setattr",
        "sched_setparam", "sched_setscheduler", "sched_yield", "seccomp", "select", "semctl", "semget", "semop",
        "semtimedop", "sendfile", "sendmmsg", "sendmsg", "sendto", "set_mempolicy", "set_mempolicy_home_node",
        "set_robust_list", "set_thread_area", "set_tid_address", "setfsgid", "setfsuid", "setgid", "setgroups",
        "setitimer", "setpgid", "setpriority", "setregid", "setresgid", "setresuid", "setreuid", "setrlimit", "setsid",
        "setsockopt", "setuid", "setxattr", "shmat", "shmctl", "shmdt", "shmget", "shutdown", "sigaltstack", "signalfd",
        "signalfd4", "splice", "stat", "statfs", "statx", "symlink", "symlinkat", "sync", "sync_file_range", "syncfs",
        "sysinfo", "tee", "tgkill", "time", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime",
        "timer_settime", "timerfd_create", "timerfd_gettime", "timerfd_settime", "times", "tkill", "truncate", "umask",
        "uname", "unlink", "unlinkat", "unshare", "utime", "utimensat", "utimes", "vfork", "vmsplice", "wait4",
        "waitid", "waitpid", "write", "writev"};

/* joblet-init, once the command's process waits: move bytes, wait, reap, write the record, exit. Anything else ends it,
 * and with it the job. */
static const char *const supervisor_allowed[] = {"brk", "clock_gettime", "close", "exit_group", "fcntl", "getresgid",
        "getresuid", "capget", "munmap", "poll", "ppoll", "pwrite64", "read", "recvfrom", "recvmsg", "restart_syscall",
        "rt_sigreturn", "sendmsg", "sendto", "splice", "timerfd_settime", "waitid", "write"};
static const struct allowance supervisor_allowed_arguments[] = {{"prctl", {{0, PR_GET_SECCOMP}}, 1},
        {"prctl", {{0, PR_GET_NO_NEW_PRIVS}}, 1}, {"prctl", {{0, PR_GET_DUMPABLE}}, 1},
        /* The last proof's question to Landlock: a device node, which no rule and no capability permits. */
        {"mknodat", {{2, S_IFBLK}}, 1}};
