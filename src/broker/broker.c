#include "broker/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "broker/context.h"
#include "broker/job.h"
#include "broker/launch.h"
#include "broker/reconcile.h"
#include "broker/sync.h"
#include "broker/world.h"
#include "kernel/landlock.h"
#include "network/network.h"

/* For streams to end by themselves; with jobs to stop, joblet-api does that first. */
#define SHUTDOWN_LIMIT_NS 15000000000ULL
#define STOP_LIMIT_NS 5000000000ULL

/* --- the end --- */

static void on_stop_limit(struct loop_timer *timer)
{
    struct broker *broker = LOOP_OWNER(timer, struct broker, shutdown_timer);
    log_event(LOG_LEVEL_ERROR, "jobs are left that could not be stopped", "count",
            LOG_NUMBER(job_count_running(broker)), NULL);
    loop_end(broker->loop);
}

/* True for what does not outlive us: all jobs when it is configured so, and in any case what belongs to builds. */
static bool ends_with_us(const struct broker *broker, const struct job *job)
{
    return broker->config->on_shutdown == CONFIG_ON_SHUTDOWN_STOP || job->note.type != PLAN_TYPE_STANDARD;
}

static bool has_to_end(const struct broker *broker)
{
    for (const struct job *job = broker->first_job; job; job = job->next)
        if (job->phase != CHANNEL_JOB_ENDED && !job->gone && ends_with_us(broker, job))
            return true;
    return false;
}

void broker_job_ended(struct broker *broker)
{
    if (broker->shutting_down && broker->api.process.fd < 0 && !has_to_end(broker))
        loop_end(broker->loop);
}

/* Starting jobs are let go in any case: they end when our end of their socket closes, and are recorded at the next
 * start. */
void broker_api_ended(struct broker *broker)
{
    if (has_to_end(broker)) {
        for (struct job *job = broker->first_job; job; job = job->next)
            if (ends_with_us(broker, job))
                job_kill(job);
        loop_arm(broker->loop, &broker->shutdown_timer, STOP_LIMIT_NS, on_stop_limit);
        return;
    }
    loop_end(broker->loop);
}

static void on_signal(struct loop_source *source, uint32_t events)
{
    struct broker *broker = LOOP_OWNER(source, struct broker, signals);
    struct signalfd_siginfo info;
    (void)events;
    if (read(source->fd, &info, sizeof(info)) != (ssize_t)sizeof(info) || broker->shutting_down)
        return;
    broker->shutting_down = true;
    log_event(LOG_LEVEL_INFO, "shutting down", "signal", LOG_NUMBER(info.ssi_signo), "jobs",
            LOG_NUMBER(job_count_running(broker)), "on_shutdown",
            broker->config->on_shutdown == CONFIG_ON_SHUTDOWN_STOP ? "stop" : "keep", NULL);
    api_shut_down(&broker->api, SHUTDOWN_LIMIT_NS + broker->config->stop_grace_ns);
}

static int watch_signals(struct broker *broker, struct error *error)
{
    sigset_t wanted;
    (void)sigemptyset(&wanted);
    (void)sigaddset(&wanted, SIGTERM);
    (void)sigaddset(&wanted, SIGINT);
    if (sigprocmask(SIG_BLOCK, &wanted, NULL) < 0)
        return error_errno(error, errno, "block signals");
    _cleanup_close_ int fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return error_errno(error, errno, "make a signal descriptor");
    int r = loop_add(broker->loop, &broker->signals, fd, EPOLLIN, on_signal);
    if (r < 0)
        return error_errno(error, -r, "watch signals");
    (void)TAKE_FD(fd);
    return 0;
}

/* --- the start --- */

static int look_at_host(struct broker *broker, struct error *error)
{
    char name[CGROUP_NAME_MAX];
    _cleanup_close_ int proc_fd = procstatus_open(getpid());
    int r = proc_fd < 0 ? proc_fd : procstatus_read_namespaces(proc_fd, &broker->own_namespaces, error);
    if (r == 0)
        r = world_read_boot_id(broker->boot_id, error);
    if (r < 0)
        return proc_fd < 0 ? error_errno(error, -proc_fd, "open '/proc/%d'", getpid()) : r;
    r = landlock_get_abi();
    if (r < 0)
        return error_errno(error, -r, "no Landlock on this host (see 'joblet doctor')");
    broker->landlock_abi = (uint32_t)r;
    world_name_groups(broker->prefix, name);
    return cgroup_host_open(name, &broker->cgroups, error);
}

