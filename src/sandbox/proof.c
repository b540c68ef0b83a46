/* P5: before anything of the client's is executed, both processes ask the kernel what they are and compare it with the
 * plan. Nothing here trusts a step's return value. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/capability.h"
#include "kernel/procstatus.h"
#include "sandbox/network.h"
#include "sandbox/proof_mounts.h"
#include "sandbox/sandbox.h"

static bool ids_are(const uint32_t ids[4], uint32_t id, uint32_t saved)
{
    return ids[0] == id && ids[1] == id && ids[2] == saved && ids[3] == id;
}

/* What differs between the two processes. */
struct expected {
    uint32_t id;
    uint32_t saved; /* the saved ids, which joblet-init keeps until the fork */
    uint32_t filters;
    uint64_t permitted; /* the bounding set too */
    uint64_t effective;
};

static int prove_capabilities(const struct procstatus *status, const struct expected *expected, struct error *error)
{
    const struct {
        const char *name;
        uint64_t found;
        uint64_t wanted;
    } sets[] = {
            {"inheritable", status->cap_inheritable, 0},
            {"permitted", status->cap_permitted, expected->permitted},
            {"effective", status->cap_effective, expected->effective},
            {"bounding", status->cap_bounding, expected->permitted},
            {"ambient", status->cap_ambient, 0},
    };
    for (size_t i = 0; i < ELEMENTS(sets); i++)
        if (sets[i].found != sets[i].wanted)
            return error_text(error, EPROTO, "the %s set holds %#llx, not %#llx", sets[i].name,
                    (unsigned long long)sets[i].found, (unsigned long long)sets[i].wanted);
    return 0;
}

/* Ids, groups, the five capability sets, no-new-privileges, seccomp. */
static int prove_status(int proc_fd, const struct expected *expected, struct error *error)
{
    const uint32_t id = expected->id;
    const uint32_t filters = expected->filters;
    struct procstatus status;
    int r = procstatus_read(proc_fd, &status, error);
    if (r < 0)
        return r;
    if (!ids_are(status.uid, id, expected->saved) || !ids_are(status.gid, id, expected->saved))
        return error_text(error, EPROTO, "the ids are %u %u %u %u and %u %u %u %u, not %u", status.uid[0],
                status.uid[1], status.uid[2], status.uid[3], status.gid[0], status.gid[1], status.gid[2], status.gid[3],
                id);
    if (status.group_count != 0)
        return error_text(error, EPROTO, "there are %u supplementary groups", status.group_count);
    r = prove_capabilities(&status, expected, error);
    if (r < 0)
        return r;
    if (status.no_new_privs != 1)
        return error_text(error, EPROTO, "no-new-privileges is not set");
    if (status.seccomp != (filters ? 2U : 0U) || status.seccomp_filters != filters)
        return error_text(error, EPROTO, "seccomp has mode %u and %u filters, not %u", status.seccomp,
                status.seccomp_filters, filters);
    if (status.threads != 1 || status.tracer_pid != 0)
        return error_text(error, EPROTO, "there are %u threads and tracer %u", status.threads, status.tracer_pid);
    if (prctl(PR_GET_DUMPABLE, 0UL, 0UL, 0UL, 0UL) != 0)
        return error_text(error, EPROTO, "the dumpable flag is set");
    return 0;
}

static int prove_namespaces(struct sandbox *sandbox, int proc_fd, struct error *error)
{
    struct procstatus_namespaces own;
    int r = procstatus_read_namespaces(proc_fd, &own, error);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < PROCSTATUS_NS_COUNT; i++)
        if (own.inode[i] == sandbox->host_namespaces.inode[i])
            return error_text(error, EPROTO, "the %s namespace is the host's", procstatus_ns_name(i));
    /* The command's process must be in the very namespaces that joblet-init proved: their mounts were read line by
     * line, and nobody who could change them is left. */
    if (sandbox->is_command && memcmp(&own, &sandbox->proven_namespaces, sizeof(own)) != 0)
        return error_text(error, EPROTO, "a namespace is not the one that joblet-init proved");
    sandbox->proven_namespaces = own;
    if (own.inode[PROCSTATUS_NS_USER] != sandbox->userns_inode)
        return error_text(error, EPROTO, "the user namespace is not the job's");
    static const char *const maps[] = {"uid_map", "gid_map"};
    for (size_t i = 0; i < ELEMENTS(maps); i++)
        if (procstatus_check_id_map(proc_fd, maps[i], sandbox->plan.id_base, PLAN_RANGE_SIZE) != 1)
            return error_text(error, EPROTO, "%s is not 0 %u %u", maps[i], sandbox->plan.id_base, PLAN_RANGE_SIZE);
    return 0;
}

