/* The sandboxes of a build: install, collect; and the publishing. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/build_private.h"
#include "api/mask.h"
#include "base/fd.h"
#include "joblog/format.h"
#include "plan/recipe.h"

/* What joblet-builder and its steps begin with; the recipe adds to it. */
static const char *const base_environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/bash", "LANG=C.UTF-8", "TERM=dumb"};

/* The longest that is waited for what a failed build changed. */
#define LOOK_NS 60000000000U

/* How many names of files a log line shows. */
#define SHOWN_MAX 3U

const char *build_builder_version(void)
{
    return BUILD_VERSION;
}

static void fill_limits(const struct settings *settings, struct channel_limits *limits)
{
    *limits = (struct channel_limits){.memory_bytes = settings->build_memory_bytes,
            .timeout_ns = settings->build_timeout_ns,
            .processes = settings->build_processes};
}

static void fill_runtime(const struct runtime_spec *spec, struct channel_runtime *runtime)
{
    (void)snprintf(runtime->name, sizeof(runtime->name), "%s", spec->name);
    (void)snprintf(runtime->version, sizeof(runtime->version), "%s", spec->version);
}

/* ---- lines ---- */

static bool is_level(const char *level)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    for (size_t i = 0; i < ELEMENTS(levels); i++)
        if (strcmp(levels[i], level) == 0)
            return true;
    return false;
}

static void take_phase(struct build *build, const struct runtime_output *output)
{
    /* The contract has the names; the messages are the recipe's, which is ours. */
    bool installing = build->state == BUILD_INSTALLING;
    if (output->number < (installing ? 4U : 10U) || output->number > (installing ? 9U : RUNTIME_PHASE_COUNT))
        return;
    build_say_phase(build, (unsigned)output->number, "%s", output->text);
}

static void take_value(struct build *build, const struct runtime_output *output)
{
    bool is_package = strcmp(output->name, RUNTIME_QUERY_PACKAGE) == 0;
    if (is_package && !runtime_list_has(&build->recipe.packages, output->text))
        return;
    build_report_add(&build->report, output);
}

static void on_line(const struct runtime_output *given, void *user)
{
    struct build *build = user;
    char text[RECIPE_LINE_MAX + 1];
    struct runtime_output output = *given;
    /* Only joblet-builder writes to its standard output. */
    if (!build->trusted_stream && output.kind != RUNTIME_OUTPUT_OTHER)
        return;
    mask_text(&build->api->build_environment, output.text, text, sizeof(text));
    output.text = text;
    switch (output.kind) {
    case RUNTIME_OUTPUT_PHASE:
        take_phase(build, &output);
        return;
    case RUNTIME_OUTPUT_LOG:
        build_report_add(&build->report, &output);
        if (build->sink)
            build->sink->log(build->user, is_level(output.name) ? output.name : "info", text);
        return;
    case RUNTIME_OUTPUT_OTHER:
        if (build->sink && *text)
            build->sink->log(build->user, "warn", text);
        return;
    case RUNTIME_OUTPUT_VALUE:
        take_value(build, &output);
        return;
    case RUNTIME_OUTPUT_BEGIN:
        build_say(build, "debug", "step %s", output.name);
        build_report_add(&build->report, &output);
        return;
    case RUNTIME_OUTPUT_END:
    case RUNTIME_OUTPUT_PACKAGE:
    case RUNTIME_OUTPUT_STRIPPED:
    case RUNTIME_OUTPUT_STRAY:
    case RUNTIME_OUTPUT_CHANGED:
    case RUNTIME_OUTPUT_HOST_CHANGED:
    case RUNTIME_OUTPUT_COUNT:
    case RUNTIME_OUTPUT_DIGEST:
    case RUNTIME_OUTPUT_WRONG:
    case RUNTIME_OUTPUT_FAIL:
    case RUNTIME_OUTPUT_DONE:
        build_report_add(&build->report, &output);
        return;
    }
}

