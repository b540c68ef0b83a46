#include "setup/certificate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/fd.h"
#include "base/text.h"

#define DAY_S (24L * 3600)
#define AUTHORITY_DAYS (3653L)
#define LEAF_DAYS 365L
/* Clients' clocks may be behind ours. */
#define BACKDATED_S 3600L
#define SERIAL_BITS 128
#define ORGANIZATION "Joblet"
#define AUTHORITY_NAME "Joblet-CA"

struct authority {
    X509 *cert;
    EVP_PKEY *key;
};

struct extension {
    int nid;
    const char *value; /* as in openssl's configuration files */
};

/* Takes the first error of OpenSSL's queue: the later ones only say where it passed. */
static int openssl_error(struct error *error, const char *what)
{
    unsigned long code = ERR_get_error();
    ERR_clear_error();
    char reason[120];
    ERR_error_string_n(code, reason, sizeof(reason));
    return error_text(error, EIO, "%s: %s", what, code ? reason : "failed");
}

/* A positive random number with the highest bits as they come: at most 20 octets, never 0. */
static int set_serial(X509 *cert)
{
    BIGNUM *number = BN_new();
    bool done = number && BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) &&
                BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    return done ? 0 : -EIO;
}

static int add_name(X509_NAME *name, const char *field, const char *value)
{
    const unsigned char *bytes = (const unsigned char *)value;
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, bytes, -1, -1, 0) ? 0 : -EIO;
}

static int set_subject(X509 *cert, const char *unit, const char *common)
{
    X509_NAME *name = X509_get_subject_name(cert);
    if (add_name(name, "O", ORGANIZATION) < 0 || (unit && add_name(name, "OU", unit) < 0))
        return -EIO;
    return add_name(name, "CN", common);
}

static int add_extension(X509 *cert, X509 *issuer, const struct extension *extension)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *made = X509V3_EXT_conf_nid(NULL, &context, extension->nid, extension->value);
    bool done = made && X509_add_ext(cert, made, -1);
    X509_EXTENSION_free(made);
    return done ? 0 : -EIO;
}

/* A certificate with all but names, times' end, extensions and signature. NULL on failure. */
static X509 *new_certificate(EVP_PKEY *key)
{
    X509 *cert = X509_new();
    if (cert && X509_set_version(cert, X509_VERSION_3) && set_serial(cert) == 0 && X509_set_pubkey(cert, key) &&
            X509_gmtime_adj(X509_getm_notBefore(cert), -BACKDATED_S))
        return cert;
    X509_free(cert);
    return NULL;
}

static int finish_certificate(
        X509 *cert, X509 *issuer, EVP_PKEY *issuer_key, const struct extension *extensions, size_t count)
{
    if (!X509_set_issuer_name(cert, X509_get_subject_name(issuer)))
        return -EIO;
    for (size_t i = 0; i < count; i++) {
        if (add_extension(cert, issuer, &extensions[i]) < 0)
            return -EIO;
    }
    return X509_sign(cert, issuer_key, EVP_sha256()) ? 0 : -EIO;
}

static int sign_authority(EVP_PKEY *key, X509 **ret_cert, struct error *error)
{
    /* The subject key comes first: the authority key identifier of a self-signed certificate refers to it. */
    static const struct extension extensions[] = {
            {NID_subject_key_identifier, "hash"},
            {NID_authority_key_identifier, "keyid:always"},
            {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
            {NID_key_usage, "critical,keyCertSign,cRLSign"},
    };
    X509 *cert = new_certificate(key);
    if (!cert || set_subject(cert, NULL, AUTHORITY_NAME) < 0 ||
            !X509_gmtime_adj(X509_getm_notAfter(cert), AUTHORITY_DAYS * DAY_S) ||
            finish_certificate(cert, cert, key, extensions, ELEMENTS(extensions)) < 0) {
        X509_free(cert);
        return openssl_error(error, "make the authority's certificate");
    }
    *ret_cert = cert;
    return 0;
}

int authority_new(struct authority **ret_authority, struct error *error)
{
    _cleanup_(authority_freep) struct authority *authority = calloc(1, sizeof(*authority));
    if (!authority)
        return error_errno(error, ENOMEM, "make the authority");
    authority->key = EVP_EC_gen("P-256");
    if (!authority->key)
        return openssl_error(error, "make the authority's key");
    int r = sign_authority(authority->key, &authority->cert, error);
    if (r < 0)
        return r;
    *ret_authority = TAKE_PTR(authority);
    return 0;
}

static BIO *text_bio(const char *text)
{
    return BIO_new_mem_buf(text, -1);
}

/* Never asks for a pass phrase on the terminal. */
static int no_pass_phrase(char *buffer, int size, int writing, void *context)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)context;
    return -1;
}

int authority_load(const char *cert, const char *key, struct authority **ret_authority, struct error *error)
{
    _cleanup_(authority_freep) struct authority *authority = calloc(1, sizeof(*authority));
    if (!authority)
        return error_errno(error, ENOMEM, "read the authority");
    BIO *bio = text_bio(key);
    authority->key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    if (!authority->key)
        return error_text(error, EINVAL, "the authority's key is not a PEM private key");
    if (!cert) {
        int r = sign_authority(authority->key, &authority->cert, error);
        if (r < 0)
            return r;
        *ret_authority = TAKE_PTR(authority);
        return 0;
    }
    bio = text_bio(cert);
    authority->cert = bio ? PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    if (!authority->cert)
        return error_text(error, EINVAL, "the authority's certificate is not a PEM certificate");
    bool pair = X509_check_private_key(authority->cert, authority->key) == 1;
    ERR_clear_error();
    if (!pair)
        return error_text(error, EINVAL, "the authority's certificate and key do not belong together");
    *ret_authority = TAKE_PTR(authority);
    return 0;
}

