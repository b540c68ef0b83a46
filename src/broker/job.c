#include "broker/job.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "broker/build.h"
#include "broker/job_private.h"
#include "broker/outside.h"
#include "network/network.h"
#include "plan/plan.h"
#include "plan/spec.h"

/* Making a sandbox takes milliseconds; on a host that is out of breath, seconds. */
#define START_LIMIT_NS 30000000000ULL
/* How long joblet-init may take to empty the pipes and write the record after a stop. */
#define STOP_PATIENCE_NS 500000000ULL
#define REMOVE_RETRY_NS 20000000ULL
#define REMOVE_TRIES_MAX 250U
/* Signalled in one go; a job with more of them gets the rest by its KILL. */
#define TERMINATE_MAX 4096U

struct job *job_new(struct broker *broker, uint32_t type, const uint8_t id[16])
{
    struct job *job = calloc(1, sizeof(*job));
    if (!job)
        return NULL;
    job->broker = broker;
    job->serial = ++broker->next_serial;
    job->phase = CHANNEL_JOB_STARTING;
    job->cgroups = &broker->cgroups;
    job->init.fd = job->control.fd = -EBADF;
    job->stdout_read = job->stderr_read = job->suspects_fd = -EBADF;
    job->spec_fd = job->work.fd = job->work.again_fd = job->work.image_fd = -EBADF;
    job->own_files = (struct files){-EBADF, -EBADF, -EBADF};
    job->note.type = type;
    job->note.network_port = NETWORK_PORT_NONE;
    memcpy(job->note.job_id, id, sizeof(job->note.job_id));
    memcpy(job->note.boot_id, broker->boot_id, sizeof(job->note.boot_id));
    text_format_uuid(id, job->uuid);
    (void)snprintf(job->note.group, sizeof(job->note.group), "job-%s", job->uuid);
    job->previous = broker->last_job;
    *(job->previous ? &job->previous->next : &broker->first_job) = job;
    broker->last_job = job;
    return job;
}

void job_close_source(struct job *job, struct loop_source *source)
{
    (void)fd_close(loop_remove(job->broker->loop, source));
}

void job_free(struct job *job)
{
    struct broker *broker = job->broker;
    loop_disarm(broker->loop, &job->timer);
    job_close_source(job, &job->init);
    job_close_source(job, &job->control);
    (void)fd_close(job->stdout_read);
    (void)fd_close(job->stderr_read);
    (void)fd_close(job->spec_fd);
    (void)fd_close(job->suspects_fd);
    (void)fd_close(job->work.fd);
    files_close(&job->own_files);
    *(job->previous ? &job->previous->next : &broker->first_job) = job->next;
    *(job->next ? &job->next->previous : &broker->last_job) = job->previous;
    build_unref(job->build);
    free(job);
}

unsigned job_count_running(const struct broker *broker)
{
    unsigned count = 0;
    for (const struct job *job = broker->first_job; job; job = job->next)
        count += job->phase != CHANNEL_JOB_ENDED;
    return count;
}

struct job *job_find(struct broker *broker, const uint8_t id[16])
{
    for (struct job *job = broker->last_job; job; job = job->previous)
        if (!job->gone && !job->is_internal && memcmp(job->note.job_id, id, sizeof(job->note.job_id)) == 0)
            return job;
    return NULL;
}

struct job *job_from(struct broker *broker, uint32_t serial)
{
    for (struct job *job = broker->first_job; job; job = job->next)
        if (!job->gone && !job->is_internal && job->serial >= serial)
            return job;
    return NULL;
}

bool job_uses_runtime(const struct broker *broker, const struct store_id *id)
{
    for (const struct job *job = broker->first_job; job; job = job->next) {
        const struct store_id used = {.device = job->note.runtime_device, .inode = job->note.runtime_inode};
        if (!job->gone && job->phase != CHANNEL_JOB_ENDED && store_id_equal(&used, id))
            return true;
    }
    return false;
}

void job_forget_all(struct broker *broker)
{
    struct job *job;
    while ((job = broker->first_job)) {
        /* Its record has all that they told. */
        if (job->phase == CHANNEL_JOB_ENDED && job->has_groups)
            (void)cgroup_remove(job->cgroups, job->note.group);
        job_free(job);
    }
}

/* --- answers --- */

static void reply_start(struct job *job, const struct error *error)
{
    struct broker *broker = job->broker;
    if (!job->reply_wanted)
        return;
    job->reply_wanted = false;
    struct channel_start_reply reply = {
            .header = {.operation = job->reply_operation, .size = sizeof(reply), .sequence = job->reply_sequence},
            .started_unix_ns = job->note.started_unix_ns,
            .limits = job->limits,
    };
    if (error)
        reply.error = *error;
    if (job->reply_generation == broker->api.generation)
        api_send(&broker->api, &reply);
}

