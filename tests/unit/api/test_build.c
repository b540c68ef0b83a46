/* The parts of builds that need no server: what is hidden, what is remembered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>

#include "api/build_report.h"
#include "api/mask.h"
#include "base/fd.h"
#include "state/build.h"

static void test_mask(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *masked;
    } rows[] = {
            {"", ""},
            {"nothing", "nothing"},
            {"https://u:hunter2@proxy.local:3128", "***"},
            {"Proxy https://u:hunter2@other/", "Proxy https://***@other/"},
            {"hunter2hunter2", "******"},
            {"u:hunter2", "***"},
            {"token-abcdefxtoken-abcdef", "***x***"},
            {"token-abcde", "token-abcde"},
            {"1 no 1", "1 no 1"},
            {"=token-abcdef=", "=***="},
    };
    static const char *const variables[] = {"HTTPS_PROXY=https://u:hunter2@proxy.local:3128", "TOKEN=token-abcdef",
            "FLAG=1", "EMPTY=", "NO_VALUE", "SHORT=no", "PLAIN=https://proxy.local/a@b"};
    struct runtime_list environment = {0};
    for (size_t i = 0; i < ELEMENTS(variables); i++)
        assert_int_equal(runtime_list_add(&environment, variables[i]), 0);
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        char text[64];
        mask_text(&environment, rows[i].text, text, sizeof(text));
        assert_string_equal(text, rows[i].masked);
    }
    char small[6];
    mask_text(&environment, "abcd\xc3\xa9g", small, sizeof(small));
    assert_string_equal(small, "abcd");
    runtime_list_done(&environment);
}

static void say(struct build_report *report, const char *line)
{
    char buffer[RECIPE_LINE_MAX + 1];
    struct runtime_output output;
    size_t size = strlen(line);
    memcpy(buffer, line, size + 1);
    runtime_output_parse(buffer, size, &output);
    assert_int_not_equal(output.kind, RUNTIME_OUTPUT_OTHER);
    build_report_add(report, &output);
}

static void test_phases(void **state)
{
    (void)state;
    struct build_report report = {0};
    assert_true(build_report_phase(&report, 1, 10));
    assert_true(build_report_phase(&report, 4, 20));
    assert_false(build_report_phase(&report, 4, 30));
    assert_false(build_report_phase(&report, 3, 30));
    assert_false(build_report_phase(&report, 15, 30));
    assert_false(build_report_phase(&report, 0, 30));
    assert_int_equal(report.phases[0].end_unix_ns, 20);
    assert_int_equal(report.phases[3].end_unix_ns, 0);
    build_report_end(&report, /* failed= */ true, 40);
    build_report_end(&report, /* failed= */ false, 50);
    _cleanup_free_ char *text = build_report_format(&report, true);
    assert_string_equal(text,
            "{\"dry_run\":true,\"base\":\"\",\"phases\":[{\"number\":1,\"name\":\"Parse & "
            "Validate\",\"begin_ns\":10,\"end_ns\":20,\"outcome\":"
            "\"done\"},{\"number\":4,\"name\":\"Validate "
            "Packages\",\"begin_ns\":20,\"end_ns\":40,\"outcome\":\"failed\"}],"
            "\"steps\":[],\"counts\":{},\"stripped\":{\"items\":[],\"left_out\":0},\"stray\":{\"items\":[],\"left_"
            "out\":0},"
            "\"changed\":{\"items\":[],\"left_out\":0},\"host_changed\":{\"items\":[],\"left_out\":0},\"wrong\":{"
            "\"items\":[],\"left_out\":0}}");
    build_report_done(&report);
}

static void test_what_is_said(void **state)
{
    (void)state;
    struct build_report report = {0};
    static const char *const lines[] = {"@begin base 5", "@log warn first", "@log info second", "@end base 9 exit 0",
            "@begin pip 10", "@log error third", "@end other 11 exit 1", "@value version 20.1", "@value version later",
            "@value package nodejs", "@value package npm", "@value other x", "@count files 7", "@count bytes 8",
            "@stripped set-id /usr/bin/su", "@stray /root/x", "@digest nothex", "@fail it failed"};
    for (size_t i = 0; i < ELEMENTS(lines); i++)
        say(&report, lines[i]);
    assert_int_equal(report.step_count, 2);
    assert_int_equal(report.steps[0].end_unix_ns, 9);
    assert_int_equal(report.steps[1].end_unix_ns, 10); /* another's end is not its own */
    assert_string_equal(report.warning, "third");
    assert_string_equal(report.version, "20.1");
    assert_int_equal(report.packages.count, 2);
    assert_int_equal(build_report_count(&report, "bytes"), 8);
    assert_int_equal(build_report_count(&report, "other"), 0);
    assert_string_equal(report.stripped.items.items[0], "set-id /usr/bin/su");
    assert_string_equal(report.digest, "");
    assert_string_equal(report.failure, "it failed");
    say(&report, "@digest 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    assert_int_equal(strlen(report.digest), 64);
    build_report_done(&report);
}

/* However much a build says, its record fits. */
static void test_bounds(void **state)
{
    (void)state;
    struct build_report report = {0};
    static const char *const words[] = {"stray", "stripped x", "host-changed", "wrong", "value package", "begin"};
    char line[RECIPE_LINE_MAX];
    char filler[400];
    memset(filler, '"', sizeof(filler) - 1);
    filler[sizeof(filler) - 1] = '\0';
    for (unsigned i = 0; i < 20000; i++) {
        const char *word = words[i % ELEMENTS(words)];
        if (strcmp(word, "begin") == 0)
            (void)snprintf(line, sizeof(line), "@begin step%u %u", i, i + 1);
        else
            (void)snprintf(line, sizeof(line), "@%s /%u%s", word, i, filler);
        say(&report, line);
        (void)snprintf(line, sizeof(line), "@count number%u 18446744073709551615", i);
        say(&report, line);
    }
    assert_true(report.step_count <= BUILD_REPORT_STEPS_MAX && report.count_count <= BUILD_REPORT_COUNTS_MAX);
    assert_true(report.packages.count <= 64);
    assert_true(report.stray.left_out > 3000);
    _cleanup_free_ char *text = build_report_format(&report, false);
    assert_non_null(text);
    assert_true(strlen(text) <= STATE_BUILD_DETAILS_MAX);
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    json_decref(json);
    build_report_done(&report);
}

/* A text that is cut is cut between characters: it goes into messages and JSON. */
static void test_cut_between_characters(void **state)
{
    (void)state;
    struct build_report report = {0};
    char line[2048] = "@fail ";
    for (unsigned i = 0; i < 400; i++)
        (void)strcat(line, "\xe2\x82\xac");
    say(&report, line);
    assert_int_equal(strlen(report.failure) % 3, 0);
    assert_true(strlen(report.failure) > 500 && strlen(report.failure) < BUILD_REPORT_TEXT_MAX);
    build_report_done(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_mask),
            cmocka_unit_test(test_phases),
            cmocka_unit_test(test_what_is_said),
            cmocka_unit_test(test_bounds),
            cmocka_unit_test(test_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
