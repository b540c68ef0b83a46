#include "broker/operations.h"

#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"
#include "broker/bases.h"
#include "broker/build.h"
#include "broker/context.h"
#include "broker/host_state.h"
#include "broker/job.h"
#include "broker/limits.h"
#include "plan/plan.h"
#include "plan/spec.h"

enum phase { PHASE_NEW, PHASE_GREETED };

struct operation {
    enum phase phase; /* the one in which it is permitted */
    double per_second;
    double burst;
    /* Checks every operand and does it, or answers with an error. */
    void (*apply)(struct broker *broker, struct channel_received *message);
    uint16_t reply_size;
};

static void reply_error(struct broker *broker, const struct channel_header *request, const struct error *error)
{
    if (error->code != 0)
        trail_refused(broker, request, error);
    api_reply(&broker->api, request, broker->api.generation, error);
}

static void apply_hello(struct broker *broker, struct channel_received *message)
{
    const struct channel_hello *hello = (const void *)message->bytes;
    struct channel_hello_reply reply = {
            .header = hello->header, .version = CHANNEL_VERSION, .max_jobs = slots_capacity(broker->slots)};
    reply.header.size = sizeof(reply);
    if (hello->version != CHANNEL_VERSION || hello->reserved != 0)
        (void)error_text(&reply.error, EPROTO, "joblet speaks version %u of the channel, joblet-api version %u",
                CHANNEL_VERSION, hello->version);
    else
        broker->api.greeted = true;
    api_send(&broker->api, &reply);
}

static void send_missed_ends(struct broker *broker)
{
    broker->api.listed = true;
    for (struct job *job = broker->first_job; job; job = job->next)
        if (job->phase == CHANNEL_JOB_ENDED && !job->gone && !job->is_internal)
            job_send_end(job);
}

static void apply_list(struct broker *broker, struct channel_received *message)
{
    const struct channel_list_jobs *list = (const void *)message->bytes;
    struct channel_job_reply reply = {.header = list->header};
    reply.header.size = sizeof(reply);
    struct job *job = job_from(broker, list->cursor);
    if (job) {
        reply.next = job->serial + 1;
        reply.phase = job->phase;
        reply.type = job->note.type;
        reply.started_unix_ns = job->note.started_unix_ns;
        memcpy(reply.job_id, job->note.job_id, sizeof(reply.job_id));
    }
    api_send(&broker->api, &reply);
    if (job)
        job_send_view(job);
    else
        send_missed_ends(broker);
}

static int check_start(struct broker *broker, struct channel_job_start *start, int spec_fd, struct error *error)
{
    int r = job_check_start(broker, start->job_id, spec_fd, error);
    if (r == 0)
        r = store_check_operand(&start->runtime, /* may_be_empty= */ true, error);
    return r == 0 ? limits_settle_job(broker, &start->limits, error) : r;
}

static void apply_start(struct broker *broker, struct channel_received *message)
{
    struct channel_job_start start;
    memcpy(&start, message->bytes, sizeof(start));
    struct channel_start_reply reply = {.header = start.header};
    reply.header.size = sizeof(reply);
    if (check_start(broker, &start, message->fds[0], &reply.error) < 0) {
        reply.error.stage = PLAN_STAGE_PREPARE;
        trail_refused(broker, &start.header, &reply.error);
        api_send(&broker->api, &reply);
        return;
    }
    struct job_order order = {.type = PLAN_TYPE_STANDARD,
            .operation = CHANNEL_JOB_START,
            .sequence = start.header.sequence,
            .limits = start.limits,
            .runtime = start.runtime};
    memcpy(order.id, start.job_id, sizeof(order.id));
    job_start(broker, &order, message->fds[0]);
}

static int signal_job(struct job *job, const struct channel_job_signal *request, struct error *error)
{
    if (job->phase == CHANNEL_JOB_ENDED)
        return error_text(error, ESRCH, "job %s has ended", job->uuid);
    if (request->signal == CHANNEL_SIGNAL_TERMINATE)
        return job_terminate(job, error);
    job_kill(job);
    return 0;
}

static void apply_signal(struct broker *broker, struct channel_received *message)
{
    const struct channel_job_signal *request = (const void *)message->bytes;
    struct error error = {0};
    struct job *job = job_find(broker, request->job_id);
    if (request->reserved != 0 ||
            (request->signal != CHANNEL_SIGNAL_TERMINATE && request->signal != CHANNEL_SIGNAL_KILL))
        (void)error_text(&error, EINVAL, "there is no signal %u", request->signal);
    else if (!job)
        (void)error_text(&error, ESRCH, "there is no such job");
    else
        (void)signal_job(job, request, &error);
    reply_error(broker, &request->header, &error);
}

