#include "broker/disks.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "broker/build.h"
#include "broker/context.h"
#include "broker/job.h"
#include "broker/launch.h"
#include "scratch/message.h"

#define BACKOFF_FIRST_NS 10000000ULL
#define BACKOFF_MAX_NS 5000000000ULL
#define LIVED_NS 10000000000LL
/* So often in a row it may end at once before starts are refused instead of waiting for the next. */
#define FAILURES_MAX 3U
#define CHANNEL_BUFFER (4 << 20)
#define MESSAGES_PER_TURN 64
#define END_PATIENCE_MS 3000
/* As ever more of them are of less and less use. */
#define BYTES_PER_INODE 4096U
#define INODES_MIN 1024U
#define INODES_MAX (1U << 20)

static void on_start_due(struct loop_timer *timer);

int disks_prepare(struct disks *disks, struct broker *broker, const char *path, struct error *error)
{
    disks->broker = broker;
    disks->process.fd = disks->channel.fd = -EBADF;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return error_errno(error, errno, "open '%s'", path);
    disks->exec_fd = fd_move_above(fd, SCRATCH_FD_END);
    return disks->exec_fd < 0 ? error_errno(error, -disks->exec_fd, "open '%s'", path) : 0;
}

/* --- the process --- */

__attribute__((noreturn)) static void run_child(const struct disks *disks, int channel)
{
    const struct broker *broker = disks->broker;
    const int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int fds[SCRATCH_FD_END] = {null_fd, null_fd,
            STDERR_FILENO, [SCRATCH_FD_CHANNEL] = channel, [SCRATCH_FD_DIRECTORY] = broker->prefix_fd};
    char name[] = "joblet-scratch";
    char journal[256];
    char *const arguments[] = {name, NULL};
    char *environment[] = {NULL, NULL};
    const char *stream = getenv("JOURNAL_STREAM");
    if (stream && snprintf(journal, sizeof(journal), "JOURNAL_STREAM=%s", stream) < (int)sizeof(journal))
        environment[0] = journal;
    launch_reset_process(broker->oom_lowered);
    int r = launch_place_fds(fds, SCRATCH_FD_END);
    if (r == 0) {
        (void)execveat(disks->exec_fd, "", arguments, environment, AT_EMPTY_PATH);
        r = -errno;
    }
    log_event(LOG_LEVEL_ERROR, "joblet-scratch cannot be started", "error", strerror(-r), NULL);
    _exit(127);
}

static void kill_process(const struct disks *disks)
{
    if (disks->process.fd >= 0)
        (void)syscall(SYS_pidfd_send_signal, disks->process.fd, SIGKILL, NULL, 0);
}

static void send_message(struct disks *disks, const struct scratch_message *message)
{
    int r = disks->channel.fd < 0 ? -EPIPE : scratch_send(disks->channel.fd, message, NULL, 0);
    /* A peer that is gone is seen by its process; one that does not hear us is of no use. */
    if (r == 0 || r == -EPIPE)
        return;
    log_event(LOG_LEVEL_ERROR, "joblet-scratch cannot be told, ending it", "error", strerror(-r), NULL);
    kill_process(disks);
}

static void resume_all(struct disks *disks, const struct error *error)
{
    while (disks->waiting > 0 && job_resume(disks->broker, PLAN_TYPE_STANDARD, error))
        ;
}

static void resume_builds(struct disks *disks, const struct error *error)
{
    while (disks->builds_waiting > 0 && job_resume(disks->broker, PLAN_TYPE_BUILD, error))
        ;
}

/* Each build that waits has one ready, or on its way. */
static void ask_for_builds(struct disks *disks)
{
    const struct scratch_message message = {.magic = SCRATCH_MAGIC, .kind = SCRATCH_BUILD_WANTED};
    while (disks->mode == DISKS_ON_DISK && disks->build_count + disks->builds_asked < disks->builds_waiting) {
        disks->builds_asked++;
        send_message(disks, &message);
    }
}

