/* rnx job status */
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"
#include "joblet.pb-c.h"
#include "rnx/json.h"
#include "rnx/kernel_view.h"
#include "rnx/output.h"
#include "rnx/rpc.h"

static void print_field_set(const char *label, const char *value)
{
    if (*value)
        output_field(label, value);
}

static void print_section(const char *title)
{
    (void)printf("\n%s:\n", title);
}

static bool status_is(const Joblet__GetJobStatusResponse *job, const char *status)
{
    return strcmp(job->status, status) == 0;
}

static void print_schedule(const Joblet__GetJobStatusResponse *job)
{
    if (!*job->scheduled_time)
        return;
    char text[OUTPUT_TIME_MAX];
    output_format_time(job->scheduled_time, /* zone= */ true, "", text);
    print_section("Scheduling Information");
    output_field("  Scheduled Time", text);
    int64_t due_ns;
    if (!status_is(job, "SCHEDULED") || text_parse_time(job->scheduled_time, &due_ns) < 0)
        return;
    char left[OUTPUT_DURATION_MAX];
    int64_t left_ns = due_ns - text_now_unix_ns();
    output_format_duration((double)left_ns / 1e9, left);
    output_field("  Time Until Execution", left_ns > 0 ? left : "Due now (waiting for execution)");
}

static void print_timing(const Joblet__GetJobStatusResponse *job)
{
    char text[OUTPUT_TIME_MAX];
    int64_t start_ns;
    int64_t end_ns;
    print_section("Timing");
    output_format_time(job->start_time, /* zone= */ true, "Not available", text);
    output_field("  Created", text);
    bool ended = *job->end_time;
    if (ended) {
        output_format_time(job->end_time, /* zone= */ true, "", text);
        output_field("  Ended", text);
    }
    if (text_parse_time(job->start_time, &start_ns) < 0)
        return;
    char duration[OUTPUT_DURATION_MAX];
    if (ended && text_parse_time(job->end_time, &end_ns) == 0) {
        output_format_duration((double)(end_ns - start_ns) / 1e9, duration);
        output_field("  Duration", duration);
    } else if (!ended && status_is(job, "RUNNING")) {
        output_format_duration((double)(text_now_unix_ns() - start_ns) / 1e9, duration);
        output_field("  Running For", duration);
    }
}

static void print_gpus(const Joblet__GetJobStatusResponse *job)
{
    if (job->n_gpu_indices == 0) {
        if (job->gpu_count > 0)
            (void)printf("  GPUs: %d requested\n", job->gpu_count);
        return;
    }
    (void)printf("  GPUs: %zu allocated (indices: ", job->n_gpu_indices);
    for (size_t i = 0; i < job->n_gpu_indices; i++)
        (void)printf("%s%d", i > 0 ? ", " : "", job->gpu_indices[i]);
    (void)puts(")");
}

static void print_size(const char *label, int64_t bytes)
{
    if (bytes > 0)
        (void)printf("  %s: %lld MB\n", label, (long long)(bytes >> 20));
}

static void print_limits(const Joblet__GetJobStatusResponse *job)
{
    bool any = job->max_cpu > 0 || job->max_memory > 0 || job->max_io_bps > 0 || *job->cpu_cores ||
               job->gpu_count > 0 || job->gpu_memory_mb > 0 || job->n_gpu_indices > 0 || job->max_processes > 0 ||
               *job->timeout;
    if (!any)
        return;
    print_section("Resource Limits");
    if (job->max_cpu > 0)
        (void)printf("  Max CPU: %d%%\n", job->max_cpu);
    if (job->max_memory > 0)
        (void)printf("  Max Memory: %d MB\n", job->max_memory);
    if (job->max_io_bps > 0)
        (void)printf("  Max IO BPS: %d\n", job->max_io_bps);
    print_field_set("  CPU Cores", job->cpu_cores);
    print_gpus(job);
    if (job->gpu_memory_mb > 0)
        (void)printf("  GPU Memory: %d MB\n", job->gpu_memory_mb);
    if (job->max_processes > 0)
        (void)printf("  Max Processes: %d\n", job->max_processes);
    if (job->max_open_files > 0)
        (void)printf("  Max Open Files: %d\n", job->max_open_files);
    print_size("Work Size", job->work_bytes);
    print_size("Tmp Size", job->tmp_bytes);
    print_size("Log Size", job->log_bytes);
    print_field_set("  Timeout", job->timeout);
}

static void print_one(const char *title, const char *label, const char *value)
{
    if (!*value)
        return;
    print_section(title);
    output_field(label, value);
}

static void print_items(const char *title, char *const *items, size_t count)
{
    if (count == 0)
        return;
    print_section(title);
    for (size_t i = 0; i < count; i++) {
        (void)fputs("  - ", stdout);
        output_text(stdout, items[i]);
        (void)putchar('\n');
    }
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp((*(Joblet__GetJobStatusResponse__EnvironmentEntry *const *)a)->key,
            (*(Joblet__GetJobStatusResponse__EnvironmentEntry *const *)b)->key);
}

