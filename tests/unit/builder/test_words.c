#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/fd.h"
#include "builder/words.h"

static int parse(
        enum words_mode mode, const char *const *texts, size_t count, struct words *ret_words, struct error *error)
{
    return words_parse(mode, (char *const *)(uintptr_t)texts, count, ret_words, error);
}

static void test_install(void **state)
{
    (void)state;
    static const char *const texts[] = {"phase", "5", "Prepare", "now", "say", "warn", "text", "env", "A=b=c", "run",
            "base", "60", "2", "run", "phase", "query", "q", "0", "1", "true"};
    struct words words;
    struct error error = {0};
    assert_int_equal(parse(WORDS_INSTALL, texts, ELEMENTS(texts), &words, &error), 0);
    assert_int_equal(words.count, 5);
    assert_int_equal(words.items[0].kind, WORD_PHASE);
    assert_int_equal(words.items[0].numbers[0], 5);
    assert_string_equal(words.items[0].name, "Prepare");
    assert_string_equal(words.items[0].text, "now");
    assert_string_equal(words.items[1].name, "warn");
    assert_string_equal(words.items[1].text, "text");
    assert_string_equal(words.items[2].name, "A=b=c");
    const struct word *run = words_find(&words, WORD_RUN);
    assert_int_equal(run->numbers[0], 60);
    assert_int_equal(run->count, 2);
    assert_string_equal(run->texts[1], "phase");
    assert_string_equal(words_find(&words, WORD_QUERY)->texts[0], "true");
    assert_null(words_find(&words, WORD_PACKAGE));
    words_done(&words);
}

static void test_collect(void **state)
{
    (void)state;
    static const char *const texts[] = {"packager", "apt", "since", "9223372036854775807", "step", "a", "1", "2",
            "keep", "man", "file", "runtime.yml", "0", "runtime-dir", "/opt/a/1", "library", "/usr/lib/*.so", "limit",
            "0"};
    struct words words;
    struct error error = {0};
    assert_int_equal(parse(WORDS_COLLECT, texts, ELEMENTS(texts), &words, &error), 0);
    assert_int_equal(words.count, 8);
    assert_int_equal(words_find(&words, WORD_SINCE)->numbers[0], INT64_MAX);
    assert_int_equal(words_find(&words, WORD_STEP)->numbers[1], 2);
    assert_int_equal(words_find(&words, WORD_KEEP)->numbers[0], KEEP_MAN);
    assert_int_equal(words_find(&words, WORD_FILE)->count, 0);
    words_done(&words);
    assert_int_equal(parse(WORDS_SWEEP, NULL, 0, &words, &error), 0);
    assert_int_equal(words.count, 0);
    words_done(&words);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        enum words_mode mode;
        const char *texts[5];
        size_t count;
    } cases[] = {
            {WORDS_INSTALL, {"package", "x"}, 2},
            {WORDS_COLLECT, {"run", "a", "0", "1", "x"}, 5},
            {WORDS_SWEEP, {"say", "info", "x"}, 3},
            {WORDS_INSTALL, {"phase", "100", "a", "b"}, 4},
            {WORDS_INSTALL, {"phase", "-1", "a", "b"}, 4},
            {WORDS_INSTALL, {"phase", "1", "a"}, 3},
            {WORDS_INSTALL, {"say", "info"}, 2},
            {WORDS_INSTALL, {"say", "INFO", "x"}, 3},
            {WORDS_INSTALL, {"env", "A"}, 2},
            {WORDS_INSTALL, {"env", "=x"}, 2},
            {WORDS_INSTALL, {"env", "A B=x"}, 2},
            {WORDS_INSTALL, {"run", "a", "0", "2", "x"}, 5},
            {WORDS_INSTALL, {"run", "a", "0", "0", "x"}, 5},
            {WORDS_INSTALL, {"run", "a", "700000000000000", "1", "x"}, 5},
            {WORDS_INSTALL, {"run", "a", "0", "18446744073709551615", "x"}, 5},
            {WORDS_COLLECT, {"since", "9223372036854775808"}, 2},
            {WORDS_COLLECT, {"limit", "1e9"}, 2},
            {WORDS_COLLECT, {"packager", "pacman"}, 2},
            {WORDS_COLLECT, {"keep", "all"}, 2},
            {WORDS_COLLECT, {"library", "lib.so"}, 2},
            {WORDS_COLLECT, {"runtime-dir", "/opt/../etc/1"}, 2},
            {WORDS_COLLECT, {"runtime-dir", "/opt/./1"}, 2},
            {WORDS_COLLECT, {"file", "x"}, 2},
            {WORDS_VERIFY, {"digest", "abc"}, 2},
            {WORDS_VERIFY, {"digest"}, 1},
            {WORDS_INSTALL, {""}, 1},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        struct words words;
        struct error error = {0};
        assert_int_equal(parse(cases[i].mode, cases[i].texts, cases[i].count, &words, &error), -EINVAL);
        assert_int_equal(strncmp(error.text, "recipe: ", 8), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_install),
            cmocka_unit_test(test_collect),
            cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