/* Grants for as long as there are both. */
static void serve_waiting(struct disks *disks)
{
    while (disks->waiting > 0 && (disks->first || disks->mode == DISKS_IN_MEMORY) &&
            job_resume(disks->broker, PLAN_TYPE_STANDARD, NULL))
        ;
    resume_builds(disks, NULL); /* some wait for a base */
}

static void retry_later(struct disks *disks)
{
    bool lived = text_now_monotonic_ns() - disks->started_ns > LIVED_NS;
    disks->failures = lived ? 0 : disks->failures + 1;
    if (lived || disks->backoff_ns == 0)
        disks->backoff_ns = BACKOFF_FIRST_NS;
    else
        disks->backoff_ns = disks->backoff_ns * 2 < BACKOFF_MAX_NS ? disks->backoff_ns * 2 : BACKOFF_MAX_NS;
    loop_arm(disks->broker->loop, &disks->timer, disks->backoff_ns, on_start_due);
    if (disks->failures >= FAILURES_MAX) {
        struct error error = {0};
        (void)error_text(&error, EAGAIN, "the size of a disk cannot be kept: joblet-scratch ends again and again");
        resume_all(disks, &error);
        resume_builds(disks, &error);
    }
}

static void on_process_gone(struct loop_source *source, uint32_t events)
{
    struct disks *disks = LOOP_OWNER(source, struct disks, process);
    struct loop *loop = disks->broker->loop;
    siginfo_t info = {0};
    (void)events;
    (void)waitid((idtype_t)P_PIDFD, (id_t)disks->process.fd, &info, WEXITED | WNOHANG);
    (void)fd_close(loop_remove(loop, &disks->process));
    (void)fd_close(loop_remove(loop, &disks->channel));
    log_event(LOG_LEVEL_WARN, "joblet-scratch ended", "pid", LOG_NUMBER(disks->pid),
            info.si_code == CLD_EXITED ? "exit_code" : "signal", LOG_NUMBER(info.si_status), NULL);
    /* What lies ready here stays good without it. */
    disks->mode = DISKS_UNKNOWN;
    disks->builds_asked = 0;
    retry_later(disks);
}

/* --- the channel --- */

static void on_state(struct disks *disks, const struct scratch_message *message)
{
    disks->mode = message->on_disk ? DISKS_ON_DISK : DISKS_IN_MEMORY;
    disks->bytes = message->bytes;
    disks->inodes = message->inodes;
    disks->reason = message->error;
    if (message->on_disk)
        log_event(LOG_LEVEL_INFO, "/work of jobs lies on disk", "bytes", LOG_NUMBER(message->bytes), "inodes",
                LOG_NUMBER(message->inodes), NULL);
    else
        log_event(LOG_LEVEL_WARN, "/work of jobs lies in memory, within the job's memory limit", "reason",
                message->error.text, NULL);
    if (disks->waiting > 0 && message->on_disk)
        disks_wait(disks, PLAN_TYPE_STANDARD, 0);
    ask_for_builds(disks);
}

static int on_ready(struct disks *disks, const struct scratch_message *message, int *fd)
{
    struct disks_ready *ready = *fd < 0 ? NULL : malloc(sizeof(*ready));
    if (!ready)
        return *fd < 0 ? -EPROTO : -ENOMEM;
    *ready = (struct disks_ready){.id = message->id, .generation = disks->generation, .fd = TAKE_FD(*fd)};
    *(disks->last ? &disks->last->next : &disks->first) = ready;
    disks->last = ready;
    return 0;
}

static int on_build_ready(struct disks *disks, const struct scratch_message *message, int fds[SCRATCH_FDS_MAX])
{
    if (disks->builds_asked == 0 || fds[0] < 0 || fds[1] < 0 || fds[2] < 0)
        return -EPROTO;
    struct disks_ready *ready = malloc(sizeof(*ready));
    if (!ready)
        return -ENOMEM;
    *ready = (struct disks_ready){.next = disks->first_build,
            .id = message->id,
            .generation = disks->generation,
            .fd = TAKE_FD(fds[0]),
            .again_fd = TAKE_FD(fds[1]),
            .image_fd = TAKE_FD(fds[2]),
            .bytes = message->bytes,
            .inodes = message->inodes};
    disks->first_build = ready;
    disks->build_count++;
    disks->builds_asked--;
    return 0;
}

