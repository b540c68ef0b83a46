/* rnx runtime validate */
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "joblet.pb-c.h"
#include "rnx/json.h"
#include "rnx/output.h"
#include "rnx/rpc.h"
#include "rnx/runtime_file.h"

static void print_json_info(struct json *json, const Joblet__RuntimeYAMLInfo *info)
{
    json_key(json, "spec_info");
    if (!info) {
        json_null(json);
        return;
    }
    json_begin_object(json);
    json_put_text(json, "name", info->name);
    json_put_text(json, "version", info->version);
    json_put_text(json, "language", info->language);
    json_put_text(json, "language_version", info->language_version);
    json_put_text(json, "description", info->description);
    json_put_texts(json, "pip_packages", info->pip_packages, info->n_pip_packages);
    json_put_texts(json, "npm_packages", info->npm_packages, info->n_npm_packages);
    json_put_bool(json, "has_hooks", info->has_hooks);
    json_put_bool(json, "requires_gpu", info->requires_gpu);
    json_put_text_set(json, "digest", info->digest);
    json_end_object(json);
}

static void print_json(const Joblet__ValidateRuntimeYAMLResponse *answer)
{
    struct json json;
    json_init(&json, stdout, /* compact= */ false);
    json_begin_object(&json);
    json_put_bool(&json, "valid", answer->valid);
    json_put_text(&json, "message", answer->message);
    json_put_texts(&json, "errors", answer->errors, answer->n_errors);
    json_put_texts(&json, "warnings", answer->warnings, answer->n_warnings);
    print_json_info(&json, answer->spec_info);
    json_end_object(&json);
    json_done(&json);
}

static void print_points(const char *title, const char *sign, char *const *texts, size_t count)
{
    if (count == 0)
        return;
    (void)printf("\n%s:\n", title);
    for (size_t i = 0; i < count; i++) {
        (void)printf("  %s ", sign);
        output_text(stdout, texts[i]);
        (void)putchar('\n');
    }
}

static void print_label(const char *label, const char *value)
{
    (void)printf("  %-13s", label);
    output_text(stdout, value);
    (void)putchar('\n');
}

static void print_packages(const char *label, char *const *names, size_t count)
{
    if (count == 0)
        return;
    (void)printf("  %-13s", label);
    for (size_t i = 0; i < count; i++) {
        (void)fputs(i > 0 ? ", " : "", stdout);
        output_text(stdout, names[i]);
    }
    (void)putchar('\n');
}

static void print_info(const Joblet__RuntimeYAMLInfo *info)
{
    (void)puts("\nSpecification:");
    print_label("Name:", info->name);
    print_label("Version:", info->version);
    (void)printf("  %-13s", "Language:");
    output_text(stdout, info->language);
    (void)putchar(' ');
    output_text(stdout, info->language_version);
    (void)putchar('\n');
    print_label("Description:", info->description);
    print_packages("Pip:", info->pip_packages, info->n_pip_packages);
    print_packages("NPM:", info->npm_packages, info->n_npm_packages);
    if (info->has_hooks)
        print_label("Hooks:", "defined");
    if (info->requires_gpu)
        print_label("GPU:", "required");
    if (*info->digest)
        print_label("Digest:", info->digest);
}

static void print_text(const Joblet__ValidateRuntimeYAMLResponse *answer)
{
    (void)puts(answer->valid ? "✓ Runtime specification is valid" : "✗ Runtime specification is invalid");
    print_points("Errors", "•", answer->errors, answer->n_errors);
    print_points("Warnings", "⚠", answer->warnings, answer->n_warnings);
    if (answer->valid && answer->spec_info)
        print_info(answer->spec_info);
}

/* Asks the server about @text. Returns the exit status. */
static int validate(const struct rnx *rnx, const char *text)
{
    struct rpc rpc;
    if (!rpc_open(rnx, "failed to create client", -EBADF, &rpc))
        return RNX_EXIT_FAILED;
    int status = RNX_EXIT_OK;
    struct grpc_result result;
    ProtobufCMessage *message;
    Joblet__ValidateRuntimeYAMLRequest request;
    joblet__validate_runtime_yamlrequest__init(&request);
    request.yaml_content = rpc_borrow(text);
    if (rpc_call(&rpc, "/joblet.RuntimeService/ValidateRuntimeYAML", &request.base,
                &joblet__validate_runtime_yamlresponse__descriptor, RPC_LONG_NS, &message, &result) < 0) {
        status = rpc_fail("failed to validate the runtime specification", &result);
    } else {
        const Joblet__ValidateRuntimeYAMLResponse *answer = (const void *)message;
        if (rnx->global.json)
            print_json(answer);
        else
            print_text(answer);
        if (!answer->valid)
            status = rnx_fail("validation failed");
        protobuf_c_message_free_unpacked(message, NULL);
    }
    rpc_close(&rpc);
    return status;
}

static int runtime_validate_run(const struct rnx *rnx, char **words, size_t count)
{
    (void)count;
    struct rnx_error error = {0};
    _cleanup_free_ char *text = NULL;
    if (runtime_file_read(words[0], &text, &error) < 0)
        return rnx_fail("%s", error.text);
    return validate(rnx, text);
}

const struct rnx_verb runtime_validate_verb = {
        .group = "runtime",
        .name = "validate",
        .arguments = "PATH",
        .summary = "Check a runtime specification without building it",
        .help = "PATH is a specification, or a directory with a runtime.yaml or runtime.yml. The server reads it and "
                "says\n"
                "everything that is wrong with it, each with its line, and as warnings what it did not look at.\n"
                "Exit status: 0 valid, 1 invalid.\n"
                "\n"
                "Examples:\n"
                "  rnx runtime validate ./runtime.yaml\n"
                "  rnx runtime validate examples/python --json | jq -r '.errors[]'\n",
        .word_count = 1,
        .run = runtime_validate_run,
};