/* The text of a small file of /proc, without its newline, equals @wanted. */
static int prove_file(const char *path, const char *wanted, struct error *error)
{
    char text[128];
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (size < 0)
        return error_errno(error, errno, "read '%s'", path);
    text[size] = '\0';
    text[strcspn(text, "\n")] = '\0';
    if (strcmp(text, wanted) != 0)
        return error_text(error, EPROTO, "'%s' says '%.40s', not '%s'", path, text, wanted);
    return 0;
}

static int prove_limits(const struct sandbox *sandbox, struct error *error)
{
    static const char *const kinds[] = {"user", "pid", "mnt", "uts", "ipc", "net", "cgroup", "time"};
    for (size_t i = 0; i < ELEMENTS(kinds); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/proc/sys/user/max_%s_namespaces", kinds[i]);
        int r = prove_file(path, "0", error);
        if (r < 0)
            return r;
    }
    struct sandbox_rlimit limits[SANDBOX_RLIMITS_MAX];
    sandbox_list_rlimits(sandbox, limits);
    for (unsigned i = 0; limits[i].resource >= 0; i++) {
        struct rlimit value;
        if (getrlimit((__rlimit_resource_t)limits[i].resource, &value) < 0)
            return error_errno(error, errno, "read resource limit %d", limits[i].resource);
        if (value.rlim_cur != limits[i].value || value.rlim_max != limits[i].value)
            return error_text(error, EPROTO, "resource limit %d is %llu, not %llu", limits[i].resource,
                    (unsigned long long)value.rlim_max, (unsigned long long)limits[i].value);
    }
    return 0;
}

static int prove_network(const struct sandbox *sandbox, struct error *error)
{
    int r = network_prove(sandbox, error);
    if (r == 0)
        r = prove_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0", error);
    /* Read with the job's ids, where the range is all of them. */
    return r < 0 ? r : prove_file("/proc/sys/net/ipv4/ping_group_range", "0\t65535", error);
}

static int prove_identity(const struct sandbox *sandbox, struct error *error)
{
    char link[16] = {0};
    struct utsname name;
    if (readlink("/proc/self", link, sizeof(link) - 1) < 0 || uname(&name) < 0)
        return error_errno(error, errno, "read the own pid and host name");
    if (strcmp(link, "1") != 0 || getpid() != 1)
        return error_text(error, EPROTO, "/proc is not of the job's PID namespace, or this is not its first process");
    if (strcmp(name.nodename, sandbox->host_name) != 0 || strcmp(name.domainname, "(none)") != 0)
        return error_text(error, EPROTO, "the host name is '%.32s', not '%s'", name.nodename, sandbox->host_name);
    int32_t keyring = sandbox_session_keyring();
    if (keyring < 0 || keyring == sandbox->host_keyring)
        return error_text(error, EPROTO, "the session keyring is not a new one");
    return 0;
}

/* Every line of /proc/self/cgroup ends with the root of the namespace: attached first, unshared second. */
static int prove_cgroups(struct error *error)
{
    _cleanup_free_ char *text = NULL;
    int r = fd_read_file_at(AT_FDCWD, "/proc/self/cgroup", 65536, &text, NULL);
    if (r < 0)
        return error_errno(error, -r, "read the control groups");
    for (char *line = text; *line;) {
        char *end = strchr(line, '\n');
        if (!end || end - line < 2 || memcmp(end - 2, ":/", 2) != 0)
            return error_text(error, EPROTO, "the control group '%.60s' is not the root of its namespace", line);
        line = end + 1;
    }
    return 0;
}

/* Exactly the descriptors of @wanted (ascending) and the one that lists them; all above 2 close-on-exec. */
static int prove_fds(const int wanted[], unsigned count, struct error *error)
{
    DIR *directory = opendir("/proc/self/fd");
    if (!directory)
        return error_errno(error, errno, "list the own descriptors");
    unsigned found = 0;
    int stray = -1;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (!entry)
            break;
        if (entry->d_name[0] == '.')
            continue;
        int fd = atoi(entry->d_name);
        if (fd == dirfd(directory))
            continue;
        bool is_wanted = false;
        for (unsigned i = 0; i < count; i++)
            is_wanted |= wanted[i] == fd;
        if (!is_wanted || (fd > 2 && fcntl(fd, F_GETFD) != FD_CLOEXEC))
            stray = fd;
        found++;
    }
    int code = errno; /* an end, or a list that is cut */
    (void)closedir(directory);
    if (code != 0)
        return error_errno(error, code, "list the own descriptors");
    if (stray >= 0)
        return error_text(error, EPROTO, "descriptor %d is not of the plan, or not close-on-exec", stray);
    if (found != count)
        return error_text(error, EPROTO, "there are %u descriptors, not %u", found, count);
    return 0;
}

