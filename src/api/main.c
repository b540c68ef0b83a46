/* joblet-api: what faces the network. It is started by joblet, as a user of its own, with descriptors at fixed numbers
 * (config/settings.h); it gives up everything else before it reads its first byte from outside.
 *
 * Order: settings and keys; who am I (never root); what has to be read from the host before Landlock; Landlock, before
 * the first thread; job table and its thread, those for the logs; the system call filter, over all threads; then the
 * channel, and only when the table agrees with joblet the server. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"
#include "api/builds.h"
#include "api/confine.h"
#include "api/jobs.h"
#include "api/reconcile.h"
#include "api/service.h"
#include "api/store.h"
#include "api/strangers.h"
#include "api/work.h"
#include "api/world.h"
#include "base/fd.h"
#include "base/log.h"
#ifdef HAVE_MONITOR
#include "monitor/monitor.h"
#endif

/* How long streams may go on after the server was told to end. */
#define SHUTDOWN_GRACE_NS 3000000000ULL

static struct api api;
static struct world world;

static void on_server_done(void *user)
{
    (void)user;
    uv_stop(&api.loop);
}

static void close_server(struct api *unused)
{
    (void)unused;
    if (api.server)
        grpc_server_shutdown(api.server, SHUTDOWN_GRACE_NS, on_server_done, NULL);
    else
        uv_stop(&api.loop);
}

/* Builds do not outlive their server: nobody would be told of their end. */
static void on_builds_stopped(struct api *unused)
{
    (void)unused;
    if (api.settings.on_shutdown_stop)
        jobs_stop_all(&api, close_server);
    else
        close_server(&api);
}

static void begin_shutdown(void *user)
{
    (void)user;
    if (api.shutting_down)
        return;
    api.shutting_down = true;
    log_event(LOG_LEVEL_INFO, "shutting down", "jobs", api.settings.on_shutdown_stop ? "stop" : "keep", NULL);
    builds_stop_all(&api, on_builds_stopped);
}

static void on_signal(uv_signal_t *signal, int number)
{
    (void)signal;
    (void)number;
    begin_shutdown(NULL);
}

static void on_job_view(const struct channel_job_view *view, void *user)
{
    (void)user;
    jobs_on_view(&api, view);
}

static void on_job_ended(const struct channel_job_ended *ended, void *user)
{
    (void)user;
    jobs_on_ended(&api, ended);
}

static void on_channel_closed(const struct error *error, void *user)
{
    (void)user;
    if (error->code) {
        log_event(LOG_LEVEL_ERROR, "the privileged channel is broken", "error", error->text, NULL);
        api.exit_status = 1;
    } else {
        log_event(LOG_LEVEL_INFO, "joblet is gone, ending", NULL);
    }
    uv_stop(&api.loop);
}

static const struct link_events link_events = {
        .job_view = on_job_view,
        .job_ended = on_job_ended,
        .shutdown = begin_shutdown,
        .closed = on_channel_closed,
};

static void on_state(uv_poll_t *poll, int status, int events)
{
    (void)poll;
    (void)status;
    (void)events;
    state_dispatch(api.state);
}

static int open_server(struct error *error)
{
    size_t count;
    const struct grpc_method *methods = service_methods(&count);
    const struct settings *settings = &api.settings;
    struct grpc_server_options options = {
            .loop = &api.loop,
            .listen_fd = SETTINGS_FD_LISTEN,
            .cert_pem = world.cert_pem,
            .key_pem = world.key_pem,
            .ca_pem = world.ca_pem,
            .methods = methods,
            .method_count = count,
            .user = &api,
            .max_receive_bytes = settings->max_receive_bytes,
            .max_send_bytes = settings->max_send_bytes,
            .max_header_bytes = settings->max_header_bytes,
            .max_concurrent_streams = settings->max_concurrent_streams,
            .keepalive_ns = settings->keepalive_ns,
            .keepalive_timeout_ns = settings->keepalive_timeout_ns,
            .connection_timeout_ns = settings->connection_timeout_ns,
            .authorize = service_authorize,
            .stranger = strangers_tell,
    };
    int r = grpc_server_new(&options, &api.server, error);
    world_forget_pems(&world);
    return r;
}

