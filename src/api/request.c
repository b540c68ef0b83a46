#include "api/request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/mask.h"
#include "base/fd.h"
#include "base/text.h"
#include "plan/plan.h"
#include "plan/spec.h"

#define WORK_DIR_DEFAULT "/work"
#define MIB (1ULL << 20)
#define OPEN_FILES_MIN ((int32_t)PLAN_OPEN_FILES_MIN)

/* They tell joblet-init and its like what to do, or tell the job what it is: never the client's to say (P1). */
static bool name_is_reserved(const char *name)
{
    return strncmp(name, "JOB_", 4) == 0 || strncmp(name, "JOBLET_", 7) == 0 ||
           strcmp(name, "RUNTIME_MANAGER_PATH") == 0 || strcmp(name, "NETWORK_READY_FILE") == 0;
}

/* What later versions offer. Checked first, so that nobody believes in a job that has less than was asked for. */
static int check_offered(const Joblet__RunJobRequest *message, struct error *error)
{
    const struct {
        const char *field;
        const char *value;
    } texts[] = {
            {"schedule", message->schedule},
            {"network", strcmp(message->network, "none") == 0 ? "" : message->network},
            {"volumes", message->n_volumes ? message->volumes[0] : ""},
            {"uploads", message->n_uploads ? message->uploads[0]->path : ""},
    };
    const struct {
        const char *field;
        int32_t value;
    } numbers[] = {
            {"gpu_count", message->gpu_count},
            {"gpu_memory_mb", message->gpu_memory_mb},
            {"uploads", message->n_uploads ? (int32_t)message->n_uploads : 0},
            {"volumes", message->n_volumes ? (int32_t)message->n_volumes : 0},
    };
    for (size_t i = 0; i < ELEMENTS(numbers); i++)
        if (numbers[i].value < 0)
            return error_text(error, EINVAL, "%s must not be negative: %d", numbers[i].field, numbers[i].value);
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        if (*texts[i].value)
            return error_text(error, EOPNOTSUPP, "%s is not supported by this server yet: '%.80s'", texts[i].field,
                    texts[i].value);
    for (size_t i = 0; i < ELEMENTS(numbers); i++)
        if (numbers[i].value)
            return error_text(error, EOPNOTSUPP, "%s is not supported by this server yet: %d", numbers[i].field,
                    numbers[i].value);
    return 0;
}

static int add_argument(struct state_job *job, const char *text, struct error *error)
{
    size_t size = strlen(text);
    if (size > REQUEST_TEXT_MAX)
        return error_text(error, EINVAL, "an argument is too long: %zu bytes, at most %u", size, REQUEST_TEXT_MAX);
    if (job->arguments.size + size > REQUEST_TEXTS_MAX)
        return error_text(error, EINVAL, "the arguments are too long: at most %u bytes together", REQUEST_TEXTS_MAX);
    return state_texts_add(&job->arguments, text);
}

static int read_arguments(const Joblet__RunJobRequest *message, struct state_job *job, struct error *error)
{
    if (!*message->command)
        return error_text(error, EINVAL, "command is required");
    if (message->n_args > REQUEST_COUNT_MAX)
        return error_text(error, EINVAL, "too many arguments: %zu, at most %u", message->n_args, REQUEST_COUNT_MAX);
    int r = add_argument(job, message->command, error);
    for (size_t i = 0; r == 0 && i < message->n_args; i++)
        r = add_argument(job, message->args[i], error);
    return r;
}

