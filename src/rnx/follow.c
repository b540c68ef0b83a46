#include "rnx/follow.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "joblet.pb-c.h"
#include "rnx/interrupt.h"
#include "rnx/json.h"
#include "rnx/output.h"

/* How long the server may be away before following is given up. */
#define RETURN_DEADLINE_NS (60 * RPC_SECOND_NS)
#define RETURN_PAUSE_NS 100000000ULL
/* Between two questions whether the job has ended: a twentieth of the time that it has run, within these. */
#define PAUSE_MIN_NS 2000000ULL
#define PAUSE_MAX_NS 500000000ULL

#define STREAM_STDERR 2
#define STREAM_SERVICE 3

static void write_json_chunk(const void *data, size_t size)
{
    struct json json;
    char time_text[TEXT_TIME_MAX];
    text_format_time(text_now_unix_ns(), time_text);
    json_init(&json, stdout, /* compact= */ true);
    json_begin_object(&json);
    json_key(&json, "data");
    json_bytes(&json, data, size);
    json_put_text(&json, "timestamp", time_text);
    json_end_object(&json);
    json_done(&json);
}

/* Writes the chunk but for its first @skip bytes, which were written before the connection broke. */
static int write_chunk(const Joblet__DataChunk *chunk, size_t skip, enum follow_streams streams)
{
    if (skip >= chunk->payload.len)
        return 0; /* all known, or empty: a sign of life */
    const uint8_t *data = chunk->payload.data + skip;
    size_t size = chunk->payload.len - skip;
    if (streams == FOLLOW_JSON) {
        write_json_chunk(data, size);
        return output_flush();
    }
    bool error = chunk->stream == STREAM_STDERR || chunk->stream == STREAM_SERVICE;
    return output_write_all(streams == FOLLOW_BOTH && error ? STDERR_FILENO : STDOUT_FILENO, data, size);
}

/* Copies one stream of chunks beyond *@copied, which is moved on. 0 at its end; -EINTR; -EREMOTEIO with @ret_result;
 * -EPIPE or another -errno when the output cannot be written. */
static int copy_stream(struct rpc *rpc, enum follow_streams streams, uint64_t *copied, struct grpc_result *ret_result)
{
    uint64_t offset = 0;
    for (;;) {
        const uint8_t *message;
        size_t size;
        int r = grpc_client_stream_next(rpc->client, &message, &size, ret_result);
        if (r <= 0)
            return r;
        Joblet__DataChunk *chunk = joblet__data_chunk__unpack(NULL, size, message);
        if (!chunk)
            return -EBADMSG;
        r = write_chunk(chunk, *copied > offset ? (size_t)(*copied - offset) : 0, streams);
        offset += chunk->payload.len;
        joblet__data_chunk__free_unpacked(chunk, NULL);
        if (r < 0)
            return r;
        if (offset > *copied)
            *copied = offset;
    }
}

static int open_stream(struct rpc *rpc, const char *uuid, struct grpc_result *ret_result)
{
    Joblet__GetJobLogsRequest request;
    joblet__get_job_logs_request__init(&request);
    request.uuid = rpc_borrow(uuid);
    return rpc_stream_open(rpc, "/joblet.JobService/GetJobLogs", &request.base, ret_result);
}

static int ask_status(struct rpc *rpc, const char *uuid, uint64_t deadline_ns, Joblet__GetJobStatusResponse **ret_job,
        struct grpc_result *ret_result)
{
    Joblet__GetJobStatusRequest request;
    joblet__get_job_status_request__init(&request);
    request.uuid = rpc_borrow(uuid);
    ProtobufCMessage *answer;
    int r = rpc_call(rpc, "/joblet.JobService/GetJobStatus", &request.base,
            &joblet__get_job_status_response__descriptor, deadline_ns, &answer, ret_result);
    if (r == 0)
        *ret_job = (Joblet__GetJobStatusResponse *)answer;
    return r;
}

/* A stream has no deadline, so a server that is not there would be waited for without end: a question that has one goes
 * ahead. Only the connection counts; what the server says against the job comes from the stream again. */
static int reach_server(struct rpc *rpc, const char *uuid, uint64_t deadline_ns, struct grpc_result *ret_result)
{
    Joblet__GetJobStatusResponse *job = NULL;
    int r = ask_status(rpc, uuid, deadline_ns, &job, ret_result);
    if (r == 0)
        joblet__get_job_status_response__free_unpacked(job, NULL);
    bool away = ret_result->status == GRPC_DEADLINE_EXCEEDED || ret_result->status == GRPC_UNAVAILABLE;
    return r == -EINTR || (r < 0 && away) ? r : 0;
}

static int fail_log(int r, bool started, const struct grpc_result *result)
{
    if (r == -EPIPE)
        output_end_by_pipe();
    if (r == -EINTR)
        return r;
    if (r == -EREMOTEIO && !started)
        (void)rpc_fail("couldn't start reading logs", result);
    else if (r == -EREMOTEIO)
        (void)rnx_fail("problem reading logs: %s", result->message);
    else if (r == -EBADMSG)
        (void)rnx_fail("problem reading logs: the server's answer is malformed");
    else
        (void)rnx_fail("problem reading logs: %s", strerror(-r));
    return r;
}

static void pause_for(uint64_t ns)
{
    struct timespec pause = {.tv_sec = (time_t)(ns / RPC_SECOND_NS), .tv_nsec = (long)(ns % RPC_SECOND_NS)};
    (void)nanosleep(&pause, NULL); /* a signal ends it early, which is what we want */
}

