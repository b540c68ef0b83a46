#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "builder/say.h"
#include "plan/recipe.h"

static int saved_fd;
static int file_fd;

/* What is said goes into a file. */
static void begin(void)
{
    saved_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
    file_fd = memfd_create("said", MFD_CLOEXEC);
    assert_true(saved_fd >= 0 && file_fd >= 0 && dup2(file_fd, STDOUT_FILENO) >= 0);
}

static char *end(size_t *ret_size)
{
    say_flush();
    assert_true(dup2(saved_fd, STDOUT_FILENO) >= 0);
    saved_fd = fd_close(saved_fd);
    off_t size = lseek(file_fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);
    assert_int_equal(pread(file_fd, text, (size_t)size, 0), size);
    file_fd = fd_close(file_fd);
    *ret_size = (size_t)size;
    return text;
}

static void test_lines(void **state)
{
    (void)state;
    size_t size;
    struct error error = {.code = 1, .text = "a\nb"};
    begin();
    say_phase(7, "Install Base", "now");
    say_log(SAY_WARN, "bad\0byte", 8);
    say_log_named("debug", "x");
    say_log_format(SAY_ERROR, "%d", 5);
    say_begin("base", 12);
    say_end("base", 13, "signal", 9);
    say_value("q", "v", 1);
    say_package("a", "1", "all");
    say_path("stray", "/tmp/\x1b[2J");
    say_stripped("set-id", "/x");
    say_wrong("/y", "missing");
    say_count("files", UINT64_MAX);
    say_digest("00");
    assert_int_equal(say_fail(&error), 1);
    assert_int_equal(say_done(), 0);
    _cleanup_free_ char *text = end(&size);
    assert_string_equal(text,
            "@phase 7 Install Base: now\n@log warn bad?byte\n@log debug x\n@log error 5\n@begin base 12\n"
            "@end base 13 signal 9\n@value q v\n@package a 1 all\n@stray /tmp/?[2J\n@stripped set-id /x\n"
            "@wrong /y missing\n@count files 18446744073709551615\n@digest 00\n@fail a?b\n@done\n");
}

/* Every byte in every place: a line stays one line, of text, and not too long. */
static void test_any_bytes(void **state)
{
    (void)state;
    char text[2 * RECIPE_LINE_MAX];
    for (unsigned round = 0; round < 300; round++) {
        size_t size;
        for (size_t i = 0; i < sizeof(text); i++)
            text[i] = (char)(random() & 0xff);
        begin();
        say_log(SAY_INFO, text, round < 256 ? round : sizeof(text));
        text[sizeof(text) - 1] = '\0';
        say_path("stray", text);
        say_value(text, text, sizeof(text));
        _cleanup_free_ char *said = end(&size);
        const char *line = said;
        for (int i = 0; i < 3; i++) {
            const char *newline = strchr(line, '\n');
            assert_non_null(newline);
            assert_true(*line == RECIPE_MARK && (size_t)(newline + 1 - line) <= RECIPE_LINE_MAX);
            assert_true(text_is_utf8(line, (size_t)(newline - line)));
            for (const char *c = line; c < newline; c++)
                assert_true(((unsigned char)*c >= 0x20 || *c == '\t') && *c != 0x7f);
            line = newline + 1;
        }
        assert_ptr_equal(line, said + size);
    }
}

static void test_sanitize(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *expected;
    } cases[] = {
            {"\tplain \xc3\xa9 \xf0\x9f\x98\x80", "\tplain \xc3\xa9 \xf0\x9f\x98\x80"},
            {"\xff\xc3", "??"},
            {"\xc3(\xe2\x82", "?(??"},
            {"\xed\xa0\x80\xc0\x80", "?????"},
            {"a\r\x7f\x1b", "a???"},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char text[32];
        (void)strcpy(text, cases[i].text);
        say_sanitize(text, strlen(text));
        assert_string_equal(text, cases[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_lines),
            cmocka_unit_test(test_any_bytes),
            cmocka_unit_test(test_sanitize),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
