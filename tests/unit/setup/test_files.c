#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "base/fd.h"
#include "setup/files.h"

static char cert[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
static char key[] = "-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----\n";
#define CA "-----BEGIN CERTIFICATE-----\nCCCC\n-----END CERTIFICATE-----\n"

static void test_client(void **state)
{
    (void)state;
    const struct certificate certificate = {cert, key};
    const struct files_node nodes[] = {{"admin", &certificate}, {"reader", &certificate}};
    _cleanup_free_ char *text = NULL;
    size_t size;
    assert_int_equal(files_format_client("127.0.0.1:50051", "an-id", CA, nodes, 2, &text, &size), 0);
    assert_int_equal(strlen(text), size);
#define BLOCKS                                                                                                         \
    "    cert: |\n      -----BEGIN CERTIFICATE-----\n      AAAA\n      -----END CERTIFICATE-----\n"                    \
    "    key: |\n      -----BEGIN PRIVATE KEY-----\n      BBBB\n      -----END PRIVATE KEY-----\n"                     \
    "    ca: |\n      -----BEGIN CERTIFICATE-----\n      CCCC\n      -----END CERTIFICATE-----\n"
    assert_string_equal(text, "version: \"3.0\"\nnodes:\n"
                              "  admin:\n    address: \"127.0.0.1:50051\"\n    nodeId: \"an-id\"\n"
                              "    isDefault: true\n" BLOCKS
                              "  reader:\n    address: \"127.0.0.1:50051\"\n    nodeId: \"an-id\"\n" BLOCKS);
    _cleanup_free_ char *address = files_find_address(text);
    assert_string_equal(address, "127.0.0.1:50051");
    assert_null(files_find_address("nodes:\n"));
}

#define OLD(name) name ": |\n    -----BEGIN OLD-----\n    xx\n"
#define TAIL "isolation:\n  idRangeStart: 1879048192\n  diskIdStart: 2000027648\n  apiUid: 990\n  apiGid: 991\n"

static void test_replace(void **state)
{
    (void)state;
    const struct certificate server = {cert, key};
    static const char text[] = "# mine\njoblet:\n  jobTimeout: 5m # changed\n\nsecurity:\n  # keep\n  " OLD(
            "caCert") "\n  # this too\n  " OLD("serverCert") "  serverKey: \"-----BEGIN OLD-----\\n\\\n"
                                                             "     more\\n\"\n\n" TAIL "# end\n";
    _cleanup_free_ char *made = NULL;
    size_t size;
    struct error error = {0};
    assert_int_equal(files_replace_certificates(text, &server, CA, &made, &size, &error), 0);
    assert_string_equal(made,
            "# mine\njoblet:\n  jobTimeout: 5m # changed\n\nsecurity:\n  # keep\n"
            "  caCert: |\n    -----BEGIN CERTIFICATE-----\n    CCCC\n    -----END CERTIFICATE-----\n"
            "\n  # this too\n"
            "  serverCert: |\n    -----BEGIN CERTIFICATE-----\n    AAAA\n    -----END CERTIFICATE-----\n"
            "  serverKey: |\n    -----BEGIN PRIVATE KEY-----\n    BBBB\n    -----END PRIVATE KEY-----\n\n" TAIL
            "# end\n");
}

/* What cannot be changed line by line is refused, not damaged. */
static void test_replace_refused(void **state)
{
    (void)state;
    const struct certificate server = {cert, key};
    static const char *const rows[] = {
            "security: {serverCert: \"-----BEGIN A\", serverKey: \"-----BEGIN B\", caCert: \"-----BEGIN C\"}\n" TAIL,
            "not: valid\n",
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        char *made = NULL;
        size_t size;
        struct error error = {0};
        assert_int_equal(files_replace_certificates(rows[i], &server, CA, &made, &size, &error), -EINVAL);
        assert_null(made);
        assert_true(*error.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_client),
            cmocka_unit_test(test_replace),
            cmocka_unit_test(test_replace_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