static int on_build_trouble(struct disks *disks, const struct scratch_message *message)
{
    struct error error = message->error;
    if (disks->builds_asked == 0)
        return -EPROTO;
    disks->builds_asked--;
    (void)error_prefix(&error, "there is no disk for a build");
    if (disks->builds_waiting > 0)
        (void)job_resume(disks->broker, PLAN_TYPE_BUILD, &error);
    return 0;
}

static void on_base(struct disks *disks, const struct scratch_message *message, int fds[SCRATCH_FDS_MAX])
{
    struct disk_grant grant = {.is_held = message->kind == SCRATCH_BASE_READY,
            .on_disk = true,
            .generation = disks->generation,
            .id = message->id,
            .fd = TAKE_FD(fds[0]),
            .again_fd = TAKE_FD(fds[1]),
            .image_fd = -EBADF};
    struct error error = message->error;
    if (grant.is_held && (grant.fd < 0 || grant.again_fd < 0))
        (void)error_text(&error, EPROTO, "joblet-scratch gave no mounts");
    /* Nobody's when its build is gone meanwhile. */
    if (!build_on_base(disks->broker, message->token, &grant, &error))
        disks_give_back(disks, &grant);
}

static int on_message(struct disks *disks, const struct scratch_message *message, int fds[SCRATCH_FDS_MAX])
{
    struct error error = message->error;
    switch (message->kind) {
    case SCRATCH_STATE:
        if (disks->mode != DISKS_UNKNOWN)
            return -EPROTO;
        on_state(disks, message);
        return 0;
    case SCRATCH_READY:
        return disks->mode == DISKS_ON_DISK ? on_ready(disks, message, &fds[0]) : -EPROTO;
    case SCRATCH_TROUBLE:
        (void)error_prefix(&error, "the size of /work cannot be kept");
        resume_all(disks, &error);
        return 0;
    case SCRATCH_BUILD_READY:
        return on_build_ready(disks, message, fds);
    case SCRATCH_BUILD_TROUBLE:
        return on_build_trouble(disks, message);
    case SCRATCH_BASE_READY:
    case SCRATCH_BASE_TROUBLE:
        on_base(disks, message, fds);
        return 0;
    default:
        return -EPROTO;
    }
}

static void on_channel(struct loop_source *source, uint32_t events)
{
    struct disks *disks = LOOP_OWNER(source, struct disks, channel);
    (void)events;
    for (unsigned i = 0; i < MESSAGES_PER_TURN; i++) {
        struct scratch_message message = {0};
        int fds[SCRATCH_FDS_MAX] = {-EBADF, -EBADF, -EBADF};
        int r = scratch_receive(source->fd, /* wait= */ 0, &message, fds);
        if (r == -EAGAIN)
            break;
        if (r == 0)
            r = on_message(disks, &message, fds);
        for (unsigned at = 0; at < SCRATCH_FDS_MAX; at++)
            (void)fd_close(fds[at]);
        if (r < 0) {
            (void)fd_close(loop_remove(disks->broker->loop, source));
            kill_process(disks);
            break;
        }
    }
    serve_waiting(disks);
}

