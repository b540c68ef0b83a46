#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "builder/lines.h"

static char found[3 * RECIPE_LINE_MAX];

static void put(void *context, size_t stream, const char *text, size_t size)
{
    (void)context;
    size_t used = strlen(found);
    assert_true(size <= RECIPE_LINE_MAX);
    (void)snprintf(found + used, sizeof(found) - used, "%zu[%.*s]", stream, (int)size, text);
}

/* Whatever the pieces in which it comes, the lines are the same. */
static void expect(const char *text, const char *expected)
{
    for (size_t piece = 1; piece <= strlen(text) + 1; piece++) {
        struct lines lines;
        lines_init(&lines, put, NULL, 1);
        found[0] = '\0';
        for (size_t at = 0; at < strlen(text); at += piece) {
            size_t left = strlen(text) - at;
            lines_add(&lines, text + at, left < piece ? left : piece);
        }
        lines_end(&lines);
        assert_string_equal(found, expected);
    }
}

static void test_lines(void **state)
{
    (void)state;
    expect("", "");
    expect("a\nb\n", "1[a]1[b]");
    expect("a\nb", "1[a]1[b]");
    expect("a\r\nb\r\n", "1[a]1[b]");
    expect("\n\na", "1[]1[]1[a]");
    expect("10%\r20%\r\r30%\n", "1[10%]1[20%]1[30%]");
    expect("a\r\n\nb", "1[a]1[]1[b]");
}

static void test_long_line(void **state)
{
    (void)state;
    struct lines lines;
    char block[1000];
    memset(block, 'x', sizeof(block));
    lines_init(&lines, put, NULL, 0);
    found[0] = '\0';
    for (int i = 0; i < 1000; i++)
        lines_add(&lines, block, sizeof(block));
    lines_add(&lines, "\nnext\n", 6);
    assert_int_equal(strlen(found), 3 + RECIPE_LINE_MAX + 7);
    assert_string_equal(found + 3 + RECIPE_LINE_MAX, "0[next]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_lines),
            cmocka_unit_test(test_long_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
