#include "api/jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/reply.h"
#include "base/fd.h"
#include "base/log.h"
#include "plan/plan.h"
#include "plan/record.h"

/* After a write of the job table failed (a full disk) it is tried again. */
#define RETRY_MS 2000U

/* A call that waits for something of a job. */
struct waiter {
    struct waiter *next;
    struct live *live;
    struct grpc_call *call;
};

/* The part of a job that only exists until it is released: between acceptance and the moment when joblet has forgotten
 * it. job->user points to it. */
struct live {
    struct api *api;
    struct state_job *job;
    int spec_fd;                /* until the start is asked for */
    struct grpc_call *run_call; /* RunJob that waits, or NULL */
    struct waiter *stoppers;
    struct deleting *deleting; /* asked for between the end and the release, or NULL */
    struct logs_followed followed;
    uv_timer_t timer; /* grace period, or the next try to store */
    bool stored;      /* the row is on disk */
    bool stop_wanted; /* asked for before it was */
    bool started;     /* joblet has it running: signals reach it */
    bool stopping;    /* TERM was sent */
    bool ending;      /* the end is being stored */
    bool failed;      /* the start failed; @failure says why */
    struct error failure;
    struct state_progress end; /* while ending */
};

static void store_end(struct live *live);
static void stop_signals(struct live *live);
static int stop_begin(struct live *live);
static void deleting_start(struct deleting *deleting);

/* ---- live jobs ---- */

static int live_new(struct api *api, struct state_job *job, struct live **ret_live)
{
    struct live *live = calloc(1, sizeof(*live));
    if (!live)
        return -ENOMEM;
    *live = (struct live){.api = api, .job = job, .spec_fd = -EBADF, .followed.uuid = job->uuid};
    int r = uv_timer_init(&api->loop, &live->timer);
    if (r < 0) {
        free(live);
        return r;
    }
    live->timer.data = live;
    job->user = live;
    api->jobs_live++;
    *ret_live = live;
    return 0;
}

static void live_on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* The job stays, without its live part. */
static void live_free(struct live *live)
{
    struct api *api = live->api;
    api->jobs_live--;
    live->job->user = NULL;
    live->spec_fd = fd_close(live->spec_fd);
    uv_close((uv_handle_t *)&live->timer, live_on_closed);
    if (api->jobs_live == 0 && api->drained)
        api->drained(api);
}

static void waiter_on_cancel(struct grpc_call *call)
{
    struct waiter *waiter = grpc_call_user(call);
    struct waiter **at = &waiter->live->stoppers;
    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
    free(waiter);
}

static void waiter_add(struct waiter **list, struct live *live, struct grpc_call *call)
{
    struct waiter *waiter = malloc(sizeof(*waiter));
    if (!waiter) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
        return;
    }
    *waiter = (struct waiter){.next = *list, .live = live, .call = call};
    *list = waiter;
    grpc_call_set_user(call, waiter);
    grpc_call_on_cancel(call, waiter_on_cancel);
}

/* Takes one waiting call out of the list; NULL at its end. */
static struct grpc_call *waiter_take(struct waiter **list)
{
    struct waiter *waiter = *list;
    if (!waiter)
        return NULL;
    struct grpc_call *call = waiter->call;
    *list = waiter->next;
    free(waiter);
    grpc_call_on_cancel(call, NULL);
    grpc_call_set_user(call, NULL);
    return call;
}

/* ---- the end ---- */

static const struct {
    enum record_reason reason;
    enum state_status status;
} end_statuses[] = {
        {RECORD_REASON_TIMEOUT, STATE_STATUS_TIMEOUT},
        {RECORD_REASON_STOPPED, STATE_STATUS_STOPPED},
        {RECORD_REASON_CANCELLED, STATE_STATUS_CANCELED},
        {RECORD_REASON_OUT_OF_MEMORY, STATE_STATUS_FAILED},
        {RECORD_REASON_LIMIT, STATE_STATUS_FAILED},
        {RECORD_REASON_SETUP_FAILURE, STATE_STATUS_FAILED},
};

/* A job that was to be stopped and ended by itself meanwhile, or by the TERM, was stopped. A time or memory limit keeps
 * its own name. */
