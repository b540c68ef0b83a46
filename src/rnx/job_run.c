/* rnx job run: checks the flags, sends the request, and with --follow or --wait stays until the job has ended. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "joblet.pb-c.h"
#include "rnx/environment.h"
#include "rnx/follow.h"
#include "rnx/gpu_memory.h"
#include "rnx/interrupt.h"
#include "rnx/json.h"
#include "rnx/output.h"
#include "rnx/rpc.h"

static struct job_run_options {
    bool follow;
    bool wait;
    int32_t max_cpu;
    int32_t max_memory_mb;
    int32_t max_processes;
    int32_t max_io_bps;
    int32_t max_open_files;
    int32_t gpu_count;
    const char *timeout;
    const char *work_dir;
    const char *cpu_cores;
    const char *gpu_memory;
    const char *network;
    const char *runtime;
    const char *schedule;
    struct rnx_list environment;
    struct rnx_list secrets;
    struct rnx_list volumes;
    struct rnx_list uploads;
} run_options = {
        .timeout = "", .work_dir = "", .cpu_cores = "", .gpu_memory = "", .network = "", .runtime = "", .schedule = ""};

#define RUN_OPTION(NAME, LETTER, KIND, FIELD, VALUE, HELP)                                                             \
    {                                                                                                                  \
        .name = NAME, .letter = LETTER, .kind = KIND, .offset = offsetof(struct job_run_options, FIELD),               \
        .max = INT32_MAX, .value = VALUE, .help = HELP                                                                 \
    }

static const struct rnx_option run_option_table[] = {
        RUN_OPTION("follow", 'f', RNX_OPTION_SWITCH, follow, NULL,
                "print the output as it comes; exit with the job's status"),
        RUN_OPTION("wait", 0, RNX_OPTION_SWITCH, wait, NULL, "wait for the end; exit with the job's status"),
        RUN_OPTION(
                "max-cpu", 0, RNX_OPTION_NUMBER, max_cpu, "PERCENT", "CPU limit, in percent of one core (200 = two)"),
        RUN_OPTION("max-memory", 0, RNX_OPTION_NUMBER, max_memory_mb, "MB", "memory limit, in megabytes"),
        RUN_OPTION("max-processes", 0, RNX_OPTION_NUMBER, max_processes, "N", "limit of processes and threads"),
        RUN_OPTION("cpu-cores", 0, RNX_OPTION_TEXT, cpu_cores, "LIST", "CPUs to run on, such as 0-3 or 1,3"),
        RUN_OPTION("max-iobps", 0, RNX_OPTION_NUMBER, max_io_bps, "BYTES",
                "disk limit, bytes a second read and as many written"),
        RUN_OPTION("max-open-files", 0, RNX_OPTION_NUMBER, max_open_files, "N", "open files of each process"),
        RUN_OPTION("timeout", 0, RNX_OPTION_TEXT, timeout, "DURATION", "time limit, such as 30s, 5m, 1h30m"),
        RUN_OPTION(
                "work-dir", 0, RNX_OPTION_TEXT, work_dir, "PATH", "directory in the job to start in (default: /work)"),
        RUN_OPTION("env", 'e', RNX_OPTION_LIST, environment, "KEY=VALUE", "environment variable; may be repeated"),
        RUN_OPTION("secret-env", 's', RNX_OPTION_LIST, secrets, "KEY=VALUE",
                "the same, never shown or stored; may be repeated"),
        RUN_OPTION("runtime", 0, RNX_OPTION_TEXT, runtime, "NAME[@VERSION]",
                "language runtime to run on, see 'rnx runtime list'"),
        /* Not in the list of the help until servers can do them; see the text below it. */
        RUN_OPTION("network", 0, RNX_OPTION_TEXT, network, "NAME", NULL),
        RUN_OPTION("volume", 0, RNX_OPTION_LIST, volumes, "NAME", NULL),
        RUN_OPTION("gpu", 0, RNX_OPTION_NUMBER, gpu_count, "N", NULL),
        RUN_OPTION("gpu-memory", 0, RNX_OPTION_TEXT, gpu_memory, "SIZE", NULL),
        /* Refused here, by name. */
        RUN_OPTION("schedule", 0, RNX_OPTION_TEXT, schedule, "TIME", NULL),
        RUN_OPTION("upload", 0, RNX_OPTION_LIST, uploads, "PATH", NULL),
        RUN_OPTION("upload-dir", 0, RNX_OPTION_LIST, uploads, "PATH", NULL),
};