static int watch(struct disks *disks, int pidfd, int channel, struct error *error)
{
    struct loop *loop = disks->broker->loop;
    int r = loop_add(loop, &disks->process, pidfd, EPOLLIN, on_process_gone);
    if (r < 0) {
        (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        (void)fd_close(pidfd);
        (void)fd_close(channel);
        return error_errno(error, -r, "watch joblet-scratch");
    }
    r = loop_add(loop, &disks->channel, channel, EPOLLIN, on_channel);
    if (r < 0) {
        (void)fd_close(channel);
        kill_process(disks);
        return error_errno(error, -r, "watch the channel of joblet-scratch");
    }
    return 0;
}

static uint64_t inodes_for(uint64_t bytes)
{
    uint64_t inodes = bytes / BYTES_PER_INODE;
    if (inodes < INODES_MIN)
        return INODES_MIN;
    if (inodes > INODES_MAX)
        return bytes / 16384 > INODES_MAX ? bytes / 16384 : INODES_MAX;
    return inodes;
}

static void send_setup(struct disks *disks)
{
    const struct config *config = disks->broker->config;
    const struct scratch_message setup = {.magic = SCRATCH_MAGIC,
            .kind = SCRATCH_SETUP,
            .bytes = config->work_bytes,
            .inodes = inodes_for(config->work_bytes),
            .build_bytes = disks->broker->build_disk_bytes,
            .build_inodes = inodes_for(disks->broker->build_disk_bytes),
            .owner = config->disk_id_start + config->command_id,
            .log_level = config->log_level,
            .log_format = config->log_format};
    send_message(disks, &setup);
}

int disks_start(struct disks *disks, struct error *error)
{
    int ends[2];
    int pidfd = -EBADF;
    const int buffer = CHANNEL_BUFFER;
    struct clone_args arguments = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = SIGCHLD};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return error_errno(error, errno, "make the channel of joblet-scratch");
    (void)setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
    (void)setsockopt(ends[1], SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
    long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid == 0)
        run_child(disks, ends[1]);
    int code = errno;
    (void)fd_close(ends[1]);
    if (pid < 0) {
        (void)fd_close(ends[0]);
        return error_errno(error, code, "clone joblet-scratch");
    }
    disks->pid = (pid_t)pid;
    disks->generation++;
    disks->mode = DISKS_UNKNOWN;
    disks->started_ns = text_now_monotonic_ns();
    log_event(LOG_LEVEL_INFO, "joblet-scratch started", "pid", LOG_NUMBER(pid), NULL);
    int r = watch(disks, pidfd, ends[0], error);
    if (r == 0)
        send_setup(disks);
    return r;
}

static void on_start_due(struct loop_timer *timer)
{
    struct disks *disks = LOOP_OWNER(timer, struct disks, timer);
    struct error error = {0};
    if (disks_start(disks, &error) < 0) {
        log_event(LOG_LEVEL_ERROR, "joblet-scratch cannot be started", "error", error.text, NULL);
        if (disks->process.fd < 0)
            retry_later(disks);
    }
}

void disks_done(struct disks *disks)
{
    struct loop *loop = disks->broker ? disks->broker->loop : NULL;
    while (disks->first) {
        struct disks_ready *ready = disks->first;
        disks->first = ready->next;
        (void)fd_close(ready->fd);
        free(ready);
    }
    disks->last = NULL;
    while (disks->first_build) {
        struct disks_ready *ready = disks->first_build;
        disks->first_build = ready->next;
        (void)fd_close(ready->fd);
        (void)fd_close(ready->again_fd);
        (void)fd_close(ready->image_fd);
        free(ready);
    }
    disks->exec_fd = fd_close(disks->exec_fd);
    if (!loop)
        return;
    loop_disarm(loop, &disks->timer);
    (void)fd_close(loop_remove(loop, &disks->channel));
    if (disks->process.fd < 0)
        return;
    struct pollfd entry = {.fd = loop_remove(loop, &disks->process), .events = POLLIN};
    siginfo_t info;
    if (poll(&entry, 1, END_PATIENCE_MS) == 1)
        (void)waitid((idtype_t)P_PIDFD, (id_t)entry.fd, &info, WEXITED | WNOHANG);
    (void)fd_close(entry.fd);
}

/* --- for jobs --- */

void disks_wait(struct disks *disks, uint32_t type, int more)
{
    if (type == PLAN_TYPE_BUILD) {
        disks->builds_waiting = (unsigned)((int)disks->builds_waiting + more);
        ask_for_builds(disks);
        return;
    }
    struct scratch_message message = {.magic = SCRATCH_MAGIC, .kind = SCRATCH_WANTED};
    disks->waiting = (unsigned)((int)disks->waiting + more);
    message.count = disks->waiting;
    if (more >= 0 && disks->mode == DISKS_ON_DISK)
        send_message(disks, &message);
}