/* One attempt: from the question whether the server is there (not with @deadline_ns = 0: it answered just now) to the
 * end of the stream. */
static int copy_log(struct rpc *rpc, const char *uuid, enum follow_streams streams, uint64_t deadline_ns,
        uint64_t *copied, struct grpc_result *ret_result)
{
    int r = deadline_ns > 0 ? reach_server(rpc, uuid, deadline_ns, ret_result) : 0;
    if (r < 0)
        return r;
    r = open_stream(rpc, uuid, ret_result);
    if (r == 0)
        r = copy_stream(rpc, streams, copied, ret_result);
    grpc_client_stream_cancel(rpc->client);
    return r;
}

int follow_log(struct rpc *rpc, const char *uuid, enum follow_streams streams, bool just_started)
{
    uint64_t copied = 0;
    uint64_t deadline_ns = just_started ? 0 : RPC_SHORT_NS;
    bool started = false;
    int64_t progress_ns = text_now_monotonic_ns();
    for (;;) {
        struct grpc_result result = {0};
        uint64_t before = copied;
        int r = copy_log(rpc, uuid, streams, deadline_ns, &copied, &result);
        if (r == 0)
            return 0;
        if (interrupt_came())
            return -EINTR;
        started = started || copied > 0;
        int64_t now_ns = text_now_monotonic_ns();
        if (copied > before)
            progress_ns = now_ns;
        bool broken = r == -EREMOTEIO && result.status == GRPC_UNAVAILABLE;
        /* A reader that paused longer than the server waits for a sign of life comes back for the rest. */
        if ((!just_started && !started) || !broken || now_ns - progress_ns > (int64_t)RETURN_DEADLINE_NS)
            return fail_log(r, started, &result);
        deadline_ns = RETURN_DEADLINE_NS;
        pause_for(RETURN_PAUSE_NS);
    }
}

static bool has_ended(const Joblet__GetJobStatusResponse *job)
{
    static const char *const active[] = {"PENDING", "SCHEDULED", "INITIALIZING", "RUNNING", "STOPPING"};
    for (size_t i = 0; i < ELEMENTS(active); i++)
        if (strcmp(job->status, active[i]) == 0)
            return false;
    return true;
}

/* What the exit status alone does not tell, on standard error. */
static void say_end(const Joblet__GetJobStatusResponse *job)
{
    if (!*job->end_reason || strcmp(job->end_reason, "exited") == 0)
        return;
    (void)fflush(stdout);
    (void)fprintf(stderr, "rnx: job ");
    output_text(stderr, job->uuid);
    (void)fputs(" ended: ", stderr);
    output_text(stderr, job->end_reason);
    /* With any other reason the signal is only the means. */
    if (strcmp(job->end_reason, "signal") == 0) {
        const char *name = sigabbrev_np(job->end_signal);
        (void)fprintf(stderr, " %d%s%s%s", job->end_signal, name ? " (SIG" : "", name ? name : "", name ? ")" : "");
    }
    if (*job->error) {
        (void)fputs(": ", stderr);
        output_text(stderr, job->error);
    }
    (void)fputc('\n', stderr);
}

static int exit_status_of(const Joblet__GetJobStatusResponse *job)
{
    if (job->exit_code > 0 && job->exit_code <= 255)
        return job->exit_code;
    if (strcmp(job->status, "TIMEOUT") == 0)
        return 124;
    /* A job that did not complete has not succeeded, whatever the number. */
    return strcmp(job->status, "COMPLETED") == 0 && job->exit_code == 0 ? RNX_EXIT_OK : RNX_EXIT_FAILED;
}

/* Asks once. 1 with the answer when the job has ended; 0 when it has not, or the server is away for the moment; -errno.
 */
static int ask_ended(struct rpc *rpc, const char *uuid, Joblet__GetJobStatusResponse **ret_job, int64_t *answered_ns)
{
    struct grpc_result result = {0};
    Joblet__GetJobStatusResponse *job = NULL;
    int r = ask_status(rpc, uuid, RETURN_DEADLINE_NS, &job, &result);
    int64_t now_ns = text_now_monotonic_ns();
    if (r == -EINTR)
        return r;
    bool away = r < 0 && result.status == GRPC_UNAVAILABLE && now_ns - *answered_ns < (int64_t)RETURN_DEADLINE_NS;
    if (away)
        return 0;
    if (r != 0) {
        (void)rpc_fail("couldn't get job status", &result);
        return r < 0 ? r : -EIO;
    }
    *answered_ns = now_ns;
    if (has_ended(job)) {
        *ret_job = job;
        return 1;
    }
    joblet__get_job_status_response__free_unpacked(job, NULL);
    return 0;
}

int follow_wait(struct rpc *rpc, const char *uuid)
{
    int64_t start_ns = text_now_monotonic_ns();
    int64_t answered_ns = start_ns;
    for (;;) {
        Joblet__GetJobStatusResponse *job = NULL;
        int r = ask_ended(rpc, uuid, &job, &answered_ns);
        if (r < 0)
            return r;
        if (r > 0) {
            say_end(job);
            int status = exit_status_of(job);
            joblet__get_job_status_response__free_unpacked(job, NULL);
            return status;
        }
        uint64_t pause_ns = (uint64_t)(text_now_monotonic_ns() - start_ns) / 20;
        pause_for(pause_ns < PAUSE_MIN_NS ? PAUSE_MIN_NS : pause_ns > PAUSE_MAX_NS ? PAUSE_MAX_NS : pause_ns);
        if (interrupt_came())
            return -EINTR;
    }
}