static const char *refuse_unsupported(void)
{
    if (*run_options.schedule)
        return "--schedule is not supported yet: a job starts at once";
    if (run_options.uploads.count > 0)
        return "--upload is not supported yet: no files can be sent along with a job";
    return NULL;
}

/* What a request is made of; it borrows from the options and from @environment and @secrets. */
struct request {
    Joblet__RunJobRequest message;
    struct environment environment;
    struct environment secrets;
    Joblet__RunJobRequest__EnvironmentEntry *environment_entries;
    Joblet__RunJobRequest__SecretEnvironmentEntry *secret_entries;
    char **volumes;
};

static void request_done(struct request *request)
{
    environment_done(&request->environment);
    environment_done(&request->secrets);
    free(request->environment_entries);
    free(request->secret_entries);
    free(request->volumes);
    free(request->message.environment);
    free(request->message.secret_environment);
    rnx_list_done(&run_options.environment);
    rnx_list_done(&run_options.secrets);
    rnx_list_done(&run_options.volumes);
    rnx_list_done(&run_options.uploads);
}

static int request_set_environment(struct request *request, struct rnx_error *error)
{
    size_t count = request->environment.count;
    request->environment_entries = calloc(count + 1, sizeof(*request->environment_entries));
    request->message.environment = calloc(count + 1, sizeof(Joblet__RunJobRequest__EnvironmentEntry *));
    if (!request->environment_entries || !request->message.environment)
        return rnx_error_set(error, ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        joblet__run_job_request__environment_entry__init(&request->environment_entries[i]);
        request->environment_entries[i].key = request->environment.variables[i].name;
        request->environment_entries[i].value = rpc_borrow(request->environment.variables[i].value);
        request->message.environment[i] = &request->environment_entries[i];
    }
    request->message.n_environment = count;
    return 0;
}

static int request_set_secrets(struct request *request, struct rnx_error *error)
{
    size_t count = request->secrets.count;
    request->secret_entries = calloc(count + 1, sizeof(*request->secret_entries));
    request->message.secret_environment = calloc(count + 1, sizeof(Joblet__RunJobRequest__SecretEnvironmentEntry *));
    if (!request->secret_entries || !request->message.secret_environment)
        return rnx_error_set(error, ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        joblet__run_job_request__secret_environment_entry__init(&request->secret_entries[i]);
        request->secret_entries[i].key = request->secrets.variables[i].name;
        request->secret_entries[i].value = rpc_borrow(request->secrets.variables[i].value);
        request->message.secret_environment[i] = &request->secret_entries[i];
    }
    request->message.n_secret_environment = count;
    return 0;
}

static void warn_about(const struct environment *environment)
{
    for (size_t i = 0; i < environment->count; i++) {
        const struct environment_variable *variable = &environment->variables[i];
        if (environment_is_reserved(variable->name))
            (void)fprintf(stderr, "Warning: '%s' is a reserved environment variable name\n", variable->name);
        if (environment_is_suspicious(variable->value))
            (void)fprintf(stderr, "Warning: environment variable '%s' contains potentially dangerous patterns\n",
                    variable->name);
    }
}

/* The texts of a request must be UTF-8 on the wire; the server would only say that the message is malformed. */
static int check_utf8(const char *what, const char *text, struct rnx_error *error)
{
    if (text_is_utf8(text, strlen(text)))
        return 0;
    return rnx_error_set(error, EINVAL, "%s is not valid UTF-8", what);
}

static int request_check(const struct request *request, struct rnx_error *error)
{
    int r = check_utf8("the command", request->message.command, error);
    for (size_t i = 0; r == 0 && i < request->message.n_args; i++)
        r = check_utf8("an argument", request->message.args[i], error);
    for (size_t i = 0; r == 0 && i < request->environment.count; i++)
        r = check_utf8("the value of an environment variable", request->environment.variables[i].value, error);
    for (size_t i = 0; r == 0 && i < request->secrets.count; i++)
        r = check_utf8("the value of a secret environment variable", request->secrets.variables[i].value, error);
    return r;
}

static int request_set_volumes(struct request *request, struct rnx_error *error)
{
    const struct rnx_list *volumes = &run_options.volumes;
    request->volumes = calloc(volumes->count + 1, sizeof(char *));
    if (!request->volumes)
        return rnx_error_set(error, ENOMEM, "out of memory");
    for (size_t i = 0; i < volumes->count; i++)
        request->volumes[i] = rpc_borrow(volumes->items[i]);
    request->message.volumes = request->volumes;
    request->message.n_volumes = volumes->count;
    return 0;
}

