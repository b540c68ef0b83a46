#include "api/runtimes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "api/audit.h"
#include "api/reply.h"
#include "api/store.h"
#include "api/wire.h"
#include "base/fd.h"
#include "base/log.h"
#include "runtime/manifest.h"
#include "runtime/reference.h"

/* What is read of a manifest for its packages. */
#define PACKAGES_BYTES_MAX ((size_t)4 << 20)

static void unpacked_donep(ProtobufCMessage **message)
{
    if (*message)
        protobuf_c_message_free_unpacked(*message, NULL);
}

/* ---- messages ---- */

/* One RuntimeInfo, of what the store lends. */
struct info {
    Joblet__RuntimeInfo message;
    Joblet__RuntimeRequirements requirements;
    Joblet__RuntimeBuildInfo build;
    Joblet__RuntimeInfo__EnvironmentEntry *entries;
    Joblet__RuntimeInfo__EnvironmentEntry **environment;
    char **names;
};

static void info_done(struct info *info)
{
    for (size_t i = 0; info->names && i < info->message.n_environment; i++)
        free(info->names[i]);
    free(info->names);
    free(info->entries);
    free(info->environment);
}

static int info_fill_environment(struct info *info, const struct runtime_list *environment)
{
    info->entries = calloc(environment->count + 1, sizeof(*info->entries));
    info->environment = calloc(environment->count + 1, sizeof(void *));
    info->names = calloc(environment->count + 1, sizeof(*info->names));
    if (!info->entries || !info->environment || !info->names)
        return -ENOMEM;
    info->message.environment = info->environment;
    for (size_t i = 0; i < environment->count; i++) {
        char *text = environment->items[i];
        size_t length = strcspn(text, "=");
        joblet__runtime_info__environment_entry__init(&info->entries[i]);
        info->environment[i] = &info->entries[i];
        info->message.n_environment = i + 1;
        info->names[i] = strndup(text, length);
        if (!info->names[i])
            return -ENOMEM;
        info->entries[i].key = info->names[i];
        info->entries[i].value = text[length] ? text + length + 1 : text + length;
    }
    return 0;
}

/* @whole: with what only a look at one runtime shows. 0 or -ENOMEM; info_done in any case. */
static int info_fill(struct info *info, const struct store_runtime *runtime, bool whole)
{
    const struct runtime_description *from = runtime->description;
    *info = (struct info){0};
    joblet__runtime_info__init(&info->message);
    joblet__runtime_requirements__init(&info->requirements);
    joblet__runtime_build_info__init(&info->build);
    info->message.name = from->name;
    info->message.language = from->language;
    info->message.version = from->version;
    info->message.description = from->description;
    info->message.size_bytes = (int64_t)runtime->size_bytes;
    info->message.packages = from->packages.items;
    info->message.n_packages = from->packages.count;
    info->message.available = runtime->available;
    info->message.language_version = from->language_version;
    info->message.libraries = from->libraries.items;
    info->message.n_libraries = from->libraries.count;
    info->requirements.architectures = from->architectures.items;
    info->requirements.n_architectures = from->architectures.count;
    info->requirements.gpu = from->gpu;
    info->message.requirements = &info->requirements;
    info->build.built_at = from->built_at;
    info->build.built_with = from->built_with;
    info->build.platform = from->platform;
    info->build.build_id = from->build_id;
    info->message.build_info = &info->build;
    if (whole)
        info->message.original_yaml = from->original_yaml;
    return info_fill_environment(info, &from->environment);
}

/* ---- ListRuntimes ---- */

/* As many as clients take in one message. */
static int pack_list(const struct store_runtime *runtimes, size_t count, struct grpc_call *call)
{
    _cleanup_free_ struct info *infos = calloc(count + 1, sizeof(*infos));
    _cleanup_free_ Joblet__RuntimeInfo **messages = calloc(count + 1, sizeof(Joblet__RuntimeInfo *));
    Joblet__ListRuntimesResponse response;
    joblet__list_runtimes_response__init(&response);
    if (!infos || !messages)
        return -ENOMEM;
    size_t bytes = 0;
    size_t filled = 0;
    int r = 0;
    response.runtimes = messages;
    while (filled < count && r == 0) {
        struct info *info = &infos[filled];
        r = info_fill(info, &runtimes[filled], /* whole= */ false);
        messages[filled++] = &info->message;
        bytes += r == 0 ? protobuf_c_message_get_packed_size(&info->message.base) + 16 : 0;
        if (r == 0 && bytes <= REPLY_SIZE_MAX)
            response.n_runtimes = filled;
    }
    if (r == 0)
        reply_message(call, &response.base);
    for (size_t i = 0; i < filled; i++)
        info_done(&infos[i]);
    return r;
}

