#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "broker/build.h"
#include "broker/job_private.h"
#include "plan/plan.h"

/* Of a file system in memory: one inode for so many bytes, and never fewer than this. */
#define BYTES_PER_INODE 4096U
#define INODES_MIN 1024U
#define SHM_BYTES_MAX (64ULL << 20)

static void making_init(struct making *making)
{
    *making = (struct making){.files = {-EBADF, -EBADF, -EBADF},
            .null_fd = -EBADF,
            .plan_fd = -EBADF,
            .control = {-EBADF, -EBADF},
            .out = {-EBADF, -EBADF},
            .err = {-EBADF, -EBADF},
            .root_fd = -EBADF,
            .work_fd = -EBADF,
            .stage_fd = -EBADF,
            .cache_fd = -EBADF,
            .base_fd = -EBADF,
            .link_fd = -EBADF,
            .list_fd = -EBADF,
            .new_list_fd = -EBADF,
            .oom_fd = -EBADF,
            .cgroup_fd = -EBADF};
    for (unsigned i = 0; i < LAUNCH_FDS; i++)
        making->launch.fds[i] = -EBADF;
}

static void making_done(struct making *making)
{
    int *const fds[] = {&making->null_fd, &making->plan_fd, &making->control[0], &making->control[1], &making->out[0],
            &making->out[1], &making->err[0], &making->err[1], &making->root_fd, &making->work_fd, &making->stage_fd,
            &making->cache_fd, &making->base_fd, &making->link_fd, &making->list_fd, &making->new_list_fd,
            &making->oom_fd, &making->cgroup_fd};
    for (unsigned i = 0; i < ELEMENTS(fds); i++)
        *fds[i] = fd_close(*fds[i]);
    for (int i = 0; i < making->task_count; i++)
        (void)fd_close(making->tasks[i]);
    files_close(&making->files);
}

static uint64_t inodes_for(uint64_t bytes)
{
    return bytes / BYTES_PER_INODE > INODES_MIN ? bytes / BYTES_PER_INODE : INODES_MIN;
}

/* Control groups with the limits, and the ways into them. */
static int make_groups(struct job *job, struct making *making, struct error *error)
{
    const struct cgroup_limits limits = {.memory_bytes = job->limits.memory_bytes,
            .cpu_percent = job->limits.cpu_percent,
            .processes = job->limits.processes,
            .cpus = job->limits.cpus,
            .io_bps = job->limits.io_bps,
            .disks = {job->broker->disk, job->disk_device}};
    const char *group = job->note.group;
    int r = cgroup_make(job->cgroups, group, &limits, error);
    if (r < 0)
        return r;
    job->has_groups = true;
    r = cgroup_open_tasks(job->cgroups, group, making->tasks, error);
    if (r < 0)
        return r;
    making->task_count = r;
    making->cgroup_fd = cgroup_open_v2(job->cgroups, group);
    if (making->cgroup_fd < 0 && making->cgroup_fd != -ENOENT)
        return error_errno(error, -making->cgroup_fd, "open the job's group");
    making->oom_fd = cgroup_open_oom_event(job->cgroups, group, error);
    /* -ENOENT without an error: there is none to open. */
    return making->oom_fd < 0 && (making->oom_fd != -ENOENT || error->code != 0) ? making->oom_fd : 0;
}

static int make_plan(const struct job *job, struct making *making, struct error *error)
{
    const struct config *config = job->broker->config;
    struct plan plan;
    memset(&plan, 0, sizeof(plan)); /* also what lies between the members: it leaves the process */
    plan.magic = PLAN_MAGIC;
    plan.version = PLAN_VERSION;
    plan.type = job->note.type;
    memcpy(plan.job_id, job->note.job_id, sizeof(plan.job_id));
    plan.id_base = making->slot.base;
    plan.cgroup_tasks = (uint32_t)making->task_count;
    plan.cgroup_unshare = making->task_count > 0;
    plan.cgroup_oom_eventfd = making->oom_fd >= 0;
    plan.landlock_abi = job->broker->landlock_abi;
    plan.open_files = job->limits.open_files;
    plan.tmp_bytes = config->tmp_bytes;
    plan.tmp_inodes = inodes_for(config->tmp_bytes);
    plan.shm_bytes = config->tmp_bytes < SHM_BYTES_MAX ? config->tmp_bytes : SHM_BYTES_MAX;
    plan.timeout_ns = job->limits.timeout_ns;
    plan.log_quota_bytes = config->log_bytes;
    plan.memory_bytes = job->limits.memory_bytes;
    plan.cpu_percent = job->limits.cpu_percent;
    plan.processes = job->limits.processes;
    job_type_fill_plan(job, making, &plan);
    int r = plan_check(&plan, error);
    if (r < 0)
        return r;
    making->plan_fd = fd_new_sealed("plan", &plan, sizeof(plan));
    return making->plan_fd < 0 ? error_errno(error, -making->plan_fd, "make the plan") : 0;
}