void job_send_view(struct job *job)
{
    struct channel_job_view message = {
            .header = {.operation = CHANNEL_EVENT_JOB_VIEW, .size = sizeof(message)}, .view = job->note.view};
    if (job->note.view.init.pid == 0)
        return;
    memcpy(message.job_id, job->note.job_id, sizeof(message.job_id));
    api_send(&job->broker->api, &message);
}

void job_send_end(struct job *job)
{
    job->ended.header = (struct channel_header){.operation = CHANNEL_EVENT_JOB_ENDED, .size = sizeof(job->ended)};
    api_send(&job->broker->api, &job->ended);
}

/* --- the end of joblet's part --- */

static void on_remove_again(struct loop_timer *timer);

/* The job's groups go, then the job itself. A process that just died may keep a group busy for a moment. */
static void forget(struct job *job)
{
    struct broker *broker = job->broker;
    int r = job->has_groups ? cgroup_remove(job->cgroups, job->note.group) : 0;
    if (r == -EBUSY && ++job->remove_tries < REMOVE_TRIES_MAX) {
        loop_arm(broker->loop, &job->timer, REMOVE_RETRY_NS, on_remove_again);
        return;
    }
    if (r < 0)
        log_event(LOG_LEVEL_ERROR, "the control groups of a job cannot be removed", "job", job->uuid, "error",
                strerror(-r), NULL);
    if (job->has_slot)
        slots_give(broker->slots, job->slot_index);
    job_free(job);
}

static void on_remove_again(struct loop_timer *timer)
{
    forget(LOOP_OWNER(timer, struct job, timer));
}

void job_release(struct job *job)
{
    assert(job->phase == CHANNEL_JOB_ENDED);
    (void)files_remove_run(job->broker->jobs_fd, job->uuid);
    job->gone = true;
    forget(job);
}

/* Leaves the failure as the job's record, unless joblet-init wrote it, and answers the request. */
void job_fail_start(struct job *job)
{
    struct broker *broker = job->broker;
    struct files files;
    log_event(LOG_LEVEL_WARN, "job not started", "job", job->uuid, "stage", plan_stage_name(job->failure.stage),
            "error", job->failure.text, NULL);
    trail_job_failed(job);
    if (job->has_files && files_open(broker->jobs_fd, job->uuid, &files) == 0) {
        struct record record = {.reason = RECORD_REASON_SETUP_FAILURE,
                .exit_code = -1,
                .ended_unix_ns = text_now_unix_ns(),
                .error = job->failure};
        memcpy(record.job_id, job->note.job_id, sizeof(record.job_id));
        (void)record_write(files.record_fd, &record);
        files_close(&files);
        (void)files_remove_run(broker->jobs_fd, job->uuid);
    }
    reply_start(job, &job->failure);
    disks_give_back(&broker->disks, &job->work);
    job->gone = true;
    job_type_over(job, /* well= */ false);
    forget(job);
}

/* --- while it starts --- */

static void kill_init(struct job *job, int signal)
{
    if (job->init.fd >= 0)
        (void)syscall(SYS_pidfd_send_signal, job->init.fd, signal, NULL, 0);
}

static void fail_waiting(struct job *job)
{
    job->waits_for_disk = false;
    disks_wait(&job->broker->disks, job->note.type, -1);
    job->failure.stage = PLAN_STAGE_PREPARE;
    loop_disarm(job->broker->loop, &job->timer);
    job_fail_start(job);
}

static void on_start_limit(struct loop_timer *timer)
{
    struct job *job = LOOP_OWNER(timer, struct job, timer);
    if (job->waits_for_disk) {
        if (job->kill_wanted)
            (void)error_text(&job->failure, ECANCELED, "the job was ended while it waited for a disk");
        else
            (void)error_text(&job->failure, ETIMEDOUT, "no disk was ready in time");
        fail_waiting(job);
        return;
    }
    (void)error_text(&job->failure, ETIMEDOUT, "the sandbox was not ready in time");
    job->failure.stage = PLAN_STAGE_START;
    kill_init(job, SIGKILL);
}

static int write_note(const struct job *job)
{
    return job->is_internal ? 0 : files_write_run(job->broker->jobs_fd, job->uuid, &job->note);
}