static int compare_secrets(const void *a, const void *b)
{
    return strcmp((*(Joblet__GetJobStatusResponse__SecretEnvironmentEntry *const *)a)->key,
            (*(Joblet__GetJobStatusResponse__SecretEnvironmentEntry *const *)b)->key);
}

/* A map has no order of its own on the wire. */
static void sort_maps(Joblet__GetJobStatusResponse *job)
{
    if (job->n_environment > 0)
        qsort(job->environment, job->n_environment, sizeof(Joblet__GetJobStatusResponse__EnvironmentEntry *),
                compare_entries);
    if (job->n_secret_environment > 0)
        qsort(job->secret_environment, job->n_secret_environment,
                sizeof(Joblet__GetJobStatusResponse__SecretEnvironmentEntry *), compare_secrets);
}

static void print_environment(const Joblet__GetJobStatusResponse *job)
{
    if (job->n_environment == 0 && job->n_secret_environment == 0)
        return;
    print_section("Environment Variables");
    for (size_t i = 0; i < job->n_environment; i++) {
        (void)fputs("  ", stdout);
        output_text(stdout, job->environment[i]->key);
        (void)putchar('=');
        output_text(stdout, job->environment[i]->value);
        (void)putchar('\n');
    }
    /* Masked here too: a server that sends values must not get them shown. */
    for (size_t i = 0; i < job->n_secret_environment; i++) {
        (void)fputs("  ", stdout);
        output_text(stdout, job->secret_environment[i]->key);
        (void)fputs("=*** (secret)\n", stdout);
    }
}

static void print_result(const Joblet__GetJobStatusResponse *job)
{
    if (status_is(job, "RUNNING") || status_is(job, "SCHEDULED") || status_is(job, "INITIALIZING"))
        return;
    print_section("Result");
    (void)printf("  Exit Code: %d\n", job->exit_code);
    print_field_set("  End Reason", job->end_reason);
    if (job->end_signal > 0) {
        const char *name = sigabbrev_np(job->end_signal);
        (void)printf("  Signal: %d%s%s%s\n", job->end_signal, name ? " (SIG" : "", name ? name : "", name ? ")" : "");
    }
    print_field_set("  Error", job->error);
}

static const struct {
    const char *status; /* NULL = any other */
    const char *actions[2];
} status_actions[] = {
        {"SCHEDULED", {"stop", "status"}},
        {"RUNNING", {"log", "stop"}},
        {"COMPLETED", {"log"}},
        {"FAILED", {"log"}},
        {"STOPPED", {"log"}},
        {"TIMEOUT", {"log"}},
        {"CANCELED", {"log"}},
        {NULL, {"log", "stop"}},
};

static const char *action_text(const char *action)
{
    return strcmp(action, "log") == 0 ? "View job logs" : strcmp(action, "stop") == 0 ? "Stop the job" : "Look again";
}

static void print_actions(const Joblet__GetJobStatusResponse *job)
{
    size_t row = 0;
    while (status_actions[row].status && !status_is(job, status_actions[row].status))
        row++;
    print_section("Available Actions");
    for (size_t i = 0; i < 2 && status_actions[row].actions[i]; i++) {
        const char *action = status_actions[row].actions[i];
        (void)printf("  \xe2\x80\xa2 rnx job %s ", action);
        output_text(stdout, job->uuid);
        (void)printf("%*s# %s\n", 8 - (int)strlen(action), "", action_text(action));
    }
}

static void print_text(const Joblet__GetJobStatusResponse *job, bool colour)
{
    _cleanup_free_ char *command = output_join_command(job->command, job->args, job->n_args);
    output_field("Job ID", job->uuid);
    print_field_set("Node ID", job->node_id);
    output_field("Command", command ? command : job->command);
    (void)fputs("Status: ", stdout);
    output_status(stdout, job->status, colour, 0);
    (void)putchar('\n');
    print_schedule(job);
    print_timing(job);
    print_limits(job);
    print_one("Runtime Environment", "  Runtime", job->runtime);
    print_one("Network Configuration", "  Network", job->network);
    print_items("Volumes", job->volumes, job->n_volumes);
    print_one("Working Directory", "  Work Dir", job->work_dir);
    print_items("Uploaded Files", job->uploads, job->n_uploads);
    print_environment(job);
    if (job->kernel)
        kernel_view_print(job->kernel);
    print_result(job);
    print_actions(job);
}

static void put_environment(struct json *json, const Joblet__GetJobStatusResponse *job)
{
    json_key(json, "environment");
    if (job->n_environment == 0) {
        json_null(json);
        return;
    }
    json_begin_object(json);
    for (size_t i = 0; i < job->n_environment; i++)
        json_put_text(json, job->environment[i]->key, job->environment[i]->value);
    json_end_object(json);
}

