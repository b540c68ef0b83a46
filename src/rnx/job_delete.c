/* rnx job delete, rnx job delete-all */
#include "base/fd.h"
#include "joblet.pb-c.h"
#include "rnx/json.h"
#include "rnx/output.h"
#include "rnx/rpc.h"

static void print_deleted_json(const Joblet__DeleteJobResponse *answer)
{
    struct json json;
    json_init(&json, stdout, /* compact= */ false);
    json_begin_object(&json);
    json_put_text_set(&json, "uuid", answer->uuid);
    if (answer->success)
        json_put_bool(&json, "success", true);
    json_put_text_set(&json, "message", answer->message);
    json_end_object(&json);
    json_done(&json);
}

static int print_deleted(const struct rnx *rnx, const Joblet__DeleteJobResponse *answer)
{
    if (rnx->global.json) {
        print_deleted_json(answer);
    } else {
        (void)puts(answer->success ? "Job deleted successfully:" : "Job deletion failed:");
        output_field("ID", answer->uuid);
        output_field(answer->success ? "Message" : "Sorry, there was an issue", answer->message);
    }
    return answer->success ? RNX_EXIT_OK : rnx_fail("couldn't delete the job: %s", answer->message);
}

static int job_delete_run(const struct rnx *rnx, char **words, size_t count)
{
    (void)count;
    struct rpc rpc;
    if (!rpc_open(rnx, "couldn't connect to joblet server", -EBADF, &rpc))
        return RNX_EXIT_FAILED;
    int status;
    struct grpc_result result;
    ProtobufCMessage *answer;
    Joblet__DeleteJobRequest request;
    joblet__delete_job_request__init(&request);
    request.uuid = words[0];
    if (rpc_call(&rpc, "/joblet.JobService/DeleteJob", &request.base, &joblet__delete_job_response__descriptor,
                RPC_SHORT_NS, &answer, &result) < 0) {
        char doing[128];
        (void)snprintf(doing, sizeof(doing), "deleting job %s", words[0]);
        status = rpc_fail_change("couldn't delete the job", doing, &result);
    } else {
        status = print_deleted(rnx, (const Joblet__DeleteJobResponse *)answer);
        protobuf_c_message_free_unpacked(answer, NULL);
    }
    rpc_close(&rpc);
    return status;
}

const struct rnx_verb job_delete_verb = {
        .group = "job",
        .name = "delete",
        .arguments = "UUID",
        .summary = "Delete a job that has ended, with its log",
        .help = "A running job must be stopped first.\n"
                "UUID may be shortened to its first characters (at least 4) when they are unique.\n"
                "\n"
                "Example:\n"
                "  rnx job delete 1b4e28ba\n",
        .word_count = 1,
        .run = job_delete_run,
};

static void print_all_json(const Joblet__DeleteAllJobsResponse *answer)
{
    struct json json;
    json_init(&json, stdout, /* compact= */ false);
    json_begin_object(&json);
    if (answer->success)
        json_put_bool(&json, "success", true);
    json_put_text_set(&json, "message", answer->message);
    json_put_integer_set(&json, "deleted_count", answer->deleted_count);
    json_put_integer_set(&json, "skipped_count", answer->skipped_count);
    json_end_object(&json);
    json_done(&json);
}

static int print_all(const struct rnx *rnx, const Joblet__DeleteAllJobsResponse *answer)
{
    if (rnx->global.json)
        print_all_json(answer);
    if (!answer->success)
        return rnx_fail("couldn't delete all jobs: %s", answer->message);
    if (!rnx->global.json) {
        (void)printf("Jobs deleted successfully:\nDeleted count: %d\nSkipped count: %d (running/scheduled)\n",
                answer->deleted_count, answer->skipped_count);
        output_field("Message", answer->message);
    }
    return RNX_EXIT_OK;
}

static int job_delete_all_run(const struct rnx *rnx, char **words, size_t count)
{
    (void)words;
    (void)count;
    struct rpc rpc;
    if (!rpc_open(rnx, "couldn't connect to joblet server", -EBADF, &rpc))
        return RNX_EXIT_FAILED;
    int status;
    struct grpc_result result;
    ProtobufCMessage *answer;
    Joblet__DeleteAllJobsRequest request;
    joblet__delete_all_jobs_request__init(&request);
    if (rpc_call(&rpc, "/joblet.JobService/DeleteAllJobs", &request.base, &joblet__delete_all_jobs_response__descriptor,
                RPC_LONG_NS, &answer, &result) < 0) {
        status = rpc_fail_change("couldn't delete all jobs", "deleting all jobs", &result);
    } else {
        status = print_all(rnx, (const Joblet__DeleteAllJobsResponse *)answer);
        protobuf_c_message_free_unpacked(answer, NULL);
    }
    rpc_close(&rpc);
    return status;
}

const struct rnx_verb job_delete_all_verb = {
        .group = "job",
        .name = "delete-all",
        .arguments = "",
        .summary = "Delete all jobs that have ended, with their logs",
        .help = "Running and scheduled jobs stay.\n",
        .run = job_delete_all_run,
};