static void set_running(struct job *job, int64_t started_unix_ns)
{
    if (job->phase != CHANNEL_JOB_STARTING)
        return;
    loop_disarm(job->broker->loop, &job->timer);
    job->phase = CHANNEL_JOB_RUNNING;
    job->note.started_unix_ns = started_unix_ns;
    (void)write_note(job);
    log_event(LOG_LEVEL_INFO, "job started", "job", job->uuid, "type", plan_type_name(job->note.type), "pid",
            LOG_NUMBER(job->note.pid), NULL);
    if (job->broker->api.listed && !job->is_internal)
        job_send_view(job);
    reply_start(job, NULL);
    if (job->kill_wanted)
        job_kill(job);
}

static struct outside_plan outside_plan_of(const struct job *job)
{
    return (struct outside_plan){.own = &job->broker->own_namespaces,
            .cgroups = job->cgroups,
            .group = job->note.group,
            .id_base = job->note.id_base,
            .command_id = job->note.type == PLAN_TYPE_STANDARD ? job->broker->config->command_id : 0,
            .capabilities = plan_type_capabilities(job->note.type),
            .places = job->places,
            .place_count = job->place_count,
            .work_device = job->disk_device,
            .limits = &job->limits,
            .disk = job->broker->disk};
}

static int look_from_outside(struct job *job)
{
    const struct outside_plan plan = outside_plan_of(job);
    return outside_check(
            &plan, job->note.pid, job->command_pid, &job->note.start_ticks, &job->note.view, &job->failure);
}

int job_look(const struct job *job, struct channel_kernel_view *ret_view, struct error *error)
{
    const struct outside_plan plan = outside_plan_of(job);
    if (job->phase != CHANNEL_JOB_RUNNING)
        return error_text(error, ESRCH, "job %s does not run", job->uuid);
    return outside_look(&plan, &job->note.view, job->note.start_ticks, ret_view, error);
}

void job_note_groups(const struct cgroup_host *host, struct run_groups *ret_groups)
{
    memset(ret_groups, 0, sizeof(*ret_groups));
    ret_groups->count = host->count;
    for (unsigned i = 0; i < host->count; i++) {
        const struct cgroup_hierarchy *from = &host->hierarchies[i];
        ret_groups->hierarchies[i].v2 = from->v2;
        ret_groups->hierarchies[i].controllers = from->controllers;
        memcpy(ret_groups->hierarchies[i].directory, from->directory, sizeof(from->directory));
        memcpy(ret_groups->hierarchies[i].shown, from->shown, sizeof(from->shown));
        memcpy(ret_groups->hierarchies[i].list, from->list, sizeof(from->list));
    }
}

