#include "api/jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/audit.h"
#include "api/live.h"
#include "api/reply.h"
#include "api/task.h"
#include "api/view.h"
#include "base/fd.h"
#include "base/log.h"

/* A job that joblet runs and nobody can see or stop must not go on (a restored, older database). */
static void forget_unknown(struct api *api, const uint8_t id[16])
{
    char uuid[TEXT_UUID_MAX];
    text_format_uuid(id, uuid);
    log_event(LOG_LEVEL_WARN, "a job ended that is not in the job table, removing it", "job", uuid, NULL);
    (void)link_job_id(api->link, CHANNEL_JOB_RELEASE, id, NULL, NULL);
    (void)link_job_id(api->link, CHANNEL_JOB_REMOVE, id, NULL, NULL);
}

void jobs_on_view(struct api *api, const struct channel_job_view *view)
{
    const struct state_job *job = state_find(api->state, view->job_id);
    struct live *live = job ? job->user : NULL;
    /* What was there first stays: after a restart it is told again. */
    if (live && !live->view && view_pack(&view->view, &live->view, &live->view_size) < 0)
        log_event(LOG_LEVEL_WARN, "no memory for what the kernel says of a job, ignoring", "job", job->uuid, NULL);
}

void jobs_on_ended(struct api *api, const struct channel_job_ended *ended)
{
    if (task_on_ended(api, ended))
        return;
    struct state_job *job = state_find(api->state, ended->record.job_id);
    if (!job) {
        forget_unknown(api, ended->record.job_id);
        return;
    }
    struct live *live = job->user;
    if (!live && state_status_is_final(state_job_latest(job)->status)) {
        /* Stored in an earlier life of ours, which ended before the release. */
        (void)link_job_id(api->link, CHANNEL_JOB_RELEASE, job->id, NULL, NULL);
        return;
    }
    /* Told before the list of jobs was. */
    if (!live && live_new(api, job, &live) < 0)
        return;
    live->stored = true;
    live_end(live, &ended->record, ended->cpu_ns, ended->memory_peak_bytes);
}

static void run_on_cancel(struct grpc_call *call)
{
    /* A job's life is not tied to the call that asked for it. */
    struct live *live = grpc_call_user(call);
    live->run_call = NULL;
}

static void start_failed(struct live *live, const struct error *error)
{
    live->failure = *error;
    struct record record = {.reason = RECORD_REASON_SETUP_FAILURE, .exit_code = -1, .error = *error};
    live_end(live, &record, 0, 0);
}

/* The runtime of a job's row, "NAME@VERSION", as the channel has it. */
static void runtime_names(const char *runtime, char ret_name[PLAN_NAME_MAX], char ret_version[PLAN_VERSION_TEXT_MAX])
{
    size_t length = strcspn(runtime, "@");
    memset(ret_name, 0, PLAN_NAME_MAX);
    memset(ret_version, 0, PLAN_VERSION_TEXT_MAX);
    (void)snprintf(ret_name, PLAN_NAME_MAX, "%.*s", (int)length, runtime);
    if (runtime[length])
        (void)snprintf(ret_version, PLAN_VERSION_TEXT_MAX, "%s", runtime + length + 1);
}

static void ask_for_start(struct live *live);

static void on_verified(struct verify_waiter *waiter, const struct error *error)
{
    struct live *live = waiter->user;
    if (error)
        start_failed(live, error);
    else
        ask_for_start(live);
}

/* The first start with a runtime since joblet began: its tree is held against its manifest before. True when the start
 * is asked for again after that. */
static bool verify_first(struct live *live, const struct error *error)
{
    char name[PLAN_NAME_MAX];
    char version[PLAN_VERSION_TEXT_MAX];
    if (error->code != EKEYREJECTED || live->verified || !*live->job->runtime)
        return false;
    live->verified = true;
    /* The start that was refused has its files; the next one makes them anew. */
    (void)link_job_id(live->api->link, CHANNEL_JOB_RELEASE, live->job->id, NULL, NULL);
    (void)link_job_id(live->api->link, CHANNEL_JOB_REMOVE, live->job->id, NULL, NULL);
    runtime_names(live->job->runtime, name, version);
    live->verification = (struct verify_waiter){.done = on_verified, .user = live};
    return verify_runtime(live->api, name, version, &live->verification) == 0;
}