static int make_pipes(struct making *making, struct error *error)
{
    const int on = 1;
    making->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (making->null_fd < 0 || pipe2(making->out, O_CLOEXEC) < 0 || pipe2(making->err, O_CLOEXEC) < 0 ||
            socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, making->control) < 0)
        return error_errno(error, errno, "make the job's pipes");
    /* Before anybody can write: the kernel, and not the message, says who sent it. */
    if (setsockopt(making->control[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
        return error_errno(error, errno, "ask for the senders of messages");
    return 0;
}

static void place(const struct job *job, struct making *making, int spec_fd)
{
    int *fds = making->launch.fds;
    fds[0] = fds[1] = fds[2] = making->null_fd;
    fds[PLAN_FD_PLAN] = making->plan_fd;
    fds[PLAN_FD_CONTROL] = making->control[1];
    fds[PLAN_FD_USERNS] = making->slot.join_fd;
    fds[PLAN_FD_ROOT] = making->root_fd;
    fds[PLAN_FD_SPEC] = spec_fd;
    fds[PLAN_FD_LOG] = making->files.log_fd;
    fds[PLAN_FD_INDEX] = making->files.index_fd;
    fds[PLAN_FD_RECORD] = making->files.record_fd;
    fds[PLAN_FD_STDOUT_READ] = making->out[0];
    fds[PLAN_FD_STDOUT_WRITE] = making->out[1];
    fds[PLAN_FD_STDERR_READ] = making->err[0];
    fds[PLAN_FD_STDERR_WRITE] = making->err[1];
    fds[PLAN_FD_OOM] = making->oom_fd;
    fds[PLAN_FD_WORK] = making->work_fd;
    fds[PLAN_FD_PROGRAM] = job->note.type == PLAN_TYPE_STANDARD ? -EBADF : job->broker->builder_fd;
    fds[PLAN_FD_STAGE] = making->stage_fd;
    fds[PLAN_FD_CACHE] = making->cache_fd;
    fds[PLAN_FD_BASE_DISK] = making->base_fd;
    fds[PLAN_FD_HOST_LINK] = making->link_fd;
    fds[PLAN_FD_LIST] = making->list_fd;
    fds[PLAN_FD_NEW_LIST] = making->new_list_fd;
    for (int i = 0; i < making->task_count; i++)
        fds[PLAN_FD_CGROUP_FIRST + i] = making->tasks[i];
}

static int clone_init(struct job *job, struct making *making, int spec_fd, struct error *error)
{
    char variable[sizeof("JOB_ID=") + TEXT_UUID_MAX];
    (void)snprintf(variable, sizeof(variable), "JOB_ID=%s", job->uuid);
    struct launch *launch = &making->launch;
    launch->exec_fd = job->broker->init_fd;
    launch->name = "joblet-init";
    launch->variable = variable;
    launch->cgroup_fd = making->cgroup_fd;
    launch->new_cgroup_namespace = making->task_count == 0;
    launch->reset_oom_score = job->broker->oom_lowered;
    place(job, making, spec_fd);
    pid_t pid;
    int pidfd;
    int r = launch_init(launch, &pid, &pidfd, error);
    if (r < 0)
        return r;
    job->note.pid = pid;
    job->init_is_child = true;
    r = job_watch(job, pidfd, TAKE_FD(making->control[0]));
    if (r < 0)
        return error_errno(error, -r, "watch joblet-init");
    job->stdout_read = TAKE_FD(making->out[0]);
    job->stderr_read = TAKE_FD(making->err[0]);
    return 0;
}

static int take_slot(struct job *job, struct slot *ret_slot, struct error *error)
{
    int r = job->build ? build_take_slot(job->build, ret_slot, error) : slots_take(job->broker->slots, ret_slot, error);
    if (r < 0)
        return r;
    job->has_slot = !job->build;
    job->slot_index = ret_slot->index;
    job->note.id_base = ret_slot->base;
    return 0;
}

static int make_files(struct job *job, struct making *making, struct error *error)
{
    struct broker *broker = job->broker;
    if (!job->is_internal) {
        int r = files_make(broker->jobs_fd, job->uuid, broker->config->api_gid, &making->files, error);
        job->has_files = r == 0;
        return r;
    }
    int r = files_make_nameless(&making->files, error);
    if (r < 0)
        return r;
    job->own_files = (struct files){fcntl(making->files.log_fd, F_DUPFD_CLOEXEC, 0),
            fcntl(making->files.index_fd, F_DUPFD_CLOEXEC, 0), fcntl(making->files.record_fd, F_DUPFD_CLOEXEC, 0)};
    return 0;
}

static int prepare(struct job *job, struct making *making, struct error *error)
{
    int r = take_slot(job, &making->slot, error);
    if (r == 0)
        r = make_files(job, making, error);
    return r == 0 ? make_pipes(making, error) : r;
}

int job_launch(struct job *job, int spec_fd, struct error *error)
{
    struct making making;
    making_init(&making);
    uint32_t stage = PLAN_STAGE_PREPARE;
    int r = prepare(job, &making, error);
    if (r == 0)
        r = job_type_make(job, &making, error);
    if (r == 0) {
        stage = PLAN_STAGE_CGROUP;
        r = make_groups(job, &making, error);
    }
    if (r == 0)
        r = make_plan(job, &making, error);
    if (r == 0) {
        stage = PLAN_STAGE_CLONE;
        r = clone_init(job, &making, spec_fd, error);
    }
    making_done(&making);
    if (r < 0)
        error->stage = stage;
    return r;
}
