/* A build in the audit log: the intent, before anything of it runs, and its end, from which everything that matters of
 * its record can be read. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/build_private.h"
#include "api/builds.h"
#include "api/describe.h"
#include "base/fd.h"
#include "base/log.h"

/* Of one list: the record has all of them, the log what tells an auditor where to look. */
#define LIST_BYTES_MAX ((size_t)8 << 10)

void build_audit_begin(struct build *build)
{
    struct audit_facts *facts = &build->subject;
    audit_facts_add(facts, "job", build->uuid);
    audit_facts_addf(facts, "runtime", "%s@%s", build->spec->name, build->spec->version);
    audit_facts_add(facts, "specification", build->digest);
}

int build_audit_intend(struct build *build, audit_done done, struct error *error)
{
    struct audit_facts *facts = &build->details;
    describe_spec(facts, build->spec, &build->api->build_environment);
    if (*build->setup_script)
        audit_facts_add(facts, "setup_script", "yes");
    if (build->dry_run)
        audit_facts_add(facts, "dry_run", "yes");
    if (build->force)
        audit_facts_add(facts, "force", "yes");
    audit_facts_add(facts, "fingerprint", build->fingerprint);
    return audit_append_intent(build->api, &build->subject, facts, done, build, error);
}

/* ---- the end ---- */

static void add_phases(struct audit_facts *facts, const struct build_report *report)
{
    for (unsigned i = 0; i < RUNTIME_PHASE_COUNT; i++) {
        char name[16];
        int64_t begin_ns = report->phases[i].begin_unix_ns;
        bool failed = report->failed && i + 1 == report->phase;
        if (begin_ns == 0)
            continue;
        (void)snprintf(name, sizeof(name), "phase_%02u", i + 1);
        audit_facts_addf(facts, name, "%s: %s, %" PRId64 " ms", runtime_phase_name(i + 1), failed ? "failed" : "done",
                (report->phases[i].end_unix_ns - begin_ns) / 1000000);
    }
}

static void add_list(struct audit_facts *facts, const char *name, const struct build_report_list *list)
{
    char *text = NULL;
    size_t size = 0;
    size_t shown = 0;
    FILE *file = list->items.count > 0 ? open_memstream(&text, &size) : NULL;
    for (; file && shown < list->items.count && (size_t)ftello(file) < LIST_BYTES_MAX; shown++)
        (void)fprintf(file, "%s%s", shown > 0 ? "\n" : "", list->items.items[shown]);
    uint64_t more = list->items.count - shown + list->left_out;
    if (file && more > 0)
        (void)fprintf(file, "\n%" PRIu64 " more", more);
    if (file && fclose(file) == 0)
        audit_facts_add(facts, name, text);
    free(text);
}

static bool has_count(const struct build_report *report, const char *name)
{
    for (size_t i = 0; i < report->count_count; i++)
        if (strcmp(report->counts[i].name, name) == 0)
            return true;
    return false;
}

/* "changed" is what the build changed, files of the host's directories seen through its layers. */
static void add_counts(struct audit_facts *facts, const struct build_report *report)
{
    static const char *const names[] = {"files", "bytes", "packages", "changed", "stray", "stripped"};
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "%s_count", names[i]);
        if (has_count(report, names[i]))
            audit_facts_addf(facts, name, "%" PRIu64, build_report_count(report, names[i]));
    }
}

static void add_host(struct audit_facts *facts, const struct build_report *report)
{
    uint64_t changed = build_report_count(report, "host-changed");
    if (changed < report->host_changed.items.count)
        changed = report->host_changed.items.count;
    if (changed > 0)
        audit_facts_addf(facts, "host", "changed during the build: %" PRIu64 " files", changed);
    else
        audit_facts_add(facts, "host", has_count(report, "host-changed") ? "unchanged" : "not looked at");
    add_list(facts, "host_changed", &report->host_changed);
}

static const char *result(const struct build *build)
{
    const char *outcome = build_outcome(build);
    if (strcmp(outcome, "cancelled") == 0)
        return "cancelled";
    if (strcmp(outcome, "failed") != 0)
        return "ok";
    return build->intended ? "failed" : "refused";
}

int build_audit_end(struct build *build, audit_done done, struct error *error)
{
    const struct build_report *report = &build->report;
    struct audit_facts facts = {0};
    char begin[TEXT_TIME_MAX];
    text_format_time(build->begin_unix_ns, begin);
    audit_facts_copy(&facts, &build->subject);
    audit_facts_add(&facts, "result", result(build));
    describe_secrets(&facts, build->spec, &build->api->build_environment);
    audit_facts_add(&facts, "error", build->failure);
    audit_facts_add(&facts, "outcome", build_outcome(build));
    audit_facts_add(&facts, "begin", begin);
    audit_facts_addf(&facts, "duration_ms", "%" PRId64, (text_now_unix_ns() - build->begin_unix_ns) / 1000000);
    if (build->published)
        audit_facts_add(&facts, "manifest", report->digest);
    audit_facts_add(&facts, "fingerprint", build->fingerprint);
    add_host(&facts, report);
    add_counts(&facts, report);
    add_phases(&facts, report);
    add_list(&facts, "stray", &report->stray);
    add_list(&facts, "changed", &report->changed);
    add_list(&facts, "stripped", &report->stripped);
    int r = audit_append(build->api, &facts, done, build, error);
    audit_facts_done(&facts);
    return r;
}

void builds_record_lost(struct api *api)
{
    size_t count;
    struct state_build *const *builds = state_lost_builds(api->state, &count);
    for (size_t i = 0; i < count; i++) {
        const struct state_build *build = builds[i];
        struct audit_facts facts = {0};
        struct error error = {0};
        char uuid[TEXT_UUID_MAX];
        text_format_uuid(build->id, uuid);
        /* As build_report_format begins. */
        bool dry_run = strncmp(build->details, "{\"dry_run\":true", 15) == 0;
        audit_facts_add(&facts, "action", dry_run ? "runtime.validate" : "runtime.build");
        audit_facts_add(&facts, "result", "failed");
        audit_facts_add(&facts, "error", STATE_LOST_BUILD);
        audit_facts_add(&facts, "user", build->who);
        audit_facts_add(&facts, "role", build->role);
        audit_facts_add(&facts, "job", uuid);
        audit_facts_addf(&facts, "runtime", "%s@%s", build->name, build->version);
        audit_facts_add(&facts, "specification", build->digest);
        if (audit_append(api, &facts, NULL, NULL, &error) < 0)
            log_event(LOG_LEVEL_ERROR, "the audit log cannot be written", "error", error.text, NULL);
        audit_facts_done(&facts);
    }
}