/* A file grows as it is written to, so all limits together may be more than there is. What a single job may use is to
 * be there when it starts. */
static int check_space(const struct disks *disks, const char *what, uint64_t bytes, struct error *error)
{
    struct statvfs space;
    if (fstatvfs(disks->broker->prefix_fd, &space) < 0)
        return error_errno(error, errno, "look at the space of the prefix's file system");
    uint64_t free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
    if (free_bytes < bytes)
        return error_text(error, ENOSPC,
                "the size of %s cannot be kept: it is %llu MiB and the file system of '%.60s' has %llu MiB left", what,
                (unsigned long long)bytes >> 20, disks->broker->prefix, (unsigned long long)free_bytes >> 20);
    return 0;
}

int disks_take(struct disks *disks, struct disk_grant *ret_grant, struct error *error)
{
    const uint64_t bytes = disks->broker->config->work_bytes;
    if (disks->mode == DISKS_IN_MEMORY) {
        *ret_grant = (struct disk_grant){
                .bytes = bytes, .inodes = inodes_for(bytes), .fd = -EBADF, .again_fd = -EBADF, .image_fd = -EBADF};
        return 0;
    }
    struct disks_ready *ready = disks->first;
    if (!ready)
        return 1;
    int r = check_space(disks, "/work", disks->bytes, error);
    if (r < 0)
        return r;
    disks->first = ready->next;
    if (!disks->first)
        disks->last = NULL;
    *ret_grant = (struct disk_grant){.is_held = true,
            .on_disk = true,
            .generation = ready->generation,
            .id = ready->id,
            .bytes = disks->bytes,
            .inodes = disks->inodes,
            .fd = ready->fd,
            .again_fd = -EBADF,
            .image_fd = -EBADF};
    const struct scratch_message message = {
            .magic = SCRATCH_MAGIC, .kind = SCRATCH_TAKEN, .id = ready->id, .count = disks->waiting};
    if (ready->generation == disks->generation)
        send_message(disks, &message);
    free(ready);
    return 0;
}

int disks_take_build(struct disks *disks, struct disk_grant *ret_grant, struct error *error)
{
    struct disks_ready *ready = disks->first_build;
    if (disks->mode == DISKS_IN_MEMORY)
        return error_text(error, ENOTSUP, "a build needs a disk of its own: %s", disks->reason.text);
    if (!ready)
        return 1;
    int r = check_space(disks, "a build's disk (runtime.buildDiskSize)", disks->broker->build_disk_bytes, error);
    if (r < 0)
        return r;
    disks->first_build = ready->next;
    disks->build_count--;
    *ret_grant = (struct disk_grant){.is_held = true,
            .on_disk = true,
            .generation = ready->generation,
            .id = ready->id,
            .bytes = ready->bytes,
            .inodes = ready->inodes,
            .fd = ready->fd,
            .again_fd = ready->again_fd,
            .image_fd = ready->image_fd};
    free(ready);
    return 0;
}

int disks_ask_base(struct disks *disks, int image_fd, uint64_t token)
{
    const struct scratch_message message = {.magic = SCRATCH_MAGIC, .kind = SCRATCH_BASE_WANTED, .token = token};
    if (disks->mode != DISKS_ON_DISK || disks->channel.fd < 0)
        return -EAGAIN;
    return scratch_send(disks->channel.fd, &message, &image_fd, 1);
}

void disks_give_back(struct disks *disks, struct disk_grant *grant)
{
    const struct scratch_message message = {.magic = SCRATCH_MAGIC, .kind = SCRATCH_RETURNED, .id = grant->id};
    grant->fd = fd_close(grant->fd);
    grant->again_fd = fd_close(grant->again_fd);
    grant->image_fd = fd_close(grant->image_fd);
    if (grant->is_held && grant->generation == disks->generation)
        send_message(disks, &message);
    grant->is_held = false;
}