static void apply_release(struct broker *broker, struct channel_received *message)
{
    const struct channel_job_id *request = (const void *)message->bytes;
    struct error error = {0};
    struct job *job = job_find(broker, request->job_id);
    if (job && job->phase != CHANNEL_JOB_ENDED)
        (void)error_text(&error, EBUSY, "job %s has not ended", job->uuid);
    else if (job)
        job_release(job);
    reply_error(broker, &request->header, &error);
}

static void apply_remove(struct broker *broker, struct channel_received *message)
{
    const struct channel_job_id *request = (const void *)message->bytes;
    struct error error = {0};
    char uuid[TEXT_UUID_MAX];
    text_format_uuid(request->job_id, uuid);
    if (job_find(broker, request->job_id)) {
        (void)error_text(&error, EBUSY, "job %s is not released", uuid);
    } else {
        int r = files_remove(broker->jobs_fd, uuid);
        if (r < 0)
            (void)error_errno(&error, -r, "remove the files of job %s", uuid);
    }
    reply_error(broker, &request->header, &error);
}

static void apply_look(struct broker *broker, struct channel_received *message)
{
    const struct channel_job_id *request = (const void *)message->bytes;
    struct channel_look_reply reply = {.header = request->header};
    reply.header.size = sizeof(reply);
    const struct job *job = job_find(broker, request->job_id);
    if (job)
        (void)job_look(job, &reply.view, &reply.error);
    else
        (void)error_text(&reply.error, ESRCH, "there is no such job");
    api_send(&broker->api, &reply);
}

static void apply_build(struct broker *broker, struct channel_received *message)
{
    struct channel_build_start request;
    memcpy(&request, message->bytes, sizeof(request));
    build_start(broker, &request, message->fds[0]);
}

static void apply_tool(struct broker *broker, struct channel_received *message)
{
    struct channel_tool_start request;
    memcpy(&request, message->bytes, sizeof(request));
    build_start_tool(broker, &request, message->fds[0]);
}

static void apply_publish(struct broker *broker, struct channel_received *message)
{
    struct channel_build_publish request;
    memcpy(&request, message->bytes, sizeof(request));
    build_publish(broker, &request);
}

static void apply_remove_runtime(struct broker *broker, struct channel_received *message)
{
    struct channel_runtime_remove request;
    memcpy(&request, message->bytes, sizeof(request));
    build_remove_runtime(broker, &request);
}

static void apply_host_state(struct broker *broker, struct channel_received *message)
{
    struct channel_host_reply reply;
    host_state_read(broker->prefix_fd, &reply);
    reply.header = message->header;
    reply.header.size = sizeof(reply);
    api_send(&broker->api, &reply);
}

static void apply_audit(struct broker *broker, struct channel_received *message)
{
    trail_append(broker, &message->header, message->fds[0]);
}

static void apply_base_find(struct broker *broker, struct channel_received *message)
{
    struct channel_base_find request;
    struct channel_base_reply reply = {.header = message->header};
    memcpy(&request, message->bytes, sizeof(request));
    reply.header.size = sizeof(reply);
    const struct base *base = bases_find(&broker->bases, request.key, &reply.error);
    if (base) {
        memcpy(reply.build_id, base->record.build_id, sizeof(reply.build_id));
        memcpy(reply.notes, base->record.notes, sizeof(reply.notes));
        reply.made_unix_ns = base->record.made_unix_ns;
    }
    api_send(&broker->api, &reply);
}

static void apply_base_seal(struct broker *broker, struct channel_received *message)
{
    struct channel_base_seal request;
    memcpy(&request, message->bytes, sizeof(request));
    build_seal(broker, &request);
}

