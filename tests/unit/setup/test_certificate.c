#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/fd.h"
#include "setup/certificate.h"

#define DAY_S (24L * 3600)

static X509 *read_cert(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(cert);
    return cert;
}

/* Verifies as a TLS library does, with all of OpenSSL's strictness. X509_V_OK or the reason. */
static int verify(X509 *cert, X509 *root, int purpose, const char *host)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    assert_true(X509_STORE_add_cert(store, root));
    assert_true(X509_STORE_CTX_init(context, store, cert, NULL));
    X509_VERIFY_PARAM *parameters = X509_STORE_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
    assert_true(X509_STORE_CTX_set_purpose(context, purpose));
    if (host && !X509_VERIFY_PARAM_set1_ip_asc(parameters, host))
        assert_true(X509_VERIFY_PARAM_set1_host(parameters, host, 0));
    ERR_clear_error();
    int result = X509_verify_cert(context) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(context);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    return result;
}

static struct authority *new_authority(struct certificate *ret_root)
{
    struct authority *authority = NULL;
    struct error error = {0};
    assert_int_equal(authority_new(&authority, &error), 0);
    assert_int_equal(authority_export(authority, ret_root, &error), 0);
    return authority;
}

static void assert_days(const ASN1_TIME *time_value, long days)
{
    time_t early = time(NULL) + days * DAY_S - 7200;
    time_t late = early + 14400;
    assert_int_equal(X509_cmp_time(time_value, &early), 1);
    assert_int_equal(X509_cmp_time(time_value, &late), -1);
}

