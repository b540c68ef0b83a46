/* The drop of all rights, in the order of the kernel facts A1 to A5. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/capability.h"
#include "sandbox/sandbox.h"

int sandbox_limit_bounding(struct sandbox *sandbox, struct error *error)
{
    int r = capability_limit_bounding(plan_type_capabilities(sandbox->plan.type));
    return r < 0 ? error_errno(error, -r, "limit the bounding set") : 0;
}

int sandbox_drop_groups(struct sandbox *sandbox, struct error *error)
{
    (void)sandbox;
    return setgroups(0, NULL) < 0 ? error_errno(error, errno, "drop the supplementary groups") : 0;
}

/* The supervisor's own id, so that the job can neither signal it nor change its limits (A4). The command's id is kept
 * as the saved id: with it, the command's process can change over without any capability; sandbox_fork takes it away
 * from joblet-init. */
int sandbox_set_ids(struct sandbox *sandbox, struct error *error)
{
    const gid_t supervisor = PLAN_SUPERVISOR_ID;
    const gid_t command = sandbox->plan.command_id;
    if (setresgid(supervisor, supervisor, command) < 0 || setresuid(supervisor, supervisor, command) < 0)
        return error_errno(error, errno, "take id %u", supervisor);
    return 0;
}

/* What is left is the command's, and lies unused until the command's process takes its id, which is the namespace's
 * root: that makes it effective. joblet-init drops it right after the fork. */
int sandbox_limit_capabilities(struct sandbox *sandbox, struct error *error)
{
    /* The change of ids did not clear them: the old id was not the namespace's root (A2). */
    int r = capability_set(plan_type_capabilities(sandbox->plan.type), 0);
    return r < 0 ? error_errno(error, -r, "limit the capability sets") : 0;
}

int sandbox_drop_ambient(struct sandbox *sandbox, struct error *error)
{
    (void)sandbox;
    int r = capability_clear_ambient();
    return r < 0 ? error_errno(error, -r, "clear the ambient set") : 0;
}

int sandbox_set_no_new_privs(struct sandbox *sandbox, struct error *error)
{
    (void)sandbox;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) < 0)
        return error_errno(error, errno, "set no-new-privileges");
    return 0;
}

int sandbox_set_undumpable(struct sandbox *sandbox, struct error *error)
{
    (void)sandbox;
    /* After the last change of ids, which sets the flag to a sysctl of the host; without it the job could open
     * /proc/1/mem, /proc/1/root and /proc/1/fd (A3). */
    if (prctl(PR_SET_DUMPABLE, 0UL, 0UL, 0UL, 0UL) < 0)
        return error_errno(error, errno, "clear the dumpable flag");
    return 0;
}

unsigned sandbox_list_fds(const struct sandbox *sandbox, int ret_fds[SANDBOX_FDS_MAX])
{
    static const int kept[] = {0, 1, 2, PLAN_FD_CONTROL, PLAN_FD_SPEC, PLAN_FD_LOG, PLAN_FD_INDEX, PLAN_FD_RECORD,
            PLAN_FD_STDOUT_READ, PLAN_FD_STDOUT_WRITE, PLAN_FD_STDERR_READ, PLAN_FD_STDERR_WRITE};
    unsigned count = 0;
    for (; count < ELEMENTS(kept); count++)
        ret_fds[count] = kept[count];
    if (sandbox->plan.cgroup_oom_eventfd)
        ret_fds[count++] = PLAN_FD_OOM;
    if (sandbox->plan.type != PLAN_TYPE_STANDARD)
        ret_fds[count++] = PLAN_FD_PROGRAM;
    return count;
}

int sandbox_close_fds(struct sandbox *sandbox, struct error *error)
{
    /* 0 to 2 were opened on the host's file system, which is gone. */
    _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return error_errno(error, errno, "open the job's /dev/null");
    for (int fd = 0; fd <= 2; fd++)
        if (dup2(null, fd) < 0)
            return error_errno(error, errno, "put /dev/null at %d", fd);

    int kept[SANDBOX_FDS_MAX];
    unsigned count = sandbox_list_fds(sandbox, kept);
    null = fd_close(null);
    for (unsigned i = 0; i < count; i++) {
        unsigned from = (unsigned)kept[i] + 1;
        unsigned to = i + 1 < count ? (unsigned)kept[i + 1] : ~0U;
        if (from < to && close_range(from, to == ~0U ? to : to - 1, 0) < 0)
            return error_errno(error, errno, "close the descriptors from %u on", from);
    }
    sandbox->proc_sys_fd = -EBADF;
    return 0;
}
