#include "api/verify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/task.h"
#include "base/fd.h"
#include "base/log.h"
#include "joblog/format.h"
#include "runtime/output.h"

struct verification {
    struct verification *next; /* api->verifications */
    struct api *api;
    char name[PLAN_NAME_MAX];
    char version[PLAN_VERSION_TEXT_MAX];
    struct verify_waiter *waiters;
    bool told; /* who comes now begins another one */
    struct task *task;
    struct runtime_lines lines;
    char wrong[ERROR_TEXT_MAX]; /* the first */
};

static void tell(struct verification *verification, const struct error *error)
{
    verification->told = true;
    log_event(error ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, error ? "a runtime is refused" : "a runtime was verified",
            "name", verification->name, "version", verification->version, "error", error ? error->text : "", NULL);
    while (verification->waiters) {
        struct verify_waiter *waiter = verification->waiters;
        verification->waiters = waiter->next;
        waiter->next = NULL;
        waiter->done(waiter, error);
    }
}

static void verification_free(struct verification *verification)
{
    struct verification **at = &verification->api->verifications;
    while (*at != verification)
        at = &(*at)->next;
    *at = verification->next;
    free(verification);
}

static void on_released(void *user)
{
    verification_free(user);
}

static void on_line(const struct runtime_output *output, void *user)
{
    struct verification *verification = user;
    bool tells = output->kind == RUNTIME_OUTPUT_WRONG || output->kind == RUNTIME_OUTPUT_FAIL;
    if (tells && !*verification->wrong)
        text_copy_cut(verification->wrong, sizeof(verification->wrong), output->text);
}

static void on_output(struct task *task, const char *bytes, size_t size, uint32_t stream)
{
    struct verification *verification = task->user;
    if (stream == JOBLOG_STREAM_STDOUT || stream == JOBLOG_STREAM_UNKNOWN)
        runtime_lines_add(&verification->lines, bytes, size, on_line, verification);
}

static void on_ended(struct task *task, const struct task_end *end)
{
    struct verification *verification = task->user;
    char how[TASK_END_TEXT_MAX];
    struct error error = {0};
    runtime_lines_end(&verification->lines, on_line, verification);
    task_end_format(end, how);
    bool right = end->record.reason == RECORD_REASON_EXITED && end->record.exit_code == 0;
    /* What could not be looked at is no verdict on the runtime. */
    if (!right)
        (void)error_text(&error, end->record.reason == RECORD_REASON_EXITED ? EKEYREJECTED : EIO,
                "the runtime %s@%s is not as it was built: %s", verification->name, verification->version,
                *verification->wrong ? verification->wrong : how);
    tell(verification, right ? NULL : &error);
    task_release(task, on_released, verification);
}

static const struct task_events events = {.output = on_output, .ended = on_ended};

static int start(struct verification *verification, const char *digest, struct error *error)
{
    const struct settings *settings = &verification->api->settings;
    struct runtime_list words = {0};
    struct runtime_list environment = {0};
    struct channel_tool_start message = {.header = {.operation = CHANNEL_TOOL_START, .size = sizeof(message)},
            .limits = {.memory_bytes = settings->build_memory_bytes,
                    .timeout_ns = settings->build_timeout_ns,
                    .processes = settings->build_processes},
            .tool = CHANNEL_TOOL_VERIFY};
    (void)snprintf(message.runtime.name, sizeof(message.runtime.name), "%s", verification->name);
    (void)snprintf(message.runtime.version, sizeof(message.runtime.version), "%s", verification->version);
    struct task_request request = {&message, NULL, &words, &environment, "/", -EBADF};
    const char *const texts[] = {"verify", "digest", digest ? digest : "-"};
    int r = 0;
    for (size_t i = 0; r == 0 && i < ELEMENTS(texts); i++)
        r = runtime_list_add(&words, texts[i]);
    if (r < 0)
        (void)error_text(error, ENOMEM, "no memory");
    else
        r = task_start(verification->api, &request, &events, verification, &verification->task, error);
    runtime_list_done(&words);
    return r;
}

static void on_digest(const struct error *failure, const char *digest, void *user)
{
    struct verification *verification = user;
    struct error error = {0};
    if (failure)
        error = *failure;
    if (failure || start(verification, digest, &error) < 0) {
        tell(verification, &error);
        verification_free(verification);
    }
}

static struct verification *find(struct api *api, const char *name, const char *version)
{
    for (struct verification *one = api->verifications; one; one = one->next)
        if (!one->told && strcmp(one->name, name) == 0 && strcmp(one->version, version) == 0)
            return one;
    return NULL;
}

int verify_runtime(struct api *api, const char *name, const char *version, struct verify_waiter *waiter)
{
    struct verification *verification = find(api, name, version);
    if (!verification) {
        verification = calloc(1, sizeof(*verification));
        if (!verification)
            return -ENOMEM;
        verification->api = api;
        text_copy_cut(verification->name, sizeof(verification->name), name);
        text_copy_cut(verification->version, sizeof(verification->version), version);
        verification->next = api->verifications;
        api->verifications = verification;
        if (state_read_build_digest(api->state, name, version, on_digest, verification) < 0) {
            verification_free(verification);
            return -ENOMEM;
        }
    }
    waiter->next = verification->waiters;
    verification->waiters = waiter;
    return 0;
}

void verify_forget(struct api *api, struct verify_waiter *waiter)
{
    for (struct verification *one = api->verifications; one; one = one->next)
        for (struct verify_waiter **at = &one->waiters; *at; at = &(*at)->next)
            if (*at == waiter) {
                *at = waiter->next;
                return;
            }
}
