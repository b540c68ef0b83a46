/* The namespaces that joblet cloned for this job are set up, while they are still ours to set up. */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/mount.h"
#include "sandbox/sandbox.h"

int sandbox_make_private(struct sandbox *sandbox, struct error *error)
{
    static const int trees[] = {PLAN_FD_ROOT, PLAN_FD_WORK, PLAN_FD_STAGE, PLAN_FD_CACHE, PLAN_FD_BASE_DISK};
    /* The first mount below a shared one would appear on the host; what is handed in are clones, and a clone belongs
     * to the peer group of its original. */
    int r = mount_make_private();
    for (size_t i = 0; r == 0 && i < ELEMENTS(trees); i++)
        if (sandbox->handed[trees[i]].inode != 0)
            r = mount_make_private_one(trees[i]);
    return r < 0 ? error_errno(error, -r, "make the mount tree private") : 0;
}

int sandbox_attach_cgroups(struct sandbox *sandbox, struct error *error)
{
    /* Before anything is allocated: v1 does not move charges (A24). "0" is the writer itself. */
    for (uint32_t i = 0; i < sandbox->plan.cgroup_tasks; i++)
        if (write(PLAN_FD_CGROUP_FIRST + (int)i, "0", 1) != 1)
            return error_errno(error, errno, "move into the job's control group %u", i);
    return 0;
}

/* /proc/self/cgroup must name the group of each "tasks" file that we were given, or the attach did not happen. */
static int check_attached(const struct sandbox *sandbox, struct error *error)
{
    _cleanup_free_ char *groups = NULL;
    int r = fd_read_file_at(AT_FDCWD, "/proc/self/cgroup", 65536, &groups, NULL);
    if (r < 0)
        return error_errno(error, -r, "read the control groups");
    for (uint32_t i = 0; i < sandbox->plan.cgroup_tasks; i++) {
        char link[32];
        char path[512];
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%u", PLAN_FD_CGROUP_FIRST + i);
        ssize_t length = readlink(link, path, sizeof(path) - 1);
        if (length < 0)
            return error_errno(error, errno, "look at control group %u", i);
        path[length] = '\0';
        /* ".../job-ID/tasks" → "/job-ID\n", which ends a line of the groups. */
        char *name = strrchr(path, '/');
        if (name)
            *name = '\0';
        name = strrchr(path, '/');
        size_t used = strlen(path);
        if (!name || used + 2 > sizeof(path))
            return error_text(error, EINVAL, "control group %u has no name", i);
        memcpy(path + used, "\n", 2);
        if (!strstr(groups, name))
            return error_text(error, EPROTO, "this process is not in control group %u of the plan", i);
    }
    return 0;
}

int sandbox_unshare_cgroups(struct sandbox *sandbox, struct error *error)
{
    if (!sandbox->plan.cgroup_unshare)
        return 0;
    int r = check_attached(sandbox, error);
    if (r < 0)
        return r;
    return unshare(CLONE_NEWCGROUP) < 0 ? error_errno(error, errno, "unshare the cgroup namespace") : 0;
}

int sandbox_set_hostname(struct sandbox *sandbox, struct error *error)
{
    static const char domain[] = "(none)";
    if (sethostname(sandbox->host_name, strlen(sandbox->host_name)) < 0 ||
            setdomainname(domain, sizeof(domain) - 1) < 0)
        return error_errno(error, errno, "set the host name");
    return 0;
}

void sandbox_list_rlimits(const struct sandbox *sandbox, struct sandbox_rlimit ret_limits[SANDBOX_RLIMITS_MAX])
{
    const struct sandbox_rlimit limits[] = {
            /* 1 and not 0: only 1 keeps the host's core handler from running as host root on a job's crash (A21). */
            {RLIMIT_CORE, 1},
            {RLIMIT_NOFILE, sandbox->plan.open_files},
            {RLIMIT_MSGQUEUE, 819200},
            {RLIMIT_MEMLOCK, 8U << 20},
            {RLIMIT_NICE, 0},
            {RLIMIT_RTPRIO, 0},
            {-1, 0},
    };
    memcpy(ret_limits, limits, sizeof(limits));
}