static void progress_set_end(struct state_progress *progress, const struct record *record)
{
    enum record_reason reason = record->reason < RECORD_REASON_COUNT ? (enum record_reason)record->reason : 0;
    bool by_itself = reason == RECORD_REASON_EXITED || reason == RECORD_REASON_SIGNAL;
    if (by_itself && progress->stop_requested)
        reason = RECORD_REASON_STOPPED;
    progress->status =
            reason == RECORD_REASON_EXITED && record->exit_code == 0 ? STATE_STATUS_COMPLETED : STATE_STATUS_FAILED;
    for (size_t i = 0; i < ELEMENTS(end_statuses); i++)
        if (end_statuses[i].reason == reason)
            progress->status = end_statuses[i].status;
    progress->exit_code = reason == RECORD_REASON_SETUP_FAILURE ? -1 : record->exit_code;
    progress->end_signal = record->signal;
    if (record->started_unix_ns)
        progress->started_unix_ns = record->started_unix_ns;
    progress->ended_unix_ns = record->ended_unix_ns ? record->ended_unix_ns : text_now_unix_ns();
    progress->log_bytes = record->log_bytes;
    progress->log_left_out_bytes = record->log_left_out_bytes;
    (void)snprintf(progress->end_reason, sizeof(progress->end_reason), "%s", record_reason_name(reason));
    (void)snprintf(progress->error, sizeof(progress->error), "%.*s", ERROR_TEXT_MAX - 1,
            record->error.code ? record->error.text : "");
}

static void log_end(const struct state_job *job)
{
    log_event(LOG_LEVEL_INFO, "job ended", "job", job->uuid, "status", state_status_name(job->now.status), "reason",
            job->now.end_reason, "exit_code", LOG_NUMBER(job->now.exit_code), "error", job->now.error, NULL);
}

static void on_released(const struct channel_received *reply, void *user)
{
    struct live *live = user;
    struct deleting *deleting = live->deleting;
    (void)reply; /* not known there any more is as good */
    live_free(live);
    if (deleting)
        deleting_start(deleting);
}

static void start_failed_finish(struct live *live)
{
    struct grpc_call *call = live->run_call;
    if (!call)
        return;
    live->run_call = NULL;
    const struct error *failure = &live->failure;
    if (failure->code == EAGAIN)
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "job %s was not started: %s", live->job->uuid, failure->text);
    else
        grpc_call_finish(call, GRPC_INTERNAL, "job %s was not started: %s: %s", live->job->uuid,
                plan_stage_name(failure->stage), failure->text);
}

static void on_retry(uv_timer_t *timer)
{
    store_end(timer->data);
}

static void on_end_stored(const struct error *error, struct state_job *job, void *user)
{
    struct live *live = user;
    if (error) {
        log_event(LOG_LEVEL_ERROR, "the end of a job could not be stored, trying again", "job", job->uuid, "error",
                error->text, NULL);
        (void)uv_timer_start(&live->timer, on_retry, RETRY_MS, 0);
        return;
    }
    log_end(job);
    logs_ended(live->api->logs, &live->followed);
    start_failed_finish(live);
    struct grpc_call *call;
    while ((call = waiter_take(&live->stoppers)))
        reply_stopped(call, job);
    if (link_job_id(live->api->link, CHANNEL_JOB_RELEASE, job->id, on_released, live) < 0)
        on_released(NULL, live);
}

static void store_end(struct live *live)
{
    int r = state_update(live->api->state, live->job, &live->end, on_end_stored, live);
    if (r < 0)
        (void)uv_timer_start(&live->timer, on_retry, RETRY_MS, 0);
}

static void live_end(struct live *live, const struct record *record, uint64_t cpu_ns, uint64_t memory_peak_bytes)
{
    if (live->ending)
        return;
    live->ending = true;
    (void)uv_timer_stop(&live->timer);
    live->end = *state_job_latest(live->job);
    progress_set_end(&live->end, record);
    live->end.cpu_ns = cpu_ns;
    live->end.memory_peak_bytes = memory_peak_bytes;
    store_end(live);
}

