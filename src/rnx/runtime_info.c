/* rnx runtime info, rnx runtime status */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "joblet.pb-c.h"
#include "rnx/json.h"
#include "rnx/output.h"
#include "rnx/rpc.h"
#include "runtime/reference.h"

#define VALUE_MAX 60

static struct runtime_info_options {
    bool sbom;
} info_options;

static const struct rnx_option info_option_table[] = {
        {.name = "sbom",
                .kind = RNX_OPTION_SWITCH,
                .offset = offsetof(struct runtime_info_options, sbom),
                .help = "print what it is made of, as the software bill of materials that was stored with it (JSON)"},
};

static int compare_entries(const void *a, const void *b)
{
    return strcmp((*(Joblet__RuntimeInfo__EnvironmentEntry *const *)a)->key,
            (*(Joblet__RuntimeInfo__EnvironmentEntry *const *)b)->key);
}

/* A map has no order of its own on the wire. */
static void sort_environment(Joblet__RuntimeInfo *runtime)
{
    if (runtime->n_environment > 0)
        qsort(runtime->environment, runtime->n_environment, sizeof(Joblet__RuntimeInfo__EnvironmentEntry *),
                compare_entries);
}

static void print_language(const Joblet__RuntimeInfo *runtime)
{
    if (!*runtime->language && !*runtime->language_version)
        return;
    (void)fputs("\nLanguage: ", stdout);
    output_text(stdout, runtime->language);
    (void)putchar(' ');
    output_text(stdout, runtime->language_version);
    (void)putchar('\n');
}

static void print_requirements(const Joblet__RuntimeRequirements *requirements)
{
    if (!requirements || (!requirements->gpu && requirements->n_architectures == 0))
        return;
    (void)puts("\nRequirements:");
    if (requirements->gpu)
        (void)puts("  GPU: Required");
    for (size_t i = 0; i < requirements->n_architectures; i++) {
        (void)fputs(i > 0 ? ", " : "  Architectures: ", stdout);
        output_text(stdout, requirements->architectures[i]);
    }
    if (requirements->n_architectures > 0)
        (void)putchar('\n');
}

static void print_items(const char *title, char *const *items, size_t count)
{
    if (count == 0)
        return;
    (void)printf("\n%s:\n", title);
    for (size_t i = 0; i < count; i++) {
        (void)fputs("  - ", stdout);
        output_text(stdout, items[i]);
        (void)putchar('\n');
    }
}

static void print_environment(const Joblet__RuntimeInfo *runtime)
{
    if (runtime->n_environment == 0)
        return;
    (void)puts("\nEnvironment Variables:");
    for (size_t i = 0; i < runtime->n_environment; i++) {
        const char *value = runtime->environment[i]->value;
        size_t size = strlen(value);
        bool cut = size > VALUE_MAX;
        (void)fputs("  ", stdout);
        output_text(stdout, runtime->environment[i]->key);
        (void)putchar('=');
        output_bytes(stdout, value, cut ? output_cut_size(value, VALUE_MAX - 3) : size);
        (void)puts(cut ? "..." : "");
    }
}

static void print_build(const Joblet__RuntimeBuildInfo *build)
{
    if (!build || !*build->built_at)
        return;
    (void)puts("\nBuild Info:");
    output_field("  Built", build->built_at);
    if (*build->platform)
        output_field("  Platform", build->platform);
    if (*build->build_id)
        output_field("  Build ID", build->build_id);
}

static void print_text(const Joblet__RuntimeInfo *runtime, const char *spec, const char *version)
{
    output_field("Runtime", runtime->name);
    output_field("Version", runtime->version);
    if (*version)
        output_field("Requested Version", version);
    output_field("Description", runtime->description);
    print_language(runtime);
    if (runtime->size_bytes > 0) {
        char size[OUTPUT_SIZE_MAX];
        output_format_size_tight(runtime->size_bytes, size);
        output_field("Size", size);
    }
    print_requirements(runtime->requirements);
    print_items("Pre-installed Packages", runtime->packages, runtime->n_packages);
    print_items("Library Patterns", runtime->libraries, runtime->n_libraries);
    print_environment(runtime);
    print_build(runtime->build_info);
    (void)printf("\nUsage:\n  rnx job run --runtime=%s <command>\n", spec);
}

static void put_environment(struct json *json, const Joblet__RuntimeInfo *runtime)
{
    json_key(json, "environment");
    if (runtime->n_environment == 0) {
        json_null(json);
        return;
    }
    json_begin_object(json);
    for (size_t i = 0; i < runtime->n_environment; i++)
        json_put_text(json, runtime->environment[i]->key, runtime->environment[i]->value);
    json_end_object(json);
}

static void put_build(struct json *json, const Joblet__RuntimeBuildInfo *build)
{
    if (!build)
        return;
    json_key(json, "build_info");
    json_begin_object(json);
    json_put_text(json, "built_at", build->built_at);
    json_put_text(json, "built_with", build->built_with);
    json_put_text(json, "platform", build->platform);
    json_put_text_set(json, "build_id", build->build_id);
    json_end_object(json);
}

static void put_requirements(struct json *json, const Joblet__RuntimeRequirements *requirements)
{
    if (!requirements || (!requirements->gpu && requirements->n_architectures == 0))
        return;
    json_key(json, "requirements");
    json_begin_object(json);
    json_put_texts_set(json, "architectures", requirements->architectures, requirements->n_architectures);
    if (requirements->gpu)
        json_put_bool(json, "gpu", true);
    json_end_object(json);
}

