/* TestRuntime: the tree is held against its manifest, then the command that shows that the language works runs as any
 * job does, in that runtime. The job is in no list; its output is the answer's. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/audit.h"
#include "api/describe.h"
#include "api/reply.h"
#include "api/request.h"
#include "api/runtimes.h"
#include "api/store.h"
#include "api/task.h"
#include "api/verify.h"
#include "api/wire.h"
#include "base/fd.h"
#include "runtime/reference.h"

#define OUTPUT_MAX ((size_t)64 << 10)
#define TEST_TIMEOUT "5m"

struct test {
    struct api *api;
    struct grpc_call *call; /* NULL when the client went */
    struct request request;
    char name[PLAN_NAME_MAX];
    char version[PLAN_VERSION_TEXT_MAX];
    struct verify_waiter waiter;
    struct task *task;
    char *output;
    size_t used;
    bool cut;
};

static void test_free(struct test *test)
{
    request_done(&test->request);
    free(test->output);
    free(test);
}

static void on_gone(void *user)
{
    test_free(user);
}

static void answer(struct grpc_call *call, bool success, const char *output, const char *error, int exit_code)
{
    Joblet__TestRuntimeResponse response;
    joblet__test_runtime_response__init(&response);
    response.success = success;
    response.output = (char *)(uintptr_t)output;
    response.error = (char *)(uintptr_t)error;
    response.exit_code = exit_code;
    if (!success)
        audit_fail(call, *error ? error : "the language does not run");
    reply_message(call, &response.base);
}

static void fail(struct test *test, const char *error)
{
    if (test->call)
        answer(test->call, false, "", error, 1);
    test->call = NULL;
}

/* A job writes what it likes; the wire has only UTF-8 without NUL. */
static void clean(char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\0')
            text[i] = '?';
    if (text_is_utf8(text, size))
        return;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] >= 0x80)
            text[i] = '?';
}

static void on_output(struct task *task, const char *bytes, size_t size, uint32_t stream)
{
    struct test *test = task->user;
    (void)stream;
    size_t room = OUTPUT_MAX - test->used;
    size_t taken = size < room ? size : room;
    memcpy(test->output + test->used, bytes, taken);
    test->used += taken;
}

static void on_ended(struct task *task, const struct task_end *end)
{
    struct test *test = task->user;
    char how[TASK_END_TEXT_MAX];
    bool success = end->record.reason == RECORD_REASON_EXITED && end->record.exit_code == 0;
    clean(test->output, test->used);
    test->output[test->used] = '\0';
    task_end_format(end, how);
    if (test->call)
        answer(test->call, success, test->output, success ? "" : how, success ? 0 : end->record.exit_code);
    test->call = NULL;
    task_release(task, on_gone, test);
}

static const struct task_events events = {.output = on_output, .ended = on_ended};

static void run(struct test *test)
{
    struct error error = {0};
    const struct state_job *job = test->request.job;
    struct channel_job_start message = {.header = {.operation = CHANNEL_JOB_START, .size = sizeof(message)},
            .limits = {.memory_bytes = job->memory_bytes,
                    .timeout_ns = job->timeout_ns,
                    .cpu_percent = job->cpu_percent,
                    .processes = job->processes,
                    .io_bps = job->io_bps,
                    .open_files = job->open_files}};
    text_copy_cut(message.runtime.name, sizeof(message.runtime.name), test->name);
    text_copy_cut(message.runtime.version, sizeof(message.runtime.version), test->version);
    struct task_request request = {.message = &message};
    request.spec_fd = TAKE_FD(test->request.spec_fd);
    if (task_start(test->api, &request, &events, test, &test->task, &error) == 0) {
        if (test->call)
            audit_add(test->call, "job", test->task->uuid);
        return;
    }
    fail(test, error.text);
    test_free(test);
}

static void on_verified(struct verify_waiter *waiter, const struct error *error)
{
    struct test *test = waiter->user;
    if (!error && !test->api->shutting_down) {
        run(test);
        return;
    }
    fail(test, error ? error->text : "the server is shutting down");
    test_free(test);
}

static void on_cancel(struct grpc_call *call)
{
    struct test *test = grpc_call_user(call);
    test->call = NULL;
    if (test->task) {
        task_kill(test->task);
        return;
    }
    verify_forget(test->api, &test->waiter);
    test_free(test);
}

/* The request that a client would make of it. */
static int fill(struct test *test, const struct runtime_description *runtime, struct error *error)
{
    char timeout[] = TEST_TIMEOUT;
    Joblet__RunJobRequest message;
    joblet__run_job_request__init(&message);
    if (runtime->test.count == 0)
        return error_text(error, EOPNOTSUPP, "the runtime does not say how it is tested");
    message.command = runtime->test.items[0];
    message.args = runtime->test.items + 1;
    message.n_args = runtime->test.count - 1;
    message.timeout = timeout;
    text_copy_cut(test->name, sizeof(test->name), runtime->name);
    text_copy_cut(test->version, sizeof(test->version), runtime->version);
    test->output = malloc(OUTPUT_MAX + 1);
    if (!test->output)
        return error_text(error, ENOMEM, "no memory");
    int r = request_read(&message, &test->api->settings, runtime, &test->request, error);
    return r < 0 ? r : request_seal(&test->request, error);
}

static void on_intended(struct grpc_call *call, void *user)
{
    struct test *test = user;
    int r = call ? verify_runtime(test->api, test->name, test->version, &test->waiter) : 0;
    if (call && r == 0) {
        grpc_call_set_user(call, test);
        grpc_call_on_cancel(call, on_cancel);
        return;
    }
    if (call)
        fail(test, "no memory");
    test_free(test);
}

static void begin(struct api *api, struct grpc_call *call, const struct runtime_description *runtime)
{
    struct error error = {0};
    struct test *test = calloc(1, sizeof(*test));
    if (!test) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
        return;
    }
    *test = (struct test){.api = api, .call = call, .request = {.spec_fd = -EBADF}};
    test->waiter = (struct verify_waiter){.done = on_verified, .user = test};
    if (fill(test, runtime, &error) < 0) {
        fail(test, error.text);
        test_free(test);
        return;
    }
    audit_intend(call, on_intended, test);
}

void runtimes_test(struct grpc_call *call, const uint8_t *bytes, size_t size, void *user)
{
    struct api *api = user;
    struct error error = {0};
    struct runtime_reference reference;
    const struct store_runtime *runtime = NULL;
    ProtobufCMessage *message = wire_unpack(&joblet__test_runtime_request__descriptor, bytes, size, &error);
    const char *text = message ? ((const Joblet__TestRuntimeRequest *)(const void *)message)->runtime : "";
    int r = message ? runtime_reference_parse(text, &reference, &error) : 0;
    if (message && r == 0)
        r = store_resolve(api->store, &reference, &runtime, &error);
    describe_runtime(call, text, runtime ? runtime->description : NULL);
    if (!message)
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "%s", error.text);
    else if (!*text)
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "runtime is required");
    else if (api->shutting_down)
        grpc_call_finish(call, GRPC_UNAVAILABLE, "the server is shutting down");
    else if (r < 0)
        answer(call, false, "", error.text, 1);
    else if (!runtime)
        answer(call, false, "", "runtime not found", 1);
    else
        begin(api, call, runtime->description);
    if (message)
        protobuf_c_message_free_unpacked(message, NULL);
}
