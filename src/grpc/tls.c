#include "grpc/tls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

static const unsigned char alpn_h2[] = {2, 'h', '2'};

const char *tls_error_text(char *buffer, size_t size)
{
    unsigned long code = ERR_peek_last_error();
    ERR_clear_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    if (reason)
        return reason;
    (void)snprintf(buffer, size, "TLS error %#lx", code);
    return buffer;
}

static int fail(struct error *error, const char *what)
{
    char buffer[64];
    return error_text(error, EINVAL, "%s: %s", what, tls_error_text(buffer, sizeof(buffer)));
}

static BIO *text_bio(const char *pem)
{
    return BIO_new_mem_buf(pem, -1);
}

/* The leaf and, behind it, the chain. */
static int use_certificate(SSL_CTX *context, const char *pem, struct error *error)
{
    BIO *bio = text_bio(pem);
    X509 *leaf = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    int r = 0;
    if (!leaf || SSL_CTX_use_certificate(context, leaf) != 1)
        r = fail(error, "the certificate cannot be used");
    X509_free(leaf);
    X509 *next;
    while (r == 0 && (next = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        if (SSL_CTX_add0_chain_cert(context, next) != 1) {
            X509_free(next);
            r = fail(error, "the certificate's chain cannot be used");
        }
    }
    BIO_free(bio);
    ERR_clear_error();
    return r;
}

static int use_key(SSL_CTX *context, const char *pem, struct error *error)
{
    BIO *bio = text_bio(pem);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    int r = 0;
    if (!key || SSL_CTX_use_PrivateKey(context, key) != 1)
        r = fail(error, "the private key cannot be used");
    else if (SSL_CTX_check_private_key(context) != 1)
        r = fail(error, "the private key does not belong to the certificate");
    EVP_PKEY_free(key);
    BIO_free(bio);
    return r;
}

static int use_authorities(SSL_CTX *context, const char *pem, int is_server, struct error *error)
{
    BIO *bio = text_bio(pem);
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    int count = 0;
    int r = 0;
    X509 *authority;
    while (r == 0 && bio && (authority = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        if (X509_STORE_add_cert(store, authority) != 1 || (is_server && SSL_CTX_add_client_CA(context, authority) != 1))
            r = fail(error, "the CA certificate cannot be used");
        X509_free(authority);
        count++;
    }
    BIO_free(bio);
    if (r == 0 && count == 0)
        r = fail(error, "the CA certificate cannot be used");
    ERR_clear_error();
    return r;
}

static int select_alpn(SSL *ssl, const unsigned char **ret_protocol, unsigned char *ret_size,
        const unsigned char *offered, unsigned int offered_size, void *user)
{
    (void)ssl;
    (void)user;
    unsigned char *selected;
    if (SSL_select_next_proto(&selected, ret_size, alpn_h2, sizeof(alpn_h2), offered, offered_size) !=
            OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret_protocol = selected;
    return SSL_TLSEXT_ERR_OK;
}

static int new_context(const SSL_METHOD *method, const char *cert_pem, const char *key_pem, const char *ca_pem,
        int is_server, SSL_CTX **ret_context, struct error *error)
{
    SSL_CTX *context = SSL_CTX_new(method);
    if (!context)
        return fail(error, "make a TLS context");
    (void)SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    (void)SSL_CTX_set_num_tickets(context, 0);
    (void)SSL_CTX_set_mode(
            context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    int r = use_certificate(context, cert_pem, error);
    if (r == 0)
        r = use_key(context, key_pem, error);
    if (r == 0)
        r = use_authorities(context, ca_pem, is_server, error);
    if (r < 0) {
        SSL_CTX_free(context);
        return r;
    }
    *ret_context = context;
    return 0;
}

int tls_new_server(
        const char *cert_pem, const char *key_pem, const char *ca_pem, SSL_CTX **ret_context, struct error *error)
{
    SSL_CTX *context;
    int r = new_context(TLS_server_method(), cert_pem, key_pem, ca_pem, 1, &context, error);
    if (r < 0)
        return r;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    (void)SSL_CTX_set_purpose(context, X509_PURPOSE_SSL_CLIENT);
    SSL_CTX_set_alpn_select_cb(context, select_alpn, NULL);
    *ret_context = context;
    return 0;
}

int tls_new_client(const char *cert_pem, const char *key_pem, const char *ca_pem, const char *server_name,
        SSL_CTX **ret_context, struct error *error)
{
    SSL_CTX *context;
    int r = new_context(TLS_client_method(), cert_pem, key_pem, ca_pem, 0, &context, error);
    if (r < 0)
        return r;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    X509_VERIFY_PARAM_set_hostflags(SSL_CTX_get0_param(context), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_host(SSL_CTX_get0_param(context), server_name, 0) != 1 ||
            SSL_CTX_set_alpn_protos(context, alpn_h2, sizeof(alpn_h2)) != 0) {
        SSL_CTX_free(context);
        return fail(error, "prepare the TLS context");
    }
    *ret_context = context;
    return 0;
}
