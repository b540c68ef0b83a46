/* The report for programs. Its shape is described in docs/SECURITY.md and stays as it is; keys may be added. */
#include <errno.h>
#include <jansson.h>

#include "base/fd.h"
#include "verify/report.h"

static const char *const verdicts[] = {"kept", "broken", "not-tried", "unable"};
static const char *const sources[] = {"inside-job", "inside-build", "outside", "escape", "client"};

static json_t *row_to_json(const struct report_row *row)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "source", sources[row->source], "tried", row->tried, "seen", row->seen,
            "result", verdicts[row->verdict]);
}

static json_t *promise_to_json(const struct report *report, unsigned promise)
{
    char id[16];
    json_t *rows = json_array();
    for (size_t i = 0; i < report->count; i++)
        if (report->rows[i].promise == promise)
            (void)json_array_append_new(rows, row_to_json(&report->rows[i]));
    (void)snprintf(id, sizeof(id), "P%u", promise);
    return json_pack("{s:s, s:s, s:s, s:o}", "id", id, "promise", report_promise_text(promise), "result",
            verdicts[report_promise(report, promise)], "rows", rows);
}

int report_write_json(const struct report *report, FILE *file)
{
    static const char *const results[] = {"kept", "broken", "unable"};
    json_t *promises = json_array();
    for (unsigned promise = 1; promise <= REPORT_PROMISES; promise++)
        (void)json_array_append_new(promises, promise_to_json(report, promise));
    json_t *all = json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:o}", "version", 1, "result",
            results[report_status(report)], "prefix", report->prefix, "kernel", report->kernel, "time", report->time,
            "durationMs", (json_int_t)report->duration_ms, "rowsLost", (json_int_t)report->lost, "promises", promises);
    int r = all && json_array_size(promises) == REPORT_PROMISES ? json_dumpf(all, file, JSON_INDENT(2)) : -1;
    json_decref(all);
    return r == 0 && fputc('\n', file) != EOF && fflush(file) == 0 ? 0 : -EIO;
}
