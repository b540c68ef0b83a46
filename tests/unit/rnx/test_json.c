#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>

#include "base/fd.h"
#include "rnx/json.h"

/* What @write makes, as a text of the caller's. */
#define CAPTURE(json, compact, ...)                                                                                    \
    ({                                                                                                                 \
        char *_text = NULL;                                                                                            \
        size_t _size = 0;                                                                                              \
        FILE *_file = open_memstream(&_text, &_size);                                                                  \
        assert_non_null(_file);                                                                                        \
        json_init(&(json), _file, compact);                                                                            \
        __VA_ARGS__;                                                                                                   \
        json_done(&(json));                                                                                            \
        assert_int_equal(fclose(_file), 0);                                                                            \
        _text;                                                                                                         \
    })

static void test_escapes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *written;
    } texts[] = {
            {"plain", "\"plain\"\n"}, {"", "\"\"\n"}, {"a\"b\\c/d", "\"a\\\"b\\\\c/d\"\n"},
            {"<a>&b", "\"\\u003ca\\u003e\\u0026b\"\n"},
            {"\b\f\n\r\t\x01\x1f\x7f", "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"\n"},
            {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
                    "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\"\n"},
            {"\xe2\x80\xa8\xe2\x80\xa9", "\"\\u2028\\u2029\"\n"},
            {"\xff"
             "a\xc3",
                    "\"\\ufffda\\ufffd\"\n"},
            {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"\n"}, /* a surrogate */
            {"\xc0\xaf", "\"\\ufffd\\ufffd\"\n"},            /* overlong */
    };
    for (size_t i = 0; i < ELEMENTS(texts); i++) {
        struct json json;
        char *written = CAPTURE(json, false, json_text(&json, texts[i].text));
        assert_string_equal(written, texts[i].written);
        free(written);
    }
    struct json json;
    char *written = CAPTURE(json, false, json_bytes(&json, "a\0b", 3));
    assert_string_equal(written, "\"a\\u0000b\"\n");
    free(written);
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *written;
    } numbers[] = {
            {0, "0\n"},
            {1, "1\n"},
            {-2.5, "-2.5\n"},
            {0.1, "0.1\n"},
            {100, "100\n"},
            {12.34, "12.34\n"},
            {1.0 / 3, "0.3333333333333333\n"},
            {1e20, "100000000000000000000\n"},
            {1e21, "1e+21\n"},
            {0.000001, "0.000001\n"},
            {0.0000001, "1e-7\n"},
            {1.5e-9, "1.5e-9\n"},
            {1e100, "1e+100\n"},
            {123456789.125, "123456789.125\n"},
            {(double)INFINITY, "0\n"},
            {(double)NAN, "0\n"},
    };
    for (size_t i = 0; i < ELEMENTS(numbers); i++) {
        struct json json;
        char *written = CAPTURE(json, false, json_number(&json, numbers[i].value));
        assert_string_equal(written, numbers[i].written);
        free(written);
    }
    struct json json;
    char *written = CAPTURE(json, true, json_integer(&json, INT64_MIN));
    assert_string_equal(written, "-9223372036854775808\n");
    free(written);
}

static void write_document(struct json *json)
{
    char *const texts[] = {(char[]){"x"}, (char[]){"y"}};
    json_begin_object(json);
    json_put_text(json, "name", "a");
    json_put_text_set(json, "empty", "");
    json_put_integer_set(json, "zero", 0);
    json_put_number_set(json, "none", 0.0);
    json_put_texts_set(json, "no_list", NULL, 0);
    json_put_integer(json, "n", 3);
    json_put_bool(json, "yes", true);
    json_put_texts(json, "list", texts, 2);
    json_put_texts(json, "nil", NULL, 0);
    json_key(json, "object");
    json_begin_object(json);
    json_end_object(json);
    json_key(json, "empty_list");
    json_begin_list(json);
    json_end_list(json);
    json_key(json, "objects");
    json_begin_list(json);
    json_begin_object(json);
    json_put_number(json, "x", 0.5);
    json_end_object(json);
    json_begin_object(json);
    json_end_object(json);
    json_end_list(json);
    json_end_object(json);
}

static void test_layout(void **state)
{
    (void)state;
    struct json json;
    char *written = CAPTURE(json, false, write_document(&json));
    assert_string_equal(written, "{\n"
                                 "  \"name\": \"a\",\n"
                                 "  \"n\": 3,\n"
                                 "  \"yes\": true,\n"
                                 "  \"list\": [\n"
                                 "    \"x\",\n"
                                 "    \"y\"\n"
                                 "  ],\n"
                                 "  \"nil\": null,\n"
                                 "  \"object\": {},\n"
                                 "  \"empty_list\": [],\n"
                                 "  \"objects\": [\n"
                                 "    {\n"
                                 "      \"x\": 0.5\n"
                                 "    },\n"
                                 "    {}\n"
                                 "  ]\n"
                                 "}\n");
    free(written);
    written = CAPTURE(json, true, write_document(&json));
    assert_string_equal(written,
            "{\"name\":\"a\",\"n\":3,\"yes\":true,\"list\":[\"x\",\"y\"],\"nil\":null,\"object\":{},"
            "\"empty_list\":[],\"objects\":[{\"x\":0.5},{}]}\n");
    free(written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_escapes),
            cmocka_unit_test(test_numbers),
            cmocka_unit_test(test_layout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
