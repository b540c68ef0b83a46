/* rnx runtime remove */
#include <stdio.h>

#include "base/fd.h"
#include "joblet.pb-c.h"
#include "rnx/json.h"
#include "rnx/output.h"
#include "rnx/rpc.h"

static void print_json(const Joblet__RemoveRuntimeResponse *answer, const char *spec)
{
    struct json json;
    json_init(&json, stdout, /* compact= */ false);
    json_begin_object(&json);
    json_put_text(&json, "runtime", spec);
    json_put_bool(&json, "success", answer->success);
    json_put_text_set(&json, "message", answer->message);
    json_put_integer_set(&json, "freed_space_bytes", answer->freed_space_bytes);
    json_end_object(&json);
    json_done(&json);
}

static void print_text(const Joblet__RemoveRuntimeResponse *answer)
{
    (void)puts(answer->success ? "Runtime removed successfully" : "Failed to remove runtime");
    if (*answer->message) {
        (void)fputs(answer->success ? "Message: " : "Error: ", stdout);
        output_lines(stdout, answer->message);
        (void)putchar('\n');
    }
    if (answer->success && answer->freed_space_bytes > 0) {
        char size[OUTPUT_SIZE_MAX];
        output_format_size_tight(answer->freed_space_bytes, size);
        output_field("Freed space", size);
    }
}

static int print_answer(const struct rnx *rnx, const Joblet__RemoveRuntimeResponse *answer, const char *spec)
{
    if (rnx->global.json)
        print_json(answer, spec);
    else
        print_text(answer);
    return answer->success ? RNX_EXIT_OK : rnx_fail("runtime removal failed");
}

static int runtime_remove_run(const struct rnx *rnx, char **words, size_t count)
{
    (void)count;
    if (!rnx->global.json) {
        output_field("🗑️  Removing runtime", words[0]);
        (void)fflush(stdout); /* the server may take its time */
    }
    struct rpc rpc;
    if (!rpc_open(rnx, "failed to create client", -EBADF, &rpc))
        return RNX_EXIT_FAILED;
    int status;
    struct grpc_result result;
    ProtobufCMessage *message;
    Joblet__RemoveRuntimeRequest request;
    joblet__remove_runtime_request__init(&request);
    request.runtime = words[0];
    if (rpc_call(&rpc, "/joblet.RuntimeService/RemoveRuntime", &request.base,
                &joblet__remove_runtime_response__descriptor, RPC_LONG_NS, &message, &result) < 0) {
        char doing[320];
        (void)snprintf(doing, sizeof(doing), "removing runtime %s", words[0]);
        status = rpc_fail_change("failed to remove runtime", doing, &result);
    } else {
        status = print_answer(rnx, (const Joblet__RemoveRuntimeResponse *)message, words[0]);
        protobuf_c_message_free_unpacked(message, NULL);
    }
    rpc_close(&rpc);
    return status;
}

const struct rnx_verb runtime_remove_verb = {
        .group = "runtime",
        .name = "remove",
        .arguments = "SPEC",
        .summary = "Remove a runtime, or one version of it",
        .help = "NAME removes all versions of the runtime, NAME@VERSION that one. A runtime that a job uses is not\n"
                "removed.\n"
                "\n"
                "Examples:\n"
                "  rnx runtime remove python-3.11@1.0.0\n"
                "  rnx runtime remove python-3.11\n",
        .word_count = 1,
        .run = runtime_remove_run,
};