static void test_authority(void **state)
{
    (void)state;
    struct certificate root = {0};
    struct authority *authority = new_authority(&root);
    X509 *cert = read_cert(root.cert);
    assert_int_equal(X509_check_ca(cert), 1);
    assert_int_equal(X509_get_pathlen(cert), 0);
    assert_int_equal(X509_get_key_usage(cert), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    assert_int_equal(EVP_PKEY_get_bits(X509_get0_pubkey(cert)), 256);
    assert_true(EVP_PKEY_is_a(X509_get0_pubkey(cert), "EC"));
    assert_days(X509_get0_notAfter(cert), 3653);
    time_t now = time(NULL);
    assert_int_equal(X509_cmp_time(X509_get0_notBefore(cert), &now), -1);
    assert_int_equal(authority_renew(authority, NULL), 0);
    X509_free(cert);
    certificate_done(&root);
    assert_null(root.key);
    authority_free(authority);
}

static void test_server(void **state)
{
    (void)state;
    struct certificate root = {0};
    struct authority *authority = new_authority(&root);
    X509 *root_cert = read_cert(root.cert);
    static const char *const hosts[] = {"build.example.org", "192.0.2.7", "2001:db8::7", "localhost"};
    for (size_t i = 0; i < ELEMENTS(hosts); i++) {
        struct certificate server = {0};
        assert_int_equal(certificate_issue_server(authority, hosts[i], &server, NULL), 0);
        X509 *cert = read_cert(server.cert);
        static const char *const always[] = {"joblet", "localhost", "127.0.0.1", "::1"};
        for (size_t j = 0; j < ELEMENTS(always); j++)
            assert_int_equal(verify(cert, root_cert, X509_PURPOSE_SSL_SERVER, always[j]), X509_V_OK);
        assert_int_equal(verify(cert, root_cert, X509_PURPOSE_SSL_SERVER, hosts[i]), X509_V_OK);
        assert_int_not_equal(verify(cert, root_cert, X509_PURPOSE_SSL_SERVER, "other.example.org"), X509_V_OK);
        assert_int_not_equal(verify(cert, root_cert, X509_PURPOSE_SSL_CLIENT, NULL), X509_V_OK);
        assert_int_equal(X509_get_extended_key_usage(cert), XKU_SSL_SERVER);
        assert_int_equal(X509_get_key_usage(cert), KU_DIGITAL_SIGNATURE);
        assert_days(X509_get0_notAfter(cert), 365);
        X509_free(cert);
        certificate_done(&server);
    }
    X509_free(root_cert);
    certificate_done(&root);
    authority_free(authority);
}

static void assert_name(X509 *cert, int nid, const char *expected)
{
    char text[64];
    assert_true(X509_NAME_get_text_by_NID(X509_get_subject_name(cert), nid, text, sizeof(text)) > 0);
    assert_string_equal(text, expected);
}

/* shows: NIST 4.3.2 */
static void test_client(void **state)
{
    (void)state;
    struct certificate root = {0};
    struct certificate other_root = {0};
    struct certificate client = {0};
    struct authority *authority = new_authority(&root);
    struct authority *other = new_authority(&other_root);
    X509 *root_cert = read_cert(root.cert);
    X509 *other_cert = read_cert(other_root.cert);
    assert_int_equal(certificate_issue_client(authority, "developer", &client, NULL), 0);
    X509 *cert = read_cert(client.cert);
    assert_int_equal(verify(cert, root_cert, X509_PURPOSE_SSL_CLIENT, NULL), X509_V_OK);
    assert_int_not_equal(verify(cert, root_cert, X509_PURPOSE_SSL_SERVER, NULL), X509_V_OK);
    /* The same name, another key: must not pass. */
    assert_int_not_equal(verify(cert, other_cert, X509_PURPOSE_SSL_CLIENT, NULL), X509_V_OK);
    assert_name(cert, NID_organizationName, "Joblet");
    assert_name(cert, NID_organizationalUnitName, "developer");
    assert_name(cert, NID_commonName, "developer-client");
    assert_int_equal(X509_get_extended_key_usage(cert), XKU_SSL_CLIENT);
    assert_int_equal(X509_check_ca(cert), 0);
    BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    assert_int_equal(BN_num_bits(serial), 128);
    assert_false(BN_is_negative(serial));
    BN_free(serial);
    X509_free(cert);
    X509_free(root_cert);
    X509_free(other_cert);
    certificate_done(&root);
    certificate_done(&other_root);
    certificate_done(&client);
    authority_free(authority);
    authority_free(other);
}

/* A new certificate for the same key: what the old one signed verifies by it too. */
static void test_load(void **state)
{
    (void)state;
    struct certificate root = {0};
    struct certificate again_root = {0};
    struct certificate client = {0};
    struct authority *authority = new_authority(&root);
    struct authority *again = NULL;
    assert_int_equal(certificate_issue_client(authority, "admin", &client, NULL), 0);
    assert_int_equal(authority_load(root.cert, root.key, &again, NULL), 0);
    assert_int_equal(authority_export(again, &again_root, NULL), 0);
    assert_string_equal(again_root.cert, root.cert);
    assert_string_equal(again_root.key, root.key);
    certificate_done(&again_root);
    authority_freep(&again);

    assert_int_equal(authority_load(NULL, root.key, &again, NULL), 0);
    assert_int_equal(authority_export(again, &again_root, NULL), 0);
    assert_string_not_equal(again_root.cert, root.cert);
    X509 *cert = read_cert(client.cert);
    X509 *new_root = read_cert(again_root.cert);
    assert_int_equal(verify(cert, new_root, X509_PURPOSE_SSL_CLIENT, NULL), X509_V_OK);
    X509_free(cert);
    X509_free(new_root);
    certificate_done(&again_root);
    authority_freep(&again);

    struct error error = {0};
    assert_int_equal(authority_load(root.cert, client.key, &again, &error), -EINVAL);
    assert_string_equal(error.text, "the authority's certificate and key do not belong together");
    assert_int_equal(authority_load(root.cert, "nothing", &again, &error), -EINVAL);
    assert_int_equal(authority_load("nothing", root.key, &again, &error), -EINVAL);
    assert_null(again);
    certificate_done(&root);
    certificate_done(&client);
    authority_free(authority);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_authority),
            cmocka_unit_test(test_server),
            cmocka_unit_test(test_client),
            cmocka_unit_test(test_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
