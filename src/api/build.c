#include "api/build.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/build_private.h"
#include "api/mask.h"
#include "api/store.h"
#include "base/fd.h"
#include "base/log.h"
#include "runtime/packager.h"

#define FREE_BYTES_MIN (1ULL << 30)

/* ---- what is said ---- */

void build_say(struct build *build, const char *level, const char *format, ...)
{
    char text[BUILD_REPORT_TEXT_MAX];
    va_list arguments;
    if (!build->sink)
        return;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    build->sink->log(build->user, level, text);
}

void build_say_phase(struct build *build, unsigned number, const char *format, ...)
{
    char text[BUILD_REPORT_TEXT_MAX];
    va_list arguments;
    if (!build_report_phase(&build->report, number, text_now_unix_ns()))
        return;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (build->sink)
        build->sink->phase(build->user, number, text);
}

void build_fail(struct build *build, const char *format, ...)
{
    char text[sizeof(build->failure)];
    va_list arguments;
    if (build->failed)
        return;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    text_copy_cut(build->failure, sizeof(build->failure), text);
    build->failed = true;
    build_report_end(&build->report, /* failed= */ true, text_now_unix_ns());
}

/* ---- from nothing to the install ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void build_free(struct build *build)
{
    runtime_spec_free(build->spec);
    free(build->yaml);
    free(build->setup_script);
    free(build->who);
    free(build->role);
    runtime_recipe_done(&build->recipe);
    build_report_done(&build->report);
    audit_facts_done(&build->subject);
    audit_facts_done(&build->details);
    uv_close((uv_handle_t *)&build->timer, on_timer_closed);
}

static int fill(struct build *build, const struct build_request *request)
{
    char *const *const texts[] = {&build->yaml, &build->setup_script, &build->who, &build->role};
    build->yaml = strdup(request->yaml);
    build->setup_script = strdup(request->setup_script);
    build->who = strdup(request->who);
    build->role = strdup(request->role);
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        if (!*texts[i])
            return -ENOMEM;
    build->dry_run = request->dry_run;
    build->force = request->force;
    build->begin_monotonic_ns = text_now_monotonic_ns();
    build->begin_unix_ns = text_now_unix_ns();
    if (request->subject)
        audit_facts_copy(&build->subject, request->subject);
    int r = text_new_uuid(build->id);
    text_format_uuid(build->id, build->uuid);
    return r < 0 ? r : runtime_build_digest(*request->spec_take, build->setup_script, build->digest);
}

int build_new(struct api *api, const struct build_request *request, const struct build_sink *sink, void *user,
        struct build **ret_build)
{
    struct build *build = calloc(1, sizeof(*build));
    if (!build)
        return -ENOMEM;
    int r = uv_timer_init(&api->loop, &build->timer);
    if (r < 0) {
        free(build);
        return -ENOMEM;
    }
    *build = (struct build){.api = api, .sink = sink, .user = user, .timer = build->timer};
    build->timer.data = build;
    r = fill(build, request);
    if (r < 0) {
        build_free(build);
        return -ENOMEM;
    }
    build->spec = TAKE_PTR(*request->spec_take);
    struct build **at = &api->builds;
    while (*at)
        at = &(*at)->next;
    *at = build;
    *ret_build = build;
    build_audit_begin(build);
    build_say_phase(build, 1, "%s@%s, %s %s", build->spec->name, build->spec->version,
            runtime_language_name(build->spec->language), build->spec->language_version);
    log_event(LOG_LEVEL_INFO, "build accepted", "build", build->uuid, "who", build->who, "role", build->role, "runtime",
            build->spec->name, "version", build->spec->version, "digest", build->digest, "dry_run",
            build->dry_run ? "yes" : "no", NULL);
    return 0;
}

/* Phases 2 and 3. False when it failed. */
static bool check_host(struct build *build, const struct channel_host_reply *reply)
{
    struct error error = {0};
    char distribution[sizeof(reply->distribution)];
    char like[sizeof(reply->distribution_like)];
    char machine[sizeof(reply->architecture)];
    (void)snprintf(distribution, sizeof(distribution), "%.*s", (int)sizeof(distribution) - 1, reply->distribution);
    (void)snprintf(like, sizeof(like), "%.*s", (int)sizeof(like) - 1, reply->distribution_like);
    (void)snprintf(machine, sizeof(machine), "%.*s", (int)sizeof(machine) - 1, reply->architecture);
    int r = runtime_host_find(distribution, like, machine, &build->host, &error);
    build_say_phase(build, 2, "%s %.31s, %s", distribution, reply->distribution_version, machine);
    if (r < 0) {
        build->host_failed = true;
        build_fail(build, "%s", error.text);
        return false;
    }
    const struct runtime_packager_commands *packager = runtime_packager_find(build->host.platform->packager);
    if (!packager->collects) {
        build->host_failed = true;
        build_fail(
                build, "runtimes from packages of '%s' are not supported yet: only those of 'apt' are", packager->name);
        return false;
    }
    if (!runtime_host_fits(&build->host, build->spec)) {
        build_fail(build, "platforms: this host is %s, which is not among them", build->host.platform->name);
        return false;
    }
    if (build->spec->gpu)
        build_say(build, "warn", "requirements.gpu: this server has no GPUs for jobs yet");
    build_say_phase(build, 3, "%" PRIu64 " MiB are free", build->free_bytes >> 20);
    if (build->free_bytes < FREE_BYTES_MIN) {
        build->host_failed = true;
        build_fail(build, "%" PRIu64 " MiB are free below the prefix, at least %llu are needed",
                build->free_bytes >> 20, FREE_BYTES_MIN >> 20);
        return false;
    }
    r = runtime_profile_expand(build->spec, build->host.platform, &build->recipe, &error);
    build->expanded = r == 0;
    if (r < 0)
        build_fail(build, "%s", error.text);
    return r == 0;
}

