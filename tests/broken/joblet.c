/* joblet: what it makes jobs of, each without its protection, and its look from outside, which is told otherwise. What
 * it keeps as the job's view stays true. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <nftables/libnftables.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"
#include "broken.h"
#include "broker/job_private.h"
#include "broker/outside.h"
#include "kernel/cgroup_limits.h"
#include "kernel/cgroup_private.h"
#include "plan/plan.h"
#include "scratch/message.h"

/* Of the job that is made; PLAN_TYPE_* */
static uint32_t type;
/* Of the job that is looked at. */
static const struct outside_plan *looked_at;

static bool left_out(const char *protection)
{
    return type == PLAN_TYPE_BUILD ? broken_of_build(protection) : type == PLAN_TYPE_STANDARD && broken(protection);
}

static bool is_asked(const char *protection)
{
    bool is_build = looked_at && looked_at->capabilities == plan_type_capabilities(PLAN_TYPE_BUILD);
    return looked_at && (is_build ? broken_of_build(protection) : broken(protection));
}

void __real_job_start(struct broker *broker, const struct job_order *order, int spec_fd);
void __wrap_job_start(struct broker *broker, const struct job_order *order, int spec_fd)
{
    broken_read();
    __real_job_start(broker, order, spec_fd);
}

int __real_job_type_make(struct job *job, struct making *making, struct error *error);
int __wrap_job_type_make(struct job *job, struct making *making, struct error *error)
{
    type = job->note.type;
    int r = __real_job_type_make(job, making, error);
    /* Held until joblet ends: so is the loop device. */
    if (r == 0 && left_out("disk-removal") && making->work_fd >= 0)
        (void)fcntl(making->work_fd, F_DUPFD_CLOEXEC, LAUNCH_FDS);
    return r;
}

/* --- namespaces --- */

static const struct {
    const char *protection;
    uint64_t flag;
    bool of_jobs_alone;
} namespaces[] = {
        {"pid-namespace", CLONE_NEWPID, true},
        {"ipc-namespace", CLONE_NEWIPC, false},
        {"net-namespace", CLONE_NEWNET, false},
        {"uts-namespace", CLONE_NEWUTS, false},
        {"cgroup-namespace", CLONE_NEWCGROUP, false},
};

long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    struct clone_args *clone = (struct clone_args *)a;
    bool is_launch = number == SYS_clone3 && clone && clone->flags & CLONE_NEWNS;
    for (unsigned i = 0; is_launch && i < sizeof(namespaces) / sizeof(namespaces[0]); i++)
        if (left_out(namespaces[i].protection) && (type == PLAN_TYPE_STANDARD || !namespaces[i].of_jobs_alone))
            clone->flags &= ~namespaces[i].flag;
    return __real_syscall(number, a, b, c, d, e, f);
}

int __real_launch_init(const struct launch *launch, pid_t *ret_pid, int *ret_pidfd, struct error *error);
int __wrap_launch_init(const struct launch *launch, pid_t *ret_pid, int *ret_pidfd, struct error *error)
{
    char path[48];
    int r = __real_launch_init(launch, ret_pid, ret_pidfd, error);
    /* With its network namespace a build's link stays, until joblet ends. */
    if (r == 0 && left_out("link-removal")) {
        (void)snprintf(path, sizeof(path), "/proc/%d/ns/net", *ret_pid);
        (void)open(path, O_RDONLY | O_CLOEXEC);
    }
    return r;
}

/* --- mounts, groups, files, rules --- */

int __real_mount_set_attributes(int mount_fd, uint64_t attributes, int userns_fd);
int __wrap_mount_set_attributes(int mount_fd, uint64_t attributes, int userns_fd)
{
    bool is_root = type == PLAN_TYPE_STANDARD && attributes & MOUNT_ATTR_RDONLY;
    if (is_root && broken("root-read-only"))
        attributes &= ~(uint64_t)MOUNT_ATTR_RDONLY;
    if (is_root && broken("root-nosuid"))
        attributes &= ~(uint64_t)MOUNT_ATTR_NOSUID;
    if (is_root && broken("root-nodev"))
        attributes &= ~(uint64_t)MOUNT_ATTR_NODEV;
    return __real_mount_set_attributes(mount_fd, attributes, userns_fd);
}

int __real_cgroup_make(
        const struct cgroup_host *host, const char *name, const struct cgroup_limits *limits, struct error *error);
int __wrap_cgroup_make(
        const struct cgroup_host *host, const char *name, const struct cgroup_limits *limits, struct error *error)
{
    struct cgroup_limits other = *limits;
    if (left_out("memory-limit"))
        other.memory_bytes = 0;
    if (left_out("process-limit"))
        other.processes = 4194304;
    if (left_out("cpu-limit"))
        other.cpu_percent = 0;
    if (left_out("cpu-cores"))
        other.cpus = (struct cpulist){0};
    if (left_out("io-limit"))
        other.io_bps = 0;
    return __real_cgroup_make(host, name, &other, error);
}

