#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/fd.h"
#include "runtime/output.h"

static struct runtime_output parse(const char *line, char buffer[RECIPE_LINE_MAX + 1])
{
    struct runtime_output output;
    size_t size = strlen(line);
    assert_true(size <= RECIPE_LINE_MAX);
    memcpy(buffer, line, size + 1);
    runtime_output_parse(buffer, size, &output);
    return output;
}

static void test_lines(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum runtime_output_kind kind;
        uint64_t number;
        int64_t unix_ns;
        const char *name;
        const char *text;
    } rows[] = {
            {"@phase 4 Validate Packages: 7 of apt", RUNTIME_OUTPUT_PHASE, 4, 0, "Validate Packages", "7 of apt"},
            {"@phase 4 a: b: c", RUNTIME_OUTPUT_PHASE, 4, 0, "a", "b: c"},
            {"@log info two words", RUNTIME_OUTPUT_LOG, 0, 0, "info", "two words"},
            {"@log warn ", RUNTIME_OUTPUT_LOG, 0, 0, "warn", ""},
            {"@log error", RUNTIME_OUTPUT_LOG, 0, 0, "error", ""},
            {"@log info @done", RUNTIME_OUTPUT_LOG, 0, 0, "info", "@done"},
            {"@begin base 1764000000123456789", RUNTIME_OUTPUT_BEGIN, 0, 1764000000123456789, "base", ""},
            {"@end base 5 exit 100", RUNTIME_OUTPUT_END, 100, 5, "base", ""},
            {"@end base 5 signal 9", RUNTIME_OUTPUT_END, 137, 5, "base", ""},
            {"@value version 1:2.3 x", RUNTIME_OUTPUT_VALUE, 0, 0, "version", "1:2.3 x"},
            {"@package openssl 3.0 amd64", RUNTIME_OUTPUT_PACKAGE, 0, 0, "openssl", "3.0 amd64"},
            {"@stripped set-id /usr/bin/a b", RUNTIME_OUTPUT_STRIPPED, 0, 0, "set-id", "/usr/bin/a b"},
            {"@stray /a b", RUNTIME_OUTPUT_STRAY, 0, 0, "", "/a b"},
            {"@host-changed /x", RUNTIME_OUTPUT_HOST_CHANGED, 0, 0, "", "/x"},
            {"@count files 18446744073709551615", RUNTIME_OUTPUT_COUNT, UINT64_MAX, 0, "files", ""},
            {"@digest 00ff", RUNTIME_OUTPUT_DIGEST, 0, 0, "", "00ff"},
            {"@wrong /x digest differs", RUNTIME_OUTPUT_WRONG, 0, 0, "", "/x digest differs"},
            {"@fail it", RUNTIME_OUTPUT_FAIL, 0, 0, "", "it"},
            {"@done", RUNTIME_OUTPUT_DONE, 0, 0, "", ""},
    };
    char buffer[RECIPE_LINE_MAX + 1];
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        struct runtime_output output = parse(rows[i].line, buffer);
        if (output.kind != rows[i].kind || output.number != rows[i].number || output.unix_ns != rows[i].unix_ns ||
                strcmp(output.name, rows[i].name) != 0 || strcmp(output.text, rows[i].text) != 0)
            fail_msg("%s: kind %d, '%s', '%s'", rows[i].line, (int)output.kind, output.name, output.text);
    }
}

#define TEN "aaaaaaaaaa"
#define LONG_NAME TEN TEN TEN TEN TEN TEN TEN

/* What is not exactly a recipe's line is text, as it came. */
static void test_hostile_lines(void **state)
{
    (void)state;
    static const char *const lines[] = {
            "",
            " @done",
            "done",
            "@",
            "@@done",
            "@done ",
            "@done x",
            "@DONE",
            "@nothing x",
            "@phase",
            "@phase 4",
            "@phase 4 x",
            "@phase 4 : x",
            "@phase -4 x: y",
            "@phase 99999999999999999999 x: y",
            "@phase 0x4 x: y",
            "@phase 4  x",
            "@log",
            "@log  x",
            "@begin base",
            "@begin base x",
            "@begin base 9223372036854775808",
            "@begin base 5 more",
            "@end base 5",
            "@end base 5 exit",
            "@end base 5 exit 256",
            "@end base 5 killed 9",
            "@end base 5 exit 0 0",
            "@count files",
            "@count files -1",
            "@count files 1 2",
            "@value",
            "@value " LONG_NAME " x",
    };
    char buffer[RECIPE_LINE_MAX + 1];
    for (size_t i = 0; i < ELEMENTS(lines); i++) {
        struct runtime_output output = parse(lines[i], buffer);
        if (output.kind != RUNTIME_OUTPUT_OTHER || strcmp(output.text, lines[i]) != 0)
            fail_msg("'%s': kind %d, '%s'", lines[i], (int)output.kind, output.text);
    }
    /* What could move a cursor or break a line, and what is no character, is not there any more. */
    struct runtime_output output = parse("@log info a\x1b[2J\x01\x7f\xff\xc3\xa9\xc3\xed\xa0\x80\tz", buffer);
    assert_int_equal(output.kind, RUNTIME_OUTPUT_LOG);
    assert_string_equal(output.text, "a?[2J???\xc3\xa9????\tz");
    char nul[] = "@log info a\0b";
    runtime_output_parse(memcpy(buffer, nul, sizeof(nul)), sizeof(nul) - 1, &output);
    assert_string_equal(output.text, "a?b");
}

struct seen {
    unsigned count;
    char texts[8][64];
    size_t longest;
};

static void on_line(const struct runtime_output *output, void *user)
{
    struct seen *seen = user;
    size_t size = strlen(output->text);
    if (size > seen->longest)
        seen->longest = size;
    if (seen->count < ELEMENTS(seen->texts))
        (void)snprintf(seen->texts[seen->count], sizeof(seen->texts[0]), "%.60s", output->text);
    seen->count++;
}

static void test_cutting(void **state)
{
    (void)state;
    static const char bytes[] = "@log info one\ntwo\n\n@done\n@log warn last";
    /* However the bytes come. */
    for (size_t step = 1; step < sizeof(bytes); step++) {
        struct runtime_lines lines = {0};
        struct seen seen = {0};
        for (size_t at = 0; at < sizeof(bytes) - 1; at += step)
            runtime_lines_add(
                    &lines, bytes + at, step < sizeof(bytes) - 1 - at ? step : sizeof(bytes) - 1 - at, on_line, &seen);
        assert_int_equal(seen.count, 4);
        runtime_lines_end(&lines, on_line, &seen);
        runtime_lines_end(&lines, on_line, &seen);
        assert_int_equal(seen.count, 5);
        static const char *const texts[] = {"one", "two", "", "", "last"};
        for (size_t i = 0; i < ELEMENTS(texts); i++)
            assert_string_equal(seen.texts[i], texts[i]);
    }
}

static void test_long_lines(void **state)
{
    (void)state;
    struct runtime_lines lines = {0};
    struct seen seen = {0};
    char block[1000];
    memset(block, 'x', sizeof(block));
    for (unsigned i = 0; i < 10000; i++)
        runtime_lines_add(&lines, block, sizeof(block), on_line, &seen);
    assert_int_equal(seen.count, 0);
    runtime_lines_add(&lines, "\nnext\n", 6, on_line, &seen);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.longest, RECIPE_LINE_MAX);
    assert_string_equal(seen.texts[1], "next");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_lines),
            cmocka_unit_test(test_hostile_lines),
            cmocka_unit_test(test_cutting),
            cmocka_unit_test(test_long_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