static void on_started(const struct channel_received *received, void *user)
{
    struct live *live = user;
    const struct channel_start_reply *reply = (const void *)received->bytes;
    if (reply->error.code) {
        if (!verify_first(live, &reply->error))
            start_failed(live, &reply->error);
        return;
    }
    live->spec_fd = fd_close(live->spec_fd);
    struct state_job *job = live->job;
    struct state_progress progress = *state_job_latest(job);
    progress.status = STATE_STATUS_RUNNING;
    progress.started_unix_ns = reply->started_unix_ns;
    /* Not waited for: joblet tells it again after a crash. */
    if (state_update_lazy(live->api->state, job, &progress) < 0)
        log_event(LOG_LEVEL_WARN, "no memory to store that a job runs, ignoring", "job", job->uuid, NULL);
    live->started = true;
    log_event(LOG_LEVEL_INFO, "job started", "job", job->uuid, NULL);
    struct grpc_call *call = live->run_call;
    if (call) {
        live->run_call = NULL;
        Joblet__RunJobResponse response;
        joblet__run_job_response__init(&response);
        char status[] = "RUNNING";
        response.job_uuid = job->uuid;
        response.status = status;
        reply_message(call, &response.base);
    }
    logs_started(live->api->logs, &live->followed);
    if (progress.stop_requested)
        live_stop_signals(live);
}

static void ask_for_start(struct live *live)
{
    const struct state_job *job = live->job;
    struct channel_job_start message = {
            .header = {.operation = CHANNEL_JOB_START, .size = sizeof(message)},
            .limits = {.memory_bytes = job->memory_bytes,
                    .timeout_ns = job->timeout_ns,
                    .cpu_percent = job->cpu_percent,
                    .processes = job->processes,
                    .io_bps = job->io_bps,
                    .open_files = job->open_files,
                    .cpus = job->cpus},
    };
    memcpy(message.job_id, job->id, sizeof(message.job_id));
    runtime_names(job->runtime, message.runtime.name, message.runtime.version);
    /* With a runtime it may have to be asked for twice. */
    int spec_fd = *job->runtime ? fcntl(live->spec_fd, F_DUPFD_CLOEXEC, 0) : TAKE_FD(live->spec_fd);
    int r = spec_fd < 0 ? -EMFILE : link_request(live->api->link, &message, spec_fd, on_started, live);
    if (r < 0) {
        struct error failure;
        (void)error_errno(&failure, -r, "ask for the start");
        failure.stage = 0;
        start_failed(live, &failure);
    }
}

/* Row and intent are on disk, or the intent cannot be. */
static void start_recorded(struct live *live)
{
    const struct error failure = live->failure;
    if (live->unrecorded)
        start_failed(live, &failure);
    else
        ask_for_start(live);
}

static void on_inserted(const struct error *error, struct state_job *job, void *user)
{
    struct live *live = user;
    if (error) {
        log_event(LOG_LEVEL_ERROR, "a job could not be stored", "job", job->uuid, "error", error->text, NULL);
        if (live->run_call)
            grpc_call_finish(live->run_call, GRPC_UNAVAILABLE, "the job could not be stored: %s", error->text);
        logs_ended(live->api->logs, &live->followed);
        live_refuse_stoppers(live, GRPC_NOT_FOUND, "job not found");
        live_free(live);
        return;
    }
    live->stored = true;
    if (live->stop_wanted)
        (void)live_stop(live);
    if (!live->intent)
        start_recorded(live);
}

static void on_run_intended(const struct error *error, void *user)
{
    struct intent *intent = user;
    struct live *live = intent->live;
    free(intent);
    if (!live)
        return;
    live->intent = NULL;
    live->unrecorded = error != NULL;
    if (error)
        (void)error_text(&live->failure, error->code, AUDIT_UNAVAILABLE "%.100s", error->text);
    if (live->stored)
        start_recorded(live);
}

/* The intent goes to the audit log while the row goes to the disk; the start waits for both. */
static int intend_run(struct live *live, struct grpc_call *call, struct error *error)
{
    struct intent *intent = malloc(sizeof(*intent));
    if (!intent)
        return error_text(error, ENOMEM, "no memory");
    intent->live = live;
    int r = audit_intend_apart(call, on_run_intended, intent, error);
    if (r < 0)
        free(intent);
    else
        live->intent = intent;
    return r;
}

