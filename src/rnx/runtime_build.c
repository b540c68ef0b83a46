/* rnx runtime build: sends the specification, shows what the server says while it builds, and how it ended. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "joblet.pb-c.h"
#include "rnx/build_view.h"
#include "rnx/interrupt.h"
#include "rnx/json.h"
#include "rnx/output.h"
#include "rnx/rpc.h"
#include "rnx/runtime_file.h"

static struct runtime_build_options {
    bool verbose;
    bool force;
    bool dry_run;
} build_options;

#define BUILD_OPTION(NAME, LETTER, FIELD, HELP)                                                                        \
    {                                                                                                                  \
        .name = NAME, .letter = LETTER, .kind = RNX_OPTION_SWITCH,                                                     \
        .offset = offsetof(struct runtime_build_options, FIELD), .help = HELP                                          \
    }

static const struct rnx_option build_option_table[] = {
        BUILD_OPTION("verbose", 'v', verbose, "show debug lines too, and on a terminal every line"),
        BUILD_OPTION("force", 'f', force, "replace the version if it is there; jobs that run on it are not disturbed"),
        BUILD_OPTION("dry-run", 0, dry_run, "check everything, availability of packages included, and install nothing"),
};

/* A stream has no deadline, so a server that is not there would be waited for without end: a question that has one goes
 * ahead. Only the connection counts. */
static int reach_server(struct rpc *rpc, struct grpc_result *ret_result)
{
    Joblet__EmptyRequest request;
    joblet__empty_request__init(&request);
    ProtobufCMessage *answer;
    int r = rpc_call(rpc, "/joblet.RuntimeService/ListRuntimes", &request.base,
            &joblet__list_runtimes_response__descriptor, RPC_SHORT_NS, &answer, ret_result);
    if (r == 0)
        protobuf_c_message_free_unpacked(answer, NULL);
    bool away = ret_result->status == GRPC_DEADLINE_EXCEEDED || ret_result->status == GRPC_UNAVAILABLE;
    return r == -EINTR || (r < 0 && away) ? r : 0;
}

static int start(struct rpc *rpc, const char *text, const char *script, struct grpc_result *ret_result)
{
    int r = reach_server(rpc, ret_result);
    if (r < 0)
        return r;
    Joblet__BuildRuntimeRequest request;
    joblet__build_runtime_request__init(&request);
    request.yaml_content = rpc_borrow(text);
    request.setup_script = rpc_borrow(script ? script : "");
    request.dry_run = build_options.dry_run;
    request.verbose = build_options.verbose;
    request.force_rebuild = build_options.force;
    return rpc_stream_open(rpc, "/joblet.RuntimeService/BuildRuntime", &request.base, ret_result);
}

/* Shows one message, or keeps it when it is the result. 0, or -errno of the output. */
static int take(struct build_view *view, Joblet__BuildRuntimeProgress *progress, Joblet__BuildRuntimeProgress **kept)
{
    int r = 0;
    switch (progress->progress_type_case) {
    case JOBLET__BUILD_RUNTIME_PROGRESS__PROGRESS_TYPE_PHASE:
        r = build_view_phase(view, progress->phase->phase_number, progress->phase->total_phases,
                progress->phase->phase_name, progress->phase->message);
        break;
    case JOBLET__BUILD_RUNTIME_PROGRESS__PROGRESS_TYPE_LOG:
        r = build_view_log(view, progress->log->level, progress->log->message);
        break;
    case JOBLET__BUILD_RUNTIME_PROGRESS__PROGRESS_TYPE_RESULT: {
        Joblet__BuildRuntimeProgress *earlier = *kept;
        *kept = progress;
        progress = earlier;
        break;
    }
    case JOBLET__BUILD_RUNTIME_PROGRESS__PROGRESS_TYPE__NOT_SET: /* or of a later server */
    case _JOBLET__BUILD_RUNTIME_PROGRESS__PROGRESS_TYPE__CASE_IS_INT_SIZE:
        break;
    }
    if (progress)
        joblet__build_runtime_progress__free_unpacked(progress, NULL);
    return r;
}

/* Who stops reading what we write must not end the build: the server ends it when it hears nothing from us. */
static int wait_writable(void *context, int fd)
{
    return grpc_client_stream_wait_writable(context, fd);
}

/* Shows the stream to its end. 0 with *kept, which stays NULL when no result came; -EINTR; -EREMOTEIO with @ret_result;
 * -EBADMSG; another -errno when the output cannot be written. */
static int watch(
        struct rpc *rpc, struct build_view *view, Joblet__BuildRuntimeProgress **kept, struct grpc_result *ret_result)
{
    int wait_ms = view->mode == BUILD_VIEW_LIVE ? BUILD_VIEW_TICK_MS : -1;
    for (;;) {
        const uint8_t *message;
        size_t size;
        int r = grpc_client_stream_next_within(rpc->client, wait_ms, &message, &size, ret_result);
        if (r == 1) {
            Joblet__BuildRuntimeProgress *progress = joblet__build_runtime_progress__unpack(NULL, size, message);
            r = progress ? take(view, progress, kept) : -EBADMSG;
        } else if (r == -EAGAIN) {
            r = build_view_tick(view);
        } else {
            return r;
        }
        if (r < 0)
            return r;
    }
}

static int fail_stream(int r, const struct grpc_result *result)
{
    char text[RPC_TEXT_MAX];
    if (r == -EPIPE)
        output_end_by_pipe();
    if (r == -EREMOTEIO) {
        rpc_format_error(result, text);
        return rnx_fail("build stream error: %s", text);
    }
    if (r == -EBADMSG)
        return rnx_fail("build stream error: the server's message is malformed");
    return rnx_fail("cannot write the output: %s", strerror(-r));
}