/* A job that joblet runs and nobody can see or stop must not go on (a restored, older database). */
static void forget_unknown(struct api *api, const uint8_t id[16])
{
    char uuid[TEXT_UUID_MAX];
    text_format_uuid(id, uuid);
    log_event(LOG_LEVEL_WARN, "a job ended that is not in the job table, removing it", "job", uuid, NULL);
    (void)link_job_id(api->link, CHANNEL_JOB_RELEASE, id, NULL, NULL);
    (void)link_job_id(api->link, CHANNEL_JOB_REMOVE, id, NULL, NULL);
}

void jobs_on_ended(struct api *api, const struct channel_job_ended *ended)
{
    struct state_job *job = state_find(api->state, ended->record.job_id);
    if (!job) {
        forget_unknown(api, ended->record.job_id);
        return;
    }
    if (job->user) {
        live_end(job->user, &ended->record, ended->cpu_ns, ended->memory_peak_bytes);
        return;
    }
    /* Stored in an earlier life of ours, which ended before the release. */
    if (state_status_is_final(job->now.status))
        (void)link_job_id(api->link, CHANNEL_JOB_RELEASE, job->id, NULL, NULL);
}

/* ---- the start ---- */

static void run_on_cancel(struct grpc_call *call)
{
    /* A job's life is not tied to the call that asked for it. */
    struct live *live = grpc_call_user(call);
    live->run_call = NULL;
}

static void start_failed(struct live *live, const struct error *error)
{
    live->failed = true;
    live->failure = *error;
    struct record record = {.reason = RECORD_REASON_SETUP_FAILURE, .exit_code = -1, .error = *error};
    live_end(live, &record, 0, 0);
}

static void on_started(const struct channel_received *received, void *user)
{
    struct live *live = user;
    const struct channel_start_reply *reply = (const void *)received->bytes;
    if (reply->error.code) {
        start_failed(live, &reply->error);
        return;
    }
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
        stop_signals(live);
}

