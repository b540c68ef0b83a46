#include "api/runtimes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/reply.h"
#include "api/wire.h"
#include "base/fd.h"
#include "runtime/profile.h"
#include "runtime/spec.h"

/* Of a request beside its text. */
#define REQUEST_ROOM 4096U

/* True when some kind of host has the language in several versions, each under its own name. */
static bool has_versions(enum runtime_language language)
{
    for (unsigned i = 0; i < RUNTIME_PACKAGER_COUNT; i++)
        if (runtime_profile_selects_version(runtime_profile_find(language, i)))
            return true;
    return false;
}

/* What was not looked at, so that "valid" is not taken for more than it is. 0 or -ENOMEM. */
static int add_unchecked(const struct runtime_spec *spec, struct runtime_list *warnings)
{
    const struct {
        bool applies;
        const char *text;
    } rows[] = {
            {true, "package availability is not checked by this server yet"},
            {!has_versions(spec->language),
                    "base.version: hosts have one version of this language; whether it is this one is not checked yet"},
            {spec->platforms != 0, "platforms: whether this server's host is one of them is not checked yet"},
            {spec->gpu, "requirements.gpu: this server has no GPUs for jobs yet"},
            {true, "this server does not build runtimes yet"},
    };
    int r = 0;
    for (size_t i = 0; i < ELEMENTS(rows) && r == 0; i++)
        r = rows[i].applies ? runtime_list_add(warnings, rows[i].text) : 0;
    return r;
}

static void answer_valid(struct grpc_call *call, const struct runtime_spec *spec)
{
    char language[16];
    char digest[RUNTIME_DIGEST_MAX];
    char message[] = "the runtime specification is valid";
    struct runtime_list warnings = {0};
    Joblet__ValidateRuntimeYAMLResponse answer;
    Joblet__RuntimeYAMLInfo info;
    joblet__validate_runtime_yamlresponse__init(&answer);
    joblet__runtime_yamlinfo__init(&info);
    if (runtime_spec_warn(spec, &warnings) < 0 || add_unchecked(spec, &warnings) < 0 ||
            runtime_spec_digest(spec, digest) < 0) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
        runtime_list_done(&warnings);
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
    answer.valid = true;
    answer.message = message;
    answer.warnings = warnings.items;
    answer.n_warnings = warnings.count;
    answer.spec_info = &info;
    reply_message(call, &answer.base);
    runtime_list_done(&warnings);
}

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
    answer.message = message;
    answer.errors = problems->texts.items;
    answer.n_errors = problems->texts.count;
    reply_message(call, &answer.base);
}

/* What is much too large is not even unpacked: the loop has other calls to answer. */
static bool refuse_size(struct grpc_call *call, size_t size)
{
    if (size <= RUNTIME_SPEC_SIZE_MAX + REQUEST_ROOM)
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
    (void)user;
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
        answer_valid(call, spec);
    else if (r == -EINVAL)
        answer_invalid(call, &problems);
    else
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
    runtime_problems_done(&problems);
    protobuf_c_message_free_unpacked(message, NULL);
}
