/* What joblet records of itself: nobody asks for these, so that the silence of a joblet-api that was taken over shows.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "broker/context.h"
#include "broker/job.h"
#include "broker/store.h"
#include "plan/plan.h"

/* Refused operations that are recorded one by one: so many at once, and so many a second. */
#define REFUSALS_BURST 200.0
#define REFUSALS_PER_SECOND 10.0

static void begin(struct trail_facts *facts, const char *action, const char *result)
{
    facts->size = 0;
    trail_add(facts, "action", action);
    trail_add(facts, "result", result);
}

static void add_error(struct trail_facts *facts, const struct error *error)
{
    if (error->code == 0)
        return;
    trail_add(facts, "error", error->text);
    if (error->stage != 0)
        trail_add(facts, "stage", plan_stage_name(error->stage));
}

/* ---- the service ---- */

void trail_service_started(struct broker *broker)
{
    struct trail_facts facts;
    begin(&facts, "service.start", "ok");
    trail_addf(&facts, "pid", "%d", getpid());
    trail_add(&facts, "prefix", broker->prefix);
    (void)trail_write(broker, &facts, NULL);
}

void trail_service_ended(struct broker *broker, const struct error *error)
{
    struct trail_facts facts;
    begin(&facts, "service.end", error ? "failed" : "ok");
    if (error)
        add_error(&facts, error);
    trail_addf(&facts, "jobs_running", "%u", job_count_running(broker));
    (void)trail_write(broker, &facts, NULL);
}

void trail_api(struct broker *broker, const char *action, const char *reason)
{
    struct trail_facts facts;
    begin(&facts, action, reason ? "refused" : "ok");
    trail_addf(&facts, "pid", "%d", broker->api.pid);
    trail_add(&facts, "error", reason ? reason : "");
    (void)trail_write(broker, &facts, NULL);
}

void trail_api_ended(struct broker *broker, bool clean, bool exited, int status)
{
    struct trail_facts facts;
    begin(&facts, "api.end", clean ? "ok" : "failed");
    trail_addf(&facts, "pid", "%d", broker->api.pid);
    trail_addf(&facts, exited ? "exit_code" : "signal", "%d", status);
    (void)trail_write(broker, &facts, NULL);
}

/* ---- jobs ---- */

/* "job.start", "build.start" and so on. */
static void begin_job(struct trail_facts *facts, const struct job *job, const char *what, const char *result)
{
    static const char *const names[] = {
            [PLAN_TYPE_STANDARD] = "job",
            [PLAN_TYPE_BUILD] = "build",
            [PLAN_TYPE_COLLECT] = "collect",
            [PLAN_TYPE_VERIFY] = "verify",
            [PLAN_TYPE_SWEEP] = "sweep",
    };
    char action[48];
    char runtime[STORE_TEXT_MAX];
    (void)snprintf(
            action, sizeof(action), "%s.%s", job->note.type < ELEMENTS(names) ? names[job->note.type] : "job", what);
    begin(facts, action, result);
    trail_add(facts, "job", job->uuid);
    trail_add(facts, "type", plan_type_name(job->note.type));
    if (job->runtime.name[0]) {
        store_describe(&job->runtime, runtime);
        trail_add(facts, "runtime", runtime);
    }
}

static void add_process(struct trail_facts *facts, const char *name, const struct channel_view_process *process)
{
    char text[512];
    size_t size = (size_t)snprintf(text, sizeof(text),
            "pid=%u inner_pid=%u uid=%u gid=%u groups=%u no_new_privs=%u seccomp=%u filters=%u cap_inh=%" PRIx64
            " cap_prm=%" PRIx64 " cap_eff=%" PRIx64 " cap_bnd=%" PRIx64 " cap_amb=%" PRIx64 " uid_map=%u:%u:%u own_ns=",
            process->pid, process->inner_pid, process->uid[1], process->gid[1], process->group_count,
            process->no_new_privs, process->seccomp, process->seccomp_filters, process->cap_inheritable,
            process->cap_permitted, process->cap_effective, process->cap_bounding, process->cap_ambient,
            process->uid_map.inside, process->uid_map.outside, process->uid_map.count);
    bool first = true;
    for (int i = 0; i < PROCSTATUS_NS_COUNT && size < sizeof(text); i++) {
        if (!(process->own_namespaces & 1U << i))
            continue;
        size += (size_t)snprintf(
                text + size, sizeof(text) - size, "%s%s", first ? "" : ",", procstatus_ns_name((enum procstatus_ns)i));
        first = false;
    }
    trail_add(facts, name, text);
}

static void add_limit(struct trail_facts *facts, const char *name, uint64_t value)
{
    if (value == CHANNEL_VIEW_NO_LIMIT)
        trail_add(facts, name, "none");
    else if (value != CHANNEL_VIEW_NOT_SET)
        trail_addf(facts, name, "%" PRIu64, value);
}

