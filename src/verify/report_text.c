/* The report for people: a table with one line for each promise and source, and one for each row that is not kept. */
#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "verify/report.h"

#define SOURCE_WIDTH 16
#define TRIED_WIDTH 58

static const char *colour(enum report_verdict verdict, bool colours)
{
    static const char *const codes[] = {"\033[32m", "\033[1;31m", "\033[2m", "\033[33m"};
    return colours ? codes[verdict] : "";
}

/* Characters, not bytes: texts are UTF-8. */
static int padding(const char *text, int width)
{
    int count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count < width ? width - count : 0;
}

static void print_row(const struct report_row *row, FILE *file, bool colours)
{
    (void)fprintf(file, "  %-*s %s%*s %s%s%s: %s\n", SOURCE_WIDTH, report_source_name(row->source), row->tried,
            padding(row->tried, TRIED_WIDTH), "", colour(row->verdict, colours), report_verdict_name(row->verdict),
            colours ? "\033[0m" : "", row->seen);
}

/* What many rows of one source say in one line. */
static void print_summary(
        const struct report *report, unsigned promise, enum report_source source, FILE *file, bool colours)
{
    struct report_count count = report_count(report, promise, source);
    size_t tried = count.kept + count.broken;
    char text[64];
    if (tried == 0)
        return;
    (void)snprintf(
            text, sizeof(text), "%zu %s", tried, source == REPORT_ESCAPE ? "attempts to get out" : "observations");
    enum report_verdict verdict = count.broken > 0 ? REPORT_BROKEN : REPORT_KEPT;
    (void)fprintf(file, "  %-*s %-*s %s%s%s: %zu of %zu\n", SOURCE_WIDTH, report_source_name(source), TRIED_WIDTH, text,
            colour(verdict, colours),
            source == REPORT_ESCAPE && count.broken == 0 ? "refused" : report_verdict_name(verdict),
            colours ? "\033[0m" : "", count.broken > 0 ? count.broken : count.kept, tried);
}

static void print_promise(const struct report *report, unsigned promise, FILE *file, bool colours)
{
    static const bool is_summed[REPORT_SOURCES] = {
            [REPORT_INSIDE_JOB] = true, [REPORT_INSIDE_BUILD] = true, [REPORT_ESCAPE] = true};
    enum report_verdict verdict = report_promise(report, promise);
    (void)fprintf(file, "\nP%-2u %s: %s%s%s\n", promise, report_promise_text(promise), colour(verdict, colours),
            report_verdict_name(verdict), colours ? "\033[0m" : "");
    for (unsigned source = 0; source < REPORT_SOURCES; source++) {
        if (is_summed[source])
            print_summary(report, promise, source, file, colours);
        for (size_t i = 0; i < report->count; i++) {
            const struct report_row *row = &report->rows[i];
            if (row->promise == promise && row->source == source && (!is_summed[source] || row->verdict != REPORT_KEPT))
                print_row(row, file, colours);
        }
    }
}

int report_write_text(const struct report *report, FILE *file, bool colours)
{
    static const char *const ends[] = {
            "Every promise that was tried is kept.", "A PROMISE IS BROKEN.", "Not everything could be tried."};
    (void)fprintf(file, "joblet verify: %s, kernel %s, %s\n", report->prefix, report->kernel, report->time);
    for (unsigned promise = 1; promise <= REPORT_PROMISES; promise++)
        print_promise(report, promise, file, colours);
    if (report->lost > 0)
        (void)fprintf(file, "\n%zu rows found no room.\n", report->lost);
    (void)fprintf(file, "\n%s (%ld.%ld s)\n", ends[report_status(report)], report->duration_ms / 1000,
            report->duration_ms % 1000 / 100);
    return fflush(file) == 0 && !ferror(file) ? 0 : -EIO;
}