static void on_inserted(const struct error *error, struct state_job *job, void *user)
{
    struct live *live = user;
    if (error) {
        log_event(LOG_LEVEL_ERROR, "a job could not be stored", "job", job->uuid, "error", error->text, NULL);
        if (live->run_call)
            grpc_call_finish(live->run_call, GRPC_UNAVAILABLE, "the job could not be stored: %s", error->text);
        logs_ended(live->api->logs, &live->followed);
        struct grpc_call *call;
        while ((call = waiter_take(&live->stoppers)))
            grpc_call_finish(call, GRPC_NOT_FOUND, "job not found: %s", job->uuid);
        live_free(live);
        return;
    }
    live->stored = true;
    if (live->stop_wanted)
        (void)stop_begin(live);
    struct channel_job_start message = {
            .header = {.operation = CHANNEL_JOB_START, .size = sizeof(message)},
            .limits = {.memory_bytes = job->memory_bytes,
                    .timeout_ns = job->timeout_ns,
                    .cpu_percent = job->cpu_percent,
                    .processes = job->processes},
    };
    memcpy(message.job_id, job->id, sizeof(message.job_id));
    int r = link_request(live->api->link, &message, TAKE_FD(live->spec_fd), on_started, live);
    if (r < 0) {
        struct error failure;
        (void)error_errno(&failure, -r, "ask for the start");
        failure.stage = 0;
        start_failed(live, &failure);
    }
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

/* ---- the stop ---- */

static void on_killed(const struct channel_received *reply, void *user)
{
    (void)user;
    const struct error *error = link_reply_error(reply);
    /* Already gone: its end is on its way. */
    if (error->code && error->code != ESRCH && error->code != ENOENT)
        log_event(LOG_LEVEL_ERROR, "a job could not be killed", "error", error->text, NULL);
}

static void on_grace(uv_timer_t *timer)
{
    struct live *live = timer->data;
    (void)link_job_signal(live->api->link, live->job->id, CHANNEL_SIGNAL_KILL, on_killed, NULL);
}

static void stop_signals(struct live *live)
{
    if (live->stopping || live->ending || !live->started)
        return;
    live->stopping = true;
    uint64_t grace_ms = live->api->settings.stop_grace_ns / 1000000;
    if (grace_ms) {
        (void)link_job_signal(live->api->link, live->job->id, CHANNEL_SIGNAL_TERMINATE, NULL, NULL);
        (void)uv_timer_start(&live->timer, on_grace, grace_ms, 0);
    } else {
        on_grace(&live->timer);
    }
}

static void on_intent_stored(const struct error *error, struct state_job *job, void *user)
{
    /* The live part may be gone: the job can end while its intent is written, but then its end is stored after. */
    struct live *live = user;
    if (!error) {
        stop_signals(live);
        return;
    }
    struct grpc_call *call;
    while ((call = waiter_take(&live->stoppers)))
        grpc_call_finish(call, GRPC_UNAVAILABLE, "the stop of %s could not be stored: %s", job->uuid, error->text);
}

static int stop_begin(struct live *live)
{
    struct state_progress progress = *state_job_latest(live->job);
    if (live->ending || progress.stop_requested)
        return 0;
    /* A row that could not be inserted must not have further changes on their way. */
    if (!live->stored) {
        live->stop_wanted = true;
        return 0;
    }
    progress.stop_requested = true;
    return state_update(live->api->state, live->job, &progress, on_intent_stored, live);
}

void jobs_stop(struct api *api, struct state_job *job, struct grpc_call *call)
{
    (void)api;
    struct live *live = job->user;
    if (!live || state_status_is_final(job->now.status)) {
        grpc_call_finish(call, GRPC_FAILED_PRECONDITION, "job is not running: %s (status: %s)", job->uuid,
                state_status_name(job->now.status));
        return;
    }
    if (stop_begin(live) < 0)
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
    else
        waiter_add(&live->stoppers, live, call);
}

/* ---- following and deleting ---- */

void jobs_follow(struct api *api, struct state_job *job, struct grpc_call *call)
{
    struct live *live = job->user;
    bool ended = !live || state_status_is_final(job->now.status);
    logs_follow(api->logs, job, ended ? NULL : &live->followed, call);
}

/* One DeleteJob or DeleteAllJobs. */
struct deletion {
    struct api *api;
    struct grpc_call *call; /* NULL when the client went */
    bool all;
    uint32_t pending;
    uint32_t deleted;
    uint32_t skipped;
    uint32_t failed;
    char uuid[TEXT_UUID_MAX];
    struct error error;
};

/* One job of a deletion. */
struct deleting {
    struct deletion *deletion;
    struct state_job *job;
};

static void deletion_on_cancel(struct grpc_call *call)
{
    struct deletion *deletion = grpc_call_user(call);
    deletion->call = NULL;
}

static void deletion_reply(const struct deletion *deletion)
{
    char message[320];
    if (deletion->all) {
        Joblet__DeleteAllJobsResponse response;
        joblet__delete_all_jobs_response__init(&response);
        (void)snprintf(message, sizeof(message), "deleted %u jobs, skipped %u", deletion->deleted, deletion->skipped);
        if (deletion->failed)
            (void)snprintf(message, sizeof(message), "deleted %u jobs, skipped %u, %u could not be deleted: %s",
                    deletion->deleted, deletion->skipped, deletion->failed, deletion->error.text);
        response.success = deletion->failed == 0;
        response.message = message;
        response.deleted_count = (int32_t)deletion->deleted;
        response.skipped_count = (int32_t)(deletion->skipped + deletion->failed);
        reply_message(deletion->call, &response.base);
        return;
    }
    if (deletion->failed) {
        grpc_call_finish(
                deletion->call, GRPC_INTERNAL, "job %s could not be deleted: %s", deletion->uuid, deletion->error.text);
        return;
    }
    Joblet__DeleteJobResponse response;
    joblet__delete_job_response__init(&response);
    char uuid[TEXT_UUID_MAX];
    memcpy(uuid, deletion->uuid, sizeof(uuid));
    (void)snprintf(message, sizeof(message), "job %s deleted", uuid);
    response.uuid = uuid;
    response.success = true;
    response.message = message;
    reply_message(deletion->call, &response.base);
}

static void deletion_unref(struct deletion *deletion)
{
    if (--deletion->pending > 0)
        return;
    if (deletion->call)
        deletion_reply(deletion);
    free(deletion);
}

static void deleting_done(struct deleting *deleting, const struct error *error)
{
    struct deletion *deletion = deleting->deletion;
    if (error) {
        deletion->failed++;
        deletion->error = *error;
        deleting->job->deleting = false;
    } else {
        deletion->deleted++;
    }
    free(deleting);
    deletion_unref(deletion);
}

static void on_row_deleted(const struct error *error, struct state_job *job, void *user)
{
    if (!error)
        log_event(LOG_LEVEL_INFO, "job deleted", "job", job->uuid, NULL);
    deleting_done(user, error);
}

/* Files first: a row without a log is harmless, a log without a row would stay for ever. */
static void on_files_removed(const struct channel_received *reply, void *user)
{
    struct deleting *deleting = user;
    const struct error *error = link_reply_error(reply);
    if (error->code && error->code != ENOENT) {
        deleting_done(deleting, error);
        return;
    }
    struct error failure;
    int r = state_delete(deleting->deletion->api->state, deleting->job, on_row_deleted, deleting);
    if (r < 0) {
        (void)error_errno(&failure, -r, "delete");
        deleting_done(deleting, &failure);
    }
}

static void deleting_start(struct deleting *deleting)
{
    struct error failure;
    if (link_job_id(deleting->deletion->api->link, CHANNEL_JOB_REMOVE, deleting->job->id, on_files_removed, deleting) ==
            0)
        return;
    (void)error_errno(&failure, EPIPE, "remove the files");
    deleting_done(deleting, &failure);
}

/* @job has ended. Until joblet has released it, its files stay. */
static void deletion_add(struct deletion *deletion, struct state_job *job)
{
    struct deleting *deleting = malloc(sizeof(*deleting));
    if (!deleting) {
        deletion->failed++;
        (void)error_text(&deletion->error, ENOMEM, "no memory");
        return;
    }
    *deleting = (struct deleting){deletion, job};
    job->deleting = true;
    deletion->pending++;
    struct live *live = job->user;
    if (live)
        live->deleting = deleting;
    else
        deleting_start(deleting);
}

/* With one reference, the caller's. NULL: the call was answered. */
static struct deletion *deletion_new(struct api *api, struct grpc_call *call, bool all)
{
    struct deletion *deletion = calloc(1, sizeof(*deletion));
    if (!deletion) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
        return NULL;
    }
    *deletion = (struct deletion){.api = api, .call = call, .all = all, .pending = 1};
    grpc_call_set_user(call, deletion);
    grpc_call_on_cancel(call, deletion_on_cancel);
    return deletion;
}

