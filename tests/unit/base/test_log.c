#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

/* What one call writes to standard error. */
static void capture(enum log_format format, const char *message, const char *value, char *ret_text, size_t size)
{
    _cleanup_close_ int sink = memfd_create("log", MFD_CLOEXEC);
    _cleanup_close_ int saved = dup(STDERR_FILENO);
    assert_true(sink >= 0 && saved >= 0);
    assert_true(dup2(sink, STDERR_FILENO) >= 0);
    log_open("test", LOG_LEVEL_INFO, format);
    log_event(LOG_LEVEL_DEBUG, "below the level", NULL);
    log_event(LOG_LEVEL_WARN, message, "key", value, "number", LOG_NUMBER(-5), NULL);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    ssize_t got = pread(sink, ret_text, size - 1, 0);
    assert_true(got > 0);
    ret_text[got] = '\0';
}

static void test_text(void **state)
{
    (void)state;
    char text[LOG_LINE_MAX * 2];
    capture(LOG_FORMAT_TEXT, "it happened", "plain", text, sizeof(text));
    assert_non_null(strstr(text, " WARN test: it happened key=plain number=-5\n"));
    capture(LOG_FORMAT_TEXT, "it happened", "two words\nERROR forged=\"1\"", text, sizeof(text));
    assert_non_null(strstr(text, "key=\"two words\\u000aERROR forged=\\\"1\\\"\" number=-5\n"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1); /* one line only */
}

static void test_json(void **state)
{
    (void)state;
    char text[LOG_LINE_MAX * 2];
    capture(LOG_FORMAT_JSON, "say \"hi\"", "a\tb\\", text, sizeof(text));
    json_t *line = json_loads(text, 0, NULL);
    assert_non_null(line);
    assert_string_equal(json_string_value(json_object_get(line, "message")), "say \"hi\"");
    assert_string_equal(json_string_value(json_object_get(line, "key")), "a\tb\\");
    assert_string_equal(json_string_value(json_object_get(line, "level")), "WARN");
    json_decref(line);
}

/* A value too long for a line is cut, and the line is still one whole JSON object. */
static void test_json_cut(void **state)
{
    (void)state;
    char value[LOG_LINE_MAX * 2];
    memset(value, '\\', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    char text[LOG_LINE_MAX * 2];
    capture(LOG_FORMAT_JSON, "long", value, text, sizeof(text));
    assert_true(strlen(text) <= LOG_LINE_MAX);
    json_t *line = json_loads(text, 0, NULL);
    assert_non_null(line);
    assert_string_equal(json_string_value(json_object_get(line, "message")), "long");
    json_decref(line);
}

static void test_level(void **state)
{
    (void)state;
    enum log_level level;
    assert_int_equal(log_parse_level("warn", &level), 0);
    assert_int_equal(level, LOG_LEVEL_WARN);
    assert_int_equal(log_parse_level("ERROR", &level), 0);
    assert_int_equal(level, LOG_LEVEL_ERROR);
    assert_int_equal(log_parse_level("loud", &level), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_text),
            cmocka_unit_test(test_json),
            cmocka_unit_test(test_json_cut),
            cmocka_unit_test(test_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
