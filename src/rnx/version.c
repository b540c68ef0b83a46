/* rnx version (and --version): our own version, and that of the server when the default node answers soon. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "joblet.pb-c.h"
#include "rnx-version.h"
#include "rnx/json.h"
#include "rnx/output.h"
#include "rnx/rpc.h"

#define ANSWER_DEADLINE_NS (2 * RPC_SECOND_NS)

#if defined(__x86_64__)
#define PLATFORM "linux/amd64"
#elif defined(__aarch64__)
#define PLATFORM "linux/arm64"
#else
#define PLATFORM "linux/other"
#endif

struct source {
    char commit[64];
    char date[40];
    char tag[64];
};

static void source_read(struct source *ret_source)
{
    *ret_source = (struct source){0};
    const char *text = RNX_SOURCE;
    (void)sscanf(text, "%63[^|]|%39[^|]|%63[^|]", ret_source->commit, ret_source->date, ret_source->tag);
}

/* The server's answer, or NULL: a version must be printed whatever state the configuration is in. */
static Joblet__SystemStatusResponse *ask_server(const struct rnx *rnx)
{
    struct rpc rpc;
    struct rnx_error error = {0};
    bool config_failed;
    if (rpc_prepare(rnx, -EBADF, &rpc, &config_failed, &error) < 0)
        return NULL;
    struct grpc_result result;
    ProtobufCMessage *answer = NULL;
    Joblet__EmptyRequest request;
    joblet__empty_request__init(&request);
    int r = rpc_call(&rpc, "/joblet.MonitoringService/GetSystemStatus", &request.base,
            &joblet__system_status_response__descriptor, ANSWER_DEADLINE_NS, &answer, &result);
    rpc_close(&rpc);
    return r == 0 ? (Joblet__SystemStatusResponse *)answer : NULL;
}

static void print_line(const char *program, const char *version, const char *commit)
{
    (void)printf("%s ", program);
    output_text(stdout, version);
    (void)fputs(" (", stdout);
    output_bytes(stdout, *commit ? commit : "unknown", strnlen(*commit ? commit : "unknown", 8));
    (void)fputs(")\n", stdout);
}

static void print_json(const struct source *source, const Joblet__ServerVersionInfo *server)
{
    struct json json;
    json_init(&json, stdout, /* compact= */ false);
    json_begin_object(&json);
    if (server) {
        json_key(&json, "joblet");
        json_begin_object(&json);
        json_put_text(&json, "version", server->version);
        json_end_object(&json);
    }
    json_key(&json, "rnx");
    json_begin_object(&json);
    json_put_text(&json, "build_date", source->date);
    json_put_text(&json, "git_commit", source->commit);
    json_put_text(&json, "git_tag", source->tag);
    json_put_text(&json, "go_version", ""); /* a key that readers expect; there is no Go here */
    json_put_text(&json, "platform", PLATFORM);
    json_put_text(&json, "proto_commit", "");
    json_put_text(&json, "version", RNX_VERSION);
    json_end_object(&json);
    json_end_object(&json);
    json_done(&json);
}

static int version_run(const struct rnx *rnx, char **words, size_t count)
{
    (void)words;
    (void)count;
    struct source source;
    source_read(&source);
    if (!rnx->global.json) {
        print_line("rnx", RNX_VERSION, source.commit);
        (void)fflush(stdout); /* the server may take its time */
    }
    Joblet__SystemStatusResponse *answer = ask_server(rnx);
    const Joblet__ServerVersionInfo *server = answer ? answer->server_version : NULL;
    if (rnx->global.json)
        print_json(&source, server);
    else if (server)
        print_line("joblet", server->version, server->git_commit);
    if (answer)
        joblet__system_status_response__free_unpacked(answer, NULL);
    return RNX_EXIT_OK;
}

const struct rnx_verb version_verb = {
        .name = "version",
        .arguments = "",
        .summary = "Show the version of rnx, and of the server if it answers",
        .help = "The server of the default node (or --node) has two seconds to answer. 'rnx --version' is the same.\n",
        .run = version_run,
};