/* A descriptor (O_PATH) or -errno with @error. */
static int open_program(const char *name, struct error *error)
{
    char path[WORLD_PATH_MAX];
    int r = world_find_program(name, path, error);
    if (r < 0)
        return r;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return error_errno(error, errno, "open '%s'", path);
    fd = fd_move_above(fd, LAUNCH_FDS);
    return fd < 0 ? error_errno(error, -fd, "open '%s'", path) : fd;
}

static int open_programs(struct broker *broker, struct error *error)
{
    struct error missing = {0};
    broker->init_fd = open_program("joblet-init", error);
    if (broker->init_fd < 0)
        return broker->init_fd;
    /* Jobs without a runtime need none. */
    broker->builder_fd = open_program("joblet-builder", &missing);
    if (broker->builder_fd < 0) {
        broker->builder_fd = -EBADF;
        log_event(LOG_LEVEL_WARN, "nothing can be built", "reason", missing.text, NULL);
    }
    return 0;
}

static int prepare_api(struct broker *broker, struct error *error)
{
    char path[WORLD_PATH_MAX];
    int r = world_find_program("joblet-api", path, error);
    return r < 0 ? r : api_prepare(&broker->api, broker, path, error);
}

static int prepare_disks(struct broker *broker, struct error *error)
{
    char path[WORLD_PATH_MAX];
    int r = world_find_program("joblet-scratch", path, error);
    return r < 0 ? r : disks_prepare(&broker->disks, broker, path, error);
}

/* Somebody changed the host's nftables while ours are there. */
static void on_rules_changed(struct loop_source *source, uint32_t events)
{
    struct broker *broker = LOOP_OWNER(source, struct broker, network_watch);
    struct error error = {0};
    (void)events;
    int r = network_check(broker->network, &error);
    if (r < 0)
        log_event(LOG_LEVEL_ERROR, "the rules of builds cannot be put back", "error", error.text, NULL);
    else if (r > 0)
        log_event(LOG_LEVEL_WARN, "the rules of builds were gone, and are back", NULL);
}

/* A host that cannot have it has jobs all the same. */
static void open_network(struct broker *broker)
{
    const struct network_options options = {
            .prefix_fd = broker->prefix_fd, .run_fd = broker->run_fd, .cidr = broker->config->build_cidr};
    struct error *error = &broker->network_error;
    int r = network_open(&options, &broker->network, error);
    if (r == 0) {
        r = loop_add(
                broker->loop, &broker->network_watch, network_get_watch(broker->network), EPOLLIN, on_rules_changed);
        if (r < 0) {
            (void)error_errno(error, -r, "watch the rules");
            network_done(broker->network);
            broker->network = NULL;
        }
    }
    if (r < 0)
        log_event(LOG_LEVEL_WARN, "builds have no network", "reason", error->text, NULL);
}

static int make_parts(struct broker *broker, struct error *error)
{
    const struct config *config = broker->config;
    int r = loop_new(&broker->loop);
    if (r < 0)
        return error_errno(error, -r, "make the event loop");
    r = slots_new(config->id_range_start, config->id_range_count, config->max_concurrent_jobs, config->disk_id_start,
            &broker->slots);
    return r < 0 ? error_errno(error, -r, "make the id ranges") : 0;
}

static int start(struct broker *broker, struct error *error)
{
    int r = world_limit_self(broker, error);
    if (r == 0)
        r = world_open(broker, error);
    if (r == 0)
        r = make_parts(broker, error);
    if (r == 0) /* what happens from here on is recorded */
        r = trail_open(broker, error);
    if (r == 0)
        r = open_programs(broker, error);
    if (r == 0)
        r = world_open_store(broker, error);
    if (r == 0)
        r = prepare_disks(broker, error);
    if (r == 0)
        r = look_at_host(broker, error);
    if (r == 0) /* it is told what this host can do */
        r = prepare_api(broker, error);
    if (r == 0)
        r = watch_signals(broker, error);
    if (r == 0) {
        open_network(broker);
        reconcile_begin(broker); /* before joblet-scratch takes what is there */
        r = disks_start(&broker->disks, error);
    }
    if (r == 0)
        r = job_adopt_all(broker, error);
    if (r < 0)
        return r;
    reconcile_finish(broker);
    broker->api.listen_fd = world_listen(broker, error);
    if (broker->api.listen_fd < 0)
        return broker->api.listen_fd;
    return api_start(&broker->api, error);
}

