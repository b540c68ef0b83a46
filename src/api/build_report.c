#include "api/build_report.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"

/* Of each list; they go into one row of the table. */
#define LIST_BYTES_MAX ((size_t)24 << 10)
#define PACKAGES_MAX 64U

void build_report_done(struct build_report *report)
{
    struct runtime_list *lists[] = {&report->stripped.items, &report->stray.items, &report->changed.items,
            &report->host_changed.items, &report->wrong.items, &report->packages};
    for (size_t i = 0; i < ELEMENTS(lists); i++)
        runtime_list_done(lists[i]);
}

bool build_report_phase(struct build_report *report, unsigned number, int64_t unix_ns)
{
    if (number <= report->phase || number > RUNTIME_PHASE_COUNT)
        return false;
    build_report_end(report, /* failed= */ false, unix_ns);
    report->phase = number;
    report->phases[number - 1].begin_unix_ns = unix_ns;
    return true;
}

void build_report_end(struct build_report *report, bool failed, int64_t unix_ns)
{
    if (report->phase > 0 && report->phases[report->phase - 1].end_unix_ns == 0)
        report->phases[report->phase - 1].end_unix_ns = unix_ns;
    report->failed = report->failed || failed;
}

/* What finds no memory is counted as left out, as what finds no room. */
static void add_item(struct build_report_list *list, const char *first, const char *second)
{
    size_t size = strlen(first) + strlen(second) + 1;
    if (list->bytes + size > LIST_BYTES_MAX ||
            runtime_list_addf(&list->items, "%s%s%s", first, *first && *second ? " " : "", second) < 0)
        list->left_out++;
    else
        list->bytes += size;
}

static void begin_step(struct build_report *report, const struct runtime_output *output)
{
    report->in_step = true;
    report->warning[0] = '\0';
    if (report->step_count == BUILD_REPORT_STEPS_MAX)
        return;
    struct runtime_step *step = &report->steps[report->step_count++];
    *step = (struct runtime_step){.begin_unix_ns = output->unix_ns, .end_unix_ns = output->unix_ns};
    text_copy_cut(step->name, sizeof(step->name), output->name);
}

static void end_step(struct build_report *report, const struct runtime_output *output)
{
    report->in_step = false;
    report->step_status = (int)output->number;
    struct runtime_step *step = report->step_count > 0 ? &report->steps[report->step_count - 1] : NULL;
    if (step && strcmp(step->name, output->name) == 0)
        step->end_unix_ns = output->unix_ns;
}

static void add_count(struct build_report *report, const struct runtime_output *output)
{
    if (report->count_count == BUILD_REPORT_COUNTS_MAX)
        return;
    text_copy_cut(report->counts[report->count_count].name, sizeof(report->counts[0].name), output->name);
    report->counts[report->count_count++].number = output->number;
}

static void add_value(struct build_report *report, const struct runtime_output *output)
{
    if (strcmp(output->name, RUNTIME_QUERY_VERSION) == 0 && !*report->version)
        text_copy_cut(report->version, sizeof(report->version), output->text);
    if (strcmp(output->name, RUNTIME_QUERY_PACKAGE) == 0 && report->packages.count < PACKAGES_MAX)
        (void)runtime_list_add(&report->packages, output->text);
}

