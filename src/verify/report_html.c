/* The report as one page: nothing is loaded from elsewhere, and the policy in it forbids that and every script. */
#include <errno.h>
#include <string.h>

#include "verify/report.h"

static const char head[] =
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Joblet: host "
        "protection</title>\n"
        "<style>\n"
        ":root { color-scheme: light dark; --text: #1c2024; --dim: #60646c; --back: #fcfcfd; --card: #fff; --line: "
        "#e0e1e6;"
        " --good: #18794e; --bad: #cd2b31; --warn: #ad5700 }\n"
        "@media (prefers-color-scheme: dark) { :root { --text: #edeef0; --dim: #b0b4ba; --back: #111113; --card: "
        "#18191b;"
        " --line: #363a3f; --good: #3dd68c; --bad: #ff9592; --warn: #ffb35c } }\n"
        "body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); max-width: 64rem;"
        " margin: 2rem auto; padding: 0 1rem }\n"
        "h1 { font-size: 1.6rem; margin: 0 }\nh2 { font-size: 1.05rem; margin: 0; flex: 1 }\n"
        ".dim { color: var(--dim); font-size: .9rem }\n.sum { font-size: 1.2rem; font-weight: 600; margin: 1rem 0 }\n"
        "section { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; margin: 1rem 0;"
        " padding: .8rem 1rem }\n.top { display: flex; gap: .8rem; align-items: baseline }\n"
        ".id { font-weight: 700; min-width: 2.4rem }\n.badge { font-weight: 600; white-space: nowrap }\n"
        ".kept { color: var(--good) } .broken { color: var(--bad) } .unable { color: var(--warn) } .out { color: "
        "var(--dim) }\n"
        "table { border-collapse: collapse; width: 100%; font-size: .875rem; margin-top: .5rem }\n"
        "th { text-align: left; color: var(--dim); font-weight: 500 }\n"
        "td, th { padding: .25rem .8rem .25rem 0; border-top: 1px solid var(--line); vertical-align: top;"
        " overflow-wrap: anywhere }\nsummary { cursor: pointer; margin-top: .5rem }\n"
        "</style>\n</head>\n<body>\n";

static const char *const classes[] = {"kept", "broken", "out", "unable"};

static void put(FILE *file, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '<':
            (void)fputs("&lt;", file);
            break;
        case '>':
            (void)fputs("&gt;", file);
            break;
        case '&':
            (void)fputs("&amp;", file);
            break;
        case '"':
            (void)fputs("&quot;", file);
            break;
        case '\'':
            (void)fputs("&#39;", file);
            break;
        default:
            (void)fputc(*text, file);
            break;
        }
}

static void put_badge(FILE *file, enum report_verdict verdict)
{
    static const char *const signs[] = {"✓", "✗", "–", "?"};
    (void)fprintf(file, "<span class=\"badge %s\">%s %s</span>", classes[verdict], signs[verdict],
            report_verdict_name(verdict));
}

static void put_row(FILE *file, const struct report_row *row)
{
    (void)fprintf(file, "<tr><td>%s</td><td>", report_source_name(row->source));
    put(file, row->tried);
    (void)fputs("</td><td>", file);
    put(file, row->seen);
    (void)fputs("</td><td>", file);
    put_badge(file, row->verdict);
    (void)fputs("</td></tr>\n", file);
}

static bool is_inside(const struct report_row *row)
{
    return row->source == REPORT_INSIDE_JOB || row->source == REPORT_INSIDE_BUILD || row->source == REPORT_ESCAPE;
}

/* Rows that are many and as they should be are folded away. */
static size_t put_rows(const struct report *report, unsigned promise, bool folded, FILE *file)
{
    size_t count = 0;
    for (size_t i = 0; i < report->count; i++) {
        const struct report_row *row = &report->rows[i];
        bool folds = is_inside(row) && row->verdict == REPORT_KEPT;
        if (row->promise != promise || folds != folded)
            continue;
        if (count++ == 0)
            (void)fputs("<table><tr><th>Where</th><th>Tried</th><th>Seen</th><th>Result</th></tr>\n", file);
        put_row(file, row);
    }
    if (count > 0)
        (void)fputs("</table>\n", file);
    return count;
}

static size_t count_folded(const struct report *report, unsigned promise)
{
    size_t count = 0;
    for (size_t i = 0; i < report->count; i++)
        count += report->rows[i].promise == promise && is_inside(&report->rows[i]) &&
                 report->rows[i].verdict == REPORT_KEPT;
    return count;
}

static void put_promise(const struct report *report, unsigned promise, FILE *file)
{
    (void)fprintf(file, "<section><div class=\"top\"><span class=\"id\">P%u</span><h2>%s</h2>", promise,
            report_promise_text(promise));
    put_badge(file, report_promise(report, promise));
    (void)fputs("</div>\n", file);
    (void)put_rows(report, promise, /* folded= */ false, file);
    size_t count = count_folded(report, promise);
    if (count > 0) {
        (void)fprintf(file, "<details><summary>%zu more, made inside, all as promised</summary>\n", count);
        (void)put_rows(report, promise, /* folded= */ true, file);
        (void)fputs("</details>\n", file);
    }
    (void)fputs("</section>\n", file);
}

int report_write_html(const struct report *report, FILE *file)
{
    static const char *const ends[] = {
            "Every promise that was tried is kept.", "A promise is broken.", "Not everything could be tried."};
    static const char *const sums[] = {"kept", "broken", "unable"};
    int status = report_status(report);
    struct report_count count = report_count(report, 0, REPORT_SOURCES);
    (void)fputs(head, file);
    (void)fputs("<h1>Host protection, seen on this host</h1>\n<div class=\"dim\">", file);
    put(file, report->prefix);
    (void)fputs(" · kernel ", file);
    put(file, report->kernel);
    (void)fputs(" · ", file);
    put(file, report->time);
    (void)fprintf(file, " · %ld.%ld s</div>\n<div class=\"sum %s\">%s</div>\n", report->duration_ms / 1000,
            report->duration_ms % 1000 / 100, sums[status], ends[status]);
    (void)fprintf(file,
            "<p class=\"dim\">%zu observations as promised, %zu not, %zu not tried on purpose, %zu that could not be "
            "tried.%s</p>\n",
            count.kept, count.broken, count.left_out, count.unable, report->lost > 0 ? " Rows are missing." : "");
    for (unsigned promise = 1; promise <= REPORT_PROMISES; promise++)
        put_promise(report, promise, file);
    (void)fputs("</body>\n</html>\n", file);
    return fflush(file) == 0 && !ferror(file) ? 0 : -EIO;
}