static void print_json(const Joblet__BuildResult *result)
{
    struct json json;
    json_init(&json, stdout, /* compact= */ false);
    json_begin_object(&json);
    json_put_bool(&json, "success", result->success);
    json_put_text(&json, "name", result->runtime_name);
    json_put_text(&json, "version", result->runtime_version);
    json_put_text_set(&json, "install_path", result->install_path);
    json_put_integer_set(&json, "size_bytes", result->size_bytes);
    json_put_integer(&json, "duration_ms", result->build_duration_ms);
    json_put_text_set(&json, "message", result->message);
    json_end_object(&json);
    json_done(&json);
}

static void print_text(const Joblet__BuildResult *result)
{
    static const char line[] = "============================================================";
    (void)printf("\n%s\n%s %s\n%s\n\n", line, build_options.dry_run ? "DRY RUN" : "BUILD",
            result->success ? "SUCCESSFUL" : "FAILED", line);
    output_field("Runtime", result->runtime_name);
    output_field("Version", result->runtime_version);
    (void)printf("Duration: %lldms\n", (long long)result->build_duration_ms);
    if (*result->install_path)
        output_field("Output", result->install_path);
    if (result->size_bytes > 0)
        (void)printf("Size: %lld MB\n", (long long)(result->size_bytes / 1024 / 1024));
    if (!result->success) {
        (void)fputs("\nError: ", stdout);
        output_lines(stdout, result->message);
        (void)putchar('\n');
    } else if (!build_options.dry_run) {
        (void)fputs("\nTo use this runtime:\n  rnx job run --runtime=", stdout);
        output_text(stdout, result->runtime_name);
        (void)puts(" <command>");
    }
}

static int print_result(const struct rnx *rnx, const Joblet__BuildResult *result)
{
    if (rnx->global.json)
        print_json(result);
    else
        print_text(result);
    return result->success ? RNX_EXIT_OK : rnx_fail("build failed");
}

/* The call is cancelled by then: the server ends the build and keeps nothing of it. */
static int end_interrupted(enum build_view_mode mode)
{
    /* The terminal's own "^C" stands there, unless it went with the live line. */
    (void)fprintf(stderr, "%srnx: the build is cancelled\n", mode == BUILD_VIEW_LIVE ? "" : "\n");
    return interrupt_exit_status();
}

static int build(const struct rnx *rnx, struct rpc *rpc, const char *text, const char *script)
{
    struct grpc_result result = {0};
    int r = start(rpc, text, script, &result);
    if (r == -EINTR)
        return end_interrupted(BUILD_VIEW_NONE);
    if (r < 0)
        return rpc_fail("failed to start build", &result);
    enum build_view_mode mode = build_view_choose(STDOUT_FILENO, rnx->global.json);
    struct build_view view;
    Joblet__BuildRuntimeProgress *kept = NULL;
    build_view_init(&view, mode, build_options.verbose, STDOUT_FILENO);
    view.wait = wait_writable;
    view.context = rpc->client;
    r = watch(rpc, &view, &kept, &result);
    /* Before anything that may wait, such as a terminal that is held. */
    grpc_client_stream_cancel(rpc->client);
    bool failed = r != -EINTR && (r < 0 || !kept || !kept->result->success);
    int ended = build_view_end(&view, failed);
    build_view_done(&view);
    int status;
    if (r == -EINTR || ended == -EINTR)
        status = end_interrupted(mode);
    else if (r < 0 || ended < 0)
        status = fail_stream(r < 0 ? r : ended, &result);
    else if (!kept)
        status = rnx_fail("build completed but no result received");
    else
        status = print_result(rnx, kept->result);
    if (kept)
        joblet__build_runtime_progress__free_unpacked(kept, NULL);
    return status;
}

static int runtime_build_run(const struct rnx *rnx, char **words, size_t count)
{
    (void)count;
    struct rnx_error error = {0};
    _cleanup_free_ char *text = NULL;
    _cleanup_free_ char *script = NULL;
    if (runtime_file_read_both(words[0], &text, &script, &error) < 0)
        return rnx_fail("%s", error.text);
    int interrupt_fd = interrupt_open();
    if (interrupt_fd < 0)
        return rnx_fail("cannot prepare for signals: %s", strerror(-interrupt_fd));
    struct rpc rpc;
    if (!rpc_open(rnx, "failed to create client", interrupt_fd, &rpc))
        return RNX_EXIT_FAILED;
    int status = build(rnx, &rpc, text, script);
    rpc_close(&rpc);
    return status;
}

const struct rnx_verb runtime_build_verb = {
        .group = "runtime",
        .name = "build",
        .arguments = "[flags] PATH",
        .summary = "Build a language runtime from its specification",
        .help = "PATH is a specification, or a directory with a runtime.yaml or runtime.yml. A setup.sh in that "
                "directory\n"
                "is run inside the build as the install step. The build runs on the server and leaves nothing on its\n"
                "host but the finished runtime. Ctrl-C cancels it: nothing is kept then. A version that is there\n"
                "already is an error without --force.\n"
                "\n"
                "On a terminal the last line shows phase, elapsed time and the newest line of the log; elsewhere each\n"
                "is a line. Exit status: 0 built, 1 failed, 130 after Ctrl-C.\n"
                "\n"
                "Examples:\n"
                "  rnx runtime build ./runtime.yaml\n"
                "  rnx runtime build --force --verbose examples/python\n"
                "  rnx runtime build --dry-run --json examples/java\n",
        .options = build_option_table,
        .option_count = ELEMENTS(build_option_table),
        .target = &build_options,
        .word_count = 1,
        .run = runtime_build_run,
};
