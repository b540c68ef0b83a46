#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/fd.h"
#include "runtime/rule.h"

#define TIMES_8(text) text text text text text text text text
#define TIMES_64(text) TIMES_8(TIMES_8(text))

struct row {
    const char *text;
    bool right;
};

static void check(bool (*rule)(const char *), const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (rule(rows[i].text) != rows[i].right)
            fail_msg("'%s' is%s accepted", rows[i].text, rows[i].right ? " not" : "");
}

static void test_names(void **state)
{
    (void)state;
    static const struct row rows[] = {{"a", true}, {"python-3.11", true}, {"3", true}, {"a..b", true},
            {TIMES_64("a"), true}, {TIMES_64("a") "a", false}, {"", false}, {".", false}, {"..", false}, {"-a", false},
            {"a/b", false}, {"A", false}, {"a_b", false}, {"a b", false}, {"a\n", false}, {"a@1", false},
            {"\xc3\xa4", false}};
    check(rule_is_name, rows, ELEMENTS(rows));
}

static void test_versions(void **state)
{
    (void)state;
    static const struct row rows[] = {{"1.0.0", true}, {"0.0.0", true}, {"10.20.300", true}, {"999999999.0.0", true},
            {"1000000000.0.0", false}, {"1.0", false}, {"1", false}, {"", false}, {"1.0.0.0", false}, {"01.0.0", false},
            {"1.0.00", false}, {"1.0.0-rc1", false}, {"1.0.0 ", false}, {" 1.0.0", false}, {"v1.0.0", false},
            {"1..0", false}, {"1.0.", false}, {"1.0.0\n", false}, {"-1.0.0", false}};
    check(rule_is_version, rows, ELEMENTS(rows));
    static const struct row languages[] = {{"3.11", true}, {"17", true}, {"stable", true}, {"1.20rc1", true},
            {"1.0+b-2", true}, {"", false}, {"-1", false}, {".1", false}, {"3 .11", false}, {"3/11", false},
            {"{V}", false}, {"3:1", false}, {"3*", false}, {TIMES_8("1.11") "2", false}};
    check(rule_is_language_version, languages, ELEMENTS(languages));
    static const struct row cuda[] = {{"11", true}, {"11.8", true}, {"11.8.0", true}, {">=12.0", true}, {"", false},
            {"11.", false}, {"11.8.0.1", false}, {">11", false}, {"a", false}, {"11111", false}, {">=", false}};
    check(rule_is_cuda_version, cuda, ELEMENTS(cuda));
}

static void test_pip(void **state)
{
    (void)state;
    static const struct row rows[] = {{"requests", true}, {"requests==2.31.0", true}, {"a>=1,<2", true},
            {"uvicorn[standard]", true}, {"u[a,b-c]~=0.2", true}, {"a!=1.*", true}, {"a===1.0+local", true},
            {"zope.interface", true}, {"A_b", true}, {"a>=1!2.0", true},
            /* options, and what a shell or pip would take apart */
            {"-r", false}, {"-rfile", false}, {"--index-url=x", false}, {"-", false}, {"", false}, {"a b", false},
            {"a >= 1", false}, {"a;b", false}, {"a; python_version<'3'", false}, {"a\n--pre", false}, {"a\t", false},
            /* paths, archives, addresses */
            {".", false}, {"./a", false}, {"/a", false}, {"a/b", false}, {"a\\b", false}, {"..", false},
            {"a.whl", false}, {"a.tar.gz", false}, {"a==1.ZIP", false}, {"https://h/a", false},
            {"git+https://u:p@h/a", false}, {"a@https://h/a", false}, {"a @ file:///a", false}, {"$HOME", false},
            /* malformed */
            {"a[", false}, {"a[]", false}, {"a[b", false}, {"a[b]c", false}, {"a==", false}, {"a=1", false},
            {"a>=1,", false}, {"a>=,<2", false}, {"a,b", false}, {"a-", false}, {"a==-1", false}, {"a[-b]", false},
            {TIMES_64("abcd") "a", false}, {TIMES_64("abcd"), true}};
    check(rule_is_pip, rows, ELEMENTS(rows));
}

static void test_npm(void **state)
{
    (void)state;
    static const struct row rows[] = {{"express", true}, {"express@4.18.2", true}, {"express@latest", true},
            {"@types/node", true}, {"@types/node@^20", true}, {"a@~1.2", true}, {"a@>=1.0", true}, {"a@*", true},
            {"lodash.merge", true}, {"a@1.0.0-beta.1+5", true}, {"-g", false}, {"--prefix=/", false}, {"", false},
            {"@", false}, {"@a", false}, {"@a/", false}, {"@-a/b", false}, {"@a/-b", false}, {"a@", false},
            {"a@-1", false}, {"a b", false}, {"a@1 - 2", false}, {"a@1 || 2", false}, {"user/repo", false},
            {"./a", false}, {"../a", false}, {"/a", false}, {".", false}, {"a@.", false}, {"a@..", false},
            {"a@./b", false}, {"a@~/b", false}, {"a@/b", false}, {"a@file:b", false}, {"a@npm:b", false},
            {"git+ssh://h/a", false}, {"https://h/a.tgz", false}, {"a.tgz", false}, {"a@b.tar", false},
            {"a@b.TAR.GZ", false}, {"a\n", false}, {"@a/b/c", false}, {"c:a", false}};
    check(rule_is_npm, rows, ELEMENTS(rows));
}

