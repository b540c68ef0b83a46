#include "api/reconcile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/live.h"
#include "base/fd.h"
#include "base/log.h"
#include "plan/plan.h"

/* A start takes milliseconds; one that another joblet-api had asked for is waited for, this often. */
#define STARTING_MS 20U
#define STARTING_TRIES 500U

struct reconciling {
    struct api *api;
    void (*ready)(struct api *api);
    uv_timer_t timer;
    unsigned tries;
    bool starting; /* one was in this pass of the list */
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
        live_set_end(&progress, &record);
        durable_sync_now(api->jobs_fd, job->uuid);
    } else {
        /* Without files joblet had not begun with it. */
        bool never = progress.status == STATE_STATUS_INITIALIZING && faccessat(api->jobs_fd, job->uuid, F_OK, 0) < 0;
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
            live_stop_signals(live);
    }
}

static void reconcile_job(struct api *api, const struct channel_job_reply *reply)
{
    struct state_job *job = state_find(api->state, reply->job_id);
    struct live *live = NULL;
    if (!job) {
        char uuid[TEXT_UUID_MAX];
        text_format_uuid(reply->job_id, uuid);
        /* Builds and our own programs are never in it: who waited for them went with an earlier joblet-api. */
        log_event(LOG_LEVEL_WARN, "a job runs that is not in the job table, killing it", "job", uuid, "type",
                plan_type_name(reply->type), NULL);
        if (reply->phase != CHANNEL_JOB_ENDED)
            (void)link_job_signal(api->link, reply->job_id, CHANNEL_SIGNAL_KILL, NULL, NULL);
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

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_list_again(uv_timer_t *timer)
{
    list_next(timer->data, 0);
}

static void on_listed(const struct channel_received *received, void *user)
{
    struct reconciling *reconciling = user;
    const struct channel_job_reply *reply = (const void *)received->bytes;
    struct api *api = reconciling->api;
    if (reply->next) {
        /* Nobody will tell us how it goes on: the answer goes to the joblet-api that asked. */
        if (reply->phase == CHANNEL_JOB_STARTING && reconciling->tries < STARTING_TRIES)
            reconciling->starting = true;
        else
            reconcile_job(api, reply);
        list_next(reconciling, reply->next);
        return;
    }
    if (reconciling->starting) {
        reconciling->starting = false;
        reconciling->tries++;
        (void)uv_timer_start(&reconciling->timer, on_list_again, STARTING_MS, 0);
        return;
    }
    void (*ready)(struct api *) = reconciling->ready;
    uv_close((uv_handle_t *)&reconciling->timer, on_timer_closed);
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
        uv_close((uv_handle_t *)&reconciling->timer, on_timer_closed);
        return;
    }
    reconciling->api->jobs_max = reply->max_jobs;
    list_next(reconciling, 0);
}

void reconcile(struct api *api, void (*ready)(struct api *api))
{
    struct reconciling *reconciling = calloc(1, sizeof(*reconciling));
    if (!reconciling || uv_timer_init(&api->loop, &reconciling->timer) < 0)
        abort(); /* without memory at the very start there is nothing to serve with */
    reconciling->api = api;
    reconciling->ready = ready;
    reconciling->timer.data = reconciling;
    struct channel_hello message = {
            .header = {.operation = CHANNEL_HELLO, .size = sizeof(message)}, .version = CHANNEL_VERSION};
    (void)link_request(api->link, &message, -EBADF, on_hello, reconciling);
}