void build_report_add(struct build_report *report, const struct runtime_output *output)
{
    switch (output->kind) {
    case RUNTIME_OUTPUT_BEGIN:
        begin_step(report, output);
        return;
    case RUNTIME_OUTPUT_END:
        end_step(report, output);
        return;
    case RUNTIME_OUTPUT_LOG:
        if (strcmp(output->name, "warn") == 0 || strcmp(output->name, "error") == 0)
            text_copy_cut(report->warning, sizeof(report->warning), output->text);
        return;
    case RUNTIME_OUTPUT_VALUE:
        add_value(report, output);
        return;
    case RUNTIME_OUTPUT_COUNT:
        add_count(report, output);
        return;
    case RUNTIME_OUTPUT_STRIPPED:
        add_item(&report->stripped, output->name, output->text);
        return;
    case RUNTIME_OUTPUT_STRAY:
        add_item(&report->stray, "", output->text);
        return;
    case RUNTIME_OUTPUT_CHANGED:
        add_item(&report->changed, output->name, output->text);
        return;
    case RUNTIME_OUTPUT_HOST_CHANGED:
        add_item(&report->host_changed, "", output->text);
        return;
    case RUNTIME_OUTPUT_WRONG:
        add_item(&report->wrong, "", output->text);
        return;
    case RUNTIME_OUTPUT_DIGEST:
        if (strlen(output->text) == 64 && output->text[strspn(output->text, "0123456789abcdef")] == '\0')
            (void)snprintf(report->digest, sizeof(report->digest), "%s", output->text);
        return;
    case RUNTIME_OUTPUT_FAIL:
        text_copy_cut(report->failure, sizeof(report->failure), output->text);
        return;
    case RUNTIME_OUTPUT_OTHER:
    case RUNTIME_OUTPUT_PHASE:
    case RUNTIME_OUTPUT_PACKAGE:
    case RUNTIME_OUTPUT_DONE:
        return;
    }
}

uint64_t build_report_count(const struct build_report *report, const char *name)
{
    for (size_t i = 0; i < report->count_count; i++)
        if (strcmp(report->counts[i].name, name) == 0)
            return report->counts[i].number;
    return 0;
}

/* ---- the record ---- */

static json_t *new_list(const struct build_report_list *list)
{
    json_t *items = json_array();
    for (size_t i = 0; items && i < list->items.count; i++)
        (void)json_array_append_new(items, json_string(list->items.items[i]));
    return json_pack("{s:o, s:I}", "items", items, "left_out", (json_int_t)list->left_out);
}

static json_t *new_phases(const struct build_report *report)
{
    json_t *phases = json_array();
    for (unsigned i = 0; phases && i < RUNTIME_PHASE_COUNT; i++) {
        if (report->phases[i].begin_unix_ns == 0)
            continue;
        bool failed = report->failed && i + 1 == report->phase;
        (void)json_array_append_new(
                phases, json_pack("{s:i, s:s, s:I, s:I, s:s}", "number", (int)i + 1, "name", runtime_phase_name(i + 1),
                                "begin_ns", (json_int_t)report->phases[i].begin_unix_ns, "end_ns",
                                (json_int_t)report->phases[i].end_unix_ns, "outcome", failed ? "failed" : "done"));
    }
    return phases;
}

static json_t *new_steps(const struct build_report *report)
{
    json_t *steps = json_array();
    for (size_t i = 0; steps && i < report->step_count; i++)
        (void)json_array_append_new(steps, json_pack("{s:s, s:I, s:I}", "name", report->steps[i].name, "begin_ns",
                                                   (json_int_t)report->steps[i].begin_unix_ns, "end_ns",
                                                   (json_int_t)report->steps[i].end_unix_ns));
    return steps;
}

static json_t *new_counts(const struct build_report *report)
{
    json_t *counts = json_object();
    for (size_t i = 0; counts && i < report->count_count; i++)
        (void)json_object_set_new(
                counts, report->counts[i].name, json_integer((json_int_t)(report->counts[i].number & INT64_MAX)));
    return counts;
}

char *build_report_format(const struct build_report *report, bool dry_run)
{
    json_t *root = json_pack("{s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "dry_run", dry_run, "base",
            report->base, "phases", new_phases(report), "steps", new_steps(report), "counts", new_counts(report),
            "stripped", new_list(&report->stripped), "stray", new_list(&report->stray), "changed",
            new_list(&report->changed), "host_changed", new_list(&report->host_changed), "wrong",
            new_list(&report->wrong));
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}
