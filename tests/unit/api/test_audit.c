/* What reaches the audit log of a request's texts: no secret, and not more than fits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/audit.h"
#include "api/mask.h"
#include "base/fd.h"

static void test_words(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *masked;
    } rows[] = {
            {"", ""},
            {"sh -c 'echo hello; ls /etc'", "sh -c 'echo hello; ls /etc'"},
            {"API_TOKEN=abc next", "API_TOKEN=*** next"},
            {"export DB_PASSWORD='a b;c'; run", "export DB_PASSWORD=***; run"},
            {"X_KEY=\"not closed", "X_KEY=***"},
            {"a_secret=1&b=2", "a_secret=***&b=2"},
            {"SECRET_WORD=abc|cat", "SECRET_WORD=***|cat"},
            {"mysql --password hunter2 -u root", "mysql --password *** -u root"},
            {"curl --api-key=abc x", "curl --api-key=*** x"},
            {"apiToken: abc", "apiToken: ***"},
            {"{\"password\": \"a b\", \"user\": \"u\"}", "{\"password\": ***, \"user\": \"u\"}"},
            {"{\\\"password\\\":\\\"a b\\\"}", "{\\\"password\\\":***}"},
            {"Authorization: Bearer abc.def", "Authorization: Bearer ***"},
            {"-H 'Authorization: basic dTpw'", "-H 'Authorization: basic ***'"},
            {"git clone https://user:pw@host/x", "git clone https://***@host/x"},
            {"https://user:p@w@host/x https://host:80/y", "https://***@host/x https://host:80/y"},
            {"DB_PASS=1 pass=2 bypass=3 PASSWD=4", "DB_PASS=*** pass=*** bypass=3 PASSWD=***"},
            {"the key is lost, password unknown", "the key is lost, password unknown"},
            {"TOKEN=", "TOKEN="},
            {"MONKEY=see", "MONKEY=***"}, /* rather one too many */
            {"known-value", "***"},
            {"=known-value=", "=***="},
    };
    struct runtime_list known = {0};
    assert_int_equal(runtime_list_add(&known, "N=known-value"), 0);
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        _cleanup_free_ char *masked = mask_words(&known, rows[i].text, 4096);
        assert_string_equal(masked, rows[i].masked);
    }
    runtime_list_done(&known);
}

/* Wherever a text is cut, no part of a secret of more than two bytes is left. */
static void test_cut(void **state)
{
    (void)state;
    static const char *const texts[] = {
            "begin known-value end", "see https://user:password@host/x and more", "a X_TOKEN=password b"};
    struct runtime_list known = {0};
    assert_int_equal(runtime_list_add(&known, "N=known-value"), 0);
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        for (size_t size = 1; size < strlen(texts[i]) + 2; size++) {
            _cleanup_free_ char *masked = mask_words(&known, texts[i], size);
            assert_true(strlen(masked) < size);
            assert_null(strstr(masked, "kno"));
            assert_null(strstr(masked, "use"));
            assert_null(strstr(masked, "pas"));
        }
    runtime_list_done(&known);
}

static void test_argument(void **state)
{
    (void)state;
    static const struct {
        const char *previous;
        const char *text;
        const char *masked;
    } rows[] = {
            {NULL, "--password", "--password"},
            {"--password", "a b;c", "***"},
            {"password", "a", "a"},
            {"--password=x", "a", "a"},
            {"env", "API_TOKEN=a b;c", "API_TOKEN=***"},
            {"env", "API_TOKEN=", "API_TOKEN="},
            {"-c", "X_KEY=1; run", "X_KEY=***"},
            {"-c", "run X_KEY=1; run", "run X_KEY=***; run"},
            {"x", "plain", "plain"},
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        _cleanup_free_ char *masked = mask_argument(NULL, rows[i].previous, rows[i].text, 4096);
        assert_string_equal(masked, rows[i].masked);
    }
}

/* The value of the first fact of that name; NULL: there is none. */
static const char *fact(const struct audit_facts *facts, const char *name)
{
    const char *end = facts->bytes + facts->size;
    for (const char *at = facts->bytes; at < end; at += strlen(at) + 1) {
        const char *value = at + strlen(at) + 1;
        if (strcmp(at, name) == 0)
            return value;
        at = value;
    }
    return NULL;
}

static void test_command(void **state)
{
    (void)state;
    struct audit_facts facts = {0};
    char *arguments[] = {(char[]){"-c"}, (char[]){"it's; $X"}, (char[]){""}, (char[]){"--token"}, (char[]){"abc"},
            (char[]){"known-value"}};
    audit_facts_hide(&facts, "N", "known-value");
    audit_facts_hide(&facts, "SHORT", "c");
    audit_facts_add_command(&facts, "sh", arguments, ELEMENTS(arguments));
    assert_string_equal(fact(&facts, "command"), "sh -c 'it'\\''s; $X' '' --token *** ***");
    assert_string_equal(fact(&facts, "arguments"), "6");
    assert_false(facts.failed);
    audit_facts_done(&facts);
}

static void test_sizes(void **state)
{
    (void)state;
    struct audit_facts facts = {0};
    struct audit_facts copy = {0};
    _cleanup_free_ char *large = malloc(AUDIT_VALUE_MAX * 2);
    memset(large, 'x', AUDIT_VALUE_MAX * 2 - 1);
    large[AUDIT_VALUE_MAX * 2 - 1] = '\0';
    audit_facts_add(&facts, "empty", "");
    assert_null(facts.bytes);
    for (size_t i = 0; i < 8; i++)
        audit_facts_addf(&facts, "large", "%zu%s", i, large);
    assert_true(facts.size <= AUDIT_FACTS_MAX);
    assert_int_equal(strlen(fact(&facts, "large")), AUDIT_VALUE_MAX - 1);
    audit_facts_add(&copy, "action", "job.run");
    audit_facts_copy(&copy, &facts);
    audit_facts_copy(&copy, &facts);
    assert_true(copy.size <= AUDIT_FACTS_MAX);
    assert_string_equal(fact(&copy, "action"), "job.run");
    assert_false(copy.failed);
    audit_facts_done(&facts);
    audit_facts_done(&copy);
}

/* Nobody can hide one secret behind many. */
static void test_many_secrets(void **state)
{
    (void)state;
    struct audit_facts facts = {0};
    char value[32];
    char *arguments[] = {value};
    for (unsigned i = 0; i <= AUDIT_SECRETS_MAX + 3; i++) {
        (void)snprintf(value, sizeof(value), "known-value-%u", i);
        audit_facts_hide(&facts, "N", value);
    }
    audit_facts_add_command(&facts, "run", arguments, 1);
    audit_facts_add(&facts, "error", value);
    assert_string_equal(fact(&facts, "command"), "*** ***");
    assert_string_equal(fact(&facts, "error"), "***");
    audit_facts_done(&facts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_words),
            cmocka_unit_test(test_cut),
            cmocka_unit_test(test_argument),
            cmocka_unit_test(test_command),
            cmocka_unit_test(test_sizes),
            cmocka_unit_test(test_many_secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
