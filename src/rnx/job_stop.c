/* rnx job stop */
#include "base/fd.h"
#include "joblet.pb-c.h"
#include "rnx/json.h"
#include "rnx/output.h"
#include "rnx/rpc.h"

static void print_answer(const struct rnx *rnx, const Joblet__StopJobResponse *answer)
{
    if (!rnx->global.json) {
        (void)fputs("Job stopped successfully:\nID: ", stdout);
        output_text(stdout, answer->uuid);
        (void)fputs("\nStatus: ", stdout);
        output_status(stdout, answer->status, rnx->colour, 0);
        (void)putchar('\n');
        return;
    }
    struct json json;
    json_init(&json, stdout, /* compact= */ false);
    json_begin_object(&json);
    json_put_text_set(&json, "uuid", answer->uuid);
    json_put_text_set(&json, "status", answer->status);
    json_put_text_set(&json, "end_time", answer->end_time);
    json_put_integer_set(&json, "exit_code", answer->exit_code);
    json_end_object(&json);
    json_done(&json);
}

static int job_stop_run(const struct rnx *rnx, char **words, size_t count)
{
    (void)count;
    struct rpc rpc;
    if (!rpc_open(rnx, "couldn't connect to joblet server", -EBADF, &rpc))
        return RNX_EXIT_FAILED;
    int status = RNX_EXIT_OK;
    struct grpc_result result;
    ProtobufCMessage *answer;
    Joblet__StopJobRequest request;
    joblet__stop_job_request__init(&request);
    request.uuid = words[0];
    if (rpc_call(&rpc, "/joblet.JobService/StopJob", &request.base, &joblet__stop_job_response__descriptor,
                RPC_SHORT_NS, &answer, &result) < 0) {
        char doing[128];
        (void)snprintf(doing, sizeof(doing), "stopping job %s", words[0]);
        status = rpc_fail_change("couldn't stop the job", doing, &result);
    } else {
        print_answer(rnx, (const Joblet__StopJobResponse *)answer);
        protobuf_c_message_free_unpacked(answer, NULL);
    }
    rpc_close(&rpc);
    return status;
}

const struct rnx_verb job_stop_verb = {
        .group = "job",
        .name = "stop",
        .arguments = "UUID",
        .summary = "Stop a running job",
        .help = "Every process of the job gets SIGTERM; what is left after the server's grace period is killed.\n"
                "UUID may be shortened to its first characters (at least 4) when they are unique.\n"
                "\n"
                "Example:\n"
                "  rnx job stop 1b4e28ba\n",
        .word_count = 1,
        .run = job_stop_run,
};
