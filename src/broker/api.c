#include "broker/api.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "broker/context.h"
#include "broker/launch.h"
#include "broker/operations.h"
#include "config/settings.h"
#include "kernel/capability.h"

#define BACKOFF_FIRST_NS 10000000ULL
#define BACKOFF_MAX_NS 5000000000ULL
/* Who lived as long as this did not fail at its start. */
#define LIVED_NS 10000000000LL
#define CHANNEL_BUFFER (4 << 20)
/* Handled before other sources get their turn. */
#define MESSAGES_PER_TURN 64

static void on_start_due(struct loop_timer *timer);

/* --- what it is handed --- */

static int make_settings(const struct broker *broker, struct error *error)
{
    const struct config *config = broker->config;
    struct settings settings;
    memset(&settings, 0, sizeof(settings));
    settings.magic = SETTINGS_MAGIC;
    settings.version = SETTINGS_VERSION;
    (void)snprintf(settings.node_id, sizeof(settings.node_id), "%s", config->node_id ? config->node_id : "");
    int size = snprintf(settings.database_path, sizeof(settings.database_path), "%s/state/db", broker->prefix);
    if (size < 0 || (size_t)size >= sizeof(settings.database_path))
        return error_text(error, ENAMETOOLONG, "the prefix '%s' is too long", broker->prefix);
    size = snprintf(settings.runtimes_path, sizeof(settings.runtimes_path), "%s/runtimes", broker->prefix);
    if (size < 0 || (size_t)size >= sizeof(settings.runtimes_path))
        return error_text(error, ENAMETOOLONG, "the prefix '%s' is too long", broker->prefix);
    settings.default_memory_bytes = config->default_memory_bytes;
    settings.max_memory_bytes = config->max_memory_bytes;
    settings.job_timeout_ns = config->job_timeout_ns;
    settings.stop_grace_ns = config->stop_grace_ns;
    settings.default_cpu_percent = config->default_cpu_limit;
    settings.max_cpu_percent = config->max_cpu_limit;
    settings.default_processes = config->default_processes;
    settings.max_processes = config->max_processes;
    settings.default_io_bps = config->default_io_bps;
    settings.max_io_bps = config->max_io_bps;
    settings.default_open_files = broker->default_open_files;
    settings.max_open_files = broker->max_open_files;
    settings.work_bytes = config->work_bytes;
    settings.tmp_bytes = config->tmp_bytes;
    settings.log_bytes = config->log_bytes;
    settings.cpus = broker->cgroups.cpus;
    settings.build_memory_bytes = config->build_memory_bytes;
    settings.build_timeout_ns = config->build_timeout_ns;
    settings.build_disk_bytes = broker->build_disk_bytes;
    settings.runtime_bytes = config->runtime_bytes;
    settings.cache_bytes = config->cache_bytes;
    settings.build_processes = config->build_processes;
    settings.max_builds = config->max_builds;
    settings.max_concurrent_jobs = slots_capacity(broker->slots);
    settings.on_shutdown_stop = config->on_shutdown == CONFIG_ON_SHUTDOWN_STOP;
    settings.max_receive_bytes = config->max_receive_bytes;
    settings.max_send_bytes = config->max_send_bytes;
    settings.max_header_bytes = config->max_header_bytes;
    settings.max_concurrent_streams = config->max_concurrent_streams;
    settings.keepalive_ns = config->keepalive_ns;
    settings.keepalive_timeout_ns = config->keepalive_timeout_ns;
    settings.connection_timeout_ns = config->connection_timeout_ns;
    settings.chunk_bytes = config->chunk_bytes;
    settings.log_level = config->log_level;
    settings.log_format = config->log_format;
    int fd = fd_new_sealed("settings", &settings, sizeof(settings));
    return fd < 0 ? error_errno(error, -fd, "make the settings of joblet-api") : fd;
}

