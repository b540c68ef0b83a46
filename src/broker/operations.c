#include "broker/operations.h"

#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"
#include "broker/context.h"
#include "broker/job.h"
#include "plan/plan.h"
#include "plan/spec.h"

#define CPU_PERCENT_MAX 10000U
#define PROCESSES_MAX 4194304U /* what a kernel's pid_max can be */
#define TIMEOUT_MAX_NS (365ULL * 24 * 3600 * 1000000000)

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
    struct channel_reply reply = {.header = *request};
    reply.header.size = sizeof(reply);
    if (error)
        reply.error = *error;
    api_send(&broker->api, &reply);
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
        if (job->phase == CHANNEL_JOB_ENDED && !job->gone)
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
        reply.started_unix_ns = job->note.started_unix_ns;
        memcpy(reply.job_id, job->note.job_id, sizeof(reply.job_id));
    }
    api_send(&broker->api, &reply);
    if (job)
        job_send_view(job);
    else
        send_missed_ends(broker);
}

/* One limit: 0 becomes the default; above the ceiling is an error. */
static int settle(const char *name, uint64_t *value, uint64_t preset, uint64_t ceiling, struct error *error)
{
    if (*value == 0)
        *value = preset;
    if (ceiling > 0 && *value > ceiling)
        return error_text(error, EINVAL, "%s of %llu is above this host's maximum of %llu", name,
                (unsigned long long)*value, (unsigned long long)ceiling);
    return 0;
}

static int check_cpus(const struct broker *broker, const struct channel_limits *limits, struct error *error)
{
    int cpu = cpulist_first_outside(&limits->cpus, &broker->cgroups.cpus);
    return cpu < 0 ? 0 : error_text(error, EINVAL, "CPU %d is none of this host's", cpu);
}

static int settle_limits(const struct broker *broker, struct channel_limits *limits, struct error *error)
{
    const struct config *config = broker->config;
    uint64_t cpu_percent = limits->cpu_percent;
    uint64_t processes = limits->processes;
    uint64_t open_files = limits->open_files;
    if (limits->reserved != 0 || (open_files > 0 && open_files < PLAN_OPEN_FILES_MIN))
        return error_text(error, EINVAL, "the limits hold %u open files or what is no limit", limits->open_files);
    int r = settle(
            "memory limit", &limits->memory_bytes, config->default_memory_bytes, config->max_memory_bytes, error);
    if (r == 0)
        r = settle("CPU limit", &cpu_percent, config->default_cpu_limit,
                config->max_cpu_limit ? config->max_cpu_limit : CPU_PERCENT_MAX, error);
    if (r == 0)
        r = settle("process limit", &processes, config->default_processes,
                config->max_processes ? config->max_processes : PROCESSES_MAX, error);
    if (r == 0)
        r = settle("open files limit", &open_files, broker->default_open_files, broker->max_open_files, error);
    if (r == 0)
        r = settle("I/O limit", &limits->io_bps, config->default_io_bps, config->max_io_bps, error);
    if (r == 0)
        r = check_cpus(broker, limits, error);
    if (r == 0)
        r = settle("timeout", &limits->timeout_ns, config->job_timeout_ns, TIMEOUT_MAX_NS, error);
    limits->cpu_percent = (uint32_t)cpu_percent;
    limits->processes = (uint32_t)processes;
    limits->open_files = (uint32_t)open_files;
    return r;
}

static int check_start(struct broker *broker, struct channel_job_start *start, int spec_fd, struct error *error)
{
    static const uint8_t none[16];
    size_t size;
    int r = fd_check_sealed(spec_fd, SPEC_SIZE_MAX, &size);
    if (r < 0)
        return error_errno(error, -r, "the job's request is not a sealed file of at most %u bytes", SPEC_SIZE_MAX);
    if (memcmp(start->job_id, none, sizeof(none)) == 0)
        return error_text(error, EINVAL, "a job needs an id");
    if (job_find(broker, start->job_id))
        return error_text(error, EEXIST, "there is a job with this id");
    if (broker->shutting_down)
        return error_text(error, EAGAIN, "the service is shutting down");
    return settle_limits(broker, &start->limits, error);
}

static void apply_start(struct broker *broker, struct channel_received *message)
{
    struct channel_job_start start;
    memcpy(&start, message->bytes, sizeof(start));
    struct channel_start_reply reply = {.header = start.header};
    reply.header.size = sizeof(reply);
    if (check_start(broker, &start, message->fds[0], &reply.error) < 0) {
        reply.error.stage = PLAN_STAGE_PREPARE;
        api_send(&broker->api, &reply);
    } else
        job_start(broker, &start, message->fds[0]);
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

static const struct operation operations[CHANNEL_OPERATION_COUNT] = {
        [CHANNEL_HELLO] = {PHASE_NEW, 1, 1, apply_hello, sizeof(struct channel_hello_reply)},
        [CHANNEL_LIST_JOBS] = {PHASE_GREETED, 20000, 20000, apply_list, sizeof(struct channel_job_reply)},
        [CHANNEL_JOB_START] = {PHASE_GREETED, 2000, 4000, apply_start, sizeof(struct channel_start_reply)},
        [CHANNEL_JOB_SIGNAL] = {PHASE_GREETED, 4000, 8000, apply_signal, sizeof(struct channel_reply)},
        [CHANNEL_JOB_RELEASE] = {PHASE_GREETED, 20000, 20000, apply_release, sizeof(struct channel_reply)},
        [CHANNEL_JOB_REMOVE] = {PHASE_GREETED, 20000, 20000, apply_remove, sizeof(struct channel_reply)},
        [CHANNEL_JOB_LOOK] = {PHASE_GREETED, 500, 500, apply_look, sizeof(struct channel_look_reply)},
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

/* Any reply has an error, all but the start's at the same place, so that one function can refuse all of them. */
static void reply_busy(struct broker *broker, const struct channel_header *request, uint16_t size)
{
    uint8_t bytes[CHANNEL_MESSAGE_MAX] = {0};
    struct channel_header header = *request;
    struct error error = {0};
    header.size = size;
    (void)error_text(&error, EAGAIN, "too many requests of this kind, try again later");
    memcpy(bytes, &header, sizeof(header));
    if (request->operation == CHANNEL_JOB_START)
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