void build_on_output(struct task *task, const char *bytes, size_t size, uint32_t stream)
{
    struct build *build = task->user;
    bool standard = stream == JOBLOG_STREAM_STDOUT || stream == JOBLOG_STREAM_UNKNOWN;
    build->trusted_stream = standard;
    runtime_lines_add(&build->lines[standard ? 0 : 1], bytes, size, on_line, build);
}

static void end_lines(struct build *build)
{
    for (size_t i = 0; i < ELEMENTS(build->lines); i++) {
        build->trusted_stream = i == 0;
        runtime_lines_end(&build->lines[i], on_line, build);
    }
}

/* ---- how a sandbox ended ---- */

/* "Install Base: step 'base' exited with 100: E: ..." */
static void fail_by_end(struct build *build, const struct task_end *end)
{
    const struct build_report *report = &build->report;
    bool collecting = build->state == BUILD_COLLECTING && report->phase < 10;
    const char *phase = runtime_phase_name(collecting ? 10 : report->phase);
    char how[TASK_END_TEXT_MAX];
    task_end_format(end, how);
    if (end->record.reason == RECORD_REASON_EXITED && *report->failure)
        build_fail(build, "%s: %s%s%s", phase, report->failure, *report->warning ? ": " : "", report->warning);
    else if (report->in_step && report->step_count > 0)
        build_fail(build, "%s: in step '%s' the build %s", phase, report->steps[report->step_count - 1].name, how);
    else
        build_fail(build, "%s: the build %s", phase, how);
}

static bool has_succeeded(const struct task_end *end)
{
    return end->record.reason == RECORD_REASON_EXITED && end->record.exit_code == 0;
}

/* ---- publish ---- */

static void on_published(const struct channel_received *received, void *user)
{
    struct build *build = user;
    const struct error *error = link_reply_error(received);
    if (error->code)
        build_fail(build, "the runtime was built, but not published: %s", error->text);
    else
        build->published = true;
    build_release(build);
}

static void publish(struct build *build)
{
    struct channel_build_publish message = {
            .header = {.operation = CHANNEL_BUILD_PUBLISH, .size = sizeof(message)}, .replace = build->force ? 1 : 0};
    memcpy(message.build_id, build->id, sizeof(message.build_id));
    build->state = BUILD_PUBLISHING;
    if (link_request(build->api->link, &message, -EBADF, on_published, build) < 0) {
        build_fail(build, "the runtime was built, but not published: no memory");
        build_release(build);
    }
}

/* ---- collect ---- */

/* Its sandboxes have the time of one: its base's, its own, that of collecting. */
static uint64_t time_left(const struct build *build)
{
    uint64_t limit = build->api->settings.build_timeout_ns;
    int64_t passed = build->install_unix_ns > 0 ? text_now_unix_ns() - build->install_unix_ns : 0;
    const uint64_t least = 1000000000U;
    return passed <= 0 ? limit : (uint64_t)passed + least < limit ? limit - (uint64_t)passed : least;
}

static void say_list(struct build *build, const struct build_report_list *list, uint64_t count, const char *what)
{
    char names[BUILD_REPORT_TEXT_MAX / 2] = "";
    size_t used = 0;
    for (size_t i = 0; i < list->items.count && i < SHOWN_MAX && used < sizeof(names); i++)
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i > 0 ? ", " : "", list->items.items[i]);
    if (count < list->items.count)
        count = list->items.count;
    if (count > 0)
        build_say(build, "warn", "%" PRIu64 " %s: %s%s", count, what, names, count > SHOWN_MAX ? ", ..." : "");
    for (size_t i = SHOWN_MAX; i < list->items.count; i++)
        build_say(build, "debug", "%s", list->items.items[i]);
}

/* How many of its files were. */
static uint64_t say_host_changed(struct build *build)
{
    const struct build_report *report = &build->report;
    uint64_t changed = build_report_count(report, "host-changed");
    say_list(build, &report->host_changed, changed, "files of the host changed during the build");
    return changed > 0 ? changed : report->host_changed.items.count;
}