static int open_database(const struct broker *broker, struct error *error)
{
    int fd = openat(broker->prefix_fd, "state/db", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_errno(error, errno, "open '%s/state/db' (run 'joblet setup')", broker->prefix);
    return fd;
}

/* The lines of the configuration as texts that end with NUL. */
static int make_build_environment(const struct config *config)
{
    size_t size = strlen(config->build_environment);
    char *texts = strdup(config->build_environment);
    if (!texts)
        return -ENOMEM;
    for (size_t i = 0; i < size; i++)
        if (texts[i] == '\n')
            texts[i] = '\0';
    int fd = fd_new_sealed("build environment", texts, size);
    explicit_bzero(texts, size);
    free(texts);
    return fd;
}

int api_prepare(struct api *api, struct broker *broker, const char *path, struct error *error)
{
    api->broker = broker;
    api->process.fd = api->channel.fd = -EBADF;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return error_errno(error, errno, "open '%s'", path);
    api->exec_fd = fd_move_above(fd, SETTINGS_FD_END);
    api->database_fd = open_database(broker, error);
    if (api->database_fd < 0)
        return api->database_fd;
    api->build_environment_fd = make_build_environment(broker->config);
    if (api->build_environment_fd < 0)
        return error_errno(error, -api->build_environment_fd, "hand over the environment of builds");
    api->settings_fd = make_settings(broker, error);
    if (api->settings_fd < 0)
        return api->settings_fd;
    const char *const pems[] = {broker->config->server_cert, broker->config->server_key, broker->config->ca_cert};
    for (unsigned i = 0; i < ELEMENTS(pems); i++) {
        api->pem_fds[i] = fd_new_sealed("pem", pems[i], strlen(pems[i]));
        if (api->pem_fds[i] < 0)
            return error_errno(error, -api->pem_fds[i], "hand over the certificates");
    }
    return 0;
}

static void forget_queue(struct api *api)
{
    while (api->first) {
        struct api_message *message = api->first;
        api->first = message->next;
        free(message);
    }
    api->last = NULL;
    api->queued = 0;
}

void api_done(struct api *api)
{
    int *const fds[] = {&api->exec_fd, &api->listen_fd, &api->database_fd, &api->settings_fd, &api->pem_fds[0],
            &api->pem_fds[1], &api->pem_fds[2], &api->build_environment_fd};
    for (unsigned i = 0; i < ELEMENTS(fds); i++)
        *fds[i] = fd_close(*fds[i]);
    forget_queue(api);
}

/* --- the process --- */

/* The last steps before the exec: nothing of root's is left. Each is checked, for an API with rights must not start. */
static int drop(const struct config *config)
{
    const struct rlimit core = {0, 0};
    if (capability_drop_bounding() < 0 || setgroups(0, NULL) < 0 ||
            setresgid(config->api_gid, config->api_gid, config->api_gid) < 0 ||
            setresuid(config->api_uid, config->api_uid, config->api_uid) < 0)
        return -errno;
    if (capability_clear() < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &core) < 0)
        return -errno;
    uint64_t any = 0;
    return capability_read(&any) < 0 || any != 0 || geteuid() == 0 ? -EPERM : 0;
}