int __real_cgroup_write(const struct cgroup_hierarchy *hierarchy, const char *name, const char *file, uint64_t value);
int __wrap_cgroup_write(const struct cgroup_hierarchy *hierarchy, const char *name, const char *file, uint64_t value)
{
    bool is_swap = strcmp(file, "memory.swap.max") == 0 || strcmp(file, "memory.memsw.limit_in_bytes") == 0;
    return is_swap && left_out("swap-limit") ? 0 : __real_cgroup_write(hierarchy, name, file, value);
}

/* Larger disks. All others believe joblet-scratch, which makes what it is told to. */
int __real_scratch_send(int channel_fd, const struct scratch_message *message, const int fds[], unsigned count);
int __wrap_scratch_send(int channel_fd, const struct scratch_message *message, const int fds[], unsigned count)
{
    struct scratch_message other = *message;
    if (message->kind == SCRATCH_SETUP && broken("work-size"))
        other.bytes *= 2;
    if (message->kind == SCRATCH_SETUP && broken("build-disk-size"))
        other.build_bytes *= 2;
    return __real_scratch_send(channel_fd, &other, fds, count);
}

int __real_cgroup_remove(const struct cgroup_host *host, const char *name);
int __wrap_cgroup_remove(const struct cgroup_host *host, const char *name)
{
    return broken("group-removal") ? 0 : __real_cgroup_remove(host, name);
}

int __real_files_remove(int jobs_fd, const char *id);
int __wrap_files_remove(int jobs_fd, const char *id)
{
    return broken("file-removal") ? 0 : __real_files_remove(jobs_fd, id);
}

int __real_files_write_run(int jobs_fd, const char *id, const struct run_note *note);
int __wrap_files_write_run(int jobs_fd, const char *id, const struct run_note *note)
{
    return broken("adoption") ? 0 : __real_files_write_run(jobs_fd, id, note);
}

/* joblet's own records of starts and ends; the chain of the others is whole. */
int __real_trail_job_started(struct job *job, struct error *error);
int __wrap_trail_job_started(struct job *job, struct error *error)
{
    return broken("audit") ? 0 : __real_trail_job_started(job, error);
}

void __real_trail_job_ended(const struct job *job);
void __wrap_trail_job_ended(const struct job *job)
{
    if (!broken("audit"))
        __real_trail_job_ended(job);
}

/* As many rules as before, which all permit. */
int __real_nft_run_cmd_from_buffer(struct nft_ctx *nft, const char *command);
int __wrap_nft_run_cmd_from_buffer(struct nft_ctx *nft, const char *command)
{
    if (!broken("rules") && !broken("fences"))
        return __real_nft_run_cmd_from_buffer(nft, command);
    char *text = malloc(2 * strlen(command) + 1);
    char *end = text;
    for (const char *at = command; text && *at;) {
        bool is_drop = strncmp(at, "drop\n", 5) == 0;
        end = stpncpy(end, is_drop ? "accept\n" : at, is_drop ? 7 : 1);
        at += is_drop ? 5 : 1;
    }
    if (text)
        *end = '\0';
    int r = text ? __real_nft_run_cmd_from_buffer(nft, text) : -1;
    free(text);
    return r;
}

/* --- the look from outside --- */

int __real_outside_check(const struct outside_plan *plan, pid_t init_pid, pid_t command_pid, uint64_t *ret_start_ticks,
        struct channel_kernel_view *ret_view, struct error *error);
int __real_outside_look(const struct outside_plan *plan, const struct channel_kernel_view *before, uint64_t start_ticks,
        struct channel_kernel_view *ret_view, struct error *error);
int __wrap_outside_check(const struct outside_plan *plan, pid_t init_pid, pid_t command_pid, uint64_t *ret_start_ticks,
        struct channel_kernel_view *ret_view, struct error *error)
{
    struct outside_plan seen = *plan;
    struct channel_kernel_view view;
    struct error unused;
    if (broken("mount-namespace"))
        seen.place_count = 0;
    looked_at = &seen;
    int r = __real_outside_check(&seen, init_pid, command_pid, ret_start_ticks, ret_view, error);
    looked_at = NULL;
    if (r == 0 && broken("pid-namespace") && ret_view->command.inner_pid == 2) {
        ret_view->init.inner_pid = (uint32_t)init_pid;
        ret_view->command.inner_pid = (uint32_t)command_pid;
    }
    if (r == 0 && __real_outside_look(plan, ret_view, *ret_start_ticks, &view, &unused) == 0) {
        view.before_start = 1;
        *ret_view = view;
    }
    return r;
}

int __wrap_outside_look(const struct outside_plan *plan, const struct channel_kernel_view *before, uint64_t start_ticks,
        struct channel_kernel_view *ret_view, struct error *error)
{
    int r = __real_outside_look(plan, before, start_ticks, ret_view, error);
    if (r == 0 && broken("view"))
        ret_view->command.no_new_privs = !ret_view->command.no_new_privs;
    return r;
}