static void on_collected(struct task *task, const struct task_end *end)
{
    struct build *build = task->user;
    const struct build_report *report = &build->report;
    end_lines(build);
    say_list(build, &report->stray, build_report_count(report, "stray"),
            "files were written outside of the runtime and thrown away");
    say_list(build, &report->stripped, build_report_count(report, "stripped"),
            "files lost set-id bits, capabilities or their kind");
    uint64_t changed = say_host_changed(build);
    if (!has_succeeded(end))
        fail_by_end(build, end);
    else if (changed > 0)
        build_fail(build, "host changed during the build: nothing is published, the build can be repeated");
    build->size_bytes = build_report_count(report, "bytes");
    if (build->failed)
        build_release(build);
    else
        publish(build);
}

static const struct task_events collect_events = {.output = build_on_output, .ended = on_collected};

/* The lists of specification and profile are lent, not copied. */
static void describe(const struct build *build, char *built_at, char *language_version, char *version,
        struct runtime_description *ret_description)
{
    const struct runtime_spec *spec = build->spec;
    *ret_description = (struct runtime_description){
            .name = spec->name,
            .version = spec->version,
            .language_version = language_version,
            .description = spec->description,
            .environment = build->recipe.environment,
            .libraries = spec->libraries,
            .test = build->recipe.test,
            .gpu = spec->gpu,
            .cuda_version = spec->cuda_version,
            .built_at = built_at,
            .builder_version = version,
            .build_id = (char *)(uintptr_t)build->uuid,
            .digest = (char *)(uintptr_t)build->digest,
            .fingerprint = (char *)(uintptr_t)build->fingerprint,
            .original_yaml = build->yaml,
    };
}

/* "any" becomes what was installed: "20.20.2-1nodesource1" is 20.20.2. */
static void find_language_version(const struct build *build, char ret_text[64])
{
    const char *wanted = build->spec->language_version;
    if (strcmp(wanted, "any") == 0 && *build->report.version)
        wanted = build->report.version;
    (void)snprintf(ret_text, 64, "%.*s", (int)strcspn(wanted, "-~+"), wanted);
}