static const struct operation operations[CHANNEL_OPERATION_COUNT] = {
        [CHANNEL_HELLO] = {PHASE_NEW, 1, 1, apply_hello, sizeof(struct channel_hello_reply)},
        [CHANNEL_LIST_JOBS] = {PHASE_GREETED, 20000, 20000, apply_list, sizeof(struct channel_job_reply)},
        [CHANNEL_JOB_START] = {PHASE_GREETED, 2000, 4000, apply_start, sizeof(struct channel_start_reply)},
        [CHANNEL_JOB_SIGNAL] = {PHASE_GREETED, 4000, 8000, apply_signal, sizeof(struct channel_reply)},
        [CHANNEL_JOB_RELEASE] = {PHASE_GREETED, 20000, 20000, apply_release, sizeof(struct channel_reply)},
        [CHANNEL_JOB_REMOVE] = {PHASE_GREETED, 20000, 20000, apply_remove, sizeof(struct channel_reply)},
        [CHANNEL_JOB_LOOK] = {PHASE_GREETED, 500, 500, apply_look, sizeof(struct channel_look_reply)},
        [CHANNEL_BUILD_START] = {PHASE_GREETED, 20, 100, apply_build, sizeof(struct channel_start_reply)},
        [CHANNEL_TOOL_START] = {PHASE_GREETED, 50, 200, apply_tool, sizeof(struct channel_start_reply)},
        [CHANNEL_BUILD_PUBLISH] = {PHASE_GREETED, 20, 100, apply_publish, sizeof(struct channel_reply)},
        [CHANNEL_RUNTIME_REMOVE] = {PHASE_GREETED, 50, 200, apply_remove_runtime, sizeof(struct channel_reply)},
        [CHANNEL_HOST_STATE] = {PHASE_GREETED, 20, 100, apply_host_state, sizeof(struct channel_host_reply)},
        [CHANNEL_AUDIT_APPEND] = {PHASE_GREETED, 10000, 20000, apply_audit, sizeof(struct channel_reply)},
        [CHANNEL_BASE_FIND] = {PHASE_GREETED, 20, 100, apply_base_find, sizeof(struct channel_base_reply)},
        [CHANNEL_BASE_SEAL] = {PHASE_GREETED, 20, 100, apply_base_seal, sizeof(struct channel_reply)},
};

/* True when the operation may be done now; it then costs a token. */
static bool take_token(struct api_bucket *bucket, const struct operation *operation)
{
    int64_t now_ns = text_now_monotonic_ns();
    if (bucket->filled_ns == 0)
        bucket->tokens = operation->burst;
    else
        bucket->tokens += operation->per_second * (double)(now_ns - bucket->filled_ns) / 1e9;
    bucket->filled_ns = now_ns;
    if (bucket->tokens > operation->burst)
        bucket->tokens = operation->burst;
    if (bucket->tokens < 1)
        return false;
    bucket->tokens -= 1;
    return true;
}

/* Any reply has an error, all but those of starts at the same place, so that one function can refuse all of them. */
_Static_assert(sizeof(struct channel_start_reply) != sizeof(struct channel_reply) &&
                       sizeof(struct channel_start_reply) != sizeof(struct channel_look_reply) &&
                       sizeof(struct channel_start_reply) != sizeof(struct channel_host_reply) &&
                       sizeof(struct channel_start_reply) != sizeof(struct channel_base_reply),
        "a start's reply is known by its size");
static void reply_busy(struct broker *broker, const struct channel_header *request, uint16_t size)
{
    uint8_t bytes[CHANNEL_MESSAGE_MAX] = {0};
    struct channel_header header = *request;
    struct error error = {0};
    header.size = size;
    (void)error_text(&error, EAGAIN, "too many requests of this kind, try again later");
    trail_refused(broker, request, &error);
    memcpy(bytes, &header, sizeof(header));
    if (size == sizeof(struct channel_start_reply))
        memcpy(bytes + offsetof(struct channel_start_reply, error), &error, sizeof(error));
    else
        memcpy(bytes + offsetof(struct channel_reply, error), &error, sizeof(error));
    api_send(&broker->api, bytes);
}

int operations_handle(struct broker *broker, struct channel_received *message, const char **ret_reason)
{
    struct api *api = &broker->api;
    const struct channel_header *header = &message->header;
    uint16_t size = channel_request_size(header->operation);
    *ret_reason = "an unknown operation";
    if (size == 0)
        return -EPROTO;
    *ret_reason = "a wrong size or number of descriptors";
    if (header->size != size || message->fd_count != channel_request_fds(header->operation))
        return -EPROTO;
    const struct operation *operation = &operations[header->operation];
    *ret_reason = "an operation out of phase";
    if (operation->phase != (api->greeted ? PHASE_GREETED : PHASE_NEW))
        return -EPROTO;
    if (take_token(&api->buckets[header->operation], operation))
        operation->apply(broker, message);
    else if (header->operation == CHANNEL_HELLO || header->operation == CHANNEL_LIST_JOBS)
        return -EPROTO; /* these have no room for an error */
    else
        reply_busy(broker, header, operation->reply_size);
    return 0;
}
