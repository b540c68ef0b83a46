/* What scripts/bench.sh measures with: the figures of one kind each, on standard output. The server is that of
 * RNX_CONFIG.
 *
 * - bench exec COUNT COMMAND...: fork, exec and wait of a command, "MEDIAN P99" in microseconds
 * - bench run COUNT: RunJob of true to the end of its log, one warm connection, "MEDIAN P99" in microseconds
 * - bench rate COUNT CLIENTS: as many jobs of true by as many clients at a time, jobs a second until all have ended
 * - bench sleepers COUNT CLIENTS: starts sleeping jobs and leaves them, milliseconds until the last one runs
 * - bench stop COUNT: StopJob of a job of a hundred processes that hear no signal, "MEDIAN P99" in microseconds
 * - bench log BYTES follow|alone: a job that writes so much, MB a second, every byte counted */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "joblet.pb-c.h"
#include "rnx/rpc.h"

#define COUNT_MAX 1000000U

extern char **environ;

/* rnx's own verbs are not ours; its library asks for them. */
const struct rnx_verb *const rnx_verbs[] = {NULL};

static uint64_t now_ns(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * RPC_SECOND_NS + (uint64_t)time.tv_nsec;
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void print_durations(uint64_t *durations_ns, size_t count)
{
    qsort(durations_ns, count, sizeof(*durations_ns), compare);
    (void)printf("%lu %lu\n", (unsigned long)(durations_ns[count / 2] / 1000),
            (unsigned long)(durations_ns[count * 99 / 100] / 1000));
}

static int connect_to_server(struct rpc *ret_rpc)
{
    const struct rnx rnx = {.global = {.config_path = "", .node = ""}};
    struct rnx_error error;
    bool config_failed;
    if (rpc_prepare(&rnx, -EBADF, ret_rpc, &config_failed, &error) == 0)
        return 0;
    (void)fprintf(stderr, "bench: %s\n", error.text);
    return -1;
}

/* The id of a job that runs now. */
static int start_job(struct rpc *rpc, const char *command, char **arguments, size_t count, char ret_uuid[40])
{
    Joblet__RunJobRequest request;
    joblet__run_job_request__init(&request);
    request.command = rpc_borrow(command);
    request.args = arguments;
    request.n_args = count;
    struct grpc_result result;
    ProtobufCMessage *answer;
    if (rpc_call(rpc, "/joblet.JobService/RunJob", &request.base, &joblet__run_job_response__descriptor, RPC_LONG_NS,
                &answer, &result) < 0) {
        (void)fprintf(stderr, "bench: RunJob: %s\n", result.message);
        return -1;
    }
    (void)snprintf(ret_uuid, 40, "%s", ((const Joblet__RunJobResponse *)answer)->job_uuid);
    protobuf_c_message_free_unpacked(answer, NULL);
    return 0;
}

/* Reads the log to its end, which comes when the job has ended and is stored. */
static int follow_job(struct rpc *rpc, const char *uuid, uint64_t *ret_bytes)
{
    Joblet__GetJobLogsRequest request;
    joblet__get_job_logs_request__init(&request);
    request.uuid = rpc_borrow(uuid);
    struct grpc_result result;
    uint64_t bytes = 0;
    int r = rpc_stream_open(rpc, "/joblet.JobService/GetJobLogs", &request.base, &result);
    while (r == 0) {
        const uint8_t *message;
        size_t size;
        r = grpc_client_stream_next(rpc->client, &message, &size, &result);
        if (r <= 0)
            break;
        Joblet__DataChunk *chunk = joblet__data_chunk__unpack(NULL, size, message);
        r = chunk ? 0 : -EBADMSG;
        if (chunk)
            bytes += chunk->payload.len;
        joblet__data_chunk__free_unpacked(chunk, NULL);
    }
    if (r < 0)
        (void)fprintf(stderr, "bench: GetJobLogs: %s\n", result.message);
    *ret_bytes = bytes;
    return r < 0 ? -1 : 0;
}

static int run_one(struct rpc *rpc)
{
    char uuid[40];
    uint64_t bytes;
    return start_job(rpc, "true", NULL, 0, uuid) < 0 || follow_job(rpc, uuid, &bytes) < 0 ? -1 : 0;
}

static int bench_run(uint64_t count)
{
    struct rpc rpc;
    if (connect_to_server(&rpc) < 0)
        return 1;
    uint64_t *durations_ns = calloc(count, sizeof(*durations_ns));
    int r = durations_ns ? run_one(&rpc) : -1;
    for (size_t i = 0; r == 0 && i < count; i++) {
        uint64_t start_ns = now_ns();
        r = run_one(&rpc);
        durations_ns[i] = now_ns() - start_ns;
    }
    if (r == 0)
        print_durations(durations_ns, count);
    free(durations_ns);
    rpc_close(&rpc);
    return r < 0;
}

static int bench_exec(uint64_t count, char **command)
{
    uint64_t *durations_ns = calloc(count, sizeof(*durations_ns));
    posix_spawn_file_actions_t actions;
    if (!durations_ns || posix_spawn_file_actions_init(&actions) != 0)
        return 1;
    (void)posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    int status = 0;
    for (size_t i = 0; status == 0 && i < count; i++) {
        uint64_t start_ns = now_ns();
        pid_t pid;
        if (posix_spawnp(&pid, command[0], &actions, NULL, command, environ) != 0 || waitpid(pid, &status, 0) < 0)
            status = -1;
        durations_ns[i] = now_ns() - start_ns;
    }
    if (status == 0)
        print_durations(durations_ns, count);
    (void)posix_spawn_file_actions_destroy(&actions);
    free(durations_ns);
    return status != 0;
}

/* One of several clients, each a process with a connection of its own. */
static int client_main(uint64_t count, bool sleepers)
{
    static char seconds[] = "600";
    char *arguments[] = {seconds};
    struct rpc rpc;
    if (connect_to_server(&rpc) < 0)
        return 1;
    int r = 0;
    for (uint64_t i = 0; r == 0 && i < count; i++) {
        char uuid[40];
        r = sleepers ? start_job(&rpc, "sleep", arguments, 1, uuid) : run_one(&rpc);
    }
    rpc_close(&rpc);
    return r < 0;
}

static int bench_clients(uint64_t count, uint64_t clients, bool sleepers)
{
    uint64_t start_ns = now_ns();
    for (uint64_t i = 0; i < clients; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(client_main(count / clients + (i < count % clients), sleepers));
        if (pid < 0)
            return 1;
    }
    int failed = 0;
    int status;
    while (wait(&status) > 0)
        failed += status != 0;
    double seconds = (double)(now_ns() - start_ns) / 1e9;
    if (failed == 0)
        (void)printf("%.0f\n", sleepers ? seconds * 1000 : (double)count / seconds);
    return failed != 0;
}

/* Stops one job of the program "bomb" (tests/e2e/hostile), once it says that all its processes are there. */
static int stop_one(struct rpc *rpc, uint64_t *ret_ns)
{
    static char stubborn[] = "stubborn";
    char *arguments[] = {stubborn};
    char uuid[40];
    if (start_job(rpc, "bomb", arguments, 1, uuid) < 0)
        return -1;
    Joblet__GetJobLogsRequest logs;
    joblet__get_job_logs_request__init(&logs);
    logs.uuid = uuid;
    struct grpc_result result;
    const uint8_t *message;
    size_t size;
    int r = rpc_stream_open(rpc, "/joblet.JobService/GetJobLogs", &logs.base, &result);
    if (r == 0)
        r = grpc_client_stream_next(rpc->client, &message, &size, &result);
    grpc_client_stream_cancel(rpc->client);
    Joblet__StopJobRequest stop;
    joblet__stop_job_request__init(&stop);
    stop.uuid = uuid;
    ProtobufCMessage *answer = NULL;
    uint64_t start_ns = now_ns();
    r = r == 1 ? rpc_call(rpc, "/joblet.JobService/StopJob", &stop.base, &joblet__stop_job_response__descriptor,
                         RPC_LONG_NS, &answer, &result)
               : -1;
    *ret_ns = now_ns() - start_ns;
    if (r < 0)
        (void)fprintf(stderr, "bench: StopJob: %s\n", result.message);
    else
        protobuf_c_message_free_unpacked(answer, NULL);
    return r;
}

static int bench_stop(uint64_t count)
{
    struct rpc rpc;
    if (connect_to_server(&rpc) < 0)
        return 1;
    uint64_t *durations_ns = calloc(count, sizeof(*durations_ns));
    int r = durations_ns ? 0 : -1;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = stop_one(&rpc, &durations_ns[i]);
    if (r == 0)
        print_durations(durations_ns, count);
    free(durations_ns);
    rpc_close(&rpc);
    return r < 0;
}

/* Waits for the end without reading the log. */
static int wait_for_job(struct rpc *rpc, const char *uuid)
{
    Joblet__GetJobStatusRequest request;
    joblet__get_job_status_request__init(&request);
    request.uuid = rpc_borrow(uuid);
    for (;;) {
        struct grpc_result result;
        ProtobufCMessage *answer;
        if (rpc_call(rpc, "/joblet.JobService/GetJobStatus", &request.base,
                    &joblet__get_job_status_response__descriptor, RPC_SHORT_NS, &answer, &result) < 0) {
            (void)fprintf(stderr, "bench: GetJobStatus: %s\n", result.message);
            return -1;
        }
        bool ended = *((const Joblet__GetJobStatusResponse *)answer)->end_time != '\0';
        protobuf_c_message_free_unpacked(answer, NULL);
        if (ended)
            return 0;
        const struct timespec pause = {.tv_nsec = 5000000};
        (void)nanosleep(&pause, NULL);
    }
}

static int bench_log(const char *size, bool follow)
{
    static char option[] = "-c";
    static char zeroes[] = "/dev/zero";
    char *arguments[] = {option, rpc_borrow(size), zeroes};
    uint64_t wanted;
    struct rpc rpc;
    if (text_parse_u64(size, UINT64_MAX, &wanted) < 0 || connect_to_server(&rpc) < 0)
        return 1;
    char uuid[40];
    uint64_t start_ns = now_ns();
    uint64_t bytes = 0;
    int r = start_job(&rpc, "head", arguments, 3, uuid);
    if (r == 0)
        r = follow ? follow_job(&rpc, uuid, &bytes) : wait_for_job(&rpc, uuid);
    double seconds = (double)(now_ns() - start_ns) / 1e9;
    if (r == 0 && !follow)
        r = follow_job(&rpc, uuid, &bytes);
    if (r == 0 && bytes != wanted) {
        (void)fprintf(stderr, "bench: %lu of %lu bytes arrived\n", (unsigned long)bytes, (unsigned long)wanted);
        r = -1;
    }
    if (r == 0)
        (void)printf("%.0f\n", (double)wanted / seconds / 1e6);
    rpc_close(&rpc);
    return r < 0;
}

int main(int count, char **arguments)
{
    const char *kind = count > 2 ? arguments[1] : "";
    uint64_t number = 0;
    uint64_t clients = 0;
    bool valid = count > 2 && text_parse_u64(arguments[2], UINT64_MAX, &number) == 0 && number > 0;
    if (valid && strcmp(kind, "log") == 0 && count == 4)
        return bench_log(arguments[2], strcmp(arguments[3], "follow") == 0);
    valid = valid && number <= COUNT_MAX;
    if (valid && strcmp(kind, "exec") == 0 && count > 3)
        return bench_exec(number, arguments + 3);
    if (valid && strcmp(kind, "run") == 0)
        return bench_run(number);
    if (valid && strcmp(kind, "stop") == 0)
        return bench_stop(number);
    valid = valid && count == 4 && text_parse_u64(arguments[3], 64, &clients) == 0 && clients > 0;
    if (valid && (strcmp(kind, "rate") == 0 || strcmp(kind, "sleepers") == 0))
        return bench_clients(number, clients, strcmp(kind, "sleepers") == 0);
    (void)fputs("usage: bench exec COUNT COMMAND... | run COUNT | rate COUNT CLIENTS | sleepers COUNT CLIENTS |\n"
                "       stop COUNT | log BYTES follow|alone\n",
            stderr);
    return 2;
}