static void put_secrets(struct json *json, const Joblet__GetJobStatusResponse *job)
{
    json_key(json, "secretEnvironment");
    if (job->n_secret_environment == 0) {
        json_null(json);
        return;
    }
    json_begin_object(json);
    for (size_t i = 0; i < job->n_secret_environment; i++)
        json_put_text(json, job->secret_environment[i]->key, "***");
    json_end_object(json);
}

static void put_gpu_indices(struct json *json, const Joblet__GetJobStatusResponse *job)
{
    if (job->n_gpu_indices == 0)
        return;
    json_key(json, "gpuIndices");
    json_begin_list(json);
    for (size_t i = 0; i < job->n_gpu_indices; i++)
        json_integer(json, job->gpu_indices[i]);
    json_end_list(json);
}

/* In the order of the keys' bytes, as a Go map is written. */
static void print_json(const Joblet__GetJobStatusResponse *job)
{
    struct json json;
    json_init(&json, stdout, /* compact= */ false);
    json_begin_object(&json);
    json_put_texts(&json, "args", job->args, job->n_args);
    json_put_text(&json, "command", job->command);
    json_put_text_set(&json, "cpuCores", job->cpu_cores);
    json_put_text_set(&json, "endReason", job->end_reason);
    json_put_integer_set(&json, "endSignal", job->end_signal);
    json_put_text(&json, "endTime", job->end_time);
    put_environment(&json, job);
    json_put_text_set(&json, "error", job->error);
    json_put_integer(&json, "exitCode", job->exit_code);
    json_put_integer_set(&json, "gpuCount", job->gpu_count);
    put_gpu_indices(&json, job);
    json_put_integer_set(&json, "gpuMemoryMb", job->gpu_memory_mb);
    if (job->kernel) {
        json_key(&json, "kernel");
        kernel_view_put(&json, job->kernel);
    }
    json_put_integer_set(&json, "logBytes", job->log_bytes);
    json_put_integer_set(&json, "maxCPU", job->max_cpu);
    json_put_integer_set(&json, "maxIOBPS", job->max_io_bps);
    json_put_integer_set(&json, "maxMemory", job->max_memory);
    json_put_integer_set(&json, "maxOpenFiles", job->max_open_files);
    json_put_integer_set(&json, "maxProcesses", job->max_processes);
    json_put_text(&json, "network", job->network);
    json_put_text(&json, "nodeId", job->node_id);
    json_put_text(&json, "runtime", job->runtime);
    json_put_text(&json, "scheduledTime", job->scheduled_time);
    put_secrets(&json, job);
    json_put_text(&json, "startTime", job->start_time);
    json_put_text(&json, "status", job->status);
    json_put_text_set(&json, "timeout", job->timeout);
    json_put_integer_set(&json, "tmpBytes", job->tmp_bytes);
    json_put_texts(&json, "uploads", job->uploads, job->n_uploads);
    json_put_text(&json, "uuid", job->uuid);
    json_put_texts(&json, "volumes", job->volumes, job->n_volumes);
    json_put_integer_set(&json, "workBytes", job->work_bytes);
    json_put_text(&json, "workDir", job->work_dir);
    json_end_object(&json);
    json_done(&json);
}

static int job_status_run(const struct rnx *rnx, char **words, size_t count)
{
    (void)count;
    struct rpc rpc;
    if (!rpc_open(rnx, "couldn't connect to joblet server", -EBADF, &rpc))
        return RNX_EXIT_FAILED;
    int status = RNX_EXIT_OK;
    struct grpc_result result;
    ProtobufCMessage *answer;
    Joblet__GetJobStatusRequest request;
    joblet__get_job_status_request__init(&request);
    request.uuid = words[0];
    if (rpc_call(&rpc, "/joblet.JobService/GetJobStatus", &request.base, &joblet__get_job_status_response__descriptor,
                RPC_SHORT_NS, &answer, &result) < 0) {
        status = rpc_fail("couldn't get job status", &result);
    } else {
        sort_maps((Joblet__GetJobStatusResponse *)answer);
        if (rnx->global.json)
            print_json((const Joblet__GetJobStatusResponse *)answer);
        else
            print_text((const Joblet__GetJobStatusResponse *)answer, rnx->colour);
        protobuf_c_message_free_unpacked(answer, NULL);
    }
    rpc_close(&rpc);
    return status;
}

const struct rnx_verb job_status_verb = {
        .group = "job",
        .name = "status",
        .arguments = "UUID",
        .summary = "Show all about one job",
        .help = "UUID may be shortened to its first characters (at least 4) when they are unique.\n"
                "\n"
                "Examples:\n"
                "  rnx job status 1b4e28ba\n"
                "  rnx job status --json 1b4e28ba | jq .exitCode\n",
        .word_count = 1,
        .run = job_status_run,
};
