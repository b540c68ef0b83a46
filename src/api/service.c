#include "api/service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/audit.h"
#include "api/audit_search.h"
#include "api/builds.h"
#include "api/deletion.h"
#include "api/describe.h"
#include "api/jobs.h"
#include "api/look.h"
#include "api/reply.h"
#include "api/request.h"
#include "api/roles.h"
#include "api/runtimes.h"
#include "api/store.h"
#include "api/wire.h"
#include "base/fd.h"
#include "base/log.h"
#include "runtime/reference.h"
#ifdef HAVE_MONITOR
#include "monitor/monitor.h"
#endif

/* Units of one certificate that are looked at. One that hides a role behind more of them has no role less: all of them
 * are its own issuer's words. */
#define UNITS_MAX 16

enum role service_role(const struct grpc_call *call)
{
    const char *units[UNITS_MAX];
    return role_from_units(units, grpc_call_peer_units(call, units, UNITS_MAX));
}

int service_authorize(struct grpc_call *call, const char *path, char *ret_message, void *user)
{
    struct api *api = user;
    struct error error;
    enum role role = service_role(call);
    const struct role_method *method = role_method_find(path);
    bool refused = role_permit(role, path, &error) < 0;
    if (method && !audit_watch(api, call, method, refused)) {
        (void)snprintf(ret_message, 256, "no memory");
        return GRPC_RESOURCE_EXHAUSTED;
    }
    if (!refused)
        return GRPC_OK;
    log_event(LOG_LEVEL_WARN, "call refused", "who", grpc_call_peer_name(call), "role", role_name(role), "method", path,
            NULL);
    (void)snprintf(ret_message, 256, "%s", error.text);
    return GRPC_PERMISSION_DENIED;
}

static void finish_error(struct grpc_call *call, int r, const struct error *error)
{
    static const struct {
        int code;
        enum grpc_status status;
    } statuses[] = {
            {EINVAL, GRPC_INVALID_ARGUMENT},
            {ENOENT, GRPC_NOT_FOUND},
            {EOPNOTSUPP, GRPC_FAILED_PRECONDITION},
            {E2BIG, GRPC_INVALID_ARGUMENT},
            {ENOMEM, GRPC_RESOURCE_EXHAUSTED},
            {EMFILE, GRPC_RESOURCE_EXHAUSTED},
    };
    enum grpc_status status = GRPC_INTERNAL;
    for (size_t i = 0; i < ELEMENTS(statuses); i++)
        if (statuses[i].code == -r)
            status = statuses[i].status;
    grpc_call_finish(call, status, "%s", error->text);
}

static void message_donep(ProtobufCMessage **message)
{
    if (*message)
        protobuf_c_message_free_unpacked(*message, NULL);
}

/* NULL in @ret_runtime when none is asked for. 0; -EINVAL, -ENOENT with @error. */
static int find_runtime(
        struct api *api, const char *text, const struct runtime_description **ret_runtime, struct error *error)
{
    struct runtime_reference reference;
    const struct store_runtime *runtime = NULL;
    if (!*text)
        return 0;
    int r = runtime_reference_parse(text, &reference, error);
    if (r == 0)
        r = store_resolve(api->store, &reference, &runtime, error);
    if (r == 0 && !runtime)
        r = error_text(error, ENOENT, "runtime not found: %.128s", text);
    if (r == 0)
        *ret_runtime = runtime->description;
    return r;
}

static void handle_run_job(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user)
{
    struct api *api = user;
    struct error error = {0};
    _cleanup_(message_donep) ProtobufCMessage *message =
            wire_unpack(&joblet__run_job_request__descriptor, bytes, size, &error);
    if (!message) {
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "%s", error.text);
        return;
    }
    const Joblet__RunJobRequest *asked = (const void *)message;
    const struct runtime_description *runtime = NULL;
    struct request request;
    describe_job(audit_details(call), asked);
    int r = find_runtime(api, asked->runtime, &runtime, &error);
    describe_runtime(call, asked->runtime, runtime);
    if (r == 0)
        r = request_read(asked, &api->settings, runtime, &request, &error);
    if (r < 0) {
        finish_error(call, r, &error);
        return;
    }
    r = request_seal(&request, &error);
    struct state_job *job = request.job;
    audit_set(call, "job", job->uuid);
    job->owner = strdup(grpc_call_peer_name(call));
    job->role = strdup(role_name(service_role(call)));
    job->node_id = strdup(api->settings.node_id);
    if (r == 0 && (!job->owner || !job->role || !job->node_id))
        r = error_text(&error, ENOMEM, "no memory");
    if (r < 0)
        finish_error(call, r, &error);
    else
        jobs_run(api, &request, call);
    request_done(&request);
}