__attribute__((noreturn)) static void run_child(const struct api *api, int channel)
{
    const struct broker *broker = api->broker;
    const int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    /* One of its own: the other one holds the lock of the log, which is joblet's alone and ends with it. */
    const int audit_fd = openat(audit_log_directory(broker->trail.log), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int fds[SETTINGS_FD_END] = {
            null_fd,
            null_fd,
            STDERR_FILENO,
            [SETTINGS_FD_CHANNEL] = channel,
            [SETTINGS_FD_LISTEN] = api->listen_fd,
            [SETTINGS_FD_DATABASE] = api->database_fd,
            [SETTINGS_FD_JOBS] = broker->jobs_fd,
            [SETTINGS_FD_SETTINGS] = api->settings_fd,
            [SETTINGS_FD_CERT] = api->pem_fds[0],
            [SETTINGS_FD_KEY] = api->pem_fds[1],
            [SETTINGS_FD_CA] = api->pem_fds[2],
            [SETTINGS_FD_RUNTIMES] = broker->store.fd,
            [SETTINGS_FD_BUILD_ENVIRONMENT] = api->build_environment_fd,
            [SETTINGS_FD_AUDIT] = audit_fd,
    };
    char name[] = "joblet-api";
    char *const arguments[] = {name, NULL};
    static const char *const passed[] = {"JOURNAL_STREAM", "TZ"};
    char texts[ELEMENTS(passed)][256];
    char *environment[ELEMENTS(passed) + 1] = {NULL};
    unsigned count = 0;
    for (unsigned i = 0; i < ELEMENTS(passed); i++) {
        const char *value = getenv(passed[i]);
        if (value && snprintf(texts[count], sizeof(texts[0]), "%s=%s", passed[i], value) < (int)sizeof(texts[0])) {
            environment[count] = texts[count];
            count++;
        }
    }
    int r = launch_reset_process(broker->oom_lowered);
    if (r == 0)
        r = launch_place_fds(fds, SETTINGS_FD_END);
    if (r == 0)
        r = drop(broker->config);
    if (r == 0) {
        (void)execveat(api->exec_fd, "", arguments, environment, AT_EMPTY_PATH);
        r = -errno;
    }
    log_event(LOG_LEVEL_ERROR, "joblet-api cannot be started", "error", strerror(-r), NULL);
    _exit(127);
}

static void retry_later(struct api *api)
{
    int64_t lived_ns = text_now_monotonic_ns() - api->started_ns;
    if (lived_ns > LIVED_NS || api->backoff_ns == 0)
        api->backoff_ns = BACKOFF_FIRST_NS;
    else
        api->backoff_ns = api->backoff_ns * 2 < BACKOFF_MAX_NS ? api->backoff_ns * 2 : BACKOFF_MAX_NS;
    loop_arm(api->broker->loop, &api->timer, api->backoff_ns, on_start_due);
}

static void close_channel(struct api *api)
{
    (void)channel_close(loop_remove(api->broker->loop, &api->channel));
    forget_queue(api);
    api->greeted = api->listed = false;
}

static void on_process_gone(struct loop_source *source, uint32_t events)
{
    struct api *api = LOOP_OWNER(source, struct api, process);
    siginfo_t info = {0};
    (void)events;
    (void)waitid((idtype_t)P_PIDFD, (id_t)api->process.fd, &info, WEXITED | WNOHANG);
    (void)fd_close(loop_remove(api->broker->loop, &api->process));
    close_channel(api);
    loop_disarm(api->broker->loop, &api->timer);
    bool clean = info.si_code == CLD_EXITED && info.si_status == 0 && api->leaving;
    log_event(clean ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "joblet-api ended", "pid", LOG_NUMBER(api->pid),
            info.si_code == CLD_EXITED ? "exit_code" : "signal", LOG_NUMBER(info.si_status), NULL);
    trail_api_ended(api->broker, clean, info.si_code == CLD_EXITED, info.si_status);
    if (api->broker->shutting_down)
        broker_api_ended(api->broker);
    else
        retry_later(api);
}

static void kill_process(struct api *api)
{
    if (api->process.fd >= 0)
        (void)syscall(SYS_pidfd_send_signal, api->process.fd, SIGKILL, NULL, 0);
}

void api_fail(struct api *api, const char *reason)
{
    log_event(LOG_LEVEL_ERROR, "joblet-api broke the rules of the channel, ending it", "reason", reason, NULL);
    trail_api(api->broker, "api.broken", reason);
    close_channel(api);
    kill_process(api);
}

/* --- the channel --- */

static void on_channel(struct loop_source *source, uint32_t events);

/* Sends what waits. */
static void flush(struct api *api)
{
    int r = 0;
    while (r == 0 && api->first) {
        struct api_message *message = api->first;
        r = channel_send(api->channel.fd, message->bytes, NULL, 0);
        if (r < 0)
            break;
        api->first = message->next;
        if (!api->first)
            api->last = NULL;
        api->queued--;
        free(message);
    }
    if (r == 0)
        (void)loop_modify(api->broker->loop, &api->channel, EPOLLIN);
    if (r < 0 && r != -EAGAIN && r != -EPIPE) {
        api->broken = true;
        kill_process(api);
    }
}

void api_send(struct api *api, const void *message)
{
    struct channel_header header;
    memcpy(&header, message, sizeof(header));
    if (api->channel.fd < 0 || api->broken)
        return;
    int r = api->first ? -EAGAIN : channel_send(api->channel.fd, message, NULL, 0);
    /* A peer that is gone is seen by its process. One that missed a message waits for it: it has to ask anew. */
    if (r == 0 || r == -EPIPE)
        return;
    bool waits = r == -EAGAIN && api->queued < API_QUEUE_MAX;
    struct api_message *queued = waits ? malloc(sizeof(*queued)) : NULL;
    if (!queued) {
        /* Not closed here: callers are in the middle of their work. */
        api->broken = true;
        kill_process(api);
        return;
    }
    queued->next = NULL;
    memcpy(queued->bytes, message, header.size);
    *(api->last ? &api->last->next : &api->first) = queued;
    api->last = queued;
    if (api->queued++ == 0)
        (void)loop_modify(api->broker->loop, &api->channel, EPOLLIN | EPOLLOUT);
}

void api_reply(struct api *api, const struct channel_header *request, uint32_t generation, const struct error *error)
{
    struct channel_reply reply = {.header = *request};
    reply.header.size = sizeof(reply);
    if (error)
        reply.error = *error;
    if (generation == api->generation)
        api_send(api, &reply);
}

static void on_channel(struct loop_source *source, uint32_t events)
{
    struct api *api = LOOP_OWNER(source, struct api, channel);
    if (events & EPOLLOUT)
        flush(api);
    for (unsigned i = 0; i < MESSAGES_PER_TURN && api->channel.fd >= 0 && !api->broken; i++) {
        struct channel_received message;
        const char *reason = "a malformed message";
        int r = channel_receive(api->channel.fd, &message);
        if (r == -EAGAIN)
            return;
        if (r == 0) {
            r = operations_handle(api->broker, &message, &reason);
            channel_received_done(&message);
        }
        if (r == -ENODATA) {
            /* It closed its end; without the channel it is of no use. */
            close_channel(api);
            if (!api->leaving)
                kill_process(api);
        } else if (r < 0) {
            api_fail(api, reason);
        }
    }
    if (api->broken && api->channel.fd >= 0)
        api_fail(api, "it does not read its messages");
}

static int clone_child(int *ret_pidfd, struct error *error)
{
    int pidfd = -EBADF;
    struct clone_args arguments = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid < 0)
        return error_errno(error, errno, "clone joblet-api");
    *ret_pidfd = pidfd;
    return (int)pid;
}

