#include "init/command.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/control.h"
#include "plan/recipe.h"
#include "sandbox/sandbox.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define RUNTIMES "/opt/joblet/runtimes"
#define EXIT_NOT_FOUND 127
#define EXIT_NOT_EXECUTABLE 126

__attribute__((noreturn)) static void give_up(struct sandbox *sandbox, const struct command_failure *failure)
{
    (void)send(sandbox->command_fd, failure, sizeof(*failure), MSG_NOSIGNAL);
    _exit(failure->exit_code > 0 ? failure->exit_code : 1);
}

void command_fail(struct sandbox *sandbox, const struct error *error)
{
    const struct command_failure failure = {.exit_code = -1, .error = *error};
    give_up(sandbox, &failure);
}

/* The names that only we set: what the client sent under them is left out. */
enum { TRUSTED_MAX = 16, TRUSTED_TEXT_MAX = 256 };

struct environment {
    char trusted[TRUSTED_MAX][TRUSTED_TEXT_MAX];
    size_t trusted_count;
    char *command; /* "JOB_COMMAND=..." */
    char **texts;
};

static void trust(struct environment *environment, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void trust(struct environment *environment, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(environment->trusted[environment->trusted_count++], TRUSTED_TEXT_MAX, format, arguments);
    va_end(arguments);
}

static bool is_trusted_name(const struct environment *environment, const char *text)
{
    for (size_t i = 0; i < environment->trusted_count; i++) {
        size_t length = strcspn(environment->trusted[i], "=") + 1;
        if (strncmp(text, environment->trusted[i], length) == 0)
            return true;
    }
    return environment->command && strncmp(text, "JOB_COMMAND=", strlen("JOB_COMMAND=")) == 0;
}

/* What a build's scripts are promised. */
static void trust_runtime(struct environment *environment, const struct sandbox *sandbox)
{
    const struct plan_build *build = &sandbox->plan.build;
    trust(environment, "BUILD_ID=%s", sandbox->job_id);
    trust(environment, "RUNTIME_TYPE=%s", build->language);
    trust(environment, "RUNTIME_NAME=%s", build->name);
    trust(environment, "RUNTIME_VERSION=%s", build->version);
    trust(environment, "RUNTIME_DIR=" RUNTIMES "/%s/%s", build->name, build->version);
    trust(environment, "ISOLATED_DIR=" RUNTIMES "/%s/%s/" RECIPE_DIRECTORY_ROOT, build->name, build->version);
}

static void trust_names(struct environment *environment, const struct sandbox *sandbox)
{
    const struct plan *plan = &sandbox->plan;
    trust(environment, "JOB_ID=%s", sandbox->job_id);
    trust(environment, "JOB_TYPE=%s", plan_type_name(plan->type));
    trust(environment, "JOBLET_CHROOT=true");
    trust(environment, "TMPDIR=/tmp/job-%s", sandbox->job_id);
    trust(environment, "JOB_MAX_CPU=%" PRIu32, plan->cpu_percent);
    trust(environment, "JOB_MAX_MEMORY=%" PRIu64, plan->memory_bytes >> 20);
    if (plan->type == PLAN_TYPE_BUILD)
        trust_runtime(environment, sandbox);
}

static bool has_name(char *const environment[], const char *name)
{
    for (size_t i = 0; environment[i]; i++)
        if (strncmp(environment[i], name, strlen(name)) == 0)
            return true;
    return false;
}

static int build_environment(const struct sandbox *sandbox, struct environment *environment)
{
    static char home[] = "HOME=/root";
    static char path[] = "PATH=" DEFAULT_PATH;
    const bool is_standard = sandbox->plan.type == PLAN_TYPE_STANDARD;
    char **sent = sandbox->spec.environment;
    size_t count = 0;
    while (sent[count])
        count++;
    /* The command, HOME, PATH and the end. */
    environment->texts = calloc(count + TRUSTED_MAX + 4, sizeof(char *));
    if (!environment->texts ||
            (is_standard && asprintf(&environment->command, "JOB_COMMAND=%s", sandbox->spec.arguments[0]) < 0))
        return -ENOMEM;
    trust_names(environment, sandbox);
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        if (!is_trusted_name(environment, sent[i]))
            environment->texts[used++] = sent[i];
    for (size_t i = 0; i < environment->trusted_count; i++)
        environment->texts[used++] = environment->trusted[i];
    if (is_standard)
        environment->texts[used++] = environment->command;
    if (!is_standard && !has_name(sent, "HOME="))
        environment->texts[used++] = home;
    if (!is_standard && !has_name(sent, "PATH="))
        environment->texts[used++] = path;
    return 0;
}

static const char *find_path(char *const environment[])
{
    for (size_t i = 0; environment[i]; i++)
        if (strncmp(environment[i], "PATH=", 5) == 0)
            return environment[i] + 5;
    return DEFAULT_PATH;
}

/* execve at @path; argv[0] is the path, as the contract has it. Returns the errno. */
static int try_exec(const char *path, char **arguments, char **environment)
{
    arguments[0] = (char *)(uintptr_t)path;
    (void)execve(path, arguments, environment);
    return errno;
}

/* Tries the directories of the job's PATH in turn. What is there but cannot be executed is remembered: it is a better
 * answer than "not found". Returns the errno. */
static int exec_by_path(const char *name, char **arguments, char **environment)
{
    int best = ENOENT;
    const char *at = find_path(environment);
    for (;;) {
        size_t length = strcspn(at, ":");
        char path[4096];
        /* An empty part means the working directory. */
        int used = length ? snprintf(path, sizeof(path), "%.*s/%s", (int)length, at, name)
                          : snprintf(path, sizeof(path), "./%s", name);
        if (used > 0 && (size_t)used < sizeof(path)) {
            int code = try_exec(path, arguments, environment);
            if (code == ENOENT && faccessat(AT_FDCWD, path, F_OK, 0) == 0)
                return ELIBACC; /* it is there, what it needs to run is not */
            if (code != ENOENT && code != ENOTDIR && best == ENOENT)
                best = code;
        }
        at += length;
        if (*at++ != ':')
            return best;
    }
}

static void describe_exec_failure(struct command_failure *failure, const char *name, int code)
{
    struct error *error = &failure->error;
    error->stage = PLAN_STAGE_EXEC;
    failure->exit_code = EXIT_NOT_EXECUTABLE;
    if (code == ELIBACC)
        (void)error_text(error, ENOENT, "command '%.100s': its interpreter or loader was not found", name);
    else if (code == ENOENT || code == ENOTDIR) {
        failure->exit_code = EXIT_NOT_FOUND;
        (void)error_text(error, ENOENT,
                strchr(name, '/') ? "command '%.100s' was not found" : "command '%.100s' was not found in PATH", name);
    } else
        (void)error_errno(error, code, "command '%.100s' cannot be executed", name);
}

static void reset_signals(void)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

__attribute__((noreturn)) static void execute(struct sandbox *sandbox)
{
    struct command_failure failure = {.exit_code = EXIT_NOT_EXECUTABLE};
    struct environment environment = {0};
    struct spec *spec = &sandbox->spec;
    char *name = spec->arguments[0];
    int r = build_environment(sandbox, &environment);
    if (r < 0) {
        (void)error_errno(&failure.error, -r, "make the command's environment");
        give_up(sandbox, &failure);
    }
    /* As the command, inside its root: the directory is the client's to name. */
    if (chdir(spec->work_dir) < 0) {
        (void)error_errno(&failure.error, errno, "working directory '%.100s'", spec->work_dir);
        give_up(sandbox, &failure);
    }
    reset_signals();
    if (sandbox->plan.type != PLAN_TYPE_STANDARD) {
        (void)execveat(PLAN_FD_PROGRAM, "", spec->arguments, environment.texts, AT_EMPTY_PATH);
        (void)error_errno(&failure.error, errno, "execute the program of '%s'", plan_type_name(sandbox->plan.type));
        failure.error.stage = PLAN_STAGE_EXEC;
        give_up(sandbox, &failure);
    }
    int code = ENOENT;
    if (strchr(name, '/')) {
        code = try_exec(name, spec->arguments, environment.texts);
        if (code == ENOENT && faccessat(AT_FDCWD, name, F_OK, 0) == 0)
            code = ELIBACC;
    } else if (*name)
        code = exec_by_path(name, spec->arguments, environment.texts);
    describe_exec_failure(&failure, name, code);
    give_up(sandbox, &failure);
}

void command_run(struct sandbox *sandbox)
{
    struct error error = {0};
    if (control_send(PLAN_FD_CONTROL, PLAN_MESSAGE_COMMAND_READY, 0, NULL) < 0) {
        (void)error_errno(&error, errno, "tell joblet that the command's process is ready");
        error.stage = PLAN_STAGE_EXEC;
        command_fail(sandbox, &error);
    }
    (void)close(PLAN_FD_CONTROL);
    char go;
    ssize_t size;
    do
        size = recv(sandbox->command_fd, &go, sizeof(go), 0);
    while (size < 0 && errno == EINTR);
    if (size != 1)
        _exit(1); /* joblet-init is gone, and the kernel is ending this process already */
    execute(sandbox);
}
