/* BuildRuntime: a build told to one client as it goes. The build does not wait for its client, and what the client does
 * not take is not kept: log lines are left out, and said to be, phases and the result never are (there are few). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/builds.h"
#include "api/roles.h"
#include "api/runtimes.h"
#include "api/service.h"
#include "api/wire.h"
#include "base/fd.h"
#include "joblet.pb-c.h"
#include "runtime/build.h"

/* Bytes that wait for the connection. */
#define QUEUE_MAX ((size_t)256 << 10)

struct stream {
    struct grpc_call *call;
    struct build *build; /* NULL: none was begun */
    bool verbose;
    uint64_t left_out;
};

static void send_progress(struct grpc_call *call, const Joblet__BuildRuntimeProgress *progress)
{
    size_t size = protobuf_c_message_get_packed_size(&progress->base);
    _cleanup_free_ uint8_t *bytes = malloc(size + 1);
    if (bytes)
        (void)grpc_call_send(call, bytes, protobuf_c_message_pack(&progress->base, bytes));
}

static void send_log(struct grpc_call *call, const char *level, const char *message)
{
    Joblet__BuildRuntimeProgress progress;
    Joblet__BuildLogLine line;
    joblet__build_runtime_progress__init(&progress);
    joblet__build_log_line__init(&line);
    line.level = (char *)(uintptr_t)level;
    line.message = (char *)(uintptr_t)message;
    line.timestamp = text_now_unix_ns();
    progress.progress_type_case = JOBLET__BUILD_RUNTIME_PROGRESS__PROGRESS_TYPE_LOG;
    progress.log = &line;
    send_progress(call, &progress);
}

static void tell_left_out(struct stream *stream)
{
    char text[96];
    if (stream->left_out == 0)
        return;
    (void)snprintf(text, sizeof(text), "%llu log lines were left out: the client reads too slowly",
            (unsigned long long)stream->left_out);
    stream->left_out = 0;
    send_log(stream->call, "warn", text);
}

static void on_log(void *user, const char *level, const char *message)
{
    struct stream *stream = user;
    if (strcmp(level, "debug") == 0 && !stream->verbose)
        return;
    if (grpc_call_queued(stream->call) >= QUEUE_MAX) {
        stream->left_out++;
        return;
    }
    tell_left_out(stream);
    send_log(stream->call, level, message);
}

static void on_phase(void *user, unsigned number, const char *message)
{
    struct stream *stream = user;
    Joblet__BuildRuntimeProgress progress;
    Joblet__BuildPhaseProgress phase;
    joblet__build_runtime_progress__init(&progress);
    joblet__build_phase_progress__init(&phase);
    tell_left_out(stream);
    phase.phase_number = (int32_t)number;
    phase.total_phases = RUNTIME_PHASE_COUNT;
    phase.phase_name = (char *)(uintptr_t)runtime_phase_name(number);
    phase.message = (char *)(uintptr_t)message;
    progress.progress_type_case = JOBLET__BUILD_RUNTIME_PROGRESS__PROGRESS_TYPE_PHASE;
    progress.phase = &phase;
    send_progress(stream->call, &progress);
}

static void send_result(struct grpc_call *call, const char *name, const char *version, const struct build_result *from)
{
    Joblet__BuildRuntimeProgress progress;
    Joblet__BuildResult result;
    joblet__build_runtime_progress__init(&progress);
    joblet__build_result__init(&result);
    result.success = from->success;
    result.message = (char *)(uintptr_t)from->message;
    result.runtime_name = (char *)(uintptr_t)name;
    result.runtime_version = (char *)(uintptr_t)version;
    result.install_path = (char *)(uintptr_t)from->install_path;
    result.size_bytes = (int64_t)from->size_bytes;
    result.build_duration_ms = (int64_t)from->duration_ms;
    progress.progress_type_case = JOBLET__BUILD_RUNTIME_PROGRESS__PROGRESS_TYPE_RESULT;
    progress.result = &result;
    send_progress(call, &progress);
    grpc_call_finish(call, GRPC_OK, NULL);
}

static void on_result(void *user, const struct build_result *result)
{
    struct stream *stream = user;
    const struct runtime_spec *spec = stream->build->spec;
    tell_left_out(stream);
    send_result(stream->call, spec->name, spec->version, result);
    free(stream);
}

static const struct build_sink sink = {.phase = on_phase, .log = on_log, .result = on_result};

static void on_drained(struct grpc_call *call)
{
    tell_left_out(grpc_call_user(call));
}