static void format_utc(int64_t unix_ns, char ret_text[TEXT_TIME_MAX])
{
    time_t seconds = (time_t)(unix_ns / 1000000000);
    struct tm parts;
    if (!gmtime_r(&seconds, &parts) || strftime(ret_text, TEXT_TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        ret_text[0] = '\0';
}

static int write_description(const struct build *build, char **ret_text)
{
    const struct runtime_spec *spec = build->spec;
    char built_at[TEXT_TIME_MAX];
    char language_version[64];
    char version[32];
    char language[16];
    char platform[32];
    char built_with[] = RUNTIME_BUILT_WITH;
    struct runtime_description description;
    struct runtime_list packages = {0};
    struct runtime_list architectures = {0};
    format_utc(build->begin_unix_ns, built_at);
    find_language_version(build, language_version);
    (void)snprintf(version, sizeof(version), "%s", build_builder_version());
    (void)snprintf(language, sizeof(language), "%s", runtime_language_name(spec->language));
    (void)snprintf(platform, sizeof(platform), "%s", build->host.platform->name);
    int r = runtime_list_add(&architectures, build->host.architecture);
    for (size_t i = 0; r == 0 && i < spec->pip.count; i++)
        r = runtime_list_add(&packages, spec->pip.items[i]);
    for (size_t i = 0; r == 0 && i < spec->npm.count; i++)
        r = runtime_list_add(&packages, spec->npm.items[i]);
    describe(build, built_at, language_version, version, &description);
    description.language = language;
    description.platform = platform;
    description.built_with = built_with;
    description.packages = packages;
    description.architectures = architectures;
    if (r == 0)
        r = runtime_description_write(&description, ret_text);
    runtime_list_done(&packages);
    runtime_list_done(&architectures);
    return r;
}

void build_fill(const struct build *build, struct runtime_build *ret_build)
{
    *ret_build = (struct runtime_build){.spec = build->spec,
            .host = &build->host,
            .recipe = &build->recipe,
            .build_id = build->uuid,
            .setup_script = build->setup_script,
            .environment = &build->api->build_environment,
            .timeout_ns = build->api->settings.build_timeout_ns,
            .dry_run = build->dry_run};
}

static int collect_words(const struct build *build, struct runtime_list *words)
{
    _cleanup_free_ char *description = NULL;
    struct runtime_build what;
    build_fill(build, &what);
    int r = write_description(build, &description);
    const struct runtime_built built = {.packages = &build->report.packages,
            .steps = build->report.steps,
            .step_count = build->report.step_count,
            .since_unix_ns = build->install_unix_ns,
            .limit_bytes = build->api->settings.runtime_bytes,
            .cache_bytes = build->api->settings.cache_bytes,
            .description = description};
    return r == 0 ? runtime_build_collect(&what, &built, words) : r;
}

static void collect(struct build *build)
{
    struct runtime_list words = {0};
    struct runtime_list environment = {0};
    struct error error = {0};
    struct channel_tool_start message = {
            .header = {.operation = CHANNEL_TOOL_START, .size = sizeof(message)}, .tool = CHANNEL_TOOL_COLLECT};
    fill_limits(&build->api->settings, &message.limits);
    message.limits.timeout_ns = time_left(build);
    memcpy(message.build_id, build->id, sizeof(message.build_id));
    struct task_request request = {&message, NULL, &words, &environment, "/", -EBADF};
    build->state = BUILD_COLLECTING;
    memset(build->lines, 0, sizeof(build->lines));
    int r = collect_words(build, &words);
    if (r == 0)
        r = task_start(build->api, &request, &collect_events, build, &build->collect, &error);
    if (r < 0) {
        build_fail(build, "the runtime cannot be collected: %s", error.code ? error.text : strerror(-r));
        build_release(build);
    }
    runtime_list_done(&words);
}

/* ---- what a failed build changed ---- */

static void on_looked(struct task *task, const struct task_end *end)
{
    struct build *build = task->user;
    end_lines(build);
    if (say_host_changed(build) == 0 && !has_succeeded(end)) {
        char how[TASK_END_TEXT_MAX];
        task_end_format(end, how);
        if (*build->report.failure)
            build_say(build, "warn", "what the build changed is not all known: %s", build->report.failure);
        else
            build_say(build, "warn", "what the build changed is not known: looking at it %s", how);
    }
    build_release(build);
}

static const struct task_events look_events = {.output = build_on_output, .ended = on_looked};

/* For the record: nothing of it is kept. Where it cannot be looked at, that is said, and the build has failed as it
 * has. */
static void look(struct build *build)
{
    struct runtime_list words = {0};
    struct runtime_list environment = {0};
    struct error error = {0};
    struct runtime_build what;
    struct channel_tool_start message = {
            .header = {.operation = CHANNEL_TOOL_START, .size = sizeof(message)}, .tool = CHANNEL_TOOL_LOOK};
    const struct runtime_built built = {.steps = build->report.steps,
            .step_count = build->report.step_count,
            .since_unix_ns = build->install_unix_ns};
    fill_limits(&build->api->settings, &message.limits);
    message.limits.timeout_ns = LOOK_NS;
    memcpy(message.build_id, build->id, sizeof(message.build_id));
    struct task_request request = {&message, NULL, &words, &environment, "/", -EBADF};
    build->state = BUILD_LOOKING;
    build->report.failure[0] = '\0'; /* it is the build's by now */
    memset(build->lines, 0, sizeof(build->lines));
    build_fill(build, &what);
    int r = runtime_build_look(&what, &built, &words);
    if (r == 0)
        r = task_start(build->api, &request, &look_events, build, &build->collect, &error);
    if (r < 0) {
        build_say(build, "warn", "what the build changed is not known: %s", error.code ? error.text : strerror(-r));
        build_release(build);
    }
    runtime_list_done(&words);
}

/* ---- install ---- */

static void on_install_started(struct task *task, int64_t started_unix_ns)
{
    struct build *build = task->user;
    if (build->install_unix_ns == 0) /* its base's time counts */
        build->install_unix_ns = started_unix_ns;
}

bool build_take_end(struct build *build, const struct task_end *end)
{
    end_lines(build);
    if (!has_succeeded(end))
        fail_by_end(build, end);
    return has_succeeded(end);
}

static void on_released_for_all(void *user)
{
    struct build *build = user;
    if (build->cancelled)
        build_release(build);
    else
        build_base_give_up(build);
}

/* The base does not fit the host any more, which only the sandbox sees: nothing has run, and joblet has dropped it. */
static bool is_stale(const struct build *build, const struct task_end *end)
{
    return build->has_base && end->record.reason == RECORD_REASON_SETUP_FAILURE && end->record.error.code == ESTALE;
}

static void on_installed(struct task *task, const struct task_end *end)
{
    struct build *build = task->user;
    if (is_stale(build, end) && !build->failed) {
        build_say(build, "info", "base: MISS after all: %.*s", ERROR_TEXT_MAX - 1, end->record.error.text);
        task_release(TAKE_PTR(build->install), on_released_for_all, build);
        return;
    }
    bool is_well = build_take_end(build, end) && !build->failed;
    if (!is_well && !build->cancelled && !build->dry_run && build->report.step_count > 0)
        look(build);
    else if (!is_well || build->dry_run)
        build_release(build);
    else
        collect(build);
}

static const struct task_events install_events = {
        .started = on_install_started, .output = build_on_output, .ended = on_installed};

void build_start_install(struct build *build, enum runtime_part part, const uint8_t *id,
        const struct task_events *events, struct task **ret_task)
{
    struct runtime_list words = {0};
    struct runtime_list environment = {0};
    struct error error = {0};
    struct runtime_build what;
    struct channel_build_start message = {
            .header = {.operation = CHANNEL_BUILD_START, .size = sizeof(message)}, .dry_run = build->dry_run ? 1 : 0};
    fill_limits(&build->api->settings, &message.limits);
    message.limits.timeout_ns = time_left(build);
    fill_runtime(build->spec, &message.runtime);
    build_fill(build, &what);
    (void)snprintf(message.language, sizeof(message.language), "%s", runtime_language_name(build->spec->language));
    message.base = part == RUNTIME_PART_ALL    ? CHANNEL_BASE_NONE
                   : part == RUNTIME_PART_BASE ? CHANNEL_BASE_MAKE
                                               : CHANNEL_BASE_USE;
    if (part != RUNTIME_PART_ALL)
        memcpy(message.base_key, build->base_key, sizeof(message.base_key));
    struct task_request request = {&message, id, &words, &environment, "/work", -EBADF};
    build->state = BUILD_INSTALLING;
    build->has_base = part == RUNTIME_PART_REST;
    memset(build->lines, 0, sizeof(build->lines));
    int r = runtime_build_install(&what, part, &words);
    for (size_t i = 0; r == 0 && i < ELEMENTS(base_environment); i++)
        r = runtime_list_add(&environment, base_environment[i]);
    if (r == 0)
        r = task_start(build->api, &request, events, build, ret_task, &error);
    if (r < 0) {
        build_fail(build, "the build cannot be started: %s", error.code ? error.text : strerror(-r));
        build_release(build);
    }
    runtime_list_done(&words);
    runtime_list_done(&environment);
}

void build_install(struct build *build, enum runtime_part part)
{
    build_start_install(build, part, build->id, &install_events, &build->install);
}