void runtimes_list(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user)
{
    const struct api *api = user;
    struct error error = {0};
    const struct store_runtime *runtimes = NULL;
    size_t count = 0;
    if (wire_check(&joblet__empty_request__descriptor, bytes, size, &error) < 0)
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "%s", error.text);
    else if (store_list(api->store, &runtimes, &count, &error) < 0)
        grpc_call_finish(call, GRPC_INTERNAL, "%s", error.text);
    else if (pack_list(runtimes, count, call) < 0)
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
}

/* ---- GetRuntimeInfo ---- */

static void answer_info(
        struct grpc_call *call, const struct api *api, const struct store_runtime *runtime, bool with_sbom)
{
    Joblet__GetRuntimeInfoResponse response;
    joblet__get_runtime_info_response__init(&response);
    struct error error = {0};
    struct info info = {0};
    _cleanup_free_ char *manifest = NULL;
    _cleanup_free_ char *sbom = NULL;
    size_t size = 0;
    int r = info_fill(&info, runtime, /* whole= */ true);
    if (r == 0 && with_sbom)
        r = store_read_manifest(api->store, runtime, PACKAGES_BYTES_MAX, &manifest, &size, &error);
    if (r == 0 && with_sbom)
        r = runtime_manifest_sbom(runtime->description, manifest, size, &sbom, &error);
    if (r == 0 && sbom && strlen(sbom) > REPLY_SIZE_MAX - 2 * RUNTIME_DESCRIPTION_SIZE_MAX)
        r = error_text(&error, EFBIG, "the bill of materials is too large for an answer");
    if (r == 0) {
        response.found = true;
        response.runtime = &info.message;
        if (sbom)
            response.sbom = sbom;
        reply_message(call, &response.base);
    } else {
        grpc_call_finish(call, r == -ENOMEM ? GRPC_RESOURCE_EXHAUSTED : GRPC_INTERNAL, "%s",
                error.code ? error.text : "no memory");
    }
    info_done(&info);
}

void runtimes_info(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user)
{
    const struct api *api = user;
    struct error error = {0};
    struct runtime_reference reference;
    const struct store_runtime *runtime = NULL;
    _cleanup_(unpacked_donep) ProtobufCMessage *message =
            wire_unpack(&joblet__get_runtime_info_request__descriptor, bytes, size, &error);
    const Joblet__GetRuntimeInfoRequest *request = (const void *)message;
    if (!message) {
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "%s", error.text);
    } else if (!*request->runtime) {
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "runtime is required");
    } else if (runtime_reference_parse(request->runtime, &reference, &error) < 0) {
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "%s", error.text);
    } else if (store_resolve(api->store, &reference, &runtime, &error) < 0) {
        grpc_call_finish(call, GRPC_INTERNAL, "%s", error.text);
    } else if (runtime) {
        answer_info(call, api, runtime, request->with_sbom);
    } else {
        Joblet__GetRuntimeInfoResponse response;
        joblet__get_runtime_info_response__init(&response);
        reply_message(call, &response.base);
    }
}

/* ---- RemoveRuntime ---- */

struct removed {
    char version[PLAN_VERSION_TEXT_MAX];
    uint64_t size_bytes;
};

/* One call: its versions one after the other. */
struct removal {
    struct api *api;
    struct grpc_call *call; /* NULL when the client went */
    char name[PLAN_NAME_MAX];
    struct removed *versions;
    size_t count;
    size_t next;
    size_t done;
    uint64_t freed_bytes;
    struct error error; /* the first that failed */
};

static void removal_next(struct removal *removal);

static void answer_removal(struct grpc_call *call, bool success, const char *text, uint64_t freed_bytes)
{
    Joblet__RemoveRuntimeResponse response;
    joblet__remove_runtime_response__init(&response);
    response.success = success;
    response.message = (char *)(uintptr_t)text;
    response.freed_space_bytes = (int64_t)freed_bytes;
    if (!success)
        audit_fail(call, text);
    reply_message(call, &response.base);
}

static void removal_free(struct removal *removal)
{
    free(removal->versions);
    free(removal);
}

static void removal_end(struct removal *removal)
{
    char text[ERROR_TEXT_MAX + 128];
    bool success = removal->error.code == 0;
    if (!success && removal->done > 0)
        (void)snprintf(text, sizeof(text), "%zu of %zu versions of %s were removed; %s", removal->done, removal->count,
                removal->name, removal->error.text);
    else if (!success)
        (void)snprintf(text, sizeof(text), "%s", removal->error.text);
    else if (removal->count == 1)
        (void)snprintf(text, sizeof(text), "runtime %s@%s removed", removal->name, removal->versions[0].version);
    else
        (void)snprintf(text, sizeof(text), "%zu versions of runtime %s removed", removal->count, removal->name);
    if (removal->call)
        answer_removal(removal->call, success, text, removal->freed_bytes);
    removal_free(removal);
}