static int watch(struct api *api, int pidfd, int channel, struct error *error)
{
    struct loop *loop = api->broker->loop;
    int r = loop_add(loop, &api->process, pidfd, EPOLLIN, on_process_gone);
    if (r < 0) {
        (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        (void)fd_close(pidfd);
        (void)fd_close(channel);
        return error_errno(error, -r, "watch joblet-api");
    }
    r = loop_add(loop, &api->channel, channel, EPOLLIN, on_channel);
    if (r < 0) {
        (void)fd_close(channel);
        kill_process(api);
        return error_errno(error, -r, "watch the channel");
    }
    return 0;
}

int api_start(struct api *api, struct error *error)
{
    int ends[2];
    int pidfd = -EBADF;
    const int buffer = CHANNEL_BUFFER;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        return error_errno(error, errno, "make the channel");
    /* Without the right to it the default size stands, and our queue is used sooner. */
    (void)setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
    int pid = clone_child(&pidfd, error);
    if (pid == 0)
        run_child(api, ends[1]);
    (void)fd_close(ends[1]);
    if (pid < 0) {
        (void)fd_close(ends[0]);
        return pid;
    }
    api->pid = (pid_t)pid;
    api->generation++;
    api->broken = api->leaving = false;
    api->started_ns = text_now_monotonic_ns();
    memset(api->buckets, 0, sizeof(api->buckets));
    log_event(LOG_LEVEL_INFO, "joblet-api started", "pid", LOG_NUMBER(pid), NULL);
    trail_api(api->broker, "api.start", NULL);
    return watch(api, pidfd, ends[0], error);
}

static void on_start_due(struct loop_timer *timer)
{
    struct api *api = LOOP_OWNER(timer, struct api, timer);
    struct error error = {0};
    if (api_start(api, &error) < 0) {
        log_event(LOG_LEVEL_ERROR, "joblet-api cannot be started", "error", error.text, NULL);
        if (api->process.fd < 0)
            retry_later(api);
    }
}

static void on_shutdown_limit(struct loop_timer *timer)
{
    struct api *api = LOOP_OWNER(timer, struct api, timer);
    log_event(LOG_LEVEL_WARN, "joblet-api does not end, killing it", NULL);
    kill_process(api);
}

void api_shut_down(struct api *api, uint64_t limit_ns)
{
    const struct channel_header event = {.operation = CHANNEL_EVENT_SHUTDOWN, .size = sizeof(event)};
    api->leaving = true;
    loop_disarm(api->broker->loop, &api->timer);
    if (api->process.fd < 0) {
        broker_api_ended(api->broker);
        return;
    }
    api_send(api, &event);
    loop_arm(api->broker->loop, &api->timer, limit_ns, on_shutdown_limit);
}
