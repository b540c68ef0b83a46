#include "broker/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "plan/plan.h"

struct look {
    const struct outside_plan *plan;
    const char *who;
    uint32_t id;         /* inside */
    uint32_t inner_pid;  /* 0: any but 1 */
    uint32_t parent_pid; /* 0: not looked at */
};

static int check_ids(const struct look *look, const struct procstatus *status, struct error *error)
{
    uint32_t id = look->plan->id_base + look->id;
    for (unsigned i = 0; i < 4; i++)
        if (status->uid[i] != id || status->gid[i] != id)
            return error_text(error, EPERM, "%s has ids %u:%u, not %u", look->who, status->uid[i], status->gid[i], id);
    if (status->group_count != 0)
        return error_text(error, EPERM, "%s has %u groups", look->who, status->group_count);
    return 0;
}

static int check_rights(const struct look *look, const struct procstatus *status, struct error *error)
{
    if (status->cap_inheritable | status->cap_permitted | status->cap_effective | status->cap_bounding |
            status->cap_ambient)
        return error_text(error, EPERM, "%s has capabilities", look->who);
    if (status->no_new_privs != 1)
        return error_text(error, EPERM, "%s may gain privileges", look->who);
    if (status->seccomp != 2)
        return error_text(error, EPERM, "%s has no system call filter", look->who);
    if (status->tracer_pid != 0 || status->threads != 1)
        return error_text(error, EPERM, "%s is traced or has threads", look->who);
    return 0;
}

static int check_place(const struct look *look, const struct procstatus *status, struct error *error)
{
    if (look->inner_pid ? status->inner_pid != look->inner_pid : status->inner_pid == 1)
        return error_text(error, EPERM, "%s is process %u of the job", look->who, status->inner_pid);
    if (look->parent_pid && status->parent_pid != look->parent_pid)
        return error_text(error, EPERM, "%s is no child of joblet-init", look->who);
    return 0;
}

static int check_maps(const struct look *look, int proc_fd, struct error *error)
{
    static const char *const names[] = {"uid_map", "gid_map"};
    for (unsigned i = 0; i < ELEMENTS(names); i++) {
        int r = procstatus_check_id_map(proc_fd, names[i], look->plan->id_base, PLAN_RANGE_SIZE);
        if (r < 0)
            return error_errno(error, -r, "read %s of %s", names[i], look->who);
        if (r == 0)
            return error_text(error, EPERM, "%s of %s is not the slot's", names[i], look->who);
    }
    return 0;
}

static int check_namespaces(
        const struct look *look, int proc_fd, struct procstatus_namespaces *ret_namespaces, struct error *error)
{
    int r = procstatus_read_namespaces(proc_fd, ret_namespaces, error);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < PROCSTATUS_NS_COUNT; i++)
        if (ret_namespaces->inode[i] == look->plan->own->inode[i])
            return error_text(error, EPERM, "%s is in the host's %s namespace", look->who, procstatus_ns_name(i));
    return 0;
}

static int check_root(const struct look *look, int proc_fd, struct error *error)
{
    struct stat status;
    if (fstatat(proc_fd, "root/.", &status, 0) < 0)
        return error_errno(error, errno, "look at the root of %s", look->who);
    if (status.st_dev != look->plan->root_device || status.st_ino != look->plan->root_inode)
        return error_text(error, EPERM, "the root of %s is not the base root", look->who);
    return 0;
}

/* The disk that this job was given, and no other. */
static int check_work(const struct look *look, int proc_fd, struct error *error)
{
    struct stat status;
    if (look->plan->work_device == 0)
        return 0;
    if (fstatat(proc_fd, "root/work", &status, AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(error, errno, "look at /work of %s", look->who);
    if (status.st_dev != look->plan->work_device || status.st_ino != look->plan->work_inode)
        return error_text(error, EPERM, "/work of %s is not the disk that was given to it", look->who);
    return 0;
}

static int check_process(
        const struct look *look, int proc_fd, struct procstatus_namespaces *ret_namespaces, struct error *error)
{
    struct procstatus status;
    int r = procstatus_read(proc_fd, &status, error);
    if (r == 0)
        r = check_ids(look, &status, error);
    if (r == 0)
        r = check_rights(look, &status, error);
    if (r == 0)
        r = check_place(look, &status, error);
    if (r == 0)
        r = check_maps(look, proc_fd, error);
    if (r == 0)
        r = check_namespaces(look, proc_fd, ret_namespaces, error);
    if (r == 0)
        r = check_root(look, proc_fd, error);
    if (r == 0)
        r = check_work(look, proc_fd, error);
    if (r < 0)
        return r;
    r = cgroup_check_member(look->plan->cgroups, look->plan->group, proc_fd);
    if (r < 0)
        return error_errno(error, -r, "read the control groups of %s", look->who);
    return r == 0 ? error_text(error, EPERM, "%s is not in all of the job's control groups", look->who) : 0;
}

static int check_both(const struct outside_plan *plan, pid_t init_pid, pid_t command_pid, uint64_t *ret_start_ticks,
        struct error *error)
{
    const struct look init = {.plan = plan, .who = "joblet-init", .id = PLAN_SUPERVISOR_ID, .inner_pid = 1};
    const struct look command = {
            .plan = plan, .who = "the command's process", .id = plan->command_id, .parent_pid = (uint32_t)init_pid};
    struct procstatus_namespaces of_init;
    struct procstatus_namespaces of_command;
    _cleanup_close_ int init_fd = procstatus_open(init_pid);
    _cleanup_close_ int command_fd = procstatus_open(command_pid);
    if (init_fd < 0 || command_fd < 0)
        return error_errno(error, init_fd < 0 ? -init_fd : -command_fd, "look at the job's processes");
    int r = check_process(&init, init_fd, &of_init, error);
    if (r == 0)
        r = check_process(&command, command_fd, &of_command, error);
    if (r < 0)
        return r;
    if (memcmp(&of_init, &of_command, sizeof(of_init)) != 0)
        return error_text(error, EPERM, "joblet-init and the command's process are in different namespaces");
    r = procstatus_read_start_time(init_fd, ret_start_ticks);
    return r < 0 ? error_errno(error, -r, "read the start time of joblet-init") : 0;
}

int outside_check(const struct outside_plan *plan, pid_t init_pid, pid_t command_pid, uint64_t *ret_start_ticks,
        struct error *error)
{
    int r = check_both(plan, init_pid, command_pid, ret_start_ticks, error);
    if (r < 0 && error)
        error->stage = PLAN_STAGE_OUTSIDE_PROOF;
    return r;
}