static void finish(struct broker *broker)
{
    bool empty = job_count_running(broker) == 0;
    broker->shutting_down = true;
    if (broker->loop && broker->signals.ready)
        (void)fd_close(loop_remove(broker->loop, &broker->signals));
    job_forget_all(broker);
    sync_forget_all(broker);
    bases_done(&broker->bases);
    host_watch_done(&broker->host_watch);
    sweep_done(&broker->sweep);
    trail_close(broker);
    api_done(&broker->api);
    disks_done(&broker->disks);
    while (broker->foreign) {
        struct foreign_host *foreign = broker->foreign;
        broker->foreign = foreign->next;
        /* An earlier joblet's, whose jobs have ended: what is ours as well is made anew by the next. */
        if (empty)
            cgroup_host_remove(&foreign->host, /* leave= */ false);
        else
            cgroup_host_done(&foreign->host);
        free(foreign);
    }
    if (empty)
        cgroup_host_remove(&broker->cgroups, /* leave= */ true);
    else
        cgroup_host_done(&broker->cgroups);
    slots_free(broker->slots);
    if (broker->network) {
        (void)loop_remove(broker->loop, &broker->network_watch); /* the network's own */
        network_done(broker->network);
    }
    loop_free(broker->loop);
    store_done(&broker->store);
    (void)fd_close(broker->init_fd);
    (void)fd_close(broker->builder_fd);
    (void)fd_close(broker->cache_fd);
    (void)fd_close(broker->jobs_fd);
    (void)fd_close(broker->run_fd);
    (void)fd_close(broker->prefix_fd);
}

/* The prefix as the kernel sees it, so that two spellings of one directory have one lock and one group. */
static int resolve_prefix(const char *prefix, char **ret_path, struct error *error)
{
    char *path = realpath(prefix, NULL);
    if (!path)
        return error_errno(error, errno, "find the prefix '%s' (run 'joblet setup')", prefix);
    *ret_path = path;
    return 0;
}

static int fail(const struct error *error)
{
    log_event(LOG_LEVEL_ERROR, "joblet cannot serve", "error", error->text, NULL);
    return 1;
}

int broker_run(const char *given_prefix)
{
    struct error error = {0};
    _cleanup_free_ char *prefix = NULL;
    _cleanup_(config_freep) struct config *config = NULL;
    log_open("joblet", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    if (resolve_prefix(given_prefix, &prefix, &error) < 0 || config_load(prefix, &config, &error) < 0)
        return fail(&error);
    log_open("joblet", config->log_level, config->log_format);
    struct broker broker = {.config = config,
            .prefix = prefix,
            .prefix_fd = -EBADF,
            .jobs_fd = -EBADF,
            .run_fd = -EBADF,
            .init_fd = -EBADF,
            .builder_fd = -EBADF,
            .cache_fd = -EBADF,
            .bases = {.fd = -EBADF},
            .host_watch = {.group_fd = -EBADF},
            .store = {.fd = -EBADF},
            .signals = {.fd = -EBADF},
            .trail = {.settler = {.fd = -EBADF}, .syslog_fd = -EBADF},
            .api = {.exec_fd = -EBADF,
                    .listen_fd = -EBADF,
                    .database_fd = -EBADF,
                    .settings_fd = -EBADF,
                    .pem_fds = {-EBADF, -EBADF, -EBADF},
                    .build_environment_fd = -EBADF,
                    .process = {.fd = -EBADF},
                    .channel = {.fd = -EBADF}},
            .disks = {.exec_fd = -EBADF, .process = {.fd = -EBADF}, .channel = {.fd = -EBADF}}};
    broker.sweep.broker = &broker;
    broker.host_watch.broker = &broker;
    int r = start(&broker, &error);
    if (r < 0) {
        broker.exit_status = fail(&error);
        if (broker.trail.log) /* its start is recorded */
            trail_service_ended(&broker, &error);
    } else {
        log_event(LOG_LEVEL_INFO, "joblet serves", "prefix", prefix, "slots", LOG_NUMBER(slots_capacity(broker.slots)),
                NULL);
        r = loop_run(broker.loop);
        if (r < 0) {
            (void)error_errno(&error, -r, "wait for events");
            log_event(LOG_LEVEL_ERROR, "the event loop failed", "error", error.text, NULL);
        }
        broker.exit_status = r < 0 ? 1 : 0;
        world_close(&broker);
        trail_service_ended(&broker, r < 0 ? &error : NULL);
        log_event(LOG_LEVEL_INFO, "joblet ended", "jobs_running", LOG_NUMBER(job_count_running(&broker)), NULL);
    }
    finish(&broker);
    return broker.exit_status;
}