/* Absolute, without "." and "..", slashes made single: the form that the proof and the status compare with. */
static int read_work_dir(const char *text, struct state_job *job, struct error *error)
{
    if (!*text)
        text = WORK_DIR_DEFAULT;
    size_t size = strlen(text);
    if (size > REQUEST_WORK_DIR_MAX)
        return error_text(error, EINVAL, "work_dir is too long: %zu bytes, at most %u", size, REQUEST_WORK_DIR_MAX);
    if (*text != '/')
        return error_text(error, EINVAL, "work_dir must be an absolute path: '%.80s'", text);
    char *path = job->work_dir = malloc(size + 2);
    if (!path)
        return -ENOMEM;
    size_t used = 0;
    for (const char *next = text; *next;) {
        next += strspn(next, "/");
        size_t part = strcspn(next, "/");
        if ((part == 1 && *next == '.') || (part == 2 && next[0] == '.' && next[1] == '.'))
            return error_text(error, EINVAL, "work_dir must not contain '.' or '..': '%.80s'", text);
        if (part) {
            path[used++] = '/';
            memcpy(path + used, next, part);
            used += part;
        }
        next += part;
    }
    if (used == 0)
        path[used++] = '/';
    path[used] = '\0';
    return 0;
}

/* One variable on its way into the command's environment. */
struct variable {
    const char *name;
    const char *value;
    unsigned rank; /* of two with one name the higher counts; in one map the later, as protobuf says */
    size_t order;
};
enum { RANK_DEFAULT, RANK_CLIENT, RANK_SECRET, RANK_RUNTIME, RANK_SERVICE };

static int variable_compare(const void *a, const void *b)
{
    const struct variable *left = a;
    const struct variable *right = b;
    int r = strcmp(left->name, right->name);
    if (r == 0)
        r = (left->rank > right->rank) - (left->rank < right->rank);
    if (r == 0)
        r = (left->order > right->order) - (left->order < right->order);
    return r;
}

/* The value is never in an error: it may be a secret in the wrong map. */
static int check_variable(const struct variable *variable, struct error *error)
{
    const char *name = variable->name;
    if (!text_is_environment_name(name))
        return error_text(error, EINVAL, "invalid environment variable name '%.80s'", name);
    if (name_is_reserved(name) && variable->rank != RANK_SERVICE)
        return error_text(error, EINVAL, "environment variable '%.80s' is reserved", name);
    if (strlen(variable->value) > REQUEST_VALUE_MAX)
        return error_text(error, EINVAL, "environment variable '%.80s' is too long: %zu bytes, at most %u", name,
                strlen(variable->value), REQUEST_VALUE_MAX);
    if (strlen(name) + 1 + strlen(variable->value) > REQUEST_TEXT_MAX)
        return error_text(error, EINVAL, "an environment variable's name is too long: %zu bytes", strlen(name));
    return 0;
}

static int store_variable(const struct variable *variable, struct request *request, struct error *error)
{
    struct state_job *job = request->job;
    int r = 0;
    if (variable->rank == RANK_SECRET)
        r = state_texts_add(&job->secret_names, variable->name);
    else if (variable->rank == RANK_CLIENT)
        r = state_texts_add_pair(
                &job->environment, variable->name, mask_name_is_secret(variable->name) ? MASK : variable->value);
    /* Its memory was reserved as a whole: a list that moves would leave secrets behind. */
    if (r == 0)
        r = state_texts_add_pair(&request->environment, variable->name, variable->value);
    if (r < 0)
        return error_text(error, -r, "no memory");
    if (request->environment.size + job->arguments.size > REQUEST_TEXTS_MAX)
        return error_text(
                error, EINVAL, "arguments and environment are too long: at most %u bytes together", REQUEST_TEXTS_MAX);
    return 0;
}

/* What the runtime says, one "NAME=VALUE" each. The names are copied, because they end before the value. */
struct runtime_variables {
    char **names;
    size_t count;
    char *path; /* PATH_PREPEND, and room for the path behind it */
};

static void runtime_variables_done(struct runtime_variables *variables)
{
    for (size_t i = 0; variables->names && i < variables->count; i++)
        free(variables->names[i]);
    free(variables->names);
    free(variables->path);
}

#define PATH_PREPEND "PATH_PREPEND"
/* Defaults, JOB_RUNTIME, the path. */
#define FURTHER_VARIABLES 6U

