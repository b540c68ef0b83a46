#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <pwd.h>

#include "base/fd.h"
#include "setup/ids.h"

static void test_overlap(void **state)
{
    (void)state;
    static const char text[] = "alice:100000:65536\nbroken\nbob:1879048192:65536\n\ncarol:5:x\ndave:4294967290:5";
    assert_true(ids_overlap_subids(text, 100000, 1));
    assert_true(ids_overlap_subids(text, 165535, 1));
    assert_false(ids_overlap_subids(text, 165536, 1000000));
    assert_false(ids_overlap_subids(text, 0, 100000));
    assert_true(ids_overlap_subids(text, 0, 100001));
    assert_true(ids_overlap_subids(text, 1879048192 + 65535, 65536));
    assert_false(ids_overlap_subids(text, 1879048192 + 65536, 65536));
    assert_true(ids_overlap_subids(text, 4294967294, 1));
    assert_false(ids_overlap_subids("", 0, UINT32_MAX));
}

static void test_choose(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        _cleanup_(config_freep) struct config *config = NULL;
        assert_int_equal(config_new_default(&config), 0);
        struct error error = {0};
        assert_int_equal(ids_choose(NULL, /* make_user= */ false, config, &error), 0);
        uint64_t start = config->id_range_start;
        uint64_t end = start + 65536ULL * config->id_range_count;
        assert_int_equal(config->id_range_count, 1000);
        assert_int_equal(start % 65536, 0);
        assert_int_equal(config->disk_id_start % 65536, 0);
        assert_true(start >= 0x70000000U && end <= 0x7fff0000U);
        assert_true(config->disk_id_start >= end && config->disk_id_start < 0x7fff0000U);
        if (!getpwnam("joblet"))
            assert_true(config->api_uid >= config->disk_id_start + 65536U && config->api_uid < 0x7fff0000U);
        assert_int_not_equal(config->api_uid, 0);
        assert_int_not_equal(config->api_gid, 0);
    }
}

static void test_users(void **state)
{
    (void)state;
    _cleanup_(config_freep) struct config *config = NULL;
    assert_int_equal(config_new_default(&config), 0);
    struct error error = {0};
    assert_int_equal(ids_choose("daemon", false, config, &error), 0);
    assert_int_equal(config->api_uid, getpwnam("daemon")->pw_uid);
    assert_int_equal(ids_choose("root", false, config, &error), -EPERM);
    assert_int_equal(ids_choose("nobody-of-this-name", false, config, &error), -ENOENT);
    assert_string_equal(error.text, "there is no user 'nobody-of-this-name'");
}

/* More ranges than the window has. */
static void test_no_room(void **state)
{
    (void)state;
    _cleanup_(config_freep) struct config *config = NULL;
    assert_int_equal(config_new_default(&config), 0);
    config->id_range_count = 4096;
    struct error error = {0};
    assert_int_equal(ids_choose(NULL, false, config, &error), -EADDRINUSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_overlap),
            cmocka_unit_test(test_choose),
            cmocka_unit_test(test_users),
            cmocka_unit_test(test_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