/* Fills @request, which is zeroed and is freed by the caller in any case. */
static int request_make(struct request *request, char **words, size_t count, struct rnx_error *error)
{
    Joblet__RunJobRequest *message = &request->message;
    joblet__run_job_request__init(message);
    message->command = words[0];
    message->args = words + 1;
    message->n_args = count - 1;
    message->max_cpu = run_options.max_cpu;
    message->max_memory = run_options.max_memory_mb;
    message->max_processes = run_options.max_processes;
    message->max_io_bps = run_options.max_io_bps;
    message->max_open_files = run_options.max_open_files;
    message->gpu_count = run_options.gpu_count;
    message->timeout = rpc_borrow(run_options.timeout);
    message->work_dir = rpc_borrow(run_options.work_dir);
    message->cpu_cores = rpc_borrow(run_options.cpu_cores);
    message->network = rpc_borrow(run_options.network);
    message->runtime = rpc_borrow(run_options.runtime);
    int r = *run_options.gpu_memory ? gpu_memory_parse(run_options.gpu_memory, &message->gpu_memory_mb, error) : 0;
    if (r == 0)
        r = environment_parse(&run_options.environment, /* secret= */ false, &request->environment, error);
    if (r == 0)
        r = environment_parse(&run_options.secrets, /* secret= */ true, &request->secrets, error);
    if (r == 0)
        r = request_set_environment(request, error);
    if (r == 0)
        r = request_set_secrets(request, error);
    if (r == 0)
        r = request_set_volumes(request, error);
    return r == 0 ? request_check(request, error) : r;
}

static void print_json(const struct request *request, const Joblet__RunJobResponse *answer)
{
    const Joblet__RunJobRequest *message = &request->message;
    struct json json;
    json_init(&json, stdout, /* compact= */ false);
    json_begin_object(&json);
    json_put_text(&json, "job_uuid", answer->job_uuid);
    json_put_text(&json, "command", message->command);
    json_key(&json, "args");
    json_begin_list(&json);
    for (size_t i = 0; i < message->n_args; i++)
        json_text(&json, message->args[i]);
    json_end_list(&json);
    json_put_text(&json, "status", answer->status);
    json_put_integer_set(&json, "env_vars", (int64_t)message->n_environment);
    json_put_integer_set(&json, "secret_env_vars", (int64_t)message->n_secret_environment);
    json_end_object(&json);
    json_done(&json);
}

static void print_text(const struct request *request, const Joblet__RunJobResponse *answer, bool colour)
{
    const Joblet__RunJobRequest *message = &request->message;
    (void)fputs("Job submitted:\nID: ", stdout);
    output_text(stdout, answer->job_uuid);
    (void)fputs("\nCommand: ", stdout);
    output_text(stdout, message->command);
    (void)putchar(' '); /* also without arguments: the line is "COMMAND " then */
    for (size_t i = 0; i < message->n_args; i++) {
        (void)fputs(i > 0 ? " " : "", stdout);
        output_text(stdout, message->args[i]);
    }
    (void)fputs("\nStatus: ", stdout);
    output_status(stdout, answer->status, colour, 0);
    (void)putchar('\n');
    if (message->n_environment > 0)
        (void)printf("Environment: %zu variables set\n", message->n_environment);
    if (message->n_secret_environment > 0)
        (void)printf("Secret Environment: %zu variables set\n", message->n_secret_environment);
}

/* With --follow standard output belongs to the job. */
static void print_answer(const struct rnx *rnx, const struct request *request, const Joblet__RunJobResponse *answer)
{
    if (rnx->global.json)
        print_json(request, answer);
    else if (!run_options.follow)
        print_text(request, answer, rnx->colour);
    else if (isatty(STDERR_FILENO))
        (void)fprintf(stderr, "rnx: job %s\n", answer->job_uuid);
    (void)fflush(stdout);
}

static int end_interrupted(const char *uuid)
{
    (void)fprintf(stderr,
            "\nrnx: job %s keeps running\n"
            "  rnx job log %s     # its output\n"
            "  rnx job stop %s    # stop it\n",
            uuid, uuid, uuid);
    return interrupt_exit_status();
}

