#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/builds.h"
#include "api/reply.h"
#include "api/roles.h"
#include "api/runtimes.h"
#include "api/service.h"
#include "api/store.h"
#include "api/wire.h"
#include "base/fd.h"
#include "runtime/spec.h"

/* One call, from the parsed specification to its answer. */
struct validation {
    struct grpc_call *call;
    struct build *build;
    struct runtime_list errors;
    struct runtime_list warnings;
    bool no_memory;
};

static void validation_free(struct validation *validation)
{
    runtime_list_done(&validation->errors);
    runtime_list_done(&validation->warnings);
    free(validation);
}

static void add(struct validation *validation, struct runtime_list *list, const char *text)
{
    if (list->count < RUNTIME_PROBLEMS_MAX && runtime_list_add(list, text) < 0)
        validation->no_memory = true;
}

/* Versions of it that are there already. */
static void add_existing(struct validation *validation, struct api *api, const struct runtime_spec *spec)
{
    const struct store_runtime *runtimes = NULL;
    size_t count = 0;
    char text[RUNTIME_PROBLEM_TEXT_MAX];
    if (store_list(api->store, &runtimes, &count, NULL) < 0)
        return;
    for (size_t i = 0; i < count; i++) {
        const struct runtime_description *there = runtimes[i].description;
        if (strcmp(there->name, spec->name) != 0)
            continue;
        (void)snprintf(text, sizeof(text), "%s@%s is there already%s", there->name, there->version,
                strcmp(there->version, spec->version) == 0 ? ": a build replaces it only with --force" : "");
        add(validation, &validation->warnings, text);
    }
}

static void answer(struct validation *validation, const struct runtime_spec *spec, bool valid)
{
    char language[16];
    char digest[RUNTIME_DIGEST_MAX];
    char message[96] = "the runtime specification is valid";
    Joblet__ValidateRuntimeYAMLResponse response;
    Joblet__RuntimeYAMLInfo info;
    joblet__validate_runtime_yamlresponse__init(&response);
    joblet__runtime_yamlinfo__init(&info);
    if (validation->no_memory || runtime_spec_digest(spec, digest) < 0) {
        grpc_call_finish(validation->call, GRPC_RESOURCE_EXHAUSTED, "no memory");
        return;
    }
    (void)snprintf(language, sizeof(language), "%s", runtime_language_name(spec->language));
    info.name = spec->name;
    info.version = spec->version;
    info.language = language;
    info.language_version = spec->language_version;
    info.description = spec->description;
    info.pip_packages = spec->pip.items;
    info.n_pip_packages = spec->pip.count;
    info.npm_packages = spec->npm.items;
    info.n_npm_packages = spec->npm.count;
    info.has_hooks = *spec->pre_install || *spec->post_install;
    info.requires_gpu = spec->gpu;
    info.digest = digest;
    if (!valid)
        (void)snprintf(message, sizeof(message), "the runtime cannot be built on this host");
    response.valid = valid;
    response.message = message;
    response.errors = validation->errors.items;
    response.n_errors = validation->errors.count;
    response.warnings = validation->warnings.items;
    response.n_warnings = validation->warnings.count;
    response.spec_info = &info;
    reply_message(validation->call, &response.base);
}

/* ---- the dry run ---- */

static void on_phase(void *user, unsigned number, const char *message)
{
    (void)user;
    (void)number;
    (void)message;
}

static void on_log(void *user, const char *level, const char *message)
{
    struct validation *validation = user;
    if (strcmp(level, "warn") == 0 || strcmp(level, "error") == 0)
        add(validation, &validation->warnings, message);
}

/* What is said as an error is not said again as a warning. */
static void drop_said(struct validation *validation, const char *error)
{
    struct runtime_list *warnings = &validation->warnings;
    size_t kept = 0;
    for (size_t i = 0; i < warnings->count; i++) {
        if (strstr(error, warnings->items[i]))
            free(warnings->items[i]);
        else
            warnings->items[kept++] = warnings->items[i];
    }
    warnings->count = kept;
}

