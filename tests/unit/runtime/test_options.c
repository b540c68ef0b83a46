#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/fd.h"
#include "runtime/options.h"

static void test_accepted(void **state)
{
    (void)state;
    static const char *const expected[] = {"--upgrade", "--index-url=https://h/simple",
            "--no-binary=:all:", "--only-binary=a,b", "--timeout=5", "--pre"};
    struct runtime_list options = {0};
    char why[RUNTIME_OPTIONS_WHY_MAX];
    assert_int_equal(
            runtime_options_parse("-U  -i https://h/simple --no-binary=:all: --only-binary a,b  --timeout   5 --pre ",
                    32, &options, why),
            0);
    assert_int_equal(options.count, ELEMENTS(expected));
    for (size_t i = 0; i < ELEMENTS(expected); i++)
        assert_string_equal(options.items[i], expected[i]);
    runtime_list_done(&options);
}

/* shows: NIST 4.2.1, CIS-Docker 2.5 */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *why; /* begins with */
    } rows[] = {
            {"--target /etc", "'--target' is not one of --index-url, --extra-index-url, "},
            {"--pre -r /etc/shadow", "'-r' is not one of "},
            {"-e .", "'-e' is not one of "},
            {"requests", "'requests' is not one of "},
            {"--", "'--' is not one of "},
            {"--global-option=x", "'--global-option' is not one of "},
            {"--trusted-host h", "'--trusted-host' is not one of "},
            {"https://u:p@h", "'(an address)' is not one of "},
            {"--ind https://h", "'--ind' is not one of "},
            {"--pre=x", "--pre takes no value"},
            {"--index-url", "the value of --index-url is not an https address"},
            {"--index-url http://h", "the value of --index-url is not an https address"},
            {"--index-url=https://u:p@h", "the value of --index-url is not an https address without user, password, "},
            {"--index-url --pre", "the value of --index-url is not"},
            {"--no-binary -r", "the value of --no-binary is not :all:, :none: or names"},
            {"--no-binary a,,b", "the value of --no-binary is not"},
            {"--no-binary=", "the value of --no-binary is not"},
            {"--timeout 601", "the value of --timeout is not a whole number from 0 to 600"},
            {"--retries x", "the value of --retries is not"},
            {"--pre --pre --pre --pre", "more than 3 options"},
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        struct runtime_list options = {0};
        char why[RUNTIME_OPTIONS_WHY_MAX] = "";
        assert_int_equal(runtime_options_parse(rows[i].text, 3, &options, why), -EINVAL);
        if (strncmp(why, rows[i].why, strlen(rows[i].why)) != 0)
            fail_msg("'%s' gives '%s'", rows[i].text, why);
        runtime_list_done(&options);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_accepted),
            cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