void jobs_delete(struct api *api, struct state_job *job, struct grpc_call *call)
{
    if (!state_status_is_final(job->now.status)) {
        grpc_call_finish(call, GRPC_FAILED_PRECONDITION, "job is still running: %s (status: %s), stop it first",
                job->uuid, state_status_name(job->now.status));
        return;
    }
    struct deletion *deletion = deletion_new(api, call, /* all= */ false);
    if (!deletion)
        return;
    memcpy(deletion->uuid, job->uuid, sizeof(deletion->uuid));
    deletion_add(deletion, job);
    deletion_unref(deletion);
}

void jobs_delete_all(struct api *api, struct grpc_call *call)
{
    struct deletion *deletion = deletion_new(api, call, /* all= */ true);
    if (!deletion)
        return;
    struct state_job *older;
    for (struct state_job *job = state_newest(api->state); job; job = older) {
        older = job->older;
        if (job->deleting)
            continue;
        if (state_status_is_final(job->now.status))
            deletion_add(deletion, job);
        else
            deletion->skipped++;
    }
    deletion_unref(deletion);
}

/* ---- after a restart ---- */

struct reconciling {
    struct api *api;
    void (*ready)(struct api *api);
};

/* A job that joblet does not know any more: its exit record says how it ended, or nobody does. */
static void end_from_record(struct api *api, struct state_job *job)
{
    char path[TEXT_UUID_MAX + 16];
    (void)snprintf(path, sizeof(path), "%s/record", job->uuid);
    _cleanup_close_ int fd = openat(api->jobs_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct record record;
    struct state_progress progress = *state_job_latest(job);
    if (fd >= 0 && record_read(fd, &record) == 0 && memcmp(record.job_id, job->id, sizeof(job->id)) == 0) {
        progress_set_end(&progress, &record);
    } else {
        bool never = progress.status == STATE_STATUS_INITIALIZING;
        progress.status = STATE_STATUS_FAILED;
        progress.exit_code = -1;
        progress.ended_unix_ns = text_now_unix_ns();
        (void)snprintf(progress.end_reason, sizeof(progress.end_reason), "%s",
                never ? record_reason_name(RECORD_REASON_SETUP_FAILURE) : "");
        (void)snprintf(progress.error, sizeof(progress.error), "%s",
                never ? "the service ended before the job was started"
                      : "the job was lost: the host or the service went down while it ran");
    }
    log_event(LOG_LEVEL_WARN, "a job ended while nobody looked", "job", job->uuid, "status",
            state_status_name(progress.status), "reason", progress.end_reason, "error", progress.error, NULL);
    (void)state_update(api->state, job, &progress, NULL, NULL);
}

static void reconcile_finish(struct api *api)
{
    for (struct state_job *job = state_newest(api->state); job; job = job->older) {
        struct live *live = job->user;
        if (state_status_is_final(job->now.status))
            continue;
        if (!live)
            end_from_record(api, job);
        else if (job->now.stop_requested)
            stop_signals(live);
    }
}

static void reconcile_job(struct api *api, const struct channel_job_reply *reply)
{
    struct state_job *job = state_find(api->state, reply->job_id);
    struct live *live = NULL;
    if (!job) {
        char uuid[TEXT_UUID_MAX];
        text_format_uuid(reply->job_id, uuid);
        log_event(LOG_LEVEL_WARN, "a job runs that is not in the job table, killing it", "job", uuid, NULL);
        if (reply->phase != CHANNEL_JOB_ENDED)
            (void)link_job_signal(api->link, reply->job_id, CHANNEL_SIGNAL_KILL, on_killed, NULL);
        return;
    }
    if (state_status_is_final(job->now.status) || job->user || live_new(api, job, &live) < 0)
        return;
    live->stored = true;
    live->started = true;
    live->followed.started = true;
    if (job->now.status == STATE_STATUS_RUNNING)
        return;
    struct state_progress progress = job->now;
    progress.status = STATE_STATUS_RUNNING;
    progress.started_unix_ns = reply->started_unix_ns;
    (void)state_update_lazy(api->state, job, &progress);
}

static void list_next(struct reconciling *reconciling, uint32_t cursor);

static void on_listed(const struct channel_received *received, void *user)
{
    struct reconciling *reconciling = user;
    const struct channel_job_reply *reply = (const void *)received->bytes;
    if (reply->next) {
        reconcile_job(reconciling->api, reply);
        list_next(reconciling, reply->next);
        return;
    }
    struct api *api = reconciling->api;
    void (*ready)(struct api *) = reconciling->ready;
    free(reconciling);
    reconcile_finish(api);
    ready(api);
}

static void list_next(struct reconciling *reconciling, uint32_t cursor)
{
    struct channel_list_jobs message = {
            .header = {.operation = CHANNEL_LIST_JOBS, .size = sizeof(message)}, .cursor = cursor};
    (void)link_request(reconciling->api->link, &message, -EBADF, on_listed, reconciling);
}

static void on_hello(const struct channel_received *received, void *user)
{
    struct reconciling *reconciling = user;
    const struct channel_hello_reply *reply = (const void *)received->bytes;
    if (reply->error.code || reply->version != CHANNEL_VERSION) {
        log_event(LOG_LEVEL_ERROR, "joblet and joblet-api do not fit together", "error", reply->error.text, NULL);
        reconciling->api->exit_status = 1;
        uv_stop(&reconciling->api->loop);
        free(reconciling);
        return;
    }
    reconciling->api->jobs_max = reply->max_jobs;
    list_next(reconciling, 0);
}

void jobs_reconcile(struct api *api, void (*ready)(struct api *api))
{
    struct reconciling *reconciling = malloc(sizeof(*reconciling));
    if (!reconciling)
        abort();
    *reconciling = (struct reconciling){api, ready};
    struct channel_hello message = {
            .header = {.operation = CHANNEL_HELLO, .size = sizeof(message)}, .version = CHANNEL_VERSION};
    (void)link_request(api->link, &message, -EBADF, on_hello, reconciling);
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
            (void)stop_begin(job->user);
}
