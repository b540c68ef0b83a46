/* The base of a build: the packages of its language, installed in a sandbox of their own before anything of the
 * client's has run, and kept by joblet. A build whose base is there begins with it.
 *
 *     find --HIT--> install the rest over it
 *       `--MISS--> install the base --ended with 0--> seal --> release --> install the rest over it
 *
 * What cannot be shared is installed in one go. Why is told in each case. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/build_private.h"
#include "base/fd.h"
#include "plan/recipe.h"

#define NOTES_VERSION 1U
#define STEPS_MAX 8U
#define PACKAGES_MAX 512U

/* What a base is remembered by, beside its disk: what the lines of its log said. Our own word from another time, so
 * that it is checked all the same. */
struct notes {
    uint32_t version;
    uint32_t step_count;
    char language_version[64];
    uint8_t selected[PACKAGES_MAX / 8]; /* bit N: package N of the recipe, which is part of the key */
    struct {
        char name[24];
        int64_t begin_unix_ns;
        int64_t end_unix_ns;
    } steps[STEPS_MAX];
};
_Static_assert(sizeof(struct notes) <= CHANNEL_BASE_NOTES_SIZE, "the notes fit the message");
_Static_assert(RUNTIME_BASE_KEY_SIZE == CHANNEL_BASE_KEY_SIZE, "the key fits the message");

static void make_notes(const struct build *build, uint8_t ret_notes[CHANNEL_BASE_NOTES_SIZE])
{
    const struct build_report *report = &build->report;
    struct notes notes = {.version = NOTES_VERSION};
    (void)snprintf(notes.language_version, sizeof(notes.language_version), "%s", report->version);
    for (size_t i = 0; i < build->recipe.packages.count; i++)
        if (runtime_list_has(&report->packages, build->recipe.packages.items[i]))
            notes.selected[i / 8] |= (uint8_t)(1U << i % 8);
    for (size_t i = 0; i < report->step_count && notes.step_count < STEPS_MAX; i++, notes.step_count++) {
        text_copy_cut(notes.steps[i].name, sizeof(notes.steps[i].name), report->steps[i].name);
        notes.steps[i].begin_unix_ns = report->steps[i].begin_unix_ns;
        notes.steps[i].end_unix_ns = report->steps[i].end_unix_ns;
    }
    memset(ret_notes, 0, CHANNEL_BASE_NOTES_SIZE);
    memcpy(ret_notes, &notes, sizeof(notes));
}

static bool are_notes(const struct notes *notes)
{
    int64_t last = 0;
    if (notes->version != NOTES_VERSION || notes->step_count == 0 || notes->step_count > STEPS_MAX ||
            !memchr(notes->language_version, '\0', sizeof(notes->language_version)))
        return false;
    for (size_t i = 0; i < notes->step_count; i++) {
        if (!memchr(notes->steps[i].name, '\0', sizeof(notes->steps[i].name)) || !notes->steps[i].name[0] ||
                notes->steps[i].begin_unix_ns < last || notes->steps[i].end_unix_ns < notes->steps[i].begin_unix_ns)
            return false;
        last = notes->steps[i].end_unix_ns;
    }
    return true;
}

/* The steps of a base are the build's; what was made between them and the next is nobody's. */
static void add_gap(struct build_report *report)
{
    if (report->step_count == 0 || report->step_count == BUILD_REPORT_STEPS_MAX)
        return;
    int64_t end_ns = report->steps[report->step_count - 1].end_unix_ns;
    struct runtime_step *step = &report->steps[report->step_count++];
    *step = (struct runtime_step){.name = RECIPE_STEP_SANDBOX, .begin_unix_ns = end_ns + 1, .end_unix_ns = end_ns + 1};
}

/* False: they are no notes, or there is no memory. */
static bool take_notes(struct build *build, const uint8_t bytes[CHANNEL_BASE_NOTES_SIZE])
{
    struct notes notes;
    struct build_report *report = &build->report;
    const struct runtime_list *packages = &build->recipe.packages;
    memcpy(&notes, bytes, sizeof(notes));
    if (!are_notes(&notes))
        return false;
    for (size_t i = 0; i < packages->count; i++)
        if ((notes.selected[i / 8] & 1U << i % 8) && runtime_list_add(&report->packages, packages->items[i]) < 0)
            return false;
    (void)snprintf(report->version, sizeof(report->version), "%s", notes.language_version);
    for (size_t i = 0; i < notes.step_count; i++) {
        struct runtime_step *step = &report->steps[report->step_count++];
        *step = (struct runtime_step){
                .begin_unix_ns = notes.steps[i].begin_unix_ns, .end_unix_ns = notes.steps[i].end_unix_ns};
        (void)snprintf(step->name, sizeof(step->name), "%s", notes.steps[i].name);
    }
    add_gap(report);
    return true;
}