/* Why it would become another one than the runtime that is there; "" when it would not. */
static const char *difference(const struct build *build, const struct runtime_description *there)
{
    if (strcmp(there->digest, build->digest) != 0)
        return "from another specification";
    if (strcmp(there->fingerprint, build->fingerprint) != 0)
        return "from other packages or package sources than the host and the configuration have now";
    if (strcmp(there->builder_version, build_builder_version()) != 0)
        return "by another version of the builder";
    return "";
}

/* True when the build ends here: the runtime is there, and nothing is to replace it. */
static bool take_existing(struct build *build)
{
    const struct store_runtime *there = store_find(build->api->store, build->spec->name, build->spec->version);
    if (build->dry_run)
        return false;
    if (!there || !there->available || build->force) {
        build_say(build, "info", "not taken from the store (MISS: %s)",
                !there              ? "it is not there"
                : !there->available ? "what is there is not whole"
                                    : "it is to be built again");
        return false;
    }
    const char *why = difference(build, there->description);
    if (*why) {
        build_fail(build, "%s@%s is there already, built %s: --force builds it again and replaces it",
                build->spec->name, build->spec->version, why);
        return true;
    }
    build->unchanged = true;
    build->size_bytes = there->size_bytes;
    for (unsigned number = 4; number <= RUNTIME_PHASE_COUNT; number++)
        build_say_phase(build, number, "unchanged: taken from the store");
    build_say(build, "info", BUILD_UNCHANGED);
    return true;
}

/* Nothing is run before both are there: the record, and the intent in the audit log. */
static void go_on_when_stored(struct build *build)
{
    if (--build->storing > 0)
        return;
    if (build->failed || build->cancelled)
        build_release(build);
    else
        build_base_find(build);
}

static void on_first_stored(const struct error *error, const char *digest, void *user)
{
    struct build *build = user;
    (void)digest;
    if (error)
        build_fail(build, "the build could not be recorded: %s", error->text);
    else
        build->stored = true;
    go_on_when_stored(build);
}

static void on_intended(const struct error *error, void *user)
{
    struct build *build = user;
    if (error)
        build_fail(build, AUDIT_UNAVAILABLE "%s", error->text);
    else
        build->intended = true;
    go_on_when_stored(build);
}

static void store_first(struct build *build)
{
    struct error error = {0};
    build->state = BUILD_STORING;
    build->storing = 2;
    if (build_audit_intend(build, on_intended, &error) < 0)
        on_intended(&error, build);
    if (build_store(build, on_first_stored) < 0) {
        (void)error_text(&error, ENOMEM, "no memory");
        on_first_stored(&error, NULL, build);
    }
}

static void on_host(const struct channel_received *received, void *user)
{
    struct build *build = user;
    const struct channel_host_reply *reply = (const void *)received->bytes;
    if (build->cancelled) {
        build_release(build);
        return;
    }
    if (reply->error.code) {
        build->host_failed = true;
        build_fail(build, "this host cannot build now: %.*s", ERROR_TEXT_MAX - 1, reply->error.text);
        build_release(build);
        return;
    }
    build->free_bytes = reply->free_bytes;
    if (runtime_sources_digest(reply->fingerprint, &build->api->build_environment, build->fingerprint) < 0)
        build_fail(build, "no memory");
    if (build->failed || !check_host(build, reply) || take_existing(build)) {
        build_release(build);
        return;
    }
    store_first(build);
}

void build_begin(struct build *build)
{
    struct channel_header message = {.operation = CHANNEL_HOST_STATE, .size = sizeof(message)};
    build->state = BUILD_HOST;
    if (link_request(build->api->link, &message, -EBADF, on_host, build) < 0) {
        build_fail(build, "no memory");
        build_release(build);
    }
}

void build_cancel(struct build *build, const char *why)
{
    if (build->state == BUILD_LOOKING && build->collect)
        task_kill(build->collect); /* it has failed already */
    if (build->cancelled || build->state >= BUILD_PUBLISHING)
        return;
    build->cancelled = true;
    build_fail(build, "%s", why);
    if (build->base)
        task_kill(build->base);
    if (build->install)
        task_kill(build->install);
    if (build->collect)
        task_kill(build->collect);
    if (build->state == BUILD_WAITING)
        build_release(build);
}

void build_forget(struct build *build)
{
    build->sink = NULL;
}