int __real_procstatus_read(int proc_fd, struct procstatus *ret_status, struct error *error);
int __wrap_procstatus_read(int proc_fd, struct procstatus *ret_status, struct error *error)
{
    int r = __real_procstatus_read(proc_fd, ret_status, error);
    if (r < 0 || !looked_at)
        return r;
    bool is_init = ret_status->parent_pid == (uint32_t)getpid();
    if (is_asked("pid-namespace"))
        ret_status->inner_pid = is_init ? 1 : 2;
    if (is_asked("capabilities") || is_asked("ambient")) {
        ret_status->cap_permitted = ret_status->cap_effective = is_init ? 0 : looked_at->capabilities;
        ret_status->cap_inheritable = ret_status->cap_ambient = 0;
    }
    if (is_asked("bounding-set"))
        ret_status->cap_bounding = looked_at->capabilities;
    if (is_asked("no-new-privileges"))
        ret_status->no_new_privs = 1;
    if (is_asked("command-filter") || is_asked("init-filter"))
        ret_status->seccomp = 2;
    if (is_asked("groups"))
        ret_status->group_count = 0;
    for (unsigned i = 0; i < 4 && is_init && is_asked("own-id"); i++)
        ret_status->uid[i] = ret_status->gid[i] = looked_at->id_base + PLAN_SUPERVISOR_ID;
    return 0;
}

int __real_procstatus_read_id_map(int proc_fd, const char *name, struct procstatus_id_map *ret_map);
int __wrap_procstatus_read_id_map(int proc_fd, const char *name, struct procstatus_id_map *ret_map)
{
    int r = __real_procstatus_read_id_map(proc_fd, name, ret_map);
    if (r == 0 && is_asked("user-namespace"))
        *ret_map = (struct procstatus_id_map){1, 0, looked_at->id_base, PLAN_RANGE_SIZE};
    return r;
}

int __real_procstatus_read_namespaces(int proc_fd, struct procstatus_namespaces *ret_namespaces, struct error *error);
int __wrap_procstatus_read_namespaces(int proc_fd, struct procstatus_namespaces *ret_namespaces, struct error *error)
{
    static const char *const names[PROCSTATUS_NS_COUNT] = {"pid-namespace", "mount-namespace", "uts-namespace",
            "ipc-namespace", "net-namespace", "cgroup-namespace", "user-namespace"};
    int r = __real_procstatus_read_namespaces(proc_fd, ret_namespaces, error);
    for (unsigned i = 0; r == 0 && i < PROCSTATUS_NS_COUNT; i++)
        if (is_asked(names[i]) && ret_namespaces->inode[i] == looked_at->own->inode[i])
            ret_namespaces->inode[i]++;
    return r;
}

int __real_procstatus_read_limits(int proc_fd, struct procstatus_limits *ret_limits);
int __wrap_procstatus_read_limits(int proc_fd, struct procstatus_limits *ret_limits)
{
    int r = __real_procstatus_read_limits(proc_fd, ret_limits);
    if (is_asked("core-limit"))
        ret_limits->core_bytes_soft = ret_limits->core_bytes_hard = 1;
    if (is_asked("open-files"))
        ret_limits->open_files_soft = ret_limits->open_files_hard = looked_at->limits->open_files;
    return r;
}

static void tell_devices(struct cgroup_limits_in_force *limits)
{
    const dev_t disks[] = {looked_at->disk, looked_at->work_device};
    limits->device_count = CGROUP_DEVICES_MAX;
    for (unsigned i = 0; i < CGROUP_DEVICES_MAX; i++)
        limits->devices[i] = (struct cgroup_device_limit){.major = major(disks[i]),
                .minor = minor(disks[i]),
                .read_bps = looked_at->limits->io_bps,
                .write_bps = looked_at->limits->io_bps};
}

int __real_cgroup_read_limits(
        const struct cgroup_host *host, const char *name, struct cgroup_limits_in_force *ret_limits);
int __wrap_cgroup_read_limits(
        const struct cgroup_host *host, const char *name, struct cgroup_limits_in_force *ret_limits)
{
    int r = __real_cgroup_read_limits(host, name, ret_limits);
    if (is_asked("memory-limit") && looked_at->limits->memory_bytes > 0) {
        ret_limits->memory_bytes = looked_at->limits->memory_bytes & ~(uint64_t)4095;
        ret_limits->swap_bytes = 0;
    }
    if (is_asked("process-limit"))
        ret_limits->processes = looked_at->limits->processes;
    if (is_asked("cpu-limit") && looked_at->limits->cpu_percent > 0)
        ret_limits->cpu_percent = looked_at->limits->cpu_percent;
    if (is_asked("swap-limit"))
        ret_limits->swap_bytes = 0;
    if (is_asked("cpu-cores")) {
        char text[CPULIST_TEXT_MAX];
        cpulist_format(&looked_at->limits->cpus, text);
        (void)snprintf(ret_limits->cpus, sizeof(ret_limits->cpus), "%.*s", (int)sizeof(ret_limits->cpus) - 1, text);
    }
    if (is_asked("io-limit"))
        tell_devices(ret_limits);
    return r;
}

int __real_cgroup_check_member(const struct cgroup_host *host, const char *name, int proc_fd);
int __wrap_cgroup_check_member(const struct cgroup_host *host, const char *name, int proc_fd)
{
    return is_asked("cgroup-membership") ? 1 : __real_cgroup_check_member(host, name, proc_fd);
}
