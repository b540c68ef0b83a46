#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"
#include "builder/rules.h"
#include "builder/words.h"

static void test_classes(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum rules_class class;
    } cases[] = {
            {"/usr/local/bin/x", RULES_KEEP},
            {"/etc/ssl/certs/ca.pem", RULES_KEEP},
            {"/etc/ssl/private/key", RULES_STATE},
            {"/data/x", RULES_KEEP},
            {"/rooted", RULES_KEEP},
            {"/root/x", RULES_STRAY},
            {"/root", RULES_STRAY},
            {"/var/lib/dpkg/status", RULES_STATE},
            {"/var/lib/dpkgs", RULES_KEEP},
            {"/var/cache/fontconfig/x", RULES_KEEP},
            {"/var/cache/other", RULES_STRAY},
            {"/var/cache/apt/pkgcache.bin", RULES_STATE},
            {"/etc/ssh/ssh_host_rsa_key", RULES_STATE},
            {"/etc/ssh/sshd_config", RULES_KEEP},
            {"/etc/shadow", RULES_STATE},
            {"/etc/shadow.d", RULES_KEEP},
            {"/etc/rc3.d/S01x", RULES_STATE},
            {"/usr/sbin/policy-rc.d", RULES_STATE},
            {"/opt/x", RULES_KEEP},
            {"/opt/joblet/runtimes/b", RULES_STRAY},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_int_equal(rules_classify(cases[i].path), cases[i].class);
}

static void test_left_out(void **state)
{
    (void)state;
    assert_true(rules_is_left_out("/usr/share/doc/x", 0));
    assert_true(rules_is_left_out("/usr/share/doc", KEEP_MAN));
    assert_false(rules_is_left_out("/usr/share/doc/x", KEEP_DOC));
    assert_false(rules_is_left_out("/usr/share/docs", 0));
    assert_true(rules_is_left_out("/usr/local/share/man/man1/x", 0));
    assert_true(rules_is_left_out("/usr/share/locale/de/x.mo", KEEP_DOC | KEEP_MAN));
    assert_false(rules_is_left_out("/usr/share/zoneinfo/UTC", 0));
    assert_false(rules_is_left_out("/opt/share/doc/x", 0));
}

static void test_places(void **state)
{
    (void)state;
    assert_true(rules_is_shared("/usr/lib/x86_64-linux-gnu"));
    assert_true(rules_is_shared("/usr") && rules_is_shared("/etc/init.d"));
    assert_false(rules_is_shared("/usr/lib/x86_64-linux-gnu/gdk-pixbuf-2.0"));
    assert_true(rules_is_generated("/etc/ssl/certs"));
    assert_false(rules_is_generated("/etc/ssl"));
    assert_true(rules_base_stays("/etc/hosts"));
    assert_false(rules_base_stays("/etc/hosts.allow"));
    assert_true(rules_is_below("/a/b", "/a") && rules_is_below("/a", "/a") && rules_is_below("/a", "/"));
    assert_false(rules_is_below("/ab", "/a") || rules_is_below("/", "/a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_classes),
            cmocka_unit_test(test_left_out),
            cmocka_unit_test(test_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