/* What joblet handed in is of the right kind: a directory of the host among them would be a way back. */
static int prove_kinds(const struct sandbox *sandbox, struct error *error)
{
    static const struct {
        int fd;
        mode_t kind;
        int access; /* what it must be open for; -1: not looked at */
    } wanted[] = {
            {PLAN_FD_CONTROL, S_IFSOCK, -1},
            {PLAN_FD_LOG, S_IFREG, O_WRONLY},
            {PLAN_FD_INDEX, S_IFREG, O_WRONLY},
            {PLAN_FD_RECORD, S_IFREG, O_WRONLY},
            {PLAN_FD_STDOUT_READ, S_IFIFO, O_RDONLY},
            {PLAN_FD_STDOUT_WRITE, S_IFIFO, O_WRONLY},
            {PLAN_FD_STDERR_READ, S_IFIFO, O_RDONLY},
            {PLAN_FD_STDERR_WRITE, S_IFIFO, O_WRONLY},
            {PLAN_FD_PROGRAM, S_IFREG, -1},
    };
    const bool has_program = sandbox->plan.type != PLAN_TYPE_STANDARD;
    for (size_t i = 0; i < ELEMENTS(wanted) - !has_program; i++) {
        struct stat status;
        int flags = fcntl(wanted[i].fd, F_GETFL);
        if (flags < 0 || fstat(wanted[i].fd, &status) < 0)
            return error_errno(error, errno, "look at descriptor %d", wanted[i].fd);
        int access = flags & O_ACCMODE;
        if ((status.st_mode & S_IFMT) != wanted[i].kind ||
                (wanted[i].access >= 0 && access != wanted[i].access && access != O_RDWR))
            return error_text(error, EPROTO, "descriptor %d is not what the plan says", wanted[i].fd);
    }
    return 0;
}

/* Descriptor @fd is the null device of the job's own /dev. */
static int prove_null(int fd, struct error *error)
{
    struct stat opened;
    struct stat named;
    if (fstat(fd, &opened) < 0 || stat("/dev/null", &named) < 0)
        return error_errno(error, errno, "look at descriptor %d", fd);
    if (!S_ISCHR(opened.st_mode) || opened.st_rdev != makedev(1, 3) || opened.st_dev != named.st_dev ||
            opened.st_ino != named.st_ino)
        return error_text(error, EPROTO, "descriptor %d is not the job's null device", fd);
    return 0;
}

static int prove_root(const struct sandbox *sandbox, struct error *error)
{
    struct statx root;
    struct statx here;
    if (statx(AT_FDCWD, "/", 0, STATX_BASIC_STATS | STATX_MNT_ID, &root) < 0 ||
            statx(AT_FDCWD, ".", 0, STATX_BASIC_STATS | STATX_MNT_ID, &here) < 0)
        return error_errno(error, errno, "look at the root");
    if (root.stx_mnt_id != sandbox->root_mount_id || here.stx_mnt_id != root.stx_mnt_id || here.stx_ino != root.stx_ino)
        return error_text(error, EPROTO, "the root or the working directory is not the job's root");
    return 0;
}

int sandbox_prove(struct sandbox *sandbox, struct error *error)
{
    int fds[SANDBOX_FDS_MAX];
    unsigned fd_count = sandbox_list_fds(sandbox, fds);
    int r = prove_fds(fds, fd_count, error);
    if (r == 0)
        r = prove_kinds(sandbox, error);
    for (int fd = 0; r == 0 && fd <= 2; fd++)
        r = prove_null(fd, error);
    if (r < 0)
        return r;
    _cleanup_close_ int proc_fd = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (proc_fd < 0)
        return error_errno(error, errno, "open /proc/self");
    const struct expected expected = {.id = PLAN_SUPERVISOR_ID,
            .saved = sandbox->plan.command_id,
            .permitted = plan_type_capabilities(sandbox->plan.type)};
    r = prove_status(proc_fd, &expected, error);
    if (r == 0)
        r = prove_namespaces(sandbox, proc_fd, error);
    if (r == 0)
        r = prove_identity(sandbox, error);
    if (r == 0)
        r = prove_cgroups(error);
    if (r == 0)
        r = prove_limits(sandbox, error);
    if (r == 0)
        r = prove_network(sandbox, error);
    if (r == 0)
        r = prove_root(sandbox, error);
    if (r == 0)
        r = proof_check_mounts(sandbox, error);
    return r;
}