/* All variables of the request in one array, with the defaults. */
static size_t collect_variables(
        const Joblet__RunJobRequest *message, const struct state_job *job, struct variable *variables)
{
    const struct variable defaults[] = {
            {.name = "PATH", .value = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            {.name = "HOME", .value = WORK_DIR_DEFAULT},
            {.name = "USER", .value = "nobody"},
            {.name = "PWD", .value = job->work_dir},
    };
    size_t count = 0;
    for (size_t i = 0; i < ELEMENTS(defaults); i++)
        variables[count++] = defaults[i];
    for (size_t i = 0; i < message->n_environment; i++, count++)
        variables[count] =
                (struct variable){message->environment[i]->key, message->environment[i]->value, RANK_CLIENT, count};
    for (size_t i = 0; i < message->n_secret_environment; i++, count++)
        variables[count] = (struct variable){
                message->secret_environment[i]->key, message->secret_environment[i]->value, RANK_SECRET, count};
    if (!*job->runtime)
        return count;
    variables[count] = (struct variable){"JOB_RUNTIME", job->runtime, RANK_SERVICE, count};
    return count + 1;
}

/* What would be PATH: of several the one that counts. */
static const char *find_path(const struct variable *variables, size_t count)
{
    const struct variable *found = NULL;
    for (size_t i = 0; i < count; i++)
        if (strcmp(variables[i].name, "PATH") == 0 && (!found || variable_compare(&variables[i], found) > 0))
            found = &variables[i];
    return found ? found->value : "";
}

static void add_variable(struct variable *variables, size_t *count, struct variable variable)
{
    variable.order = *count;
    variables[(*count)++] = variable;
}

/* The runtime's variables after the others. PATH_PREPEND is none: it is put before the path. */
static int collect_runtime(const struct runtime_description *runtime, struct runtime_variables *own,
        struct variable *variables, size_t *count)
{
    const struct runtime_list *environment = &runtime->environment;
    const char *prepend = NULL;
    own->names = calloc(environment->count + 1, sizeof(char *));
    if (!own->names)
        return -ENOMEM;
    for (; own->count < environment->count; own->count++) {
        const char *text = environment->items[own->count];
        size_t length = strcspn(text, "=");
        char *name = own->names[own->count] = strndup(text, length);
        if (!name)
            return -ENOMEM;
        if (strcmp(name, PATH_PREPEND) == 0)
            prepend = text + length + 1;
        else
            add_variable(variables, count, (struct variable){name, text + length + 1, RANK_RUNTIME, 0});
    }
    if (!prepend || !*prepend)
        return 0;
    const char *path = find_path(variables, *count);
    if (asprintf(&own->path, "%s%s%s", prepend, *path ? ":" : "", path) < 0) {
        own->path = NULL;
        return -ENOMEM;
    }
    add_variable(variables, count, (struct variable){"PATH", own->path, RANK_SERVICE, 0});
    return 0;
}

/* Checks all, and stores of those with one name the one that counts. */
static int store_variables(struct variable *variables, size_t count, struct request *request, struct error *error)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        int r = check_variable(&variables[i], error);
        if (r < 0)
            return r;
        bytes += strlen(variables[i].name) + strlen(variables[i].value) + 2;
    }
    if (bytes > REQUEST_TEXTS_MAX)
        return error_text(
                error, EINVAL, "the environment is too long: %zu bytes, at most %u", bytes, REQUEST_TEXTS_MAX);
    qsort(variables, count, sizeof(*variables), variable_compare);
    request->environment.bytes = malloc(bytes);
    if (!request->environment.bytes)
        return error_text(error, ENOMEM, "no memory");
    request->environment.room = bytes;
    for (size_t i = 0; i < count; i++) {
        if (i + 1 < count && strcmp(variables[i].name, variables[i + 1].name) == 0)
            continue;
        int r = store_variable(&variables[i], request, error);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_environment(const Joblet__RunJobRequest *message, const struct runtime_description *runtime,
        struct request *request, struct error *error)
{
    size_t asked = message->n_environment + message->n_secret_environment;
    if (asked > REQUEST_COUNT_MAX)
        return error_text(error, EINVAL, "too many environment variables: %zu, at most %u", asked, REQUEST_COUNT_MAX);
    size_t room = asked + FURTHER_VARIABLES + (runtime ? runtime->environment.count : 0);
    _cleanup_free_ struct variable *variables = calloc(room, sizeof(*variables));
    _cleanup_(runtime_variables_done) struct runtime_variables own = {0};
    if (!variables)
        return error_text(error, ENOMEM, "no memory");
    size_t count = collect_variables(message, request->job, variables);
    int r = runtime ? collect_runtime(runtime, &own, variables, &count) : 0;
    return r < 0 ? error_text(error, -r, "no memory") : store_variables(variables, count, request, error);
}

/* "NAME@VERSION": the one that was meant when it was asked for. */
static int read_runtime(const struct runtime_description *runtime, struct state_job *job)
{
    int r = runtime ? asprintf(&job->runtime, "%s@%s", runtime->name, runtime->version)
                    : ((job->runtime = strdup("")) ? 0 : -1);
    if (r < 0)
        job->runtime = NULL;
    return job->runtime ? 0 : -ENOMEM;
}

static int read_limits(const Joblet__RunJobRequest *message, const struct settings *settings, struct state_job *job,
        struct error *error)
{
    if (message->max_cpu < 0 || message->max_cpu > REQUEST_CPU_MAX)
        return error_text(error, EINVAL, "max_cpu must be between 0 and %d: %d", REQUEST_CPU_MAX, message->max_cpu);
    if (message->max_memory < 0)
        return error_text(error, EINVAL, "max_memory must not be negative: %d", message->max_memory);
    if (message->max_processes < 0)
        return error_text(error, EINVAL, "max_processes must not be negative: %d", message->max_processes);
    if (message->max_io_bps < 0)
        return error_text(error, EINVAL, "max_io_bps must not be negative: %d", message->max_io_bps);
    if (message->max_open_files < 0 || (message->max_open_files && message->max_open_files < OPEN_FILES_MIN))
        return error_text(
                error, EINVAL, "max_open_files must be 0 or at least %d: %d", OPEN_FILES_MIN, message->max_open_files);
    job->cpu_percent = message->max_cpu ? (uint32_t)message->max_cpu : settings->default_cpu_percent;
    job->memory_bytes = message->max_memory ? (uint64_t)message->max_memory * MIB : settings->default_memory_bytes;
    job->processes = message->max_processes ? (uint32_t)message->max_processes : settings->default_processes;
    job->io_bps = message->max_io_bps ? (uint32_t)message->max_io_bps : settings->default_io_bps;
    job->open_files = message->max_open_files ? (uint32_t)message->max_open_files : settings->default_open_files;
    job->work_bytes = settings->work_bytes;
    job->tmp_bytes = settings->tmp_bytes;
    job->log_quota_bytes = settings->log_bytes;
    const struct {
        const char *field;
        uint64_t asked;
        uint64_t value;
        uint64_t ceiling;
        uint64_t unit;
    } limits[] = {
            {"max_cpu", (uint64_t)message->max_cpu, job->cpu_percent, settings->max_cpu_percent, 1},
            {"max_memory", (uint64_t)message->max_memory, job->memory_bytes, settings->max_memory_bytes, MIB},
            {"max_processes", (uint64_t)message->max_processes, job->processes, settings->max_processes, 1},
            {"max_io_bps", (uint64_t)message->max_io_bps, job->io_bps, settings->max_io_bps, 1},
            {"max_open_files", (uint64_t)message->max_open_files, job->open_files, settings->max_open_files, 1},
    };
    for (size_t i = 0; i < ELEMENTS(limits); i++)
        if (limits[i].asked && limits[i].ceiling && limits[i].value > limits[i].ceiling)
            return error_text(error, EINVAL, "%s is above this server's maximum of %llu: %llu", limits[i].field,
                    (unsigned long long)(limits[i].ceiling / limits[i].unit),
                    (unsigned long long)(limits[i].value / limits[i].unit));
    return 0;
}

static int read_cpus(const char *text, const struct settings *settings, struct state_job *job, struct error *error)
{
    char all[CPULIST_TEXT_MAX];
    struct error reason = {0};
    if (cpulist_parse(text, &job->cpus, &reason) < 0)
        return error_text(error, EINVAL, "cpu_cores: %s", reason.text);
    int cpu = cpulist_first_outside(&job->cpus, &settings->cpus);
    if (cpu < 0)
        return 0;
    cpulist_format(&settings->cpus, all);
    return error_text(error, EINVAL, "cpu_cores: this server has the CPUs %.60s, not %d", all, cpu);
}

static int read_timeout(const char *text, const struct settings *settings, struct state_job *job, struct error *error)
{
    uint64_t ns = 0;
    if (strlen(text) > 64 || (*text && text_parse_duration(text, &ns) < 0))
        return error_text(error, EINVAL, "timeout is not a duration such as 30s or 1h30m: '%.64s'", text);
    char buffer[TEXT_DURATION_MAX] = "";
    if (ns == 0) {
        ns = settings->job_timeout_ns;
        if (ns)
            text_format_duration(ns, buffer);
        text = buffer;
    }
    job->timeout_ns = ns;
    job->timeout_text = strdup(text);
    return job->timeout_text ? 0 : error_text(error, ENOMEM, "no memory");
}

static int request_fill(const Joblet__RunJobRequest *message, const struct settings *settings,
        const struct runtime_description *runtime, struct request *request, struct error *error)
{
    struct state_job *job = request->job;
    int r = read_arguments(message, job, error);
    if (r == 0)
        r = check_offered(message, error);
    if (r == 0)
        r = read_limits(message, settings, job, error);
    if (r == 0)
        r = read_cpus(message->cpu_cores, settings, job, error);
    if (r == 0)
        r = read_timeout(message->timeout, settings, job, error);
    if (r == 0)
        r = read_work_dir(message->work_dir, job, error);
    if (r == 0)
        r = read_runtime(runtime, job);
    if (r == 0)
        r = read_environment(message, runtime, request, error);
    if (r == 0 && !(job->network = strdup(message->network)))
        r = -ENOMEM;
    if (r == -ENOMEM)
        (void)error_text(error, ENOMEM, "no memory");
    return r;
}

int request_read(const Joblet__RunJobRequest *message, const struct settings *settings,
        const struct runtime_description *runtime, struct request *ret_request, struct error *error)
{
    struct request request = {.spec_fd = -EBADF};
    int r = state_job_new(&request.job);
    if (r < 0)
        return error_errno(error, -r, "new job");
    request.job->accepted_unix_ns = text_now_unix_ns();
    r = request_fill(message, settings, runtime, &request, error);
    if (r < 0) {
        request_done(&request);
        return r;
    }
    *ret_request = request;
    return 0;
}

/* The texts as a NULL-terminated array, owned by the caller. */
static char **texts_array(const struct state_texts *texts)
{
    char **array = calloc((size_t)texts->count + 1, sizeof(*array));
    size_t count = 0;
    /* The position, not the const text: spec_encode takes what execve takes. */
    for (const char *text = NULL; array && (text = state_texts_next(texts, text));)
        array[count++] = texts->bytes + (text - texts->bytes);
    return array;
}

int request_seal(struct request *request, struct error *error)
{
    _cleanup_free_ char **arguments = texts_array(&request->job->arguments);
    _cleanup_free_ char **environment = texts_array(&request->environment);
    if (!arguments || !environment)
        return error_text(error, ENOMEM, "no memory");
    return spec_encode(request->job->work_dir, arguments, environment, &request->spec_fd, error);
}

void request_done(struct request *request)
{
    if (request->environment.bytes)
        explicit_bzero(request->environment.bytes, request->environment.room);
    state_texts_done(&request->environment);
    request->spec_fd = fd_close(request->spec_fd);
    state_job_freep(&request->job);
}
