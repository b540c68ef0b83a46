/* The end of a build: nothing of it is left at joblet, then the record is stored, then who asked is told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/build_private.h"
#include "api/builds.h"
#include "base/fd.h"
#include "base/log.h"

/* After a write failed (a full disk) it is tried again. */
#define RETRY_MS 2000U

static void store_end(struct build *build);

const char *build_outcome(const struct build *build)
{
    return build->published                  ? "success"
           : build->cancelled                ? "cancelled"
           : build->failed                   ? "failed"
           : build->unchanged                ? "unchanged"
           : build->state == BUILD_RECORDING ? "success"
                                             : "";
}

int build_store(struct build *build, state_build_done done)
{
    bool ended = build->state == BUILD_RECORDING;
    _cleanup_free_ char *details = build_report_format(&build->report, build->dry_run);
    struct state_build record = {.name = build->spec->name,
            .version = build->spec->version,
            .digest = build->digest,
            .fingerprint = build->fingerprint,
            .who = build->who,
            .role = build->role,
            .started_unix_ns = build->begin_unix_ns,
            .ended_unix_ns = ended ? text_now_unix_ns() : 0,
            .outcome = build_outcome(build),
            .failure = build->failure,
            .manifest_digest = build->published ? build->report.digest : NULL,
            .details = details};
    memcpy(record.id, build->id, sizeof(record.id));
    return state_put_build(build->api->state, &record, done, build);
}

/* ---- the result ---- */

static void tell(struct build *build)
{
    char path[sizeof(build->api->settings.runtimes_path) + 128] = "";
    char message[sizeof(build->failure)];
    uint64_t duration_ms = (uint64_t)(text_now_monotonic_ns() - build->begin_monotonic_ns) / 1000000;
    bool success = build->published || build->unchanged || (build->dry_run && !build->failed);
    if (build->published || build->unchanged)
        (void)snprintf(path, sizeof(path), "%s/%s/%s", build->api->settings.runtimes_path, build->spec->name,
                build->spec->version);
    if (build->unchanged)
        (void)snprintf(message, sizeof(message), BUILD_UNCHANGED);
    else if (success)
        (void)snprintf(message, sizeof(message), "%s",
                build->dry_run ? "the runtime can be built here: nothing was installed" : "the runtime was built");
    else
        text_copy_cut(message, sizeof(message), build->failure);
    if (*build->unrecorded) {
        char said[sizeof(message)];
        (void)snprintf(
                said, sizeof(said), "the audit log cannot be written: %.190s; %.700s", build->unrecorded, message);
        text_copy_cut(message, sizeof(message), said);
        success = false;
    }
    struct build_result result = {.success = success,
            .cancelled = build->cancelled,
            .host_failed = build->host_failed,
            .message = message,
            .install_path = path,
            .size_bytes = build->size_bytes,
            .duration_ms = duration_ms};
    if (build->sink)
        build->sink->result(build->user, &result);
}

static void finish(struct build *build)
{
    struct api *api = build->api;
    log_event(build->failed ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "build ended", "build", build->uuid, "outcome",
            build_outcome(build), "runtime", build->spec->name, "version", build->spec->version, "error",
            build->failure, NULL);
    struct build **at = &api->builds;
    while (*at != build)
        at = &(*at)->next;
    *at = build->next;
    tell(build);
    build_free(build);
    builds_on_gone(api);
}

static void on_retry(uv_timer_t *timer)
{
    store_end(timer->data);
}

static void on_end_stored(const struct error *error, const char *digest, void *user)
{
    struct build *build = user;
    (void)digest;
    if (!error || build->api->shutting_down) {
        finish(build);
        return;
    }
    log_event(LOG_LEVEL_ERROR, "the end of a build could not be stored, trying again", "build", build->uuid, "error",
            error->text, NULL);
    (void)uv_timer_start(&build->timer, on_retry, RETRY_MS, 0);
}

static void store_end(struct build *build)
{
    if (build_store(build, on_end_stored) < 0)
        (void)uv_timer_start(&build->timer, on_retry, RETRY_MS, 0);
}

/* ---- nothing is left ---- */

/* Whoever is told hears of it when the log does not have it; what was built is there. */
static void on_end_recorded(const struct error *error, void *user)
{
    struct build *build = user;
    if (error)
        text_copy_cut(build->unrecorded, sizeof(build->unrecorded), error->text);
    store_end(build);
}

static void release_next(void *user)
{
    struct build *build = user;
    struct error error = {0};
    struct task *task = TAKE_PTR(build->collect);
    if (!task)
        task = TAKE_PTR(build->install);
    if (!task)
        task = TAKE_PTR(build->base);
    if (task) {
        task_release(task, release_next, build);
        return;
    }
    build->state = BUILD_RECORDING;
    if (build_audit_end(build, on_end_recorded, &error) < 0)
        on_end_recorded(&error, build);
}

void build_release(struct build *build)
{
    build->state = BUILD_RELEASING;
    if (!build->failed)
        build_report_end(&build->report, /* failed= */ false, text_now_unix_ns());
    release_next(build);
}