static void put_usage(struct json *json, const char *spec)
{
    bool full = strpbrk(spec, "@:") != NULL;
    char usage[RUNTIME_REFERENCE_MAX + 64];
    (void)snprintf(usage, sizeof(usage), "rnx job run --runtime=%s%s <command>", spec, full ? "" : "@latest");
    json_put_text(json, "usage", usage);
}

/* In the order of the keys' bytes, as a Go map is written. */
static void print_json(const Joblet__RuntimeInfo *runtime, const char *spec)
{
    struct json json;
    char size[OUTPUT_SIZE_MAX];
    output_format_size_tight(runtime->size_bytes, size);
    json_init(&json, stdout, /* compact= */ false);
    json_begin_object(&json);
    put_build(&json, runtime->build_info);
    json_put_text(&json, "description", runtime->description);
    put_environment(&json, runtime);
    json_put_text(&json, "language", runtime->language);
    json_put_text(&json, "language_version", runtime->language_version);
    json_put_texts(&json, "libraries", runtime->libraries, runtime->n_libraries);
    json_put_text(&json, "name", runtime->name);
    json_put_text_set(&json, "original_yaml", runtime->original_yaml);
    json_put_texts(&json, "packages", runtime->packages, runtime->n_packages);
    put_requirements(&json, runtime->requirements);
    json_put_text(&json, "size", size);
    json_put_integer(&json, "size_bytes", runtime->size_bytes);
    put_usage(&json, spec);
    json_put_text(&json, "version", runtime->version);
    json_end_object(&json);
    json_done(&json);
}

/* To a file byte by byte, because others read it. On a terminal it is a text like any other. */
static int print_sbom(const char *sbom, const char *spec)
{
    size_t size = strlen(sbom);
    if (size == 0)
        return rnx_fail("the server has no bill of materials of runtime %s", spec);
    bool terminal = isatty(STDOUT_FILENO);
    for (size_t start = 0; start < size;) {
        const char *end = memchr(sbom + start, '\n', size - start);
        size_t length = end ? (size_t)(end - (sbom + start)) : size - start;
        if (terminal)
            output_bytes(stdout, sbom + start, length);
        else
            (void)fwrite(sbom + start, 1, length, stdout);
        (void)putchar('\n');
        start += length + 1;
    }
    return RNX_EXIT_OK;
}

static int print_answer(
        const struct rnx *rnx, const Joblet__GetRuntimeInfoResponse *answer, const char *spec, const char *version)
{
    if (!answer->found || !answer->runtime)
        return rnx_fail("runtime not found: %s", spec);
    if (info_options.sbom)
        return print_sbom(answer->sbom, spec);
    sort_environment(answer->runtime);
    if (rnx->global.json)
        print_json(answer->runtime, spec);
    else
        print_text(answer->runtime, spec, version);
    return RNX_EXIT_OK;
}

static int runtime_info_run(const struct rnx *rnx, char **words, size_t count)
{
    (void)count;
    struct error error = {0};
    struct runtime_reference reference;
    if (runtime_reference_parse(words[0], &reference, &error) < 0)
        return rnx_fail("invalid runtime specification: %s", error.text);
    struct rpc rpc;
    if (!rpc_open(rnx, "failed to create client", -EBADF, &rpc))
        return RNX_EXIT_FAILED;
    int status;
    struct grpc_result result;
    ProtobufCMessage *message;
    Joblet__GetRuntimeInfoRequest request;
    joblet__get_runtime_info_request__init(&request);
    request.runtime = words[0];
    request.with_sbom = info_options.sbom;
    if (rpc_call(&rpc, "/joblet.RuntimeService/GetRuntimeInfo", &request.base,
                &joblet__get_runtime_info_response__descriptor, RPC_LONG_NS, &message, &result) < 0) {
        status = rpc_fail("failed to get runtime info", &result);
    } else {
        const Joblet__GetRuntimeInfoResponse *answer = (const void *)message;
        status = print_answer(rnx, answer, words[0], reference.version);
        protobuf_c_message_free_unpacked(message, NULL);
    }
    rpc_close(&rpc);
    return status;
}

#define INFO_HELP                                                                                                      \
    "SPEC is NAME (its highest version), NAME@VERSION, NAME@latest or LANGUAGE:VERSION.\n"                             \
    "\n"                                                                                                               \
    "Examples:\n"                                                                                                      \
    "  rnx runtime info python-3.11\n"                                                                                 \
    "  rnx runtime info python-3.11@1.0.0 --sbom > sbom.json\n"

const struct rnx_verb runtime_info_verb = {
        .group = "runtime",
        .name = "info",
        .arguments = "[flags] SPEC",
        .summary = "Show all about a runtime",
        .help = INFO_HELP,
        .options = info_option_table,
        .option_count = ELEMENTS(info_option_table),
        .target = &info_options,
        .word_count = 1,
        .run = runtime_info_run,
};

const struct rnx_verb runtime_status_verb = {
        .group = "runtime",
        .name = "status",
        .arguments = "[flags] SPEC",
        .summary = "The same as 'runtime info'",
        .help = INFO_HELP,
        .options = info_option_table,
        .option_count = ELEMENTS(info_option_table),
        .target = &info_options,
        .word_count = 1,
        .run = runtime_info_run,
};
