#include "api/task.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/builds.h"
#include "base/fd.h"
#include "base/log.h"
#include "plan/spec.h"

/* Read in one turn of the loop: others want theirs too. */
#define PIECES_PER_TURN 8
#define PIECE_BYTES 16384U
#define KILL_AGAIN_MS 1000U

static void pump(struct task *task);

static void on_timer(uv_timer_t *timer)
{
    pump(timer->data);
}

/* In the loop's next turn. */
static void pump_later(struct task *task)
{
    (void)uv_timer_start(&task->timer, on_timer, 0, 0);
}

static void on_changed(struct logs_followed *followed)
{
    pump((struct task *)(void *)((char *)followed - offsetof(struct task, followed)));
}

static void tell_end(struct task *task)
{
    if (task->end_told)
        return;
    task->end_told = true;
    logs_unwatch(task->api->logs, &task->followed);
    task->events->ended(task, &task->end);
}

/* Gives what there is. The task may be gone afterwards. */
static void pump(struct task *task)
{
    char buffer[PIECE_BYTES];
    if (task->end_told)
        return;
    for (unsigned i = 0; task->open && i < PIECES_PER_TURN; i++) {
        size_t size = 0;
        uint32_t stream = 0;
        int r = joblog_reader_next(&task->reader, task->end_known, buffer, sizeof(buffer), &size, &stream);
        if (r < 0)
            log_event(LOG_LEVEL_ERROR, "the log of a build cannot be read", "job", task->uuid, "error", strerror(-r),
                    NULL);
        if (r <= 0) {
            if (task->end_known)
                tell_end(task);
            return;
        }
        task->events->output(task, buffer, size, stream);
    }
    if (task->open)
        pump_later(task);
    else if (task->end_known)
        tell_end(task);
}

/* -errno: nothing can be read. */
static int open_log(struct task *task)
{
    struct logs *logs = task->api->logs;
    task->log_fd = logs_open(logs, task->uuid, "log");
    if (task->log_fd < 0)
        return task->log_fd;
    task->index_fd = logs_open(logs, task->uuid, "log.index");
    joblog_reader_init(&task->reader, task->log_fd, task->index_fd);
    task->open = true;
    return task->end_known ? 0 : logs_watch(logs, &task->followed);
}

static void end_with_failure(struct task *task, const struct error *error)
{
    task->end_known = true;
    task->end = (struct task_end){.record = {.reason = RECORD_REASON_SETUP_FAILURE, .exit_code = -1, .error = *error}};
    pump_later(task);
}

/* Sent again until the end comes: joblet may have been too busy for it. */
static void on_kill(uv_timer_t *timer)
{
    struct task *task = timer->data;
    (void)link_job_signal(task->api->link, task->id, CHANNEL_SIGNAL_KILL, NULL, NULL);
    (void)uv_timer_start(timer, on_kill, KILL_AGAIN_MS, 0);
}

static void on_started(const struct channel_received *received, void *user)
{
    struct task *task = user;
    const struct channel_start_reply *reply = (const void *)received->bytes;
    if (reply->error.code) {
        end_with_failure(task, &reply->error);
        return;
    }
    task->started = true;
    if (task->kill_wanted)
        on_kill(&task->kill_timer);
    int r = open_log(task);
    if (r < 0)
        log_event(LOG_LEVEL_ERROR, "the log of a build cannot be followed", "job", task->uuid, "error", strerror(-r),
                NULL);
    if (task->events->started)
        task->events->started(task, reply->started_unix_ns);
    pump_later(task);
}

/* As spec_encode takes them; the texts are borrowed. NULL without memory. */
static char **texts_array(const struct runtime_list *list)
{
    char **array = calloc(list->count + 1, sizeof(*array));
    if (array && list->count > 0)
        memcpy(array, list->items, list->count * sizeof(*array));
    return array;
}

static int encode(const struct task_request *request, int *ret_fd, struct error *error)
{
    _cleanup_free_ char **arguments = texts_array(request->words);
    _cleanup_free_ char **variables = texts_array(request->environment);
    if (!arguments || !variables)
        return error_text(error, ENOMEM, "no memory");
    return spec_encode(request->work_dir, arguments, variables, ret_fd, error);
}

static int task_new(struct api *api, const uint8_t *id, const struct task_events *events, void *user,
        struct task **ret_task, struct error *error)
{
    struct task *task = calloc(1, sizeof(*task));
    if (!task)
        return error_text(error, ENOMEM, "no memory");
    *task = (struct task){.api = api, .events = events, .user = user, .log_fd = -EBADF, .index_fd = -EBADF};
    int r = 0;
    if (id)
        memcpy(task->id, id, sizeof(task->id));
    else
        r = text_new_uuid(task->id);
    /* Timers are not allocated: the second cannot fail when the first did not. */
    if (r == 0)
        r = uv_timer_init(&api->loop, &task->timer);
    if (r < 0) {
        free(task);
        return error_errno(error, -r, "new build");
    }
    (void)uv_timer_init(&api->loop, &task->kill_timer);
    task->handles = 2;
    task->kill_timer.data = task;
    text_format_uuid(task->id, task->uuid);
    task->timer.data = task;
    task->followed.uuid = task->uuid;
    task->followed.changed = on_changed;
    task->next = api->tasks;
    api->tasks = task;
    *ret_task = task;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct task *task = handle->data;
    if (--task->handles == 0)
        free(task);
}

