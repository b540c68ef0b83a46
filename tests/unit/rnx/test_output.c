#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "rnx/output.h"

static void test_time(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool zone;
        const char *shown;
    } times[] = {
            {"2026-01-02T03:04:05Z", false, "2026-01-02 03:04:05"},
            {"2026-01-02T03:04:05Z", true, "2026-01-02 03:04:05 UTC"},
            {"2026-01-02T03:04:05.678Z", true, "2026-01-02 03:04:05 UTC"},
            {"2026-01-02T03:04:05+02:00", true, "2026-01-02 03:04:05 +0200"},
            {"2026-01-02T03:04:05-05:30", true, "2026-01-02 03:04:05 -0530"},
            {"2026-01-02T03:04:05+00:00", true, "2026-01-02 03:04:05 UTC"},
            {"", true, "N/A"},
            {"yesterday", true, "yesterday"},
    };
    for (size_t i = 0; i < ELEMENTS(times); i++) {
        char shown[OUTPUT_TIME_MAX];
        output_format_time(times[i].text, times[i].zone, "N/A", shown);
        assert_string_equal(shown, times[i].shown);
    }
}

static void test_duration(void **state)
{
    (void)state;
    static const struct {
        double seconds;
        const char *shown;
    } durations[] = {
            {-1, "0.0s"},
            {0, "0.0s"},
            {30, "30.0s"},
            {1.25, "1.2s"},
            {60, "1.0m"},
            {300, "5.0m"},
            {3599, "60.0m"},
            {3600, "1h"},
            {7200, "2h"},
            {9000, "2h30m"},
            {86399, "23h59m"},
            {86400, "1d"},
            {259200, "3d"},
            {273600, "3d4h"},
    };
    for (size_t i = 0; i < ELEMENTS(durations); i++) {
        char shown[OUTPUT_DURATION_MAX];
        output_format_duration(durations[i].seconds, shown);
        assert_string_equal(shown, durations[i].shown);
    }
}

static void test_size_and_uptime(void **state)
{
    (void)state;
    static const struct {
        int64_t bytes;
        const char *shown;
    } sizes[] = {
            {0, "0 B"},
            {1023, "1023 B"},
            {1024, "1.0 KB"},
            {1536, "1.5 KB"},
            {3435973837, "3.2 GB"},
            {INT64_MAX, "8.0 EB"},
    };
    for (size_t i = 0; i < ELEMENTS(sizes); i++) {
        char shown[OUTPUT_SIZE_MAX];
        output_format_size(sizes[i].bytes, shown);
        assert_string_equal(shown, sizes[i].shown);
    }
    char shown[OUTPUT_UPTIME_MAX];
    output_format_uptime(3 * 86400 + 4 * 3600 + 5 * 60 + 6, shown);
    assert_string_equal(shown, "3d 4h 5m");
    output_format_uptime(4 * 3600 + 59, shown);
    assert_string_equal(shown, "4h 0m");
    output_format_uptime(59, shown);
    assert_string_equal(shown, "0m");
}

static void test_tight_size(void **state)
{
    (void)state;
    static const struct {
        int64_t bytes;
        const char *shown;
    } sizes[] = {
            {-1, "-1B"},
            {0, "0B"},
            {1023, "1023B"},
            {1536, "1.5KB"},
            {157286400, "150.0MB"},
            {1610612736, "1.5GB"},
            {5497558138880, "5120.0GB"},
    };
    for (size_t i = 0; i < ELEMENTS(sizes); i++) {
        char shown[OUTPUT_SIZE_MAX];
        output_format_size_tight(sizes[i].bytes, shown);
        assert_string_equal(shown, sizes[i].shown);
    }
}

/* The lines of a text stay apart, and none can look like one of ours. */
static void test_lines(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *shown;
    } texts[] = {
            {"", ""},
            {"\n\n", ""},
            {"one", "one"},
            {"one\n", "one"},
            {"one\nStatus: x\r\n\n", "one\n  Status: x"},
            {"\none\n\ntwo", "\n  one\n  \n  two"},
            {"\033[2J\n\t", "\\x1b[2J\n  \\t"},
    };
    for (size_t i = 0; i < ELEMENTS(texts); i++) {
        char *written = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&written, &size);
        assert_non_null(file);
        output_lines(file, texts[i].text);
        assert_int_equal(fclose(file), 0);
        assert_string_equal(written, texts[i].shown);
        free(written);
    }
}

static void test_cut_size(void **state)
{
    (void)state;
    assert_int_equal(output_cut_size("abc", 2), 2);
    assert_int_equal(output_cut_size("a\xc3\xbc", 2), 1);
    assert_int_equal(output_cut_size("a\xc3\xbc", 3), 3);
    assert_int_equal(output_cut_size("\xe6\xbc\xa2", 2), 0);
}

