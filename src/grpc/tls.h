/* TLS contexts for both sides: TLS 1.3 only, certificates required in both directions, ALPN h2, no session resumption
 * (a resumed session would have to carry the peer's certificate). */
#pragma once

#include <openssl/ssl.h>

#include "base/error.h"

/* For the server: verifies client certificates against @ca_pem and names its subject in the request. Texts are
 * borrowed. 0 or -EINVAL with @error. */
int tls_new_server(
        const char *cert_pem, const char *key_pem, const char *ca_pem, SSL_CTX **ret_context, struct error *error);
/* For the client: verifies the server against @ca_pem and its name as @server_name. */
int tls_new_client(const char *cert_pem, const char *key_pem, const char *ca_pem, const char *server_name,
        SSL_CTX **ret_context, struct error *error);

/* The text of the newest error of OpenSSL's queue, which is emptied. Static or in @buffer. */
const char *tls_error_text(char *buffer, size_t size);