/* The note comes first: from the go on, the next joblet must find the job. */
static int say_go(struct job *job)
{
    const struct plan_message go = {.magic = PLAN_MESSAGE_MAGIC, .type = PLAN_MESSAGE_GO};
    job->note.go_unix_ns = text_now_unix_ns();
    job->note.log_quota_bytes = job->broker->config->log_bytes;
    job_note_groups(job->cgroups, &job->note.groups);
    int r = trail_job_started(job, &job->failure);
    if (r == 0 && (r = write_note(job)) < 0)
        r = error_errno(&job->failure, -r, "write the job's note");
    if (r == 0 && send(job->control.fd, &go, sizeof(go), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        r = error_errno(&job->failure, errno, "say go to joblet-init");
    if (r < 0)
        job->failure.stage = PLAN_STAGE_OUTSIDE_PROOF;
    return r;
}

static void try_go(struct job *job)
{
    if (!job->init_ready || job->command_pid == 0 || job->go_sent)
        return;
    if (look_from_outside(job) < 0 || say_go(job) < 0) {
        kill_init(job, SIGKILL);
        return;
    }
    job->go_sent = true;
    if (job->note.type == PLAN_TYPE_BUILD)
        host_watch_take(&job->broker->host_watch, job->suspects_fd, job->suspects_generation, job->uuid);
    job->suspects_fd = fd_close(job->suspects_fd);
}

static void on_failed(struct job *job, const struct plan_message *message)
{
    job->failure = message->error;
    job->failure.text[sizeof(job->failure.text) - 1] = '\0';
    if (job->failure.code <= 0)
        job->failure.code = EIO;
}

/* False when the message is out of order. */
static bool on_message(struct job *job, const struct plan_message *message, pid_t sender)
{
    switch (message->type) {
    case PLAN_MESSAGE_FAILED:
        on_failed(job, message);
        return true;
    case PLAN_MESSAGE_COMMAND_READY:
        if (job->command_pid != 0 || sender <= 0 || sender == job->note.pid)
            return false;
        job->command_pid = sender;
        try_go(job);
        return true;
    case PLAN_MESSAGE_READY:
        if (job->init_ready || sender != job->note.pid)
            return false;
        job->init_ready = true;
        try_go(job);
        return true;
    case PLAN_MESSAGE_STARTED:
    case PLAN_MESSAGE_NOT_STARTED:
        if (!job->go_sent || sender != job->note.pid)
            return false;
        set_running(job, message->type == PLAN_MESSAGE_STARTED ? message->started_unix_ns : text_now_unix_ns());
        return true;
    default:
        return false;
    }
}

/* One message of the control socket and who sent it. 1, 0 at the end or when there is none now, -errno. */
static int receive(struct job *job, struct plan_message *message, pid_t *ret_sender)
{
    struct iovec part = {message, sizeof(*message)};
    union {
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } control;
    struct msghdr head = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    ssize_t got = recvmsg(job->control.fd, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got <= 0)
        return got < 0 ? -errno : -ENODATA;
    const struct cmsghdr *item = CMSG_FIRSTHDR(&head);
    if (got != sizeof(*message) || message->magic != PLAN_MESSAGE_MAGIC ||
            (head.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || !item || item->cmsg_type != SCM_CREDENTIALS)
        return -EPROTO;
    struct ucred sender;
    memcpy(&sender, CMSG_DATA(item), sizeof(sender));
    *ret_sender = sender.pid;
    return 1;
}

/* Reads what is there. The socket's end is no event: joblet-init closes it when the command runs. */
static void read_control(struct job *job)
{
    struct plan_message message;
    pid_t sender = 0;
    int r = 0;
    while (job->control.fd >= 0 && (r = receive(job, &message, &sender)) > 0) {
        if (on_message(job, &message, sender))
            continue;
        r = -EPROTO;
        break;
    }
    if (r >= 0)
        return;
    job_close_source(job, &job->control);
    bool is_end = r == -ENODATA || r == -ECONNRESET;
    if (job->go_sent && job->phase == CHANNEL_JOB_STARTING && !job_find_failure(job)) {
        /* joblet-init's word is lost, and it did not refuse: from the go on the command may run. */
        set_running(job, text_now_unix_ns());
    } else if (!is_end && job->failure.code == 0) {
        (void)error_errno(&job->failure, -r, "joblet-init sent what does not belong");
        job->failure.stage = PLAN_STAGE_START;
    }
    if (r == -EPROTO || (!is_end && !job->go_sent))
        kill_init(job, SIGKILL);
}

static void on_control(struct loop_source *source, uint32_t events)
{
    (void)events;
    read_control(LOOP_OWNER(source, struct job, control));
}

static void on_init_gone(struct loop_source *source, uint32_t events)
{
    struct job *job = LOOP_OWNER(source, struct job, init);
    siginfo_t info;
    (void)events;
    read_control(job); /* its last words */
    if (job->init_is_child)
        (void)waitid((idtype_t)P_PIDFD, (id_t)job->init.fd, &info, WEXITED | WNOHANG);
    job_finish(job);
}

int job_watch(struct job *job, int pidfd, int control_fd)
{
    struct loop *loop = job->broker->loop;
    int r = loop_add(loop, &job->init, pidfd, EPOLLIN, on_init_gone);
    if (r < 0) {
        (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        (void)fd_close(pidfd);
        (void)fd_close(control_fd);
        return r;
    }
    if (control_fd < 0)
        return 0;
    r = loop_add(loop, &job->control, control_fd, EPOLLIN, on_control);
    if (r < 0)
        (void)fd_close(control_fd);
    return r;
}

/* The start from where it has a disk, or is to get none. */
static void launch(struct job *job, int spec_fd)
{
    if (job_launch(job, spec_fd, &job->failure) == 0) {
        loop_arm(job->broker->loop, &job->timer, START_LIMIT_NS, on_start_limit);
        return;
    }
    if (job->init.fd >= 0) /* cloned but not to be watched: its end is the job's */
        kill_init(job, SIGKILL);
    else
        job_fail_start(job);
}

static void wait_for_disk(struct job *job, int spec_fd)
{
    job->spec_fd = fcntl(spec_fd, F_DUPFD_CLOEXEC, 0);
    if (job->spec_fd < 0) {
        (void)error_errno(&job->failure, errno, "keep the job's request");
        job->failure.stage = PLAN_STAGE_PREPARE;
        job_fail_start(job);
        return;
    }
    job->waits_for_disk = true;
    disks_wait(&job->broker->disks, job->note.type, 1);
    loop_arm(job->broker->loop, &job->timer, START_LIMIT_NS, on_start_limit);
}

bool job_resume(struct broker *broker, uint32_t type, const struct error *error)
{
    struct job *job = broker->first_job;
    while (job && (!job->waits_for_disk || job->note.type != type))
        job = job->next;
    if (!job)
        return false;
    if (error) {
        job->failure = *error;
        fail_waiting(job);
        return true;
    }
    disks_wait(&broker->disks, type, -1);
    int r = job_type_take_disk(job, &job->failure);
    if (r > 0) {
        disks_wait(&broker->disks, type, 1);
        return false;
    }
    job->waits_for_disk = false;
    _cleanup_close_ int spec_fd = TAKE_FD(job->spec_fd);
    loop_disarm(broker->loop, &job->timer);
    if (r == 0) {
        launch(job, spec_fd);
        return true;
    }
    job->failure.stage = PLAN_STAGE_PREPARE;
    job_fail_start(job);
    return true;
}

int job_check_start(struct broker *broker, const uint8_t id[16], int spec_fd, struct error *error)
{
    static const uint8_t none[16];
    size_t size;
    int r = fd_check_sealed(spec_fd, SPEC_SIZE_MAX, &size);
    if (r < 0)
        return error_errno(error, -r, "the job's request is not a sealed file of at most %u bytes", SPEC_SIZE_MAX);
    if (memcmp(id, none, sizeof(none)) == 0)
        return error_text(error, EINVAL, "a job needs an id");
    if (job_find(broker, id))
        return error_text(error, EEXIST, "there is a job with this id");
    if (broker->shutting_down)
        return error_text(error, EAGAIN, "the service is shutting down");
    return 0;
}

void job_start(struct broker *broker, const struct job_order *order, int spec_fd)
{
    struct job *job = job_new(broker, order->type, order->id);
    if (!job) {
        struct channel_start_reply reply = {
                .header = {.operation = order->operation, .size = sizeof(reply), .sequence = order->sequence}};
        (void)error_text(&reply.error, ENOMEM, "no memory for a job");
        reply.error.stage = PLAN_STAGE_PREPARE;
        if (order->operation != 0)
            api_send(&broker->api, &reply);
        job_type_lost(broker, order);
        return;
    }
    job->limits = order->limits;
    job->runtime = order->runtime;
    job->build = order->build;
    build_ref(job->build);
    if (order->swept)
        (void)snprintf(job->swept, sizeof(job->swept), "%s", order->swept);
    job->is_internal = order->operation == 0;
    job->reply_wanted = !job->is_internal;
    job->reply_operation = order->operation;
    job->reply_sequence = order->sequence;
    job->reply_generation = broker->api.generation;
    int r = job_type_take_disk(job, &job->failure);
    if (r > 0) {
        wait_for_disk(job, spec_fd);
    } else if (r == 0) {
        launch(job, spec_fd);
    } else {
        job->failure.stage = PLAN_STAGE_PREPARE;
        job_fail_start(job);
    }
}

/* --- signals --- */

static void terminate_one(const struct job *job, pid_t pid)
{
    _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    _cleanup_close_ int proc_fd = procstatus_open(pid);
    /* With the pidfd open first, a member by this pid is the process that the pidfd names, or that is dead. */
    if (pidfd >= 0 && proc_fd >= 0 && cgroup_check_member(job->cgroups, job->note.group, proc_fd) > 0)
        (void)syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
}

int job_terminate(struct job *job, struct error *error)
{
    if (job->phase != CHANNEL_JOB_RUNNING)
        return error_text(error, ESRCH, "job %s does not run", job->uuid);
    _cleanup_free_ pid_t *pids = calloc(TERMINATE_MAX, sizeof(*pids));
    if (!pids)
        return error_text(error, ENOMEM, "no memory to list processes");
    int count = cgroup_list_processes(job->cgroups, job->note.group, pids, TERMINATE_MAX);
    if (count < 0)
        return error_errno(error, -count, "list the processes of job %s", job->uuid);
    for (int i = 0; i < count; i++)
        if (pids[i] != job->note.pid)
            terminate_one(job, pids[i]);
    return 0;
}

static void on_patience_over(struct loop_timer *timer)
{
    struct job *job = LOOP_OWNER(timer, struct job, timer);
    kill_init(job, SIGKILL);
}

void job_kill(struct job *job)
{
    job->kill_wanted = true;
    if (job->waits_for_disk) /* not here and now: the caller may be on its way through all jobs */
        loop_arm(job->broker->loop, &job->timer, 1, on_start_limit);
    if (job->phase != CHANNEL_JOB_RUNNING || job->note.stop_wanted)
        return;
    job->note.stop_wanted = 1;
    (void)write_note(job);
    kill_init(job, SIGTERM);
    loop_arm(job->broker->loop, &job->timer, STOP_PATIENCE_NS, on_patience_over);
}
