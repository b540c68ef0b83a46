#include "api/live.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/deletion.h"
#include "api/reply.h"
#include "base/fd.h"
#include "base/log.h"
#include "plan/plan.h"

/* After a write of the job table failed (a full disk) it is tried again. */
#define RETRY_MS 2000U
#define KILL_AGAIN_MS 1000U

/* A StopJob that waits for the end. */
struct waiter {
    struct waiter *next;
    struct live *live;
    struct grpc_call *call;
};

static void store_end(struct live *live);

int live_new(struct api *api, struct state_job *job, struct live **ret_live)
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
void live_free(struct live *live)
{
    struct api *api = live->api;
    api->jobs_live--;
    verify_forget(api, &live->verification);
    if (live->intent)
        live->intent->live = NULL;
    live->job->user = NULL;
    live->spec_fd = fd_close(live->spec_fd);
    free(live->view);
    live->view = NULL;
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

void live_wait_stopped(struct live *live, struct grpc_call *call)
{
    struct waiter *waiter = malloc(sizeof(*waiter));
    if (!waiter) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
        return;
    }
    *waiter = (struct waiter){.next = live->stoppers, .live = live, .call = call};
    live->stoppers = waiter;
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

void live_refuse_stoppers(struct live *live, enum grpc_status status, const char *text)
{
    struct grpc_call *call;
    while ((call = waiter_take(&live->stoppers)))
        grpc_call_finish(call, status, "%s: %s", text, live->job->uuid);
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
void live_set_end(struct state_progress *progress, const struct record *record)
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

static void start_failed_finish(struct live *live)
{
    struct grpc_call *call = live->run_call;
    if (!call)
        return;
    live->run_call = NULL;
    const struct error *failure = &live->failure;
    if (live->unrecorded)
        grpc_call_finish(call, GRPC_UNAVAILABLE, "job %s was not started: %s", live->job->uuid, failure->text);
    else if (failure->code == EAGAIN)
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "job %s was not started: %s", live->job->uuid, failure->text);
    else if (failure->code == EKEYREJECTED) /* a runtime that is not as it was built */
        grpc_call_finish(call, GRPC_FAILED_PRECONDITION, "job %s was not started: %s", live->job->uuid, failure->text);
    else if (failure->code == ENOENT && *live->job->runtime) /* removed meanwhile */
        grpc_call_finish(call, GRPC_NOT_FOUND, "job %s was not started: %s", live->job->uuid, failure->text);
    else if (failure->code == EOPNOTSUPP &&
             failure->stage == PLAN_STAGE_CGROUP) /* a limit that this host cannot keep */
        grpc_call_finish(call, GRPC_FAILED_PRECONDITION, "job %s was not started: %s", live->job->uuid, failure->text);
    else
        grpc_call_finish(call, GRPC_INTERNAL, "job %s was not started: %s: %s", live->job->uuid,
                plan_stage_name(failure->stage), failure->text);
}

/* Waiting calls are answered only now: who starts the next job upon the answer finds the slot free. */
static void on_released(const struct channel_received *reply, void *user)
{
    struct live *live = user;
    struct deleting *deleting = live->deleting;
    (void)reply; /* not known there any more is as good */
    logs_ended(live->api->logs, &live->followed);
    start_failed_finish(live);
    struct grpc_call *call;
    while ((call = waiter_take(&live->stoppers)))
        reply_stopped(call, live->job);
    live_free(live);
    if (deleting)
        deletion_go_on(deleting);
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
    if (link_job_id(live->api->link, CHANNEL_JOB_RELEASE, job->id, on_released, live) < 0)
        on_released(NULL, live);
}

/* The view goes to the disk with the end, in the same transaction: until then joblet has it in its note of the job. */
static void store_end(struct live *live)
{
    if (live->view && state_store_view(live->api->state, live->job, live->view, live->view_size) < 0)
        log_event(LOG_LEVEL_WARN, "what the kernel said of a job is not kept", "job", live->job->uuid, NULL);
    int r = state_update(live->api->state, live->job, &live->end, on_end_stored, live);
    if (r < 0)
        (void)uv_timer_start(&live->timer, on_retry, RETRY_MS, 0);
}

static void on_log_on_disk(struct durable_item *item)
{
    store_end((struct live *)(void *)((char *)item - offsetof(struct live, log)));
}

void live_end(struct live *live, const struct record *record, uint64_t cpu_ns, uint64_t memory_peak_bytes)
{
    if (live->ending)
        return;
    live->ending = true;
    (void)uv_timer_stop(&live->timer);
    live->end = *state_job_latest(live->job);
    live_set_end(&live->end, record);
    live->end.cpu_ns = cpu_ns;
    live->end.memory_peak_bytes = memory_peak_bytes;
    live->log.uuid = live->job->uuid;
    live->log.done = on_log_on_disk;
    if (live->end.log_bytes > 0)
        durable_sync(live->api->work, live->api->jobs_fd, &live->log);
    else
        store_end(live);
}

/* ---- the stop ---- */

static void on_grace(uv_timer_t *timer)
{
    struct live *live = timer->data;
    /* Sent again until the end comes: joblet may have been too busy for it. */
    (void)link_job_signal(live->api->link, live->job->id, CHANNEL_SIGNAL_KILL, NULL, NULL);
    (void)uv_timer_start(timer, on_grace, KILL_AGAIN_MS, 0);
}

void live_stop_signals(struct live *live)
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
        live_stop_signals(live);
        return;
    }
    log_event(LOG_LEVEL_ERROR, "a stop could not be stored", "job", job->uuid, "error", error->text, NULL);
    live_refuse_stoppers(live, GRPC_UNAVAILABLE, "the stop could not be stored");
}

int live_stop(struct live *live)
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