int trail_job_started(struct job *job, struct error *error)
{
    const struct channel_kernel_view *view = &job->note.view;
    struct trail_facts facts;
    begin_job(&facts, job, "start", "ok");
    trail_addf(&facts, "id_base", "%u", job->note.id_base);
    add_process(&facts, "kernel_init", &view->init);
    add_process(&facts, "kernel_command", &view->command);
    add_limit(&facts, "limit_memory", view->limits.memory_bytes);
    add_limit(&facts, "limit_swap", view->limits.swap_bytes);
    add_limit(&facts, "limit_cpu_percent", view->limits.cpu_percent);
    add_limit(&facts, "limit_processes", view->limits.processes);
    add_limit(&facts, "limit_open_files", view->limits.open_files_hard);
    add_limit(&facts, "limit_core_bytes", view->limits.core_bytes_hard);
    trail_add(&facts, "cgroups", view->cgroups);
    return trail_write(job->broker, &facts, error);
}

void trail_job_failed(const struct job *job)
{
    struct trail_facts facts;
    begin_job(&facts, job, "start", "failed");
    add_error(&facts, &job->failure);
    (void)trail_write(job->broker, &facts, NULL);
}

void trail_job_ended(const struct job *job)
{
    const struct record *record = &job->ended.record;
    struct trail_facts facts;
    begin_job(&facts, job, "end", record->reason == RECORD_REASON_EXITED && record->exit_code == 0 ? "ok" : "failed");
    trail_add(&facts, "reason", record_reason_name(record->reason));
    trail_addf(&facts, "exit_code", "%d", record->exit_code);
    if (record->signal != 0)
        trail_addf(&facts, "signal", "%d", record->signal);
    add_error(&facts, &record->error);
    trail_addf(&facts, "cpu_ns", "%" PRIu64, job->ended.cpu_ns);
    trail_addf(&facts, "memory_peak", "%" PRIu64, job->ended.memory_peak_bytes);
    trail_addf(&facts, "log_bytes", "%" PRIu64, record->log_bytes);
    (void)trail_write(job->broker, &facts, NULL);
}

/* ---- operations ---- */

static const char *operation_name(uint16_t operation)
{
    static const char *const names[CHANNEL_OPERATION_COUNT] = {
            [CHANNEL_HELLO] = "hello",
            [CHANNEL_LIST_JOBS] = "list jobs",
            [CHANNEL_JOB_START] = "start a job",
            [CHANNEL_JOB_SIGNAL] = "signal a job",
            [CHANNEL_JOB_RELEASE] = "release a job",
            [CHANNEL_JOB_REMOVE] = "remove a job",
            [CHANNEL_JOB_LOOK] = "look at a job",
            [CHANNEL_BUILD_START] = "start a build",
            [CHANNEL_TOOL_START] = "start a tool",
            [CHANNEL_BUILD_PUBLISH] = "publish a build",
            [CHANNEL_RUNTIME_REMOVE] = "remove a runtime",
            [CHANNEL_HOST_STATE] = "read the host's state",
            [CHANNEL_AUDIT_APPEND] = "write the audit log",
            [CHANNEL_BASE_FIND] = "find a base",
            [CHANNEL_BASE_SEAL] = "seal a base",
    };
    return operation < CHANNEL_OPERATION_COUNT && names[operation] ? names[operation] : "unknown";
}

static bool take_refusal(struct trail *trail)
{
    int64_t now_ns = text_now_monotonic_ns();
    if (trail->refusal_ns == 0)
        trail->refusal_tokens = REFUSALS_BURST;
    else
        trail->refusal_tokens += REFUSALS_PER_SECOND * (double)(now_ns - trail->refusal_ns) / 1e9;
    if (trail->refusal_tokens > REFUSALS_BURST)
        trail->refusal_tokens = REFUSALS_BURST;
    trail->refusal_ns = now_ns;
    if (trail->refusal_tokens < 1) {
        trail->refusals_left_out++;
        return false;
    }
    trail->refusal_tokens -= 1;
    return true;
}

void trail_refused(struct broker *broker, const struct channel_header *request, const struct error *error)
{
    struct trail_facts facts;
    if (!take_refusal(&broker->trail))
        return;
    begin(&facts, "operation.refused", "refused");
    trail_add(&facts, "operation", operation_name(request->operation));
    add_error(&facts, error);
    if (broker->trail.refusals_left_out > 0)
        trail_addf(&facts, "left_out_before", "%" PRIu64, broker->trail.refusals_left_out);
    broker->trail.refusals_left_out = 0;
    (void)trail_write(broker, &facts, NULL);
}

void trail_runtime(struct broker *broker, const char *action, const char *runtime, const uint8_t *job)
{
    struct trail_facts facts;
    char uuid[TEXT_UUID_MAX];
    begin(&facts, action, strcmp(action, "runtime.damaged") == 0 ? "failed" : "ok");
    trail_add(&facts, "runtime", runtime);
    if (job) {
        text_format_uuid(job, uuid);
        trail_add(&facts, "job", uuid);
    }
    (void)trail_write(broker, &facts, NULL);
}
