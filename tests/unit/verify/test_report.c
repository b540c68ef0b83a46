/* The pure parts of `joblet verify`: an answer that comes out of a sandbox may not forge a row, hide a failure, or
 * break the table, the page or the terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/text.h"
#include "verify/escapes.h"
#include "verify/report.h"
#include "verify/tap.h"

#define BEGIN "TAP version 13\n"

static struct tap parsed;

static const struct tap *parse(const char *text)
{
    tap_parse(text, strlen(text), &parsed);
    return &parsed;
}

static void test_tap_reads_the_suite(void **state)
{
    (void)state;
    const struct tap *tap =
            parse("noise of the service\nok 7 - P9 forged\n" BEGIN "# a comment\nok 1 - P3 a: b\n"
                  "not ok 2 - P4 c: d\n#   seen <this>\n#   and that\nok 3 - P10 e\n1..3\n\nheld\nok 9 - P1 x\n");
    assert_true(tap->complete);
    assert_string_equal(tap->wrong, "");
    assert_int_equal(tap->count, 3);
    assert_true(tap->lines[0].ok && !tap->lines[1].ok && tap->lines[2].ok);
    assert_int_equal(tap->lines[0].promise, 3);
    assert_int_equal(tap->lines[2].promise, 10);
    assert_string_equal(tap->lines[0].text, "a: b");
    assert_string_equal(tap->lines[1].comment, "seen <this>");
}

static void test_tap_believes_nothing_else(void **state)
{
    static const char *const wrong[] = {
            "",
            "1..0\n",
            BEGIN,
            BEGIN "1..0\n",
            BEGIN "ok 1 - P3 a\n",
            BEGIN "ok 1 - P3 a\n1..2\n",
            BEGIN "ok 1 - P3 a\nok 1 - P3 a\n1..2\n",
            BEGIN "ok 2 - P3 a\n1..1\n",
            BEGIN "ok 1 - P0 a\n1..1\n",
            BEGIN "ok 1 - P11 a\n1..1\n",
            BEGIN "ok 1 - a\n1..1\n",
            BEGIN "ok 1 - P3\n1..1\n",
            BEGIN "ok 1 - P3 \n1..1\n",
            BEGIN "ok - P3 a\n1..1\n",
            BEGIN "ok 1 P3 a\n1..1\n",
            BEGIN "not ok 1 - P3 a # TO"
                  "DO later\n1..1\n",
            BEGIN "ok 1 - P3 a # SKIP\n1..1\n",
            BEGIN "not ok 1 - P3 a # SKIP no find\n1..1\n",
            BEGIN "ok 1 - P3 a # SKIP no find # SKIP no find\n1..1\n",
            BEGIN "ok 1 - P3 a # SKIP no \n1..1\n",
            BEGIN "ok 1 - P3 a# SKIP no find\n1..1\n",
            BEGIN "ok 1 - P3 # SKIP no find\n1..1\n",
            BEGIN "Bail out!\n",
            BEGIN "ok 1 - P3 a\n1..1 # SKIP\n",
            BEGIN "ok 00001 - P3 a\n1..1\n",
            BEGIN "ok 1 - P3 a\n1..99999999999\n",
            BEGIN " ok 1 - P3 a\n1..1\n",
            BEGIN "ok 1 - P3 a\rok 2 - P3 b\n1..2\n",
            BEGIN "ok -1 - P3 a\n1..1\n",
            "TAP version 14\nok 1 - P3 a\n1..1\n",
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(wrong); i++) {
        struct report report = {0};
        const struct tap *tap = parse(wrong[i]);
        if (tap->complete && !tap->wrong[0])
            fail_msg("number %zu was believed: %s", i, wrong[i]);
        tap_report(tap, REPORT_INSIDE_JOB, &report);
        assert_int_equal(report_status(&report), 2);
        assert_int_equal(report_count(&report, 0, REPORT_SOURCES).kept, 0);
        report_done(&report);
    }
}

/* What was not looked at for want of a tool is nothing that was kept. */
static void test_tap_tells_what_was_skipped(void **state)
{
    struct report report = {0};
    (void)state;
    tap_report(parse(BEGIN "ok 1 - P3 a: b # SKIP no find\nok 2 - P3 c\n1..2\n"), REPORT_INSIDE_JOB, &report);
    assert_int_equal(report.count, 2);
    assert_int_equal(report.rows[0].verdict, REPORT_UNABLE);
    assert_string_equal(report.rows[0].tried, "a: b");
    assert_string_equal(report.rows[0].seen, "no find");
    assert_int_equal(report.rows[1].verdict, REPORT_KEPT);
    report_done(&report);
}

static void test_tap_is_bounded(void **state)
{
    static const char nul[] = BEGIN "ok 1 - P3 a\0b\n1..1\n";
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    (void)state;
    assert_non_null(file);
    (void)fputs(BEGIN, file);
    for (unsigned i = 1; i <= TAP_LINES_MAX + 1; i++)
        (void)fprintf(file, "ok %u - P3 a\n", i);
    (void)fprintf(file, "1..%u\n", TAP_LINES_MAX + 1);
    (void)fclose(file);
    tap_parse(text, size, &parsed);
    assert_string_not_equal(parsed.wrong, "");
    assert_int_equal(parsed.count, TAP_LINES_MAX);
    memset(text, 'x', size);
    memcpy(text, BEGIN, strlen(BEGIN));
    tap_parse(text, size, &parsed);
    assert_string_not_equal(parsed.wrong, "");
    tap_parse(nul, sizeof(nul) - 1, &parsed);
    assert_string_not_equal(parsed.wrong, "");
    free(text);
}