static void test_libraries(void **state)
{
    (void)state;
    static const struct row rows[] = {{"/usr/lib/*/libgomp.so*", true}, {"lib/x.so", true}, {"*.so", true},
            {"/usr/lib/lib[ab]?.so", true}, {"lib..so", true}, {"/a/..b", true}, {"/a/...", true}, {"", false},
            {"..", false}, {"../x", false}, {"/../x", false}, {"/a/..", false}, {"a/../b", false}, {"/", false},
            {"/usr/lib/", false}, {"-x", false}, {"!x", false}, {"/a b", false}, {"/a\n", false}, {"/a;b", false},
            {"/a{b,c}", false}, {"$X", false}, {"~/x", false}, {TIMES_64("abcd") "a", false}};
    check(rule_is_library, rows, ELEMENTS(rows));
}

/* shows: NIST 4.2.1, CIS-Docker 2.5 */
static void test_addresses(void **state)
{
    (void)state;
    static const struct row rows[] = {{"https://pypi.org/simple", true}, {"https://h:8080/a/b-c", true},
            {"https://h", true}, {"http://h", false}, {"https://", false}, {"https://u:p@h/", false},
            {"https://h/?token=x", false}, {"https://h/#a", false}, {"https://h:/", false}, {"https://h:a/", false},
            {"https://-h/", false}, {"https://h b", false}, {"file:///etc", false}, {"", false},
            {"https://h:123456/", false}, {"https://h\\@g/", false}};
    check(rule_is_address, rows, ELEMENTS(rows));
}

static void test_reserved(void **state)
{
    (void)state;
    static const struct row rows[] = {{"JOB_ID", true}, {"JOB_", true}, {"JOBLET_CHROOT", true},
            {"RUNTIME_MANAGER_PATH", true}, {"NETWORK_READY_FILE", true}, {"JOB", false}, {"JOBS", false},
            {"MY_JOB_ID", false}, {"RUNTIME_DIR", false}};
    check(rule_is_reserved_variable, rows, ELEMENTS(rows));
}

static void test_lines_and_blocks(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool line;
        bool block;
    } rows[] = {{"a", true, true}, {"gr\xc3\xbc\xc3\x9f", true, true}, {"", false, true}, {"a\nb", false, true},
            {"a\tb", false, true}, {"a\rb", false, false}, {"\x1b[2J", false, false}, {"\x7f", false, false},
            {"\xc2\x9b", false, false}, {"\xe2\x80\xae", false, false}, {"\xe2\x81\xa6", false, false},
            {"\xe2\x80\xa8", false, false}, {"\xe2\x80\x94", true, true}, {"\xff", false, false},
            {"12345678901", false, false}};
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        assert_int_equal(rule_is_line(rows[i].text, 10), rows[i].line);
        assert_int_equal(rule_is_block(rows[i].text, 10), rows[i].block);
    }
}

static void test_memory(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes; /* 0 = refused */
    } rows[] = {{"256MB", 256ULL << 20}, {"1.5gb", 3ULL << 29}, {"1KB", 1024}, {"0.001KB", 1}, {"1024TB", 1ULL << 50},
            {"1TB", 1ULL << 40}, {"1024.001TB", 0}, {"1025TB", 0}, {"0MB", 0}, {"256", 0}, {"MB", 0}, {"", 0},
            {"1.MB", 0}, {"1.0000MB", 0}, {"-1MB", 0}, {"1 MB", 0}, {"1MBs", 0}, {"1B", 0}, {"1e3MB", 0},
            {"99999999999999MB", 0}, {"1MB\n", 0}};
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        uint64_t bytes = 0;
        assert_int_equal(rule_parse_memory(rows[i].text, &bytes), rows[i].bytes ? 0 : -EINVAL);
        assert_int_equal(bytes, rows[i].bytes);
    }
}

static void test_bools(void **state)
{
    (void)state;
    bool value = false;
    assert_int_equal(rule_parse_bool("true", &value), 0);
    assert_true(value);
    assert_int_equal(rule_parse_bool("False", &value), 0);
    assert_false(value);
    static const char *const wrong[] = {"", "yes", "on", "1", "tRue", "true "};
    for (size_t i = 0; i < ELEMENTS(wrong); i++)
        assert_int_equal(rule_parse_bool(wrong[i], &value), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_names),
            cmocka_unit_test(test_versions),
            cmocka_unit_test(test_pip),
            cmocka_unit_test(test_npm),
            cmocka_unit_test(test_libraries),
            cmocka_unit_test(test_addresses),
            cmocka_unit_test(test_reserved),
            cmocka_unit_test(test_lines_and_blocks),
            cmocka_unit_test(test_memory),
            cmocka_unit_test(test_bools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