static char *captured_text(const char *text)
{
    char *written = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&written, &size);
    assert_non_null(file);
    output_text(file, text);
    assert_int_equal(fclose(file), 0);
    return written;
}

/* A job's arguments must not reach the terminal as commands for it. */
static void test_controls_are_visible(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *shown;
    } texts[] = {
            {"plain \xc3\xbc", "plain \xc3\xbc"},
            {"\033]0;title\007", "\\x1b]0;title\\x07"},
            {"a\nb\tc\r", "a\\nb\\tc\\r"},
            {"\xc2\x9b"
             "31m",
                    "\\xc2\\x9b31m"}, /* the one-character CSI */
            {"\x9b\xff", "\\x9b\\xff"},
            {"\x7f", "\\x7f"},
            /* What ends a line, or turns the direction of writing; their neighbours do neither. */
            {"\xe2\x80\xa8\xe2\x80\xae\xe2\x81\xa6\xe2\x81\xa9",
                    "\\xe2\\x80\\xa8\\xe2\\x80\\xae\\xe2\\x81\\xa6\\xe2\\x81\\xa9"},
            {"\xe2\x80\xa7\xe2\x80\xaf\xe2\x81\xa5", "\xe2\x80\xa7\xe2\x80\xaf\xe2\x81\xa5"},
    };
    for (size_t i = 0; i < ELEMENTS(texts); i++) {
        char *shown = captured_text(texts[i].text);
        assert_string_equal(shown, texts[i].shown);
        free(shown);
    }
}

static void test_status(void **state)
{
    (void)state;
    assert_string_equal(output_status_colour("RUNNING"), "\033[33m");
    assert_string_equal(output_status_colour("TIMEOUT"), "");
    char *written = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&written, &size);
    assert_non_null(file);
    output_status(file, "FAILED", true, 8);
    (void)fputc('|', file);
    output_status(file, "FAILED", false, 8);
    (void)fputc('|', file);
    output_status(file, "TIMEOUT", true, 0);
    assert_int_equal(fclose(file), 0);
    assert_string_equal(written, "\033[31mFAILED\033[0m  |FAILED  |TIMEOUT");
    free(written);
}

static void assert_shortened(const char *joined, const char *expected)
{
    char *text = output_shorten_command(joined);
    assert_string_equal(text, expected);
    free(text);
}

static void test_command(void **state)
{
    (void)state;
    char *const args[] = {(char[]){"-c"}, (char[]){"x y"}};
    char *joined = output_join_command("sh", args, 2);
    assert_string_equal(joined, "sh -c x y");
    free(joined);
    joined = output_join_command("sh", NULL, 0);
    assert_string_equal(joined, "sh");
    free(joined);

    char line[200];
    char expected[200];
    memset(line, 'a', sizeof(line));
    line[80] = '\0';
    assert_shortened(line, line);
    line[80] = 'a';
    line[81] = '\0';
    (void)snprintf(expected, sizeof(expected), "%.77s...", line);
    assert_shortened(line, expected);
    assert_shortened("one\ntwo", "one...");
    line[78] = '\n';
    (void)snprintf(expected, sizeof(expected), "%.74s...", line);
    assert_shortened(line, expected);
    line[77] = '\n';
    (void)snprintf(expected, sizeof(expected), "%.77s...", line);
    assert_shortened(line, expected);
    /* Never in the middle of a character: 76 letters, then one of two bytes. */
    memset(line, 'a', sizeof(line));
    line[76] = '\xc3';
    line[77] = '\xbc';
    line[90] = '\0';
    (void)snprintf(expected, sizeof(expected), "%.76s...", line);
    assert_shortened(line, expected);
}

static void test_write_all(void **state)
{
    (void)state;
    int pipe_fds[2];
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(output_write_all(pipe_fds[1], "abc", 3), 0);
    char buffer[8];
    assert_int_equal(read(pipe_fds[0], buffer, sizeof(buffer)), 3);
    assert_memory_equal(buffer, "abc", 3);
    assert_int_equal(output_write_all(-1, "abc", 3), -EBADF);
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_time),
            cmocka_unit_test(test_duration),
            cmocka_unit_test(test_size_and_uptime),
            cmocka_unit_test(test_tight_size),
            cmocka_unit_test(test_lines),
            cmocka_unit_test(test_cut_size),
            cmocka_unit_test(test_controls_are_visible),
            cmocka_unit_test(test_status),
            cmocka_unit_test(test_command),
            cmocka_unit_test(test_write_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
