#include "verify/tap.h"

#include <ctype.h>
#include <string.h>

#include "base/fd.h"

/* Reads a number without sign or leading zeros, at most four digits, and moves *@text behind it. 0: there is none. */
static unsigned take_number(const char **text)
{
    unsigned number = 0;
    unsigned digits = 0;
    for (; isdigit((unsigned char)**text) && digits < 4; digits++)
        number = number * 10 + (unsigned)(*(*text)++ - '0');
    return isdigit((unsigned char)**text) ? 0 : number;
}

static bool take(const char **text, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(*text, word, length) != 0)
        return false;
    *text += length;
    return true;
}

static void fail(struct tap *tap, const char *why, const char *line)
{
    char text[REPORT_TEXT_MAX];
    if (tap->wrong[0])
        return;
    (void)snprintf(text, sizeof(text), "%s: %.120s", why, line);
    report_make_plain(text, tap->wrong, sizeof(tap->wrong));
}

/* True when @text ends with " # SKIP no TOOL" from @directive on. */
static bool is_skip(const char *text, const char *directive)
{
    const char *tool = directive;
    if (directive - text < 2 || directive[-1] != ' ' || !take(&tool, "# SKIP no ") || !*tool)
        return false;
    return tool[strspn(tool, "abcdefghijklmnopqrstuvwxyz")] == '\0';
}

/* "ok 12 - P3 environment: JOB_ID is set" behind "ok" or "not ok". */
static void add_result(struct tap *tap, bool ok, const char *line, const char *rest)
{
    char text[TAP_LINE_MAX];
    unsigned number = take(&rest, " ") ? take_number(&rest) : 0;
    if (number != tap->count + 1 || number > TAP_LINES_MAX)
        return fail(tap, "a number is not the next one", line);
    unsigned promise = take(&rest, " - P") ? take_number(&rest) : 0;
    if (promise < 1 || promise > REPORT_PROMISES || !take(&rest, " ") || !*rest)
        return fail(tap, "a line names no promise", line);
    const char *directive = strchr(rest, '#');
    bool skipped = directive && ok && is_skip(rest, directive);
    /* The directives of TAP would make a failure none. */
    if (directive && !skipped)
        return fail(tap, "a line has a directive", line);
    struct tap_line *added = &tap->lines[tap->count++];
    *added = (struct tap_line){.ok = ok, .skipped = skipped, .promise = promise};
    (void)snprintf(text, sizeof(text), "%.*s", (int)(skipped ? (size_t)(directive - 1 - rest) : strlen(rest)), rest);
    report_make_plain(text, added->text, sizeof(added->text));
    if (skipped)
        report_make_plain(directive + strlen("# SKIP "), added->comment, sizeof(added->comment));
}

static void add_comment(struct tap *tap, const char *line)
{
    struct tap_line *last = tap->count > 0 ? &tap->lines[tap->count - 1] : NULL;
    if (last && !last->ok && !last->comment[0])
        report_make_plain(line + 1 + strspn(line + 1, " "), last->comment, sizeof(last->comment));
}

static void take_line(struct tap *tap, const char *line)
{
    const char *rest = line;
    if (!tap->begun) {
        tap->begun = strcmp(line, "TAP version 13") == 0;
        return;
    }
    if (*line == '\0')
        return;
    if (*line == '#')
        return add_comment(tap, line);
    if (take(&rest, "not ok"))
        return add_result(tap, false, line, rest);
    if (take(&rest, "ok"))
        return add_result(tap, true, line, rest);
    if (!take(&rest, "1.."))
        return fail(tap, "a line is none of the protocol", line);
    if (take_number(&rest) != tap->count || *rest || tap->count == 0)
        return fail(tap, "the plan is another number", line);
    tap->complete = true;
}

void tap_parse(const char *text, size_t size, struct tap *ret_tap)
{
    memset(ret_tap, 0, sizeof(*ret_tap));
    /* Behind the plan nothing counts: it is whoever ran the suite. */
    while (size > 0 && !ret_tap->complete && !ret_tap->wrong[0]) {
        char line[TAP_LINE_MAX];
        const char *end = memchr(text, '\n', size);
        size_t length = end ? (size_t)(end - text) : size;
        if (length >= sizeof(line) || memchr(text, '\0', length)) {
            fail(ret_tap, "a line is too long or holds NUL", "");
            return;
        }
        memcpy(line, text, length);
        line[length] = '\0';
        take_line(ret_tap, line);
        text += length + (end ? 1 : 0);
        size -= length + (end ? 1 : 0);
    }
    if (!ret_tap->complete && !ret_tap->wrong[0])
        fail(ret_tap, "the answer has no end", ret_tap->begun ? "it was cut short" : "it never began");
}

/* What a wrong answer leaves open. */
static const unsigned promises_inside[] = {1, 2, 3, 4, 5, 7, 8};

void tap_report(const struct tap *tap, enum report_source source, struct report *report)
{
    if (!tap->complete || tap->wrong[0]) {
        for (size_t i = 0; i < ELEMENTS(promises_inside); i++)
            report_add(
                    report, promises_inside[i], source, REPORT_UNABLE, "the host-protection suite", "%s", tap->wrong);
        return;
    }
    for (size_t i = 0; i < tap->count; i++) {
        const struct tap_line *line = &tap->lines[i];
        report_add(report, line->promise, source,
                line->skipped ? REPORT_UNABLE
                : line->ok    ? REPORT_KEPT
                              : REPORT_BROKEN,
                line->text, "%s",
                line->comment[0] ? line->comment
                : line->ok       ? "as promised"
                                 : "not so");
    }
}