/* Into the record, and to who listens. */
__attribute__((format(printf, 2, 3))) static void tell(struct build *build, const char *format, ...)
{
    char text[BUILD_REPORT_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    text_copy_cut(build->report.base, sizeof(build->report.base), text);
    build_say(build, "info", "base: %s", text);
}

/* In one go after all: nothing of what was done counts. */
void build_base_give_up(struct build *build)
{
    struct build_report *report = &build->report;
    report->step_count = 0;
    runtime_list_done(&report->packages);
    report->version[0] = '\0';
    build_install(build, RUNTIME_PART_ALL);
}

/* ---- made now ---- */

static void on_base_released(void *user)
{
    struct build *build = user;
    if (build->cancelled || build->failed) {
        build_release(build);
    } else if (build->base_sealed) {
        add_gap(&build->report);
        build_install(build, RUNTIME_PART_REST);
    } else {
        build_base_give_up(build);
    }
}

static void release_base(struct build *build)
{
    task_release(TAKE_PTR(build->base), on_base_released, build);
}

static void on_sealed(const struct channel_received *received, void *user)
{
    struct build *build = user;
    const struct error *error = link_reply_error(received);
    build->base_sealed = error->code == 0;
    if (error->code)
        build_say(build, "warn", "base: not kept, and installed once more (%s)", error->text);
    release_base(build);
}

static void on_base_ended(struct task *task, const struct task_end *end)
{
    struct build *build = task->user;
    struct channel_base_seal message = {.header = {.operation = CHANNEL_BASE_SEAL, .size = sizeof(message)}};
    if (!build_take_end(build, end) || build->failed) {
        build_release(build);
        return;
    }
    memcpy(message.build_id, build->base->id, sizeof(message.build_id));
    make_notes(build, message.notes);
    if (link_request(build->api->link, &message, -EBADF, on_sealed, build) < 0) {
        build_fail(build, "no memory");
        build_release(build);
    }
}

static void on_base_started(struct task *task, int64_t started_unix_ns)
{
    struct build *build = task->user;
    build->install_unix_ns = started_unix_ns;
}

static const struct task_events base_events = {
        .started = on_base_started, .output = build_on_output, .ended = on_base_ended};

/* ---- found ---- */

static void hit(struct build *build, const struct channel_base_reply *reply)
{
    char uuid[TEXT_UUID_MAX];
    text_format_uuid(reply->build_id, uuid);
    for (unsigned number = 4; number <= 7; number++)
        build_say_phase(build, number, number == 6 ? "skipped: there is none" : "taken from the base");
    tell(build,
            "HIT: the same packages were installed by build %s, and the host's packages and their sources are the same",
            uuid);
    build_install(build, RUNTIME_PART_REST);
}

static void on_found(const struct channel_received *received, void *user)
{
    struct build *build = user;
    const struct channel_base_reply *reply = (const void *)received->bytes;
    if (build->cancelled) {
        build_release(build);
        return;
    }
    if (reply->error.code == 0 && take_notes(build, reply->notes)) {
        hit(build, reply);
        return;
    }
    tell(build, "MISS: %.*s", ERROR_TEXT_MAX - 1,
            reply->error.code ? reply->error.text : "what was kept of it is not understood");
    if (reply->error.code == ENOENT || reply->error.code == ESTALE)
        build_start_install(build, RUNTIME_PART_BASE, NULL, &base_events, &build->base);
    else
        build_base_give_up(build);
}

void build_base_find(struct build *build)
{
    const char *why = "there are too many packages";
    struct runtime_build what;
    struct channel_base_find message = {.header = {.operation = CHANNEL_BASE_FIND, .size = sizeof(message)}};
    build_fill(build, &what);
    bool has_base = runtime_build_has_base(&what, &why);
    if (has_base && build->recipe.packages.count > PACKAGES_MAX)
        has_base = false;
    if (!has_base) {
        if (!build->dry_run)
            tell(build, "MISS: %s", why);
        build_install(build, RUNTIME_PART_ALL);
        return;
    }
    int r = runtime_build_base_key(&what, build_builder_version(), build->base_key);
    memcpy(message.key, build->base_key, sizeof(message.key));
    build->state = BUILD_INSTALLING;
    if (r == 0)
        r = link_request(build->api->link, &message, -EBADF, on_found, build);
    if (r < 0) {
        build_fail(build, "no memory");
        build_release(build);
    }
}