static int stay(const struct rnx *rnx, struct rpc *rpc, const char *uuid)
{
    int r = 0;
    if (run_options.follow)
        r = follow_log(rpc, uuid, rnx->global.json ? FOLLOW_JSON : FOLLOW_BOTH, /* just_started= */ true);
    if (r == 0)
        r = follow_wait(rpc, uuid);
    if (r == -EINTR)
        return end_interrupted(uuid);
    return r < 0 ? RNX_EXIT_FAILED : r;
}

static int submit(const struct rnx *rnx, struct rpc *rpc, const struct request *request)
{
    struct grpc_result result;
    ProtobufCMessage *answer;
    int r = rpc_call(rpc, "/joblet.JobService/RunJob", &request->message.base, &joblet__run_job_response__descriptor,
            RPC_LONG_NS, &answer, &result);
    if (r < 0) {
        int status = rpc_fail("failed to run job", &result);
        return r == -EINTR ? interrupt_exit_status() : status;
    }
    const Joblet__RunJobResponse *response = (const Joblet__RunJobResponse *)answer;
    print_answer(rnx, request, response);
    int status = run_options.follow || run_options.wait ? stay(rnx, rpc, response->job_uuid) : RNX_EXIT_OK;
    protobuf_c_message_free_unpacked(answer, NULL);
    return status;
}

/* Connects and submits. Without --follow and --wait a Ctrl-C simply ends rnx. */
static int connect_and_submit(const struct rnx *rnx, const struct request *request)
{
    int interrupt_fd = -EBADF;
    if (run_options.follow || run_options.wait) {
        interrupt_fd = interrupt_open();
        if (interrupt_fd < 0)
            return rnx_fail("cannot prepare for signals: %s", strerror(-interrupt_fd));
    }
    struct rpc rpc;
    struct rnx_error error = {0};
    bool config_failed;
    if (rpc_prepare(rnx, interrupt_fd, &rpc, &config_failed, &error) < 0)
        return rnx_fail("failed to %s: %s", config_failed ? "load client config" : "create client", error.text);
    int status = submit(rnx, &rpc, request);
    rpc_close(&rpc);
    return status;
}

static int job_run_run(const struct rnx *rnx, char **words, size_t count)
{
    if (count == 0)
        return rnx_fail_usage(&job_run_verb, "must specify a command to run");
    const char *refusal = refuse_unsupported();
    if (refusal)
        return rnx_fail("%s", refusal);
    struct request request = {0};
    struct rnx_error error = {0};
    int status;
    if (request_make(&request, words, count, &error) < 0) {
        status = rnx_fail_usage(&job_run_verb, "%s", error.text);
    } else {
        warn_about(&request.environment);
        warn_about(&request.secrets);
        status = connect_and_submit(rnx, &request);
    }
    request_done(&request);
    return status;
}

const struct rnx_verb job_run_verb = {
        .group = "job",
        .name = "run",
        .arguments = "[flags] [--] COMMAND [ARGS...]",
        .summary = "Run a command as an isolated job",
        .help = "Flags stand before COMMAND; what follows it belongs to the job.\n"
                "\n"
                "Without --follow and --wait rnx returns as soon as the job has started. With them it returns the\n"
                "job's exit status: 128 + N when signal N ended it, 124 after the time limit, 1 when it could not be\n"
                "started. --follow keeps the job's standard output and standard error apart. Ctrl-C ends rnx (130)\n"
                "and leaves the job running.\n"
                "\n"
                "--network, --volume, --gpu and --gpu-memory are sent to the server, which says which of them it\n"
                "cannot do yet; it never ignores one. A limit that its host cannot keep is refused.\n"
                "\n"
                "Examples:\n"
                "  rnx job run --follow uname -a\n"
                "  rnx job run --max-cpu=50 --max-memory=256 --timeout=5m -- bash -c 'echo $JOB_ID; sleep 60'\n"
                "  rnx job run --follow --runtime=python-3.11 python3 -c 'print(1 + 1)'\n"
                "  rnx job run --env MODE=test --secret-env API_KEY=\"$API_KEY\" --wait -- sh -c 'test -n "
                "\"$API_KEY\"'\n"
                "  id=$(rnx job run --json sleep 100 | jq -r .job_uuid); rnx job stop \"$id\"\n",
        .options = run_option_table,
        .option_count = ELEMENTS(run_option_table),
        .target = &run_options,
        .flags = RNX_VERB_COMMAND,
        .run = job_run_run,
};
