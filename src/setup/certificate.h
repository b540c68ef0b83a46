/* The certificate authority of one prefix and what it signs. All keys are EC P-256: small, fast, accepted by the TLS
 * libraries of Go, Node and gRPC alike. Certificates and keys are PEM texts, keys as PKCS#8. */
#pragma once

#include "base/error.h"

struct authority;

/* Ours have 16 bytes. A longer one, of an authority that is not ours, is cut. */
#define CERTIFICATE_SERIAL_MAX 44U

struct certificate {
    char *cert;                          /* PEM, owned */
    char *key;                           /* PEM, owned; overwritten when freed */
    char serial[CERTIFICATE_SERIAL_MAX]; /* hexadecimal, as "openssl x509 -serial" prints it */
};

/* A new authority with a new key, valid for ten years. 0 or -errno with @error. */
int authority_new(struct authority **ret_authority, struct error *error);
/* The authority of a certificate and the key that belongs to it. @cert may be NULL: a certificate is made for the key.
 * 0; -EINVAL when they are not PEM or not a pair; -errno. */
int authority_load(const char *cert, const char *key, struct authority **ret_authority, struct error *error);
/* Gives the authority a new certificate for the same name and key when the present one ends before a leaf made now
 * would; what it has signed stays valid. 0 nothing to do, 1 renewed, -errno with @error. */
int authority_renew(struct authority *authority, struct error *error);
/* The authority's own certificate and key. 0 or -errno with @error. */
int authority_export(const struct authority *authority, struct certificate *ret_certificate, struct error *error);
/* NULL is fine. */
void authority_free(struct authority *authority);
void authority_freep(struct authority **authority);

/* The server's certificate: names joblet, localhost, 127.0.0.1, ::1 and @host (a name or an IP address without
 * brackets). 0 or -errno with @error. */
int certificate_issue_server(
        const struct authority *authority, const char *host, struct certificate *ret_certificate, struct error *error);
/* A client's certificate; its role is the organizational unit. 0 or -errno with @error. */
int certificate_issue_client(
        const struct authority *authority, const char *role, struct certificate *ret_certificate, struct error *error);
/* Frees what it holds and empties it. */
void certificate_done(struct certificate *certificate);