/* The table agrees with joblet: now calls may come. */
static void on_reconciled(struct api *unused)
{
    (void)unused;
    struct error error = {0};
    if (api.shutting_down)
        return;
    builds_record_lost(&api);
    if (open_server(&error) < 0) {
        log_event(LOG_LEVEL_ERROR, "the server cannot be started", "error", error.text, NULL);
        api.exit_status = 1;
        uv_stop(&api.loop);
        return;
    }
    log_event(LOG_LEVEL_INFO, "serving", "jobs", LOG_NUMBER(state_count(api.state)), "running",
            LOG_NUMBER(api.jobs_live), "most", LOG_NUMBER(api.jobs_max), NULL);
}

/* What must happen while the host's files can still be read, and once for the whole process. */
static int prepare_process(struct error *error)
{
    (void)umask(0077);
    (void)signal(SIGPIPE, SIG_IGN);
    /* One arena: the writer's thread would get one of its own. Fixed thresholds: a request of 100 MiB goes back. */
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 512 * 1024);
    tzset();
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    /* inotify takes paths: they are relative to the jobs' directory. */
    if (fchdir(SETTINGS_FD_JOBS) < 0)
        return error_errno(error, errno, "enter the jobs' directory");
#ifdef HAVE_MONITOR
    return monitor_new(&api.monitor, api.settings.node_id, error);
#else
    return 0;
#endif
}

static int start_loop(uv_poll_t *state_poll, uv_signal_t signals[2], struct error *error)
{
    static const int numbers[] = {SIGTERM, SIGINT};
    int r = uv_poll_init(&api.loop, state_poll, state_fd(api.state));
    if (r == 0)
        r = uv_poll_start(state_poll, UV_READABLE, on_state);
    for (size_t i = 0; r == 0 && i < ELEMENTS(numbers); i++) {
        r = uv_signal_init(&api.loop, &signals[i]);
        if (r == 0)
            r = uv_signal_start(&signals[i], on_signal, numbers[i]);
    }
    if (r < 0)
        return error_errno(error, -r, "event loop");
    r = logs_new(&api.loop, api.jobs_fd, api.settings.chunk_bytes, &api.logs, error);
    if (r == 0)
        r = work_new(&api.loop, &api.work, error);
    if (r == 0)
        r = strangers_new(&api, &api.strangers, error);
    if (r == 0)
        r = link_new(&api.loop, SETTINGS_FD_CHANNEL, &link_events, NULL, &api.link, error);
    return r;
}

static int serve(struct error *error)
{
    static uv_poll_t state_poll;
    static uv_signal_t signals[2];
    int r = world_read(&world, error);
    if (r < 0)
        return r;
    api.settings = world.settings;
    api.build_environment = world.build_environment;
    api.jobs_fd = SETTINGS_FD_JOBS;
    log_open("joblet-api", (enum log_level)api.settings.log_level, (enum log_format)api.settings.log_format);
    r = confine_identity(error);
    if (r == 0)
        r = prepare_process(error);
    if (r == 0)
        r = confine_files(SETTINGS_FD_DATABASE, SETTINGS_FD_JOBS, SETTINGS_FD_RUNTIMES, SETTINGS_FD_AUDIT, error);
    if (r == 0)
        r = state_open(api.settings.database_path, &api.state, error);
    if (r == 0)
        r = store_new(SETTINGS_FD_RUNTIMES, &api.store, error);
    if (r == 0)
        r = state_start(api.state, error);
    if (r == 0 && (r = uv_loop_init(&api.loop)) < 0)
        r = error_errno(error, -r, "event loop");
    if (r == 0)
        r = start_loop(&state_poll, signals, error);
    if (r == 0)
        r = confine_calls(error);
    if (r < 0)
        return r;
    reconcile(&api, on_reconciled);
    (void)uv_run(&api.loop, UV_RUN_DEFAULT);
    return 0;
}

int main(void)
{
    struct error error = {0};
    log_open("joblet-api", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    if (serve(&error) < 0) {
        log_event(LOG_LEVEL_ERROR, "joblet-api cannot start", "error", error.text, NULL);
        return EXIT_FAILURE;
    }
    /* What is queued for the job table is written; callbacks that ask joblet for more find a closed channel. */
    link_close(api.link);
    state_close(api.state);
    link_free(api.link);
    log_event(LOG_LEVEL_INFO, "ended", NULL);
    return api.exit_status;
}