/* Whatever stands in it, a row of the inside stays one, and nothing of it reaches a terminal or a page as more than
 * text. */
static void test_rows_of_the_inside_stay_inside(void **state)
{
    struct report report = {0};
    (void)state;
    const struct tap *tap = parse(BEGIN "not ok 1 - P3 \x1b[2J</td><script>alert(1)</script>\xe2\x80\xae\xc2\x9b"
                                        "31m\xff \"'&\x7f\nok 2 - P2 from outside     all is well\n1..2\n");
    tap_report(tap, REPORT_INSIDE_BUILD, &report);
    assert_int_equal(report_count(&report, 0, REPORT_OUTSIDE).kept, 0);
    assert_int_equal(report_count(&report, 3, REPORT_INSIDE_BUILD).broken, 1);
    assert_int_equal(report_status(&report), 1);

    int (*const writers[])(const struct report *report, FILE *file) = {report_write_html, report_write_json};
    for (size_t i = 0; i < ELEMENTS(writers) + 1; i++) {
        char *text = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&text, &size);
        assert_non_null(file);
        assert_int_equal(
                i < ELEMENTS(writers) ? writers[i](&report, file) : report_write_text(&report, file, false), 0);
        (void)fclose(file);
        assert_true(text_is_utf8(text, size));
        for (size_t at = 0; at < size; at++)
            assert_true((unsigned char)text[at] >= ' ' || text[at] == '\n');
        assert_null(strstr(text, "\xe2\x80\xae"));
        assert_null(strstr(text, "\xc2\x9b"));
        assert_null(strchr(text, 0x7f));
        if (i == 0) {
            assert_null(strstr(text, "<script"));
            assert_non_null(strstr(text, "&lt;/td&gt;&lt;script&gt;"));
            assert_non_null(strstr(text, "&quot;&#39;&amp;"));
        }
        free(text);
    }
    report_done(&report);
}

static void test_json_has_its_shape(void **state)
{
    struct report report = {.prefix = "/p", .kernel = "k", .time = "t", .duration_ms = 12};
    char *text = NULL;
    size_t size = 0;
    (void)state;
    report_add(&report, 2, REPORT_OUTSIDE, REPORT_LEFT_OUT, "tried", "seen %d", 5);
    FILE *file = open_memstream(&text, &size);
    assert_non_null(file);
    assert_int_equal(report_write_json(&report, file), 0);
    (void)fclose(file);
    json_t *root = json_loads(text, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(root, "version")), 1);
    assert_string_equal(json_string_value(json_object_get(root, "result")), "unable");
    const json_t *promise = json_array_get(json_object_get(root, "promises"), 1);
    assert_string_equal(json_string_value(json_object_get(promise, "id")), "P2");
    const json_t *row = json_array_get(json_object_get(promise, "rows"), 0);
    assert_string_equal(json_string_value(json_object_get(row, "source")), "outside");
    assert_string_equal(json_string_value(json_object_get(row, "seen")), "seen 5");
    assert_string_equal(json_string_value(json_object_get(row, "result")), "not-tried");
    json_decref(root);
    free(text);
    report_done(&report);
}

static void test_status(void **state)
{
    struct report report = {0};
    (void)state;
    assert_int_equal(report_status(&report), 2);
    for (unsigned promise = 1; promise <= REPORT_PROMISES; promise++) {
        assert_int_equal(report_status(&report), 2);
        report_add(&report, promise, REPORT_OUTSIDE, REPORT_KEPT, "a", "b");
    }
    assert_int_equal(report_status(&report), 0);
    report_add(&report, 6, REPORT_OUTSIDE, REPORT_LEFT_OUT, "a", "b");
    assert_int_equal(report_status(&report), 0);
    report_add(&report, 6, REPORT_OUTSIDE, REPORT_UNABLE, "a", "b");
    assert_int_equal(report_status(&report), 2);
    report_add(&report, 1, REPORT_CLIENT, REPORT_BROKEN, "a", "b");
    assert_int_equal(report_status(&report), 1);
    for (unsigned i = 0; i < 2 * REPORT_ROWS_MAX; i++)
        report_add(&report, 1, REPORT_CLIENT, REPORT_KEPT, "a", "b");
    assert_true(report.count <= REPORT_ROWS_MAX && report.lost > 0);
    assert_int_equal(report_status(&report), 1);
    report_done(&report);
}

static void test_escape_answers(void **state)
{
    bool refused = false;
    char seen[REPORT_TEXT_MAX];
    (void)state;
    assert_true(escape_parse("ok P3 climb: still /\nmore", "climb", &refused, seen));
    assert_true(refused);
    assert_string_equal(seen, "still /");
    assert_true(escape_parse("ESCAPED P3 climb: out", "climb", &refused, seen));
    assert_false(refused);
    assert_false(escape_parse("ok P3 climb-chroot: no", "climb", &refused, seen));
    assert_false(escape_parse("ok P3", "climb", &refused, seen));
    assert_false(escape_parse("ok", "climb", &refused, seen));
    assert_false(escape_parse("", "climb", &refused, seen));
    for (size_t i = 0; i < escape_count; i++)
        assert_true(escapes[i].promise >= 1 && escapes[i].promise <= REPORT_PROMISES && strlen(escapes[i].number) == 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_tap_reads_the_suite),
            cmocka_unit_test(test_tap_believes_nothing_else),
            cmocka_unit_test(test_tap_tells_what_was_skipped),
            cmocka_unit_test(test_tap_is_bounded),
            cmocka_unit_test(test_rows_of_the_inside_stay_inside),
            cmocka_unit_test(test_json_has_its_shape),
            cmocka_unit_test(test_status),
            cmocka_unit_test(test_escape_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
