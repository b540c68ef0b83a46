/* The first step: what this process was given. Everything is checked against a second source, because a mistake of
 * joblet here (a forgotten clone flag, another job's plan) would be a job in the host's namespaces. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "sandbox/sandbox.h"

/* What the type has is there, and nothing else is. Nothing was opened here yet: later, a number may be one of our own.
 */
static int check_descriptors(struct sandbox *sandbox, struct error *error)
{
    const struct plan *plan = &sandbox->plan;
    const bool is_standard = plan->type == PLAN_TYPE_STANDARD;
    const bool is_collect = plan->type == PLAN_TYPE_COLLECT;
    const struct {
        int fd;
        bool is_wanted;
        bool is_tree;
        const char *name;
    } optional[] = {
            {PLAN_FD_ROOT, is_standard || is_collect, true, "base root"},
            {PLAN_FD_WORK, plan->work_on_disk == 1, true, "disk"},
            {PLAN_FD_PROGRAM, !is_standard, false, "program"},
            {PLAN_FD_STAGE, is_collect || plan->type == PLAN_TYPE_VERIFY || plan->type == PLAN_TYPE_SWEEP, true,
                    "tree to work on"},
            {PLAN_FD_CACHE, plan->has_cache == 1, true, "cache"},
            {PLAN_FD_BASE_DISK, plan->has_base == 1, true, "base"},
            {PLAN_FD_LIST, plan->has_list == 1, false, "list of suspects"},
            {PLAN_FD_NEW_LIST, plan->wants_list == 1, false, "file for suspects"},
            {PLAN_FD_HOST_LINK, plan->network.is_set == 1, false, "socket of the host's network"},
    };
    for (size_t i = 0; i < ELEMENTS(optional); i++) {
        struct stat status;
        bool is_there = fstat(optional[i].fd, &status) == 0;
        if (!is_there && errno != EBADF)
            return error_errno(error, errno, "look at descriptor %d", optional[i].fd);
        if (is_there != optional[i].is_wanted)
            return error_text(error, EINVAL, "the plan says %s %s, the descriptors say the opposite",
                    optional[i].is_wanted ? "a" : "no", optional[i].name);
        if (is_there && optional[i].is_tree)
            sandbox->handed[optional[i].fd] = (struct sandbox_handed){.device = status.st_dev, .inode = status.st_ino};
    }
    return 0;
}

static int read_plan(struct sandbox *sandbox, struct error *error)
{
    size_t size;
    int r = fd_check_sealed(PLAN_FD_PLAN, sizeof(struct plan), &size);
    if (r < 0)
        return error_errno(error, -r, "check the plan's seals and size");
    if (size != sizeof(struct plan) || pread(PLAN_FD_PLAN, &sandbox->plan, size, 0) != (ssize_t)size)
        return error_text(error, EINVAL, "the plan has %zu bytes, not %zu", size, sizeof(struct plan));
    r = plan_check(&sandbox->plan, error);
    if (r < 0)
        return r;
    r = check_descriptors(sandbox, error);
    if (r < 0)
        return r;
    text_format_uuid(sandbox->plan.job_id, sandbox->job_id);
    (void)snprintf(sandbox->host_name, sizeof(sandbox->host_name), "job-%.8s", sandbox->job_id);
    return 0;
}

/* joblet's environment does not reach a job: exactly one variable, and it names the plan's job. */
static int check_environment(const struct sandbox *sandbox, struct error *error)
{
    const char *id = getenv("JOB_ID");
    if (!id || !environ[0] || environ[1] || strcmp(id, sandbox->job_id) != 0)
        return error_text(error, EINVAL, "the environment does not name job %s alone", sandbox->job_id);
    return 0;
}

/* joblet's own namespaces and root are what this process must have left, or not left yet. Until the new root is there,
 * /proc is the host's, and shows this process's parent under its number there. */
