#include "verify/report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"

/* The bytes of the character at @text, 1 for what is none. */
static size_t character_size(const char *text)
{
    for (size_t size = 2; size <= 4 && strnlen(text, size) == size; size++)
        if (text_is_utf8(text, size))
            return size;
    return 1;
}

/* C1 controls, and characters that turn the direction of a line around or cannot be seen. */
static bool is_unseen(const unsigned char *text, size_t size)
{
    if (size == 2)
        return text[0] == 0xc2 && text[1] < 0xa0;
    if (size != 3 || text[0] != 0xe2)
        return size == 3 && text[0] == 0xef && (text[1] == 0xbb || text[1] == 0xbf);
    return (text[1] == 0x80 && ((text[2] >= 0x8b && text[2] <= 0x8f) || (text[2] >= 0xa8 && text[2] <= 0xae))) ||
           (text[1] == 0x81 && text[2] >= 0xa0 && text[2] <= 0xaf);
}

void report_make_plain(const char *text, char *ret_text, size_t size)
{
    size_t used = 0;
    while (*text) {
        size_t length = (unsigned char)*text < 0x80 ? 1 : character_size(text);
        bool is_plain = length == 1 ? *text >= ' ' && *text < 0x7f : !is_unseen((const unsigned char *)text, length);
        size_t needed = is_plain ? length : 1;
        if (used + needed >= size)
            break;
        if (is_plain)
            memcpy(ret_text + used, text, length);
        else
            ret_text[used] = *text == '\n' || *text == '\t' ? ' ' : '?';
        used += needed;
        text += length;
    }
    while (used > 0 && ret_text[used - 1] == ' ')
        used--;
    ret_text[used] = '\0';
}

static struct report_row *new_row(struct report *report)
{
    if (report->count == report->capacity) {
        size_t capacity = report->capacity ? 2 * report->capacity : 64;
        struct report_row *rows =
                capacity > REPORT_ROWS_MAX ? NULL : reallocarray(report->rows, capacity, sizeof(*report->rows));
        if (!rows)
            return NULL;
        report->rows = rows;
        report->capacity = capacity;
    }
    return &report->rows[report->count];
}

void report_add(struct report *report, unsigned promise, enum report_source source, enum report_verdict verdict,
        const char *tried, const char *format, ...)
{
    char seen[4 * REPORT_TEXT_MAX];
    va_list arguments;
    struct report_row *row = promise >= 1 && promise <= REPORT_PROMISES ? new_row(report) : NULL;
    if (!row) {
        report->lost++;
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(seen, sizeof(seen), format, arguments);
    va_end(arguments);
    row->promise = promise;
    row->source = source;
    row->verdict = verdict;
    report_make_plain(tried, row->tried, sizeof(row->tried));
    report_make_plain(seen, row->seen, sizeof(row->seen));
    report->count++;
}

void report_done(struct report *report)
{
    free(report->rows);
    report->rows = NULL;
    report->count = report->capacity = 0;
}

struct report_count report_count(const struct report *report, unsigned promise, enum report_source source)
{
    struct report_count count = {0};
    for (size_t i = 0; i < report->count; i++) {
        const struct report_row *row = &report->rows[i];
        if ((promise != 0 && row->promise != promise) || (source != REPORT_SOURCES && row->source != source))
            continue;
        count.kept += row->verdict == REPORT_KEPT;
        count.broken += row->verdict == REPORT_BROKEN;
        count.left_out += row->verdict == REPORT_LEFT_OUT;
        count.unable += row->verdict == REPORT_UNABLE;
    }
    return count;
}

enum report_verdict report_promise(const struct report *report, unsigned promise)
{
    struct report_count count = report_count(report, promise, REPORT_SOURCES);
    if (count.broken > 0)
        return REPORT_BROKEN;
    if (count.unable > 0)
        return REPORT_UNABLE;
    return count.kept > 0 ? REPORT_KEPT : REPORT_LEFT_OUT;
}

/* A promise of which nothing was seen is none that was kept. */
int report_status(const struct report *report)
{
    int status = report->lost > 0 ? 2 : 0;
    for (unsigned promise = 1; promise <= REPORT_PROMISES; promise++) {
        enum report_verdict verdict = report_promise(report, promise);
        if (verdict == REPORT_BROKEN)
            return 1;
        if (verdict != REPORT_KEPT)
            status = 2;
    }
    return status;
}

const char *report_verdict_name(enum report_verdict verdict)
{
    static const char *const names[] = {"kept", "BROKEN", "not tried", "could not be tried"};
    return names[verdict];
}

const char *report_source_name(enum report_source source)
{
    static const char *const names[] = {
            "inside a job", "inside a build", "from outside", "escape", "as a client", "everything"};
    return names[source];
}

const char *report_promise_text(unsigned promise)
{
    static const char *const texts[] = {"Two levels of isolation, chosen by the method alone",
            "A job or a build cannot change the host", "It cannot read what is not its own",
            "Only named places are writable", "Proof before anything of the client's is executed", "Fail closed",
            "Nothing outlives its job", "Limits hold", "Everything is recorded",
            "A running job survives our processes"};
    return promise >= 1 && promise <= ELEMENTS(texts) ? texts[promise - 1] : "";
}