/* Landlock cannot be read back. It is told by a device node, which no rule permits: with a domain the answer is EACCES,
 * without one the missing capability says EPERM. In /tmp, where file modes refuse nobody. */
static int prove_landlock(struct error *error)
{
    if (mknodat(AT_FDCWD, "/tmp/landlock", S_IFBLK, 0) == 0)
        return error_text(error, EPROTO, "a device node could be made");
    if (errno != EACCES)
        return error_errno(error, EPROTO, "Landlock is not in force: making a device node said %d", errno);
    return 0;
}

/* The filter is the right one: it is told by calls that nothing but it refuses in this way. */
static int prove_command_filter(const struct sandbox *sandbox, struct error *error)
{
    if (syscall(SYS_clone3, NULL, 0UL) != -1 || errno != ENOSYS)
        return error_text(error, EPROTO, "the command's filter is not in force for clone3");
    if (syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0) != -1 || errno != EPERM)
        return error_text(error, EPROTO, "the command's filter is not in force for keyctl");
    /* A build's alone permits this, and the kernel says that there is no such directory. */
    const int code = sandbox->plan.type == PLAN_TYPE_BUILD ? ENOENT : EPERM;
    if (chroot("/proc/none") != -1 || errno != code)
        return error_text(error, EPROTO, "the command's filter is not the one of its type");
    return 0;
}

int sandbox_prove_command(struct sandbox *sandbox, struct error *error)
{
    static const int fds[] = {0, 1, 2, SANDBOX_COMMAND_FD, PLAN_FD_CONTROL, PLAN_FD_PROGRAM};
    const bool has_program = sandbox->plan.type != PLAN_TYPE_STANDARD;
    int r = prove_fds(fds, ELEMENTS(fds) - !has_program, error);
    if (r == 0)
        r = prove_null(0, error);
    if (r < 0)
        return r;
    _cleanup_close_ int proc_fd = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (proc_fd < 0)
        return error_errno(error, errno, "open /proc/self");
    const uint64_t capabilities = plan_type_capabilities(sandbox->plan.type);
    const struct expected expected = {.id = sandbox->plan.command_id,
            .saved = sandbox->plan.command_id,
            .filters = 1,
            .permitted = capabilities,
            .effective = capabilities};
    r = prove_status(proc_fd, &expected, error);
    if (r == 0)
        r = prove_namespaces(sandbox, proc_fd, error);
    if (r == 0)
        r = prove_landlock(error);
    if (r == 0)
        r = prove_command_filter(sandbox, error);
    if (r == 0)
        r = prove_cgroups(error);
    if (r == 0)
        r = prove_root(sandbox, error);
    return r;
}

/* What changed since the first part, with the few calls that the own filter leaves: this process opens nothing more. */
int sandbox_prove_last(struct sandbox *sandbox, struct error *error)
{
    const uid_t id = PLAN_SUPERVISOR_ID;
    uid_t uid[3];
    gid_t gid[3];
    uint64_t capabilities = 1;
    if (sandbox->command_pid <= 0)
        return error_text(error, EPROTO, "there is no process for the command");
    if (getresuid(&uid[0], &uid[1], &uid[2]) < 0 || getresgid(&gid[0], &gid[1], &gid[2]) < 0)
        return error_errno(error, errno, "read the own ids");
    for (unsigned i = 0; i < 3; i++)
        if (uid[i] != id || gid[i] != id)
            return error_text(error, EPROTO, "an id of joblet-init is %u and %u, not %u", uid[i], gid[i], id);
    if (capability_read(&capabilities) < 0 || capabilities != 0)
        return error_text(error, EPROTO, "joblet-init has capabilities");
    if (prctl(PR_GET_NO_NEW_PRIVS, 0UL, 0UL, 0UL, 0UL) != 1 || prctl(PR_GET_DUMPABLE, 0UL, 0UL, 0UL, 0UL) != 0)
        return error_text(error, EPROTO, "no-new-privileges or the dumpable flag of joblet-init is wrong");
    if (prctl(PR_GET_SECCOMP, 0UL, 0UL, 0UL, 0UL) != 2 || socket(AF_UNIX, SOCK_STREAM, 0) != -1 || errno != EPERM)
        return error_text(error, EPROTO, "the filter of joblet-init is not in force");
    static const int gone[] = {PLAN_FD_SPEC, PLAN_FD_STDOUT_WRITE, PLAN_FD_STDERR_WRITE, PLAN_FD_PROGRAM};
    for (size_t i = 0; i < ELEMENTS(gone); i++)
        if (fcntl(gone[i], F_GETFD) != -1 || errno != EBADF)
            return error_text(error, EPROTO, "joblet-init still holds descriptor %d", gone[i]);
    return prove_landlock(error);
}