static void on_cancel(struct grpc_call *call)
{
    struct stream *stream = grpc_call_user(call);
    build_forget(stream->build);
    build_cancel(stream->build, "cancelled: the client ended the call");
    free(stream);
}

/* ---- the request ---- */

/* A specification that is none is a result, not an error. */
static void answer_invalid(struct stream *stream, const struct runtime_problems *problems)
{
    char message[1024];
    size_t count = problems->texts.count + problems->left_out;
    int used = snprintf(
            message, sizeof(message), "the runtime specification has %zu error%s", count, count == 1 ? "" : "s");
    on_phase(stream, 1, "the specification is not valid");
    for (size_t i = 0; i < problems->texts.count; i++) {
        char copy[sizeof(message)];
        send_log(stream->call, "error", problems->texts.items[i]);
        (void)snprintf(copy, sizeof(copy), "%s%s", i == 0 ? ": " : "; ", problems->texts.items[i]);
        if ((size_t)used < sizeof(message) - 1) {
            text_copy_cut(message + used, sizeof(message) - (size_t)used, copy);
            used += (int)strlen(message + used);
        }
    }
    audit_fail(stream->call, message);
    struct build_result result = {.message = message, .install_path = ""};
    send_result(stream->call, "", "", &result);
    free(stream);
}

static void begin(
        struct api *api, struct stream *stream, const Joblet__BuildRuntimeRequest *message, struct runtime_spec **spec)
{
    struct grpc_call *call = stream->call;
    struct build_request request = {.spec_take = spec,
            .yaml = message->yaml_content,
            .setup_script = message->setup_script,
            .who = grpc_call_peer_name(call),
            .role = role_name(service_role(call)),
            .subject = audit_subject(call),
            .dry_run = message->dry_run,
            .force = message->force_rebuild};
    grpc_call_set_user(call, stream);
    grpc_call_on_cancel(call, on_cancel);
    grpc_call_on_drained(call, on_drained);
    int r = builds_add(api, &request, &sink, stream, &stream->build);
    if (r == 0) {
        audit_leave(call);
        return;
    }
    free(stream);
    if (r == -EAGAIN)
        grpc_call_finish(
                call, GRPC_RESOURCE_EXHAUSTED, "%u builds run or wait: the maximum of this server", BUILDS_MAX);
    else
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
}

static void handle(struct api *api, struct grpc_call *call, const Joblet__BuildRuntimeRequest *message)
{
    struct runtime_problems problems = {0};
    _cleanup_(runtime_spec_freep) struct runtime_spec *spec = NULL;
    struct stream *stream = calloc(1, sizeof(*stream));
    int r = stream ? runtime_spec_parse(message->yaml_content, strlen(message->yaml_content), &spec, &problems)
                   : -ENOMEM;
    if (r == 0 || r == -EINVAL)
        *stream = (struct stream){.call = call, .verbose = message->verbose};
    if (r == 0) {
        begin(api, stream, message, &spec);
    } else if (r == -EINVAL) {
        answer_invalid(stream, &problems);
    } else {
        free(stream);
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
    }
    runtime_problems_done(&problems);
}

void builds_handle(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user)
{
    struct api *api = user;
    struct error error = {0};
    ProtobufCMessage *unpacked = NULL;
    /* What is much too large is not even unpacked: the loop has other calls to answer. */
    if (size > RUNTIME_SPEC_SIZE_MAX + RUNTIME_SETUP_MAX + RUNTIMES_REQUEST_ROOM)
        (void)error_text(&error, EINVAL, "the request has %zu bytes: a specification has at most %u, setup.sh %u", size,
                RUNTIME_SPEC_SIZE_MAX, RUNTIME_SETUP_MAX);
    else
        unpacked = wire_unpack(&joblet__build_runtime_request__descriptor, bytes, size, &error);
    const Joblet__BuildRuntimeRequest *message = (const void *)unpacked;
    if (!message)
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "%s", error.text);
    else if (!*message->yaml_content)
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "yaml_content is required");
    else if (strlen(message->setup_script) > RUNTIME_SETUP_MAX)
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "setup_script is too long: %zu bytes, at most %u",
                strlen(message->setup_script), RUNTIME_SETUP_MAX);
    else if (api->shutting_down)
        grpc_call_finish(call, GRPC_UNAVAILABLE, "the server is shutting down");
    else
        handle(api, call, message);
    if (unpacked)
        protobuf_c_message_free_unpacked(unpacked, NULL);
}
