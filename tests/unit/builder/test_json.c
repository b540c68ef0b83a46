#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "builder/json.h"

static int read_line(const char *text, struct json_member members[JSON_MEMBERS_MAX], char **ret_copy)
{
    *ret_copy = strdup(text);
    return json_read(*ret_copy, strlen(text), members);
}

static void test_round_trip(void **state)
{
    (void)state;
    char directory[] = "/tmp/test-builder-json-XXXXXX";
    assert_non_null(mkdtemp(directory));
    _cleanup_close_ int dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    static struct json json;
    uint8_t digest[DIGEST_SIZE];
    static const char hostile[] = "/a\"b\\c\n\t\x01\x7f\xff\xc3\xa9\xed\xa0\x80\xf0\x9f\x98\x80 \\udcff";
    assert_int_equal(json_open(&json, dir_fd, "x"), 0);
    json_begin(&json);
    json_text(&json, "path", hostile);
    json_number(&json, "n", UINT64_MAX);
    json_bool(&json, "yes", true);
    json_bool(&json, "no", false);
    json_end(&json);
    assert_int_equal(json_close(&json, digest), 0);

    _cleanup_free_ char *text = NULL;
    size_t size;
    assert_int_equal(fd_read_file_at(dir_fd, "x", 10000, &text, &size), 0);
    assert_true(text_is_utf8(text, size));
    assert_ptr_equal(strchr(text, '\n'), text + size - 1);
    struct json_member members[JSON_MEMBERS_MAX];
    int count = json_read(text, size - 1, members);
    assert_int_equal(count, 4);
    assert_string_equal(json_find_text(members, count, "path"), hostile);
    uint64_t number;
    assert_int_equal(json_find_number(members, count, "n", &number), 0);
    assert_true(number == UINT64_MAX);
    assert_int_equal(json_find_number(members, count, "yes", &number), 0);
    assert_int_equal(number, 1);
    assert_int_equal(json_find_number(members, count, "path", &number), -ENOENT);
    assert_null(json_find_text(members, count, "n"));
    assert_int_equal(json_open(&json, dir_fd, "x"), -EEXIST);
    assert_int_equal(unlinkat(dir_fd, "x", 0), 0);
    assert_int_equal(rmdir(directory), 0);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "{", "{}", "{\"a\":1", "{\"a\":1} ", " {\"a\":1}", "{\"a\" :1}",
            "{\"a\":01}", "{\"a\":-1}", "{\"a\":1.5}", "{\"a\":18446744073709551616}", "{\"a\":null}", "{\"a\":[1]}",
            "{\"a\":{}}", "{\"a\":\"x}", "{\"a\":\"\\n\"}", "{\"a\":\"\\u0000\"}", "{\"a\":\"\\u0041\"}",
            "{\"a\":\"\\udc41\"}", "{\"a\":\"\\u00FF\"}", "{\"a\":\"\\udcF\"}", "{\"a\":\"\x01\"}", "{a:1}",
            "{\"a\":1,}", "{\"a\":tru}", "{\"a\":}",
            "{\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,\"6\":1,\"7\":1,\"8\":1,\"9\":1,\"10\":1,\"11\":1,\"12\":1,"
            "\"13\":1,\"14\":1,\"15\":1,"
            "\"16\":1,\"17\":1}"};
    for (size_t i = 0; i < ELEMENTS(texts); i++) {
        struct json_member members[JSON_MEMBERS_MAX];
        _cleanup_free_ char *copy = NULL;
        assert_int_equal(read_line(texts[i], members, &copy), -EINVAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_round_trip),
            cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