static void task_free(struct task *task)
{
    struct api *api = task->api;
    struct task **at = &api->tasks;
    while (*at != task)
        at = &(*at)->next;
    *at = task->next;
    logs_unwatch(api->logs, &task->followed);
    task->log_fd = fd_close(task->log_fd);
    task->index_fd = fd_close(task->index_fd);
    uv_close((uv_handle_t *)&task->timer, on_timer_closed);
    uv_close((uv_handle_t *)&task->kill_timer, on_timer_closed);
    builds_on_gone(api);
}

int task_start(struct api *api, const struct task_request *request, const struct task_events *events, void *user,
        struct task **ret_task, struct error *error)
{
    _Static_assert(offsetof(struct channel_job_start, job_id) == offsetof(struct channel_build_start, build_id) &&
                           offsetof(struct channel_job_start, job_id) == offsetof(struct channel_tool_start, job_id),
            "the id stands at one place");
    struct task *task = NULL;
    _cleanup_close_ int spec_fd = request->words ? -EBADF : request->spec_fd;
    int r = request->words ? encode(request, &spec_fd, error) : 0;
    if (r == 0)
        r = task_new(api, request->id, events, user, &task, error);
    if (!task)
        return r;
    struct channel_job_start *start = request->message;
    memcpy(start->job_id, task->id, sizeof(task->id));
    r = link_request(api->link, request->message, TAKE_FD(spec_fd), on_started, task);
    if (r < 0) {
        task_free(task);
        return error_errno(error, -r, "ask for the start");
    }
    *ret_task = task;
    return 0;
}

void task_kill(struct task *task)
{
    if (task->kill_wanted || task->end_known)
        return;
    task->kill_wanted = true;
    if (task->started)
        on_kill(&task->kill_timer);
}

static void finish_release(struct task *task)
{
    void (*released)(void *user) = task->released;
    void *user = task->released_user;
    task_free(task);
    if (released)
        released(user);
}

static void on_removed(const struct channel_received *reply, void *user)
{
    struct task *task = user;
    const struct error *error = link_reply_error(reply);
    if (error->code && error->code != ENOENT)
        log_event(
                LOG_LEVEL_WARN, "the files of a build are not removed", "job", task->uuid, "error", error->text, NULL);
    finish_release(task);
}

static void on_released(const struct channel_received *reply, void *user)
{
    struct task *task = user;
    (void)reply; /* not known there any more is as good */
    if (link_job_id(task->api->link, CHANNEL_JOB_REMOVE, task->id, on_removed, task) < 0)
        finish_release(task);
}

static void on_nothing_to_release(uv_timer_t *timer)
{
    finish_release(timer->data);
}

void task_release(struct task *task, void (*done)(void *user), void *user)
{
    task->released = done;
    task->released_user = user;
    if (link_job_id(task->api->link, CHANNEL_JOB_RELEASE, task->id, on_released, task) < 0)
        (void)uv_timer_start(&task->timer, on_nothing_to_release, 0, 0);
}

bool task_on_ended(struct api *api, const struct channel_job_ended *ended)
{
    for (struct task *task = api->tasks; task; task = task->next) {
        if (memcmp(task->id, ended->record.job_id, sizeof(task->id)) != 0)
            continue;
        if (!task->end_known) {
            task->end_known = true;
            (void)uv_timer_stop(&task->kill_timer);
            task->end = (struct task_end){ended->record, ended->cpu_ns, ended->memory_peak_bytes};
            pump_later(task);
        }
        return true;
    }
    return false;
}

void task_end_format(const struct task_end *end, char ret_text[TASK_END_TEXT_MAX])
{
    const struct record *record = &end->record;
    const char *detail = record->error.code ? record->error.text : "";
    const char *between = *detail ? ": " : "";
    if (record->reason == RECORD_REASON_EXITED)
        (void)snprintf(ret_text, TASK_END_TEXT_MAX, "exited with %d%s%.191s", record->exit_code, between, detail);
    else if (record->reason == RECORD_REASON_SIGNAL)
        (void)snprintf(ret_text, TASK_END_TEXT_MAX, "was ended by signal %d%s%.191s", record->signal, between, detail);
    else if (record->reason == RECORD_REASON_SETUP_FAILURE)
        (void)snprintf(ret_text, TASK_END_TEXT_MAX, "was not started%s%.191s", between, detail);
    else
        (void)snprintf(ret_text, TASK_END_TEXT_MAX, "was ended: %s%s%.191s", record_reason_name(record->reason),
                between, detail);
}