void jobs_run(struct api *api, struct request *request, struct grpc_call *call)
{
    struct error error = {0};
    if (api->shutting_down) {
        grpc_call_finish(call, GRPC_UNAVAILABLE, "the server is shutting down");
        return;
    }
    if (api->jobs_live >= api->jobs_max) {
        grpc_call_finish(
                call, GRPC_RESOURCE_EXHAUSTED, "%u jobs are running: the maximum of this server", api->jobs_live);
        return;
    }
    struct state_job *job = request->job;
    struct live *live = NULL;
    if (live_new(api, job, &live) < 0) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
        return;
    }
    if (intend_run(live, call, &error) < 0) {
        live_free(live);
        grpc_call_finish(call, GRPC_UNAVAILABLE, AUDIT_UNAVAILABLE "%s", error.text);
        return;
    }
    int r = state_insert(api->state, job, on_inserted, live, &error);
    if (r < 0) {
        live_free(live);
        grpc_call_finish(call, r == -ENOSPC ? GRPC_RESOURCE_EXHAUSTED : GRPC_INTERNAL, "%s", error.text);
        return;
    }
    request->job = NULL;
    live->spec_fd = TAKE_FD(request->spec_fd);
    live->run_call = call;
    grpc_call_set_user(call, live);
    grpc_call_on_cancel(call, run_on_cancel);
    const char *command = state_texts_next(&job->arguments, NULL);
    log_event(LOG_LEVEL_INFO, "job accepted", "job", job->uuid, "who", job->owner, "role", job->role, "command",
            command ? command : "", NULL);
}

/* A StopJob until its intent is recorded. */
struct stop {
    struct api *api;
    struct grpc_call *call; /* NULL when the client went: the job is stopped all the same */
    uint8_t job_id[16];
};

static void stop_on_cancel(struct grpc_call *call)
{
    struct stop *stop = grpc_call_user(call);
    stop->call = NULL;
}

/* The job that can be stopped. NULL, and the call (NULL is fine) is answered. */
static struct live *find_stoppable(const struct state_job *job, struct grpc_call *call)
{
    struct live *live = job ? job->user : NULL;
    if (live && !state_status_is_final(job->now.status))
        return live;
    if (call && job)
        grpc_call_finish(call, GRPC_FAILED_PRECONDITION, "job is not running: %s (status: %s)", job->uuid,
                state_status_name(job->now.status));
    else if (call)
        grpc_call_finish(call, GRPC_NOT_FOUND, "job not found");
    return NULL;
}

static void on_stop_intended(const struct error *error, void *user)
{
    struct stop *stop = user;
    struct grpc_call *call = stop->call;
    const struct state_job *job = state_find(stop->api->state, stop->job_id);
    free(stop);
    if (call) {
        grpc_call_on_cancel(call, NULL);
        grpc_call_set_user(call, NULL);
    }
    if (error) {
        if (call)
            grpc_call_finish(call, GRPC_UNAVAILABLE, AUDIT_UNAVAILABLE "%s", error->text);
        return;
    }
    struct live *live = find_stoppable(job, call);
    if (!live)
        return;
    int r = live_stop(live);
    if (call && r < 0)
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
    else if (call)
        live_wait_stopped(live, call);
}

void jobs_stop(struct api *api, struct state_job *job, struct grpc_call *call)
{
    struct error error = {0};
    if (!find_stoppable(job, call))
        return;
    struct stop *stop = malloc(sizeof(*stop));
    if (!stop) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
        return;
    }
    *stop = (struct stop){.api = api, .call = call};
    memcpy(stop->job_id, job->id, sizeof(stop->job_id));
    if (audit_intend_apart(call, on_stop_intended, stop, &error) < 0) {
        free(stop);
        grpc_call_finish(call, GRPC_UNAVAILABLE, AUDIT_UNAVAILABLE "%s", error.text);
        return;
    }
    grpc_call_set_user(call, stop);
    grpc_call_on_cancel(call, stop_on_cancel);
}

void jobs_follow(struct api *api, struct state_job *job, struct grpc_call *call)
{
    struct live *live = job->user;
    bool ended = !live || state_status_is_final(job->now.status);
    logs_follow(api->logs, job, ended ? NULL : &live->followed, call);
}

void jobs_stop_all(struct api *api, void (*done)(struct api *api))
{
    if (api->jobs_live == 0) {
        done(api);
        return;
    }
    api->drained = done;
    for (struct state_job *job = state_newest(api->state); job; job = job->older)
        if (job->user)
            (void)live_stop(job->user);
}