/* The methods that take { string uuid = 1 }: all of their requests have this one shape, so one is decoded for all. */
static struct state_job *find_job(struct grpc_call *call, const uint8_t *bytes, size_t size, const struct api *api)
{
    struct error error = {0};
    struct state_job *job = NULL;
    _cleanup_(message_donep) ProtobufCMessage *message =
            wire_unpack(&joblet__get_job_status_request__descriptor, bytes, size, &error);
    if (!message) {
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "%s", error.text);
        return NULL;
    }
    const Joblet__GetJobStatusRequest *request = (const void *)message;
    int r = state_lookup(api->state, request->uuid, &job, &error);
    audit_set(call, "job", r < 0 ? request->uuid : job->uuid);
    if (r < 0)
        finish_error(call, r, &error);
    return r < 0 ? NULL : job;
}

static void handle_get_job_status(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user)
{
    struct state_job *job = find_job(call, bytes, size, user);
    if (job)
        look_status(user, job, call);
}

static void handle_stop_job(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user)
{
    struct state_job *job = find_job(call, bytes, size, user);
    if (!job)
        return;
    log_event(LOG_LEVEL_INFO, "stop asked for", "job", job->uuid, "who", grpc_call_peer_name(call), NULL);
    jobs_stop(user, job, call);
}

static void handle_delete_job(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user)
{
    struct state_job *job = find_job(call, bytes, size, user);
    if (!job)
        return;
    log_event(LOG_LEVEL_INFO, "deletion asked for", "job", job->uuid, "who", grpc_call_peer_name(call), NULL);
    deletion_one(user, job, call);
}

static void handle_get_job_logs(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user)
{
    struct state_job *job = find_job(call, bytes, size, user);
    if (job)
        jobs_follow(user, job, call);
}

/* Requests without fields: only that they are messages. True when it is one. */
static bool empty_request(struct grpc_call *call, const uint8_t *bytes, size_t size)
{
    struct error error;
    if (wire_check(&joblet__empty_request__descriptor, bytes, size, &error) == 0)
        return true;
    grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "%s", error.text);
    return false;
}

static void handle_list_jobs(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user)
{
    const struct api *api = user;
    if (empty_request(call, bytes, size))
        reply_list(call, api->state);
}

static void handle_delete_all_jobs(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user)
{
    if (!empty_request(call, bytes, size))
        return;
    log_event(LOG_LEVEL_INFO, "deletion of all jobs asked for", "who", grpc_call_peer_name(call), NULL);
    deletion_all(user, call);
}

#ifdef HAVE_MONITOR
static void handle_get_system_status(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user)
{
    const struct api *api = user;
    struct error error = {0};
    if (!empty_request(call, bytes, size))
        return;
    Joblet__SystemStatusResponse *status = NULL;
    int r = monitor_read_status(api->monitor, &status, &error);
    if (r < 0) {
        finish_error(call, r, &error);
        return;
    }
    reply_message(call, &status->base);
    monitor_free_status(status);
}
#else
#define handle_get_system_status NULL
#endif

static const struct grpc_method methods[] = {
        {"/joblet.JobService/RunJob", handle_run_job},
        {"/joblet.JobService/GetJobStatus", handle_get_job_status},
        {"/joblet.JobService/StopJob", handle_stop_job},
        {"/joblet.JobService/DeleteJob", handle_delete_job},
        {"/joblet.JobService/DeleteAllJobs", handle_delete_all_jobs},
        {"/joblet.JobService/GetJobLogs", handle_get_job_logs},
        {"/joblet.JobService/ListJobs", handle_list_jobs},
        {"/joblet.MonitoringService/GetSystemStatus", handle_get_system_status},
        {"/joblet.RuntimeService/ValidateRuntimeYAML", runtimes_validate},
        {"/joblet.RuntimeService/ListRuntimes", runtimes_list},
        {"/joblet.RuntimeService/GetRuntimeInfo", runtimes_info},
        {"/joblet.RuntimeService/TestRuntime", runtimes_test},
        {"/joblet.RuntimeService/RemoveRuntime", runtimes_remove},
        {"/joblet.RuntimeService/BuildRuntime", builds_handle},
        {"/joblet.ext.AuditService/ListRecords", audit_search_list},
        {"/joblet.ext.AuditService/GetRecord", audit_search_get},
        /* Known, so that a role is refused first, and not there yet. */
        {"/joblet.JobService/CancelJob", NULL},
        {"/joblet.JobService/StreamJobMetrics", NULL},
        {"/joblet.JobService/GetJobMetrics", NULL},
        {"/joblet.JobService/StreamJobTelematics", NULL},
        {"/joblet.JobService/GetJobTelematics", NULL},
        {"/joblet.NetworkService/CreateNetwork", NULL},
        {"/joblet.NetworkService/ListNetworks", NULL},
        {"/joblet.NetworkService/RemoveNetwork", NULL},
        {"/joblet.VolumeService/CreateVolume", NULL},
        {"/joblet.VolumeService/ListVolumes", NULL},
        {"/joblet.VolumeService/RemoveVolume", NULL},
        {"/joblet.MonitoringService/StreamSystemMetrics", NULL},
};

const struct grpc_method *service_methods(size_t *ret_count)
{
    *ret_count = ELEMENTS(methods);
    return methods;
}