/* From 6.16 on the host may have core dumps sent to a socket (a pattern that begins with "@"). The kernel does not ask
 * for the limit then: a crash would hand the job's memory to a service of the host. */
static int check_core_pattern(const struct sandbox *sandbox, struct error *error)
{
    _cleanup_free_ char *pattern = NULL;
    int r = fd_read_file_at(sandbox->proc_sys_fd, "kernel/core_pattern", 4096, &pattern, NULL);
    if (r < 0)
        return error_errno(error, -r, "read the host's core pattern");
    return pattern[0] == '@'
                   ? error_text(error, EOPNOTSUPP,
                             "the host's core pattern names a socket, which no limit keeps from a job's crash")
                   : 0;
}

int sandbox_set_rlimits(struct sandbox *sandbox, struct error *error)
{
    struct sandbox_rlimit limits[SANDBOX_RLIMITS_MAX];
    sandbox_list_rlimits(sandbox, limits);
    for (unsigned i = 0; limits[i].resource >= 0; i++) {
        const struct rlimit value = {.rlim_cur = limits[i].value, .rlim_max = limits[i].value};
        if (setrlimit((__rlimit_resource_t)limits[i].resource, &value) < 0)
            return error_errno(error, errno, "set resource limit %d to %llu", limits[i].resource,
                    (unsigned long long)limits[i].value);
    }
    return check_core_pattern(sandbox, error);
}

int32_t sandbox_session_keyring(void)
{
    long serial = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
    return serial < 0 ? -errno : (int32_t)serial;
}

int sandbox_join_keyring(struct sandbox *sandbox, struct error *error)
{
    (void)sandbox;
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0)
        return error_errno(error, errno, "join a new session keyring");
    return 0;
}

int sandbox_pivot(struct sandbox *sandbox, struct error *error)
{
    struct statx status;
    if (statx(sandbox->root_fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &status) < 0)
        return error_errno(error, errno, "look at the new root");
    sandbox->root_mount_id = status.stx_mnt_id;

    _cleanup_close_ int old_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (old_root < 0 || fchdir(sandbox->root_fd) < 0)
        return error_errno(error, errno, "change to the new root");
    /* The old root comes to lie on top of the new one, and is taken away from there with all below it. */
    if (syscall(SYS_pivot_root, ".", ".") < 0)
        return error_errno(error, errno, "pivot the root");
    if (fchdir(old_root) < 0 || umount2(".", MNT_DETACH) < 0)
        return error_errno(error, errno, "detach the old root");
    return chdir("/") < 0 ? error_errno(error, errno, "change to '/'") : 0;
}

int sandbox_join_userns(struct sandbox *sandbox, struct error *error)
{
    (void)sandbox;
    /* Last of all namespaces: its root has no power over the ones made before. The join also gives back the full
     * bounding set (A1), so that nothing is dropped earlier. */
    if (setns(PLAN_FD_USERNS, CLONE_NEWUSER) < 0)
        return error_errno(error, errno, "join the user namespace");
    return 0;
}

int sandbox_limit_namespaces(struct sandbox *sandbox, struct error *error)
{
    static const char *const kinds[] = {"user", "pid", "mnt", "uts", "ipc", "net", "cgroup", "time"};
    /* The files are those of the user namespace that we are in: outside of the job's they would be the host's. */
    struct stat status;
    if (fstatat(PLAN_FD_USERNS, "", &status, AT_EMPTY_PATH) < 0)
        return error_errno(error, errno, "look at the job's user namespace");
    struct stat own;
    if (stat("/proc/self/ns/user", &own) < 0)
        return error_errno(error, errno, "look at the own user namespace");
    if (own.st_ino != status.st_ino)
        return error_text(error, EPROTO, "the limits on namespaces may not be written outside the job");
    for (size_t i = 0; i < ELEMENTS(kinds); i++) {
        char name[48];
        (void)snprintf(name, sizeof(name), "user/max_%s_namespaces", kinds[i]);
        int r = fd_write_file_at(sandbox->proc_sys_fd, name, "0");
        if (r < 0)
            return error_errno(error, -r, "set %s to 0", name);
    }
    return 0;
}
