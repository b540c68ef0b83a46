/* The host itself: rights, kernel, the kinds of namespaces. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "doctor/row.h"
#include "kernel/mount.h"
#include "kernel/procstatus.h"

#define KERNEL_MAJOR 6
#define KERNEL_MINOR 1

/* What making a sandbox needs of root. */
static const struct {
    unsigned number;
    const char *name;
} capabilities[] = {
        {CAP_CHOWN, "CAP_CHOWN"},
        {CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE"},
        {CAP_FOWNER, "CAP_FOWNER"},
        {CAP_KILL, "CAP_KILL"},
        {CAP_SETGID, "CAP_SETGID"},
        {CAP_SETUID, "CAP_SETUID"},
        {CAP_SETPCAP, "CAP_SETPCAP"},
        {CAP_NET_ADMIN, "CAP_NET_ADMIN"},
        {CAP_SYS_ADMIN, "CAP_SYS_ADMIN"},
        {CAP_SYS_PTRACE, "CAP_SYS_PTRACE"},
        {CAP_MKNOD, "CAP_MKNOD"},
};

void try_root(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    if (!doctor->is_root) {
        finding_fails(finding, "run by user %u, not by root", (unsigned)geteuid());
        return;
    }
    struct procstatus status;
    struct error error = {0};
    _cleanup_close_ int proc_fd = procstatus_open(getpid());
    if (proc_fd < 0 || procstatus_read(proc_fd, &status, &error) < 0) {
        finding_fails(finding, "/proc cannot be read: %s", error.text);
        return;
    }
    for (size_t i = 0; i < ELEMENTS(capabilities); i++)
        if (!(status.cap_effective & 1ULL << capabilities[i].number)) {
            finding_fails(finding, "root without %s", capabilities[i].name);
            return;
        }
    finding_holds(finding, "root with every capability that is needed");
}

void try_kernel(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    struct utsname names;
    unsigned major = 0;
    unsigned minor = 0;
    if (uname(&names) < 0 || sscanf(names.release, "%u.%u", &major, &minor) != 2) {
        finding_fails(finding, "the kernel's version is not known");
        return;
    }
    if (major < KERNEL_MAJOR || (major == KERNEL_MAJOR && minor < KERNEL_MINOR))
        finding_fails(finding, "%s is older than %d.%d", names.release, KERNEL_MAJOR, KERNEL_MINOR);
    else
        finding_holds(finding, "%s, %s", names.release, names.machine);
}

static void check_pid(struct finding *finding)
{
    if (getpid() == 1)
        finding_holds(finding, "a process became number 1");
    else
        finding_fails(finding, "the process is number %d, not 1", getpid());
}

static void check_mounts(struct finding *finding)
{
    int r = mount_make_private();
    if (r < 0)
        finding_errno(finding, -r, "make the mount tree private");
    else
        finding_holds(finding, "made private");
}

static void check_uts(struct finding *finding)
{
    struct utsname names;
    if (sethostname("doctor", 6) < 0 || uname(&names) < 0)
        finding_errno(finding, errno, "set the host name");
    else if (strcmp(names.nodename, "doctor") != 0)
        finding_fails(finding, "the host name did not change");
    else
        finding_holds(finding, "a host name of its own");
}

static void check_ipc(struct finding *finding)
{
    /* In a new namespace nothing is there yet: a key that may be taken outside is free. */
    int queue = msgget(0x4a4f424c, IPC_CREAT | IPC_EXCL | 0600);
    if (queue < 0)
        finding_errno(finding, errno, "a message queue");
    else
        finding_holds(finding, "a message queue of its own");
}

static void check_net(struct finding *finding)
{
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        finding_errno(finding, errno, "bring the loopback up");
    else
        finding_holds(finding, "a loopback of its own");
}

static void check_cgroup(struct finding *finding)
{
    _cleanup_free_ char *text = NULL;
    int r = fd_read_file_at(AT_FDCWD, "/proc/self/cgroup", 65536, &text, NULL);
    if (r < 0)
        finding_errno(finding, -r, "/proc/self/cgroup");
    else if (text[0] != '\0' && !strstr(text, ":/\n"))
        finding_fails(finding, "the own group is not shown as '/'");
    else
        finding_holds(finding, "the own group is shown as '/'");
}

static const struct namespace_check {
    uint64_t flag;
    void (*check)(struct finding *finding);
} namespace_checks[] = {
        {CLONE_NEWPID, check_pid},
        {CLONE_NEWNS, check_mounts},
        {CLONE_NEWUTS, check_uts},
        {CLONE_NEWIPC, check_ipc},
        {CLONE_NEWNET, check_net},
        {CLONE_NEWCGROUP, check_cgroup},
};

static void run_check(void *user, struct finding *finding)
{
    const struct namespace_check *check = user;
    check->check(finding);
}

void try_namespace(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    for (size_t i = 0; i < ELEMENTS(namespace_checks); i++) {
        struct namespace_check check = namespace_checks[i];
        if (check.flag == row->argument)
            (void)trial_clone(check.flag, -EBADF, run_check, &check, finding);
    }
}

void try_namespace_limits(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    static const char *const kinds[] = {"user", "pid", "mnt", "uts", "ipc", "net", "cgroup"};
    uint64_t lowest = UINT64_MAX;
    for (size_t i = 0; i < ELEMENTS(kinds); i++) {
        char path[64];
        _cleanup_free_ char *text = NULL;
        (void)snprintf(path, sizeof(path), "/proc/sys/user/max_%s_namespaces", kinds[i]);
        int r = fd_read_file_at(AT_FDCWD, path, 64, &text, NULL);
        if (r < 0) {
            finding_errno(finding, -r, "%s", path);
            return;
        }
        uint64_t value = strtoull(text, NULL, 10);
        /* Two user namespaces for each range; of the others one. */
        uint64_t wanted = (uint64_t)doctor->range_count * (i == 0 ? 2 : 1);
        if (value < wanted) {
            finding_fails(finding, "user.max_%s_namespaces is %llu; %llu are wanted for %u id ranges", kinds[i],
                    (unsigned long long)value, (unsigned long long)wanted, doctor->range_count);
            return;
        }
        lowest = value < lowest ? value : lowest;
    }
    finding_holds(finding, "%llu of each kind or more", (unsigned long long)lowest);
}