static void on_removed(const struct channel_received *reply, void *user)
{
    struct removal *removal = user;
    const struct removed *version = &removal->versions[removal->next++];
    const struct error *error = link_reply_error(reply);
    log_event(error->code ? LOG_LEVEL_WARN : LOG_LEVEL_INFO,
            error->code ? "a runtime is not removed" : "runtime removed", "name", removal->name, "version",
            version->version, "error", error->code ? error->text : "", NULL);
    if (error->code) {
        if (removal->error.code == 0)
            removal->error = *error;
    } else {
        removal->done++;
        removal->freed_bytes += version->size_bytes;
    }
    removal_next(removal);
}

static void removal_next(struct removal *removal)
{
    if (removal->next == removal->count) {
        removal_end(removal);
        return;
    }
    struct channel_runtime_remove message = {.header = {.operation = CHANNEL_RUNTIME_REMOVE, .size = sizeof(message)}};
    text_copy_cut(message.runtime.name, sizeof(message.runtime.name), removal->name);
    text_copy_cut(message.runtime.version, sizeof(message.runtime.version), removal->versions[removal->next].version);
    int r = link_request(removal->api->link, &message, -EBADF, on_removed, removal);
    if (r < 0) {
        (void)error_errno(&removal->error, -r, "ask for the removal");
        removal_end(removal);
    }
}

static void on_removal_cancel(struct grpc_call *call)
{
    struct removal *removal = grpc_call_user(call);
    removal->call = NULL;
}

/* By name, and by version when it is given: not by language, what is deleted is named. */
static int find_removed(struct removal *removal, const struct runtime_reference *reference, struct error *error)
{
    const struct store_runtime *runtimes = NULL;
    size_t count = 0;
    int r = store_list(removal->api->store, &runtimes, &count, error);
    if (r < 0)
        return r;
    removal->versions = calloc(count + 1, sizeof(*removal->versions));
    if (!removal->versions)
        return error_text(error, ENOMEM, "no memory");
    for (size_t i = 0; i < count && !reference->by_language; i++) {
        const struct runtime_description *there = runtimes[i].description;
        if (strcmp(there->name, reference->name) != 0 ||
                (*reference->version && strcmp(there->version, reference->version) != 0))
            continue;
        struct removed *removed = &removal->versions[removal->count++];
        text_copy_cut(removed->version, sizeof(removed->version), there->version);
        removed->size_bytes = runtimes[i].size_bytes;
    }
    return removal->count > 0 ? 0 : error_text(error, ENOENT, "runtime not found: %.64s", reference->name);
}

static void on_removal_intended(const struct error *error, void *user)
{
    struct removal *removal = user;
    if (!error) {
        removal_next(removal);
        return;
    }
    if (removal->call)
        grpc_call_finish(removal->call, GRPC_UNAVAILABLE, AUDIT_UNAVAILABLE "%s", error->text);
    removal_free(removal);
}

static void intend_removal(struct removal *removal)
{
    struct error error = {0};
    char versions[512] = "";
    for (size_t i = 0, used = 0; i < removal->count && used < sizeof(versions); i++)
        used += (size_t)snprintf(
                versions + used, sizeof(versions) - used, "%s%s", i > 0 ? "," : "", removal->versions[i].version);
    audit_add(removal->call, "versions", versions);
    if (audit_intend_apart(removal->call, on_removal_intended, removal, &error) < 0)
        on_removal_intended(&error, removal);
}

void runtimes_remove(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user)
{
    struct error error = {0};
    struct runtime_reference reference;
    _cleanup_(unpacked_donep) ProtobufCMessage *message =
            wire_unpack(&joblet__remove_runtime_request__descriptor, bytes, size, &error);
    if (!message) {
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "%s", error.text);
        return;
    }
    struct removal *removal = calloc(1, sizeof(*removal));
    if (!removal) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
        return;
    }
    *removal = (struct removal){.api = user, .call = call};
    const char *text = ((const Joblet__RemoveRuntimeRequest *)(const void *)message)->runtime;
    audit_set(call, "runtime", text);
    int r = runtime_reference_parse(text, &reference, &error);
    if (r == 0)
        r = find_removed(removal, &reference, &error);
    if (r < 0) {
        answer_removal(call, false, error.text, 0);
        removal_free(removal);
        return;
    }
    text_copy_cut(removal->name, sizeof(removal->name), reference.name);
    log_event(LOG_LEVEL_INFO, "removal of a runtime asked for", "name", removal->name, "version", reference.version,
            "who", grpc_call_peer_name(call), NULL);
    grpc_call_set_user(call, removal);
    grpc_call_on_cancel(call, on_removal_cancel);
    intend_removal(removal);
}
