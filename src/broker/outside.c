#include "broker/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fd.h"
#include "base/text.h"
#include "kernel/cgroup_limits.h"
#include "plan/plan.h"

/* What the kernel said of one process. */
struct seen {
    struct procstatus status;
    struct procstatus_id_map uid_map;
    struct procstatus_id_map gid_map;
    struct procstatus_namespaces namespaces;
};

struct look {
    const struct outside_plan *plan;
    const char *who;
    uint32_t id;           /* inside */
    uint64_t capabilities; /* permitted and effective; the bounding set is the plan's for both */
    uint32_t inner_pid;    /* 0: any but 1 */
    uint32_t parent_pid;   /* 0: not looked at */
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
    if (status->cap_permitted != look->capabilities || status->cap_effective != look->capabilities ||
            status->cap_bounding != look->plan->capabilities)
        return error_text(error, EPERM, "%s has the capabilities %#llx bounded by %#llx, not %#llx by %#llx", look->who,
                (unsigned long long)(status->cap_permitted | status->cap_effective),
                (unsigned long long)status->cap_bounding, (unsigned long long)look->capabilities,
                (unsigned long long)look->plan->capabilities);
    if (status->cap_inheritable | status->cap_ambient)
        return error_text(error, EPERM, "%s has capabilities to hand down", look->who);
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

static int read_process(const char *who, int proc_fd, struct seen *ret_seen, struct error *error)
{
    int r = procstatus_read(proc_fd, &ret_seen->status, error);
    if (r < 0)
        return r;
    r = procstatus_read_id_map(proc_fd, "uid_map", &ret_seen->uid_map);
    if (r == 0)
        r = procstatus_read_id_map(proc_fd, "gid_map", &ret_seen->gid_map);
    if (r < 0)
        return error_errno(error, -r, "read the id maps of %s", who);
    return procstatus_read_namespaces(proc_fd, &ret_seen->namespaces, error);
}

static int check_map(
        const struct look *look, const char *name, const struct procstatus_id_map *map, struct error *error)
{
    if (map->lines != 1 || map->inside != 0 || map->outside != look->plan->id_base || map->count != PLAN_RANGE_SIZE)
        return error_text(error, EPERM, "%s of %s is not the slot's", name, look->who);
    return 0;
}

static int check_namespaces(
        const struct look *look, const struct procstatus_namespaces *namespaces, struct error *error)
{
    for (unsigned i = 0; i < PROCSTATUS_NS_COUNT; i++)
        if (namespaces->inode[i] == look->plan->own->inode[i])
            return error_text(error, EPERM, "%s is in the host's %s namespace", look->who, procstatus_ns_name(i));
    return 0;
}

/* The root, the disk and whatever else this job was given, and no other. */
static int check_places(const struct look *look, int proc_fd, struct error *error)
{
    for (unsigned i = 0; i < look->plan->place_count; i++) {
        const struct outside_place *place = &look->plan->places[i];
        char path[64];
        struct stat status;
        (void)snprintf(path, sizeof(path), "root/%s", place->path);
        if (fstatat(proc_fd, path, &status, AT_SYMLINK_NOFOLLOW) < 0)
            return error_errno(error, errno, "look at '/%s' of %s", place->path, look->who);
        if (status.st_dev != place->device || (place->inode != 0 && status.st_ino != place->inode))
            return error_text(error, EPERM, "'/%s' of %s is not what was given to it", place->path, look->who);
    }
    return 0;
}

static int check_process(const struct look *look, int proc_fd, struct seen *ret_seen, struct error *error)
{
    int r = read_process(look->who, proc_fd, ret_seen, error);
    if (r == 0)
        r = check_ids(look, &ret_seen->status, error);
    if (r == 0)
        r = check_rights(look, &ret_seen->status, error);
    if (r == 0)
        r = check_place(look, &ret_seen->status, error);
    if (r == 0)
        r = check_map(look, "uid_map", &ret_seen->uid_map, error);
    if (r == 0)
        r = check_map(look, "gid_map", &ret_seen->gid_map, error);
    if (r == 0)
        r = check_namespaces(look, &ret_seen->namespaces, error);
    if (r == 0)
        r = check_places(look, proc_fd, error);
    if (r < 0)
        return r;
    r = cgroup_check_member(look->plan->cgroups, look->plan->group, proc_fd);
    if (r < 0)
        return error_errno(error, -r, "read the control groups of %s", look->who);
    return r == 0 ? error_text(error, EPERM, "%s is not in all of the job's control groups", look->who) : 0;
}

/* --- the view --- */

_Static_assert(CHANNEL_VIEW_NAMESPACES == PROCSTATUS_NS_COUNT, "the view has all kinds of namespaces");
_Static_assert(CHANNEL_VIEW_NO_LIMIT == CGROUP_NO_LIMIT, "no limit is the same everywhere");
_Static_assert(CHANNEL_VIEW_NO_LIMIT == PROCSTATUS_UNLIMITED, "no limit is the same everywhere");
_Static_assert(CGROUP_NOT_SET + 1 == CHANNEL_VIEW_NO_LIMIT, "not set is the same everywhere");
_Static_assert(CHANNEL_VIEW_DEVICES_MAX == CGROUP_DEVICES_MAX, "as many devices as are read");

static struct channel_view_map view_map(const struct procstatus_id_map *map)
{
    return (struct channel_view_map){
            .lines = map->lines, .inside = map->inside, .outside = map->outside, .count = map->count};
}

static void fill_process(
        const struct outside_plan *plan, pid_t pid, const struct seen *seen, struct channel_view_process *ret_process)
{
    const struct procstatus *status = &seen->status;
    struct channel_view_process process = {.pid = (uint32_t)pid,
            .inner_pid = status->inner_pid,
            .uid_map = view_map(&seen->uid_map),
            .gid_map = view_map(&seen->gid_map),
            .group_count = status->group_count,
            .no_new_privs = status->no_new_privs,
            .seccomp = status->seccomp,
            .seccomp_filters = status->seccomp_filters,
            .cap_inheritable = status->cap_inheritable,
            .cap_permitted = status->cap_permitted,
            .cap_effective = status->cap_effective,
            .cap_bounding = status->cap_bounding,
            .cap_ambient = status->cap_ambient};
    memcpy(process.uid, status->uid, sizeof(process.uid));
    memcpy(process.gid, status->gid, sizeof(process.gid));
    for (unsigned i = 0; i < PROCSTATUS_NS_COUNT; i++) {
        process.namespaces[i] = (uint32_t)seen->namespaces.inode[i]; /* the kernel has 32 bits for them */
        if (seen->namespaces.inode[i] != plan->own->inode[i])
            process.own_namespaces |= 1U << i;
    }
    *ret_process = process;
}

static int fill_group_limits(const struct outside_plan *plan, struct channel_view_limits *limits, struct error *error)
{
    struct cgroup_limits_in_force found;
    int r = cgroup_read_limits(plan->cgroups, plan->group, &found);
    if (r < 0)
        return error_errno(error, -r, "read the limits of the job's group");
    limits->memory_bytes = found.memory_bytes;
    limits->swap_bytes = found.swap_bytes;
    limits->cpu_percent = found.cpu_percent;
    limits->processes = found.processes;
    limits->device_count = found.device_count;
    (void)snprintf(limits->cpus, sizeof(limits->cpus), "%s", found.cpus);
    for (unsigned i = 0; i < found.device_count && i < CGROUP_DEVICES_MAX; i++)
        limits->devices[i] = (struct channel_view_device){.major = found.devices[i].major,
                .minor = found.devices[i].minor,
                .read_bps = found.devices[i].read_bps,
                .write_bps = found.devices[i].write_bps};
    return 0;
}

/* The limits and the groups; @proc_fd is of the command's process, or of joblet-init when that is gone. */
static int fill_limits(const struct outside_plan *plan, int proc_fd, bool of_command, struct channel_kernel_view *view,
        struct error *error)
{
    struct channel_view_limits *limits = &view->limits;
    struct procstatus_limits own = {
            CHANNEL_VIEW_NOT_SET, CHANNEL_VIEW_NOT_SET, CHANNEL_VIEW_NOT_SET, CHANNEL_VIEW_NOT_SET};
    int r = of_command ? procstatus_read_limits(proc_fd, &own) : 0;
    if (r < 0)
        return error_errno(error, -r, "read the limits of the command's process");
    limits->open_files_soft = own.open_files_soft;
    limits->open_files_hard = own.open_files_hard;
    limits->core_bytes_soft = own.core_bytes_soft;
    limits->core_bytes_hard = own.core_bytes_hard;
    r = fill_group_limits(plan, limits, error);
    if (r < 0)
        return r;
    r = cgroup_read_paths(plan->cgroups, proc_fd, view->cgroups, sizeof(view->cgroups));
    return r < 0 ? error_errno(error, -r, "read the control groups of the job") : 0;
}

/* --- before the go --- */

static int check_cpus(const struct cpulist *wanted, const char *found, struct error *error)
{
    char text[CPULIST_TEXT_MAX];
    if (cpulist_is_empty(wanted))
        return 0;
    cpulist_format(wanted, text);
    /* What was read is cut where it is too long for a view. */
    if (strncmp(text, found, CHANNEL_VIEW_CPUS_MAX - 1) != 0)
        return error_text(error, EPERM, "the job's group has the CPUs '%.40s', not '%.40s'", found, text);
    return 0;
}

static bool has_device(const struct channel_view_limits *found, dev_t disk, uint64_t bps)
{
    for (unsigned i = 0; i < found->device_count && i < CHANNEL_VIEW_DEVICES_MAX; i++) {
        const struct channel_view_device *device = &found->devices[i];
        if (makedev(device->major, device->minor) == disk)
            return device->read_bps == bps && device->write_bps == bps;
    }
    return false;
}

static int check_devices(const struct outside_plan *plan, const struct channel_view_limits *found, struct error *error)
{
    uint64_t bps = plan->limits->io_bps;
    if (bps == 0 || (has_device(found, plan->disk, bps) &&
                            (plan->work_device == 0 || has_device(found, plan->work_device, bps))))
        return 0;
    return error_text(error, EPERM, "the job's group has no I/O limit of %llu bytes/s", (unsigned long long)bps);
}

/* Each limit as the kernel has it. What it does not say is a limit that nobody has seen: there is no start without. */
static int check_limits(const struct outside_plan *plan, const struct channel_view_limits *found, struct error *error)
{
    const struct channel_limits *limits = plan->limits;
    uint64_t memory_bytes = limits->memory_bytes & ~(uint64_t)4095; /* the kernel counts pages */
    const struct {
        const char *name;
        uint64_t wanted;
        uint64_t found;
    } rows[] = {
            {"memory limit", limits->memory_bytes ? memory_bytes : CHANNEL_VIEW_NO_LIMIT, found->memory_bytes},
            {"CPU limit", limits->cpu_percent ? limits->cpu_percent : CHANNEL_VIEW_NO_LIMIT, found->cpu_percent},
            {"process limit", limits->processes, found->processes},
            {"open files limit", limits->open_files, found->open_files_soft},
            {"open files limit", limits->open_files, found->open_files_hard},
            {"core limit", 1, found->core_bytes_soft},
            {"core limit", 1, found->core_bytes_hard},
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++)
        if (rows[i].found != rows[i].wanted)
            return error_text(error, EPERM, "the %s of the job is %lld, not %lld", rows[i].name,
                    (long long)rows[i].found, (long long)rows[i].wanted);
    if (limits->memory_bytes && plan->cgroups->swap && found->swap_bytes != 0)
        return error_text(error, EPERM, "the job's group has no limit of swap");
    int r = check_cpus(&limits->cpus, found->cpus, error);
    return r == 0 ? check_devices(plan, found, error) : r;
}

static int check_both(const struct outside_plan *plan, pid_t init_pid, pid_t command_pid, uint64_t *ret_start_ticks,
        struct channel_kernel_view *view, struct error *error)
{
    const struct look init = {.plan = plan, .who = "joblet-init", .id = PLAN_SUPERVISOR_ID, .inner_pid = 1};
    const struct look command = {.plan = plan,
            .who = "the command's process",
            .id = plan->command_id,
            .capabilities = plan->capabilities,
            .parent_pid = (uint32_t)init_pid};
    struct seen of_init;
    struct seen of_command;
    _cleanup_close_ int init_fd = procstatus_open(init_pid);
    _cleanup_close_ int command_fd = procstatus_open(command_pid);
    if (init_fd < 0 || command_fd < 0)
        return error_errno(error, init_fd < 0 ? -init_fd : -command_fd, "look at the job's processes");
    int r = check_process(&init, init_fd, &of_init, error);
    if (r == 0)
        r = check_process(&command, command_fd, &of_command, error);
    if (r < 0)
        return r;
    if (memcmp(&of_init.namespaces, &of_command.namespaces, sizeof(of_init.namespaces)) != 0)
        return error_text(error, EPERM, "joblet-init and the command's process are in different namespaces");
    r = procstatus_read_start_time(init_fd, ret_start_ticks);
    if (r < 0)
        return error_errno(error, -r, "read the start time of joblet-init");
    fill_process(plan, init_pid, &of_init, &view->init);
    fill_process(plan, command_pid, &of_command, &view->command);
    r = fill_limits(plan, command_fd, /* of_command= */ true, view, error);
    return r == 0 ? check_limits(plan, &view->limits, error) : r;
}

int outside_check(const struct outside_plan *plan, pid_t init_pid, pid_t command_pid, uint64_t *ret_start_ticks,
        struct channel_kernel_view *ret_view, struct error *error)
{
    struct channel_kernel_view view = {.taken_unix_ns = text_now_unix_ns(), .before_start = 1};
    int r = check_both(plan, init_pid, command_pid, ret_start_ticks, &view, error);
    if (r == 0)
        *ret_view = view;
    else if (error)
        error->stage = PLAN_STAGE_OUTSIDE_PROOF;
    return r;
}

/* --- while it runs --- */

/* The command's process: a member of the job's groups that joblet-init forked, and the one that was there before the
 * go. A descriptor of its /proc/PID, or -errno when it is not there any more. */
static int read_command(
        const struct outside_plan *plan, const struct channel_kernel_view *before, struct seen *ret_seen)
{
    _cleanup_close_ int proc_fd = procstatus_open((pid_t)before->command.pid);
    if (proc_fd < 0)
        return proc_fd;
    int r = read_process("the command's process", proc_fd, ret_seen, NULL);
    if (r < 0)
        return r;
    if (ret_seen->status.parent_pid != before->init.pid || ret_seen->status.inner_pid != before->command.inner_pid ||
            cgroup_check_member(plan->cgroups, plan->group, proc_fd) != 1)
        return -ESRCH;
    return TAKE_FD(proc_fd);
}

int outside_look(const struct outside_plan *plan, const struct channel_kernel_view *before, uint64_t start_ticks,
        struct channel_kernel_view *ret_view, struct error *error)
{
    struct channel_kernel_view view = {.taken_unix_ns = text_now_unix_ns()};
    struct seen seen;
    uint64_t ticks;
    pid_t pid = (pid_t)before->init.pid;
    _cleanup_close_ int init_fd = procstatus_open(pid);
    if (init_fd < 0)
        return error_errno(error, -init_fd, "look at joblet-init");
    int r = read_process("joblet-init", init_fd, &seen, error);
    if (r < 0)
        return r;
    if (procstatus_read_start_time(init_fd, &ticks) < 0 || ticks != start_ticks ||
            cgroup_check_member(plan->cgroups, plan->group, init_fd) != 1)
        return error_text(error, ESRCH, "the job's joblet-init is gone");
    fill_process(plan, pid, &seen, &view.init);
    _cleanup_close_ int command_fd = read_command(plan, before, &seen);
    if (command_fd >= 0)
        fill_process(plan, (pid_t)before->command.pid, &seen, &view.command);
    r = fill_limits(plan, command_fd >= 0 ? command_fd : init_fd, command_fd >= 0, &view, error);
    if (r == 0)
        *ret_view = view;
    return r;
}