static void on_result(void *user, const struct build_result *result)
{
    struct validation *validation = user;
    if (result->host_failed) {
        char text[RUNTIME_PROBLEM_TEXT_MAX];
        (void)snprintf(text, sizeof(text), "package availability was not checked: %.300s", result->message);
        add(validation, &validation->warnings, text);
    } else if (!result->success) {
        drop_said(validation, result->message);
        add(validation, &validation->errors, result->message);
    }
    answer(validation, validation->build->spec, result->success || result->host_failed);
    validation_free(validation);
}

static const struct build_sink sink = {.phase = on_phase, .log = on_log, .result = on_result};

static void on_cancel(struct grpc_call *call)
{
    struct validation *validation = grpc_call_user(call);
    build_forget(validation->build);
    build_cancel(validation->build, "cancelled: the client ended the call");
    validation_free(validation);
}

/* Takes the specification. */
static void try_build(struct api *api, struct grpc_call *call, struct runtime_spec **spec, const char *yaml)
{
    struct validation *validation = calloc(1, sizeof(*validation));
    if (!validation) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
        return;
    }
    struct build_request request = {.spec_take = spec,
            .yaml = yaml,
            .setup_script = "",
            .who = grpc_call_peer_name(call),
            .role = role_name(service_role(call)),
            .subject = audit_subject(call),
            .dry_run = true};
    validation->call = call;
    if (runtime_spec_warn(*spec, &validation->warnings) < 0)
        validation->no_memory = true;
    add_existing(validation, api, *spec);
    grpc_call_set_user(call, validation);
    grpc_call_on_cancel(call, on_cancel);
    int r = api->shutting_down ? -EAGAIN : builds_add(api, &request, &sink, validation, &validation->build);
    if (r == 0) {
        audit_leave(call);
        return;
    }
    /* The specification itself is right. */
    add(validation, &validation->warnings, "package availability was not checked: too many builds run or wait");
    answer(validation, *spec, true);
    validation_free(validation);
}

/* ---- the text alone ---- */

static void answer_invalid(struct grpc_call *call, struct runtime_problems *problems)
{
    char message[80];
    Joblet__ValidateRuntimeYAMLResponse answer;
    joblet__validate_runtime_yamlresponse__init(&answer);
    size_t count = problems->texts.count + problems->left_out;
    (void)snprintf(message, sizeof(message), "the runtime specification has %zu error%s", count, count == 1 ? "" : "s");
    if (problems->left_out > 0 &&
            runtime_list_addf(&problems->texts, "%zu more errors are not listed", problems->left_out) < 0) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
        return;
    }
    audit_fail(call, problems->texts.count > 0 ? problems->texts.items[0] : message);
    answer.message = message;
    answer.errors = problems->texts.items;
    answer.n_errors = problems->texts.count;
    reply_message(call, &answer.base);
}

/* What is much too large is not even unpacked: the loop has other calls to answer. */
static bool refuse_size(struct grpc_call *call, size_t size)
{
    if (size <= RUNTIME_SPEC_SIZE_MAX + RUNTIMES_REQUEST_ROOM)
        return false;
    struct runtime_problems problems = {0};
    runtime_problems_add(
            &problems, 0, "the text has about %zu bytes; at most %u are permitted", size, RUNTIME_SPEC_SIZE_MAX);
    answer_invalid(call, &problems);
    runtime_problems_done(&problems);
    return true;
}

void runtimes_validate(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user)
{
    if (refuse_size(call, size))
        return;
    struct error error = {0};
    ProtobufCMessage *message = wire_unpack(&joblet__validate_runtime_yamlrequest__descriptor, bytes, size, &error);
    if (!message) {
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "%s", error.text);
        return;
    }
    const char *text = ((const Joblet__ValidateRuntimeYAMLRequest *)(const void *)message)->yaml_content;
    struct runtime_problems problems = {0};
    _cleanup_(runtime_spec_freep) struct runtime_spec *spec = NULL;
    int r = runtime_spec_parse(text, strlen(text), &spec, &problems);
    if (r == 0)
        try_build(user, call, &spec, text);
    else if (r == -EINVAL)
        answer_invalid(call, &problems);
    else
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
    runtime_problems_done(&problems);
    protobuf_c_message_free_unpacked(message, NULL);
}
