/* rnx runtime test */
#include "base/fd.h"
#include "base/text.h"
#include "joblet.pb-c.h"
#include "rnx/json.h"
#include "rnx/output.h"
#include "rnx/rpc.h"

static struct runtime_test_options {
    const char *timeout;
} test_options = {.timeout = ""};

static const struct rnx_option test_option_table[] = {
        {.name = "timeout",
                .kind = RNX_OPTION_TEXT,
                .offset = offsetof(struct runtime_test_options, timeout),
                .value = "DURATION",
                .help = "how long to wait for the server, such as 2m (default: 30s)"},
};

static void print_json(const Joblet__TestRuntimeResponse *answer, const char *spec)
{
    struct json json;
    json_init(&json, stdout, /* compact= */ false);
    json_begin_object(&json);
    json_put_text(&json, "runtime", spec);
    json_put_bool(&json, "success", answer->success);
    json_put_text_set(&json, "output", answer->output);
    json_put_text_set(&json, "error", answer->error);
    json_put_integer(&json, "exit_code", answer->exit_code);
    json_end_object(&json);
    json_done(&json);
}

static void print_lines_set(const char *label, const char *text)
{
    if (!*text)
        return;
    (void)printf("%s: ", label);
    output_lines(stdout, text);
    (void)putchar('\n');
}

static void print_text(const Joblet__TestRuntimeResponse *answer, const char *spec)
{
    if (!answer->success) {
        (void)puts("✗ Runtime test failed");
        print_lines_set("Error", answer->error);
        (void)printf("Exit code: %d\n", answer->exit_code);
        return;
    }
    (void)puts("Runtime test passed");
    print_lines_set("Output", answer->output);
    (void)fputs("\nTo test the runtime in a job:\n  rnx job run --runtime=", stdout);
    output_text(stdout, spec);
    (void)puts(" echo 'Runtime available'");
}

static int print_answer(const struct rnx *rnx, const Joblet__TestRuntimeResponse *answer, const char *spec)
{
    if (rnx->global.json)
        print_json(answer, spec);
    else
        print_text(answer, spec);
    return answer->success ? RNX_EXIT_OK : rnx_fail("runtime test failed");
}

static int runtime_test_run(const struct rnx *rnx, char **words, size_t count)
{
    (void)count;
    uint64_t deadline_ns = RPC_LONG_NS;
    const char *timeout = test_options.timeout;
    if (*timeout && (text_parse_duration(timeout, &deadline_ns) < 0 || deadline_ns == 0))
        return rnx_fail_usage(&runtime_test_verb,
                "invalid value \"%s\" for --timeout: want a duration such as 30s, 5m, 1h30m", timeout);
    if (!rnx->global.json) {
        output_field("Testing runtime", words[0]);
        (void)fflush(stdout); /* the server may take its time */
    }
    struct rpc rpc;
    if (!rpc_open(rnx, "failed to create client", -EBADF, &rpc))
        return RNX_EXIT_FAILED;
    int status;
    struct grpc_result result;
    ProtobufCMessage *message;
    Joblet__TestRuntimeRequest request;
    joblet__test_runtime_request__init(&request);
    request.runtime = words[0];
    if (rpc_call(&rpc, "/joblet.RuntimeService/TestRuntime", &request.base, &joblet__test_runtime_response__descriptor,
                deadline_ns, &message, &result) < 0) {
        status = rpc_fail("failed to test runtime", &result);
    } else {
        status = print_answer(rnx, (const Joblet__TestRuntimeResponse *)message, words[0]);
        protobuf_c_message_free_unpacked(message, NULL);
    }
    rpc_close(&rpc);
    return status;
}

const struct rnx_verb runtime_test_verb = {
        .group = "runtime",
        .name = "test",
        .arguments = "[flags] SPEC",
        .summary = "Check a runtime's files and run its language",
        .help = "The server holds every file against the runtime's manifest, and runs the language in a job.\n"
                "SPEC is NAME (its highest version), NAME@VERSION, NAME@latest or LANGUAGE:VERSION.\n"
                "Exit status: 0 passed, 1 failed.\n"
                "\n"
                "Examples:\n"
                "  rnx runtime test python-3.11\n"
                "  rnx runtime test --timeout=5m java-17@1.0.0\n",
        .options = test_option_table,
        .option_count = ELEMENTS(test_option_table),
        .target = &test_options,
        .word_count = 1,
        .run = runtime_test_run,
};