static int open_parent(struct error *error)
{
    struct procstatus status;
    _cleanup_close_ int own_proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (own_proc < 0)
        return error_errno(error, errno, "open /proc/self");
    int r = procstatus_read(own_proc, &status, error);
    if (r < 0)
        return r;
    r = procstatus_open((pid_t)status.parent_pid);
    return r < 0 ? error_errno(error, -r, "open joblet's process %u in /proc", status.parent_pid) : r;
}

static int check_namespaces(struct sandbox *sandbox, int parent_proc, struct error *error)
{
    struct procstatus_namespaces own;
    _cleanup_close_ int own_proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (own_proc < 0)
        return error_errno(error, errno, "open /proc/self");
    int r = procstatus_read_namespaces(parent_proc, &sandbox->host_namespaces, error);
    if (r == 0)
        r = procstatus_read_namespaces(own_proc, &own, error);
    if (r < 0)
        return r;
    for (unsigned i = 0; i <= PROCSTATUS_NS_NET; i++)
        if (own.inode[i] == sandbox->host_namespaces.inode[i])
            return error_text(error, EINVAL, "the %s namespace is the host's", procstatus_ns_name(i));
    /* The user namespace is joined last; until then it must be the host's, or the others belong to the job (A16). */
    if (own.inode[PROCSTATUS_NS_USER] != sandbox->host_namespaces.inode[PROCSTATUS_NS_USER])
        return error_text(error, EINVAL, "the user namespace is not the host's");
    struct stat status;
    if (fstat(PLAN_FD_USERNS, &status) < 0)
        return error_errno(error, errno, "look at the job's user namespace");
    if (status.st_ino == own.inode[PROCSTATUS_NS_USER])
        return error_text(error, EINVAL, "the job's user namespace is the host's");
    sandbox->userns_inode = status.st_ino;
    return 0;
}

/* In a chroot or a pivoted root, "/" is no root of a mount, or not joblet's. */
static int check_no_chroot(int parent_proc, struct error *error)
{
    struct statx own;
    struct statx host;
    if (statx(AT_FDCWD, "/", 0, STATX_BASIC_STATS, &own) < 0 ||
            statx(parent_proc, "root/", 0, STATX_BASIC_STATS, &host) < 0)
        return error_errno(error, errno, "look at the root");
    if (!(own.stx_attributes & STATX_ATTR_MOUNT_ROOT) || own.stx_ino != host.stx_ino ||
            own.stx_dev_major != host.stx_dev_major || own.stx_dev_minor != host.stx_dev_minor)
        return error_text(error, EINVAL, "this process is in a chroot or a pivoted root already");
    return 0;
}

int sandbox_start(struct sandbox *sandbox, struct error *error)
{
    sandbox->root_fd = -EBADF;
    sandbox->proc_sys_fd = -EBADF;
    sandbox->command_fd = -EBADF;
    sandbox->signal_fd = -EBADF;
    sandbox->timer_fd = -EBADF;
    if (close_range(PLAN_FD_PLAN, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        return error_errno(error, errno, "mark the descriptors close-on-exec");
    int r = read_plan(sandbox, error);
    if (r == 0)
        r = check_environment(sandbox, error);
    if (r < 0)
        return r;
    if (getpid() != 1)
        return error_text(error, EINVAL, "this process is not the first of a PID namespace");
    if (geteuid() != 0)
        return error_text(error, EPERM, "this process is not root");
    _cleanup_close_ int parent_proc = open_parent(error);
    if (parent_proc < 0)
        return parent_proc;
    r = check_namespaces(sandbox, parent_proc, error);
    if (r == 0)
        r = check_no_chroot(parent_proc, error);
    if (r < 0)
        return r;
    /* A host without a session keyring, or with one that has ended, has none that the job could get. */
    sandbox->host_keyring = sandbox_session_keyring();
    if (sandbox->host_keyring < 0 && sandbox->host_keyring != -ENOKEY && sandbox->host_keyring != -EKEYREVOKED &&
            sandbox->host_keyring != -EKEYEXPIRED)
        return error_errno(error, -sandbox->host_keyring, "look at the host's session keyring");
    (void)umask(022);
    return chdir("/") < 0 ? error_errno(error, errno, "change to '/'") : 0;
}
