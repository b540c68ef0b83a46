#include "kernel/mountinfo.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_lines(void **state)
{
    (void)state;
    const char *text = "36 35 98:0 /a\\040b /mnt\\134x rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=c\n"
                       "37 36 0:5 / / ro,nosuid - tmpfs none rw\n";
    struct mountinfo line;
    assert_int_equal(mountinfo_next(&text, &line), 1);
    assert_int_equal(line.id, 36);
    assert_int_equal(line.parent_id, 35);
    assert_string_equal(line.root, "/a b");
    assert_string_equal(line.target, "/mnt\\x");
    assert_string_equal(line.options, "rw,noatime");
    assert_true(line.propagates);
    assert_string_equal(line.type, "ext3");
    assert_string_equal(line.super_options, "rw,errors=c");
    assert_int_equal(mountinfo_next(&text, &line), 1);
    assert_false(line.propagates);
    assert_string_equal(line.target, "/");
    assert_int_equal(mountinfo_next(&text, &line), 0);
}

static void test_malformed(void **state)
{
    (void)state;
    static const char *const texts[] = {"x", "36 35 98:0 / / rw\n", "36 35 98:0 / / rw - ext3 dev\n",
            "36 35 98:0 / / rw - ext3 dev rw", "36 x 98:0 / / rw - ext3 dev rw\n", "\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const char *text = texts[i];
        struct mountinfo line;
        assert_int_equal(mountinfo_next(&text, &line), -EBADMSG);
    }
}

static void test_options(void **state)
{
    (void)state;
    assert_true(mountinfo_has_option("ro,nosuid,size=4k", "nosuid"));
    assert_true(mountinfo_has_option("ro,nosuid,size=4k", "size=4k"));
    assert_true(mountinfo_has_option("ro", "ro"));
    assert_false(mountinfo_has_option("ro,nosuidx", "nosuid"));
    assert_false(mountinfo_has_option("xro", "ro"));
    assert_false(mountinfo_has_option("size=44k", "size=4"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_lines),
            cmocka_unit_test(test_malformed),
            cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