int authority_renew(struct authority *authority, struct error *error)
{
    time_t leaf_end = time(NULL) + LEAF_DAYS * DAY_S;
    if (X509_cmp_time(X509_get0_notAfter(authority->cert), &leaf_end) > 0)
        return 0;
    X509 *cert;
    int r = sign_authority(authority->key, &cert, error);
    if (r < 0)
        return r;
    X509_free(authority->cert);
    authority->cert = cert;
    return 1;
}

void authority_free(struct authority *authority)
{
    if (!authority)
        return;
    X509_free(authority->cert);
    EVP_PKEY_free(authority->key);
    free(authority);
}

void authority_freep(struct authority **authority)
{
    authority_free(*authority);
    *authority = NULL;
}

/* What stands in @bio as a text of our own. */
static char *bio_text(BIO *bio)
{
    char *data;
    long size = BIO_get_mem_data(bio, &data);
    return size > 0 ? text_dup_bounded(data, (size_t)size) : NULL;
}

static int format_serial(X509 *cert, char ret_serial[CERTIFICATE_SERIAL_MAX])
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    char *text = number ? BN_bn2hex(number) : NULL;
    int size = text ? snprintf(ret_serial, CERTIFICATE_SERIAL_MAX, "%s", text) : -1;
    OPENSSL_free(text);
    BN_free(number);
    return size > 0 ? 0 : -EIO;
}

static int export_pair(X509 *cert, EVP_PKEY *key, struct certificate *ret_certificate, struct error *error)
{
    BIO *cert_bio = BIO_new(BIO_s_mem());
    /* Secure memory is overwritten when freed. */
    BIO *key_bio = BIO_new(BIO_s_secmem());
    struct certificate made = {0};
    if (cert_bio && key_bio && PEM_write_bio_X509(cert_bio, cert) &&
            PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL)) {
        made.cert = bio_text(cert_bio);
        made.key = bio_text(key_bio);
    }
    BIO_free(cert_bio);
    BIO_free(key_bio);
    if (!made.cert || !made.key || format_serial(cert, made.serial) < 0) {
        certificate_done(&made);
        return openssl_error(error, "write a certificate");
    }
    *ret_certificate = made;
    return 0;
}

int authority_export(const struct authority *authority, struct certificate *ret_certificate, struct error *error)
{
    return export_pair(authority->cert, authority->key, ret_certificate, error);
}

/* A leaf must not outlive its authority: verifiers refuse it then anyhow, and later than said. */
static int set_leaf_end(X509 *cert, const X509 *issuer)
{
    time_t end = time(NULL) + LEAF_DAYS * DAY_S;
    const ASN1_TIME *issuer_end = X509_get0_notAfter(issuer);
    if (X509_cmp_time(issuer_end, &end) < 0)
        return X509_set1_notAfter(cert, issuer_end) ? 0 : -EIO;
    return X509_gmtime_adj(X509_getm_notAfter(cert), LEAF_DAYS * DAY_S) ? 0 : -EIO;
}

static int issue(const struct authority *authority, const char *unit, const char *common,
        const struct extension *extensions, size_t count, struct certificate *ret_certificate, struct error *error)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key ? new_certificate(key) : NULL;
    int r;
    if (cert && set_subject(cert, unit, common) == 0 && set_leaf_end(cert, authority->cert) == 0 &&
            finish_certificate(cert, authority->cert, authority->key, extensions, count) == 0)
        r = export_pair(cert, key, ret_certificate, error);
    else
        r = openssl_error(error, "make a certificate");
    X509_free(cert);
    EVP_PKEY_free(key);
    return r;
}

int certificate_issue_server(
        const struct authority *authority, const char *host, struct certificate *ret_certificate, struct error *error)
{
    struct in6_addr address;
    bool ip = inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
    char names[512];
    int length = snprintf(names, sizeof(names), "DNS:joblet,DNS:localhost,IP:127.0.0.1,IP:::1");
    static const char *const present[] = {"joblet", "localhost", "127.0.0.1", "::1"};
    bool known = false;
    for (size_t i = 0; i < ELEMENTS(present); i++)
        known = known || strcmp(host, present[i]) == 0;
    if (!known)
        (void)snprintf(names + length, sizeof(names) - (size_t)length, ",%s:%s", ip ? "IP" : "DNS", host);
    const struct extension extensions[] = {
            {NID_basic_constraints, "critical,CA:FALSE"},
            {NID_key_usage, "critical,digitalSignature"},
            {NID_ext_key_usage, "serverAuth"},
            {NID_subject_key_identifier, "hash"},
            {NID_authority_key_identifier, "keyid:always"},
            {NID_subject_alt_name, names},
    };
    return issue(authority, NULL, "joblet-server", extensions, ELEMENTS(extensions), ret_certificate, error);
}

int certificate_issue_client(
        const struct authority *authority, const char *role, struct certificate *ret_certificate, struct error *error)
{
    static const struct extension extensions[] = {
            {NID_basic_constraints, "critical,CA:FALSE"},
            {NID_key_usage, "critical,digitalSignature"},
            {NID_ext_key_usage, "clientAuth"},
            {NID_subject_key_identifier, "hash"},
            {NID_authority_key_identifier, "keyid:always"},
    };
    char common[64];
    (void)snprintf(common, sizeof(common), "%s-client", role);
    return issue(authority, role, common, extensions, ELEMENTS(extensions), ret_certificate, error);
}

void certificate_done(struct certificate *certificate)
{
    free(certificate->cert);
    if (certificate->key)
        explicit_bzero(certificate->key, strlen(certificate->key));
    free(certificate->key);
    *certificate = (struct certificate){0};
}
