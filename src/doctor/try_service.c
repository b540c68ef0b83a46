/* The service as its clients meet it: what it accepts, and for how long its certificates are good. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "doctor/row.h"

/* As setup issues them, and some days more for clocks. */
#define LEAF_DAYS_MAX 398
#define AUTHORITY_DAYS_MAX 3660
#define WAIT_S 5

void try_log_level(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    if (!doctor->config)
        finding_untested(finding, "there is no configuration");
    else if (doctor->config->log_level > LOG_LEVEL_INFO)
        finding_fails(finding, "starts and ends of jobs are not in it");
    else
        finding_holds(finding, "starts and ends of jobs are in it");
}

/* The whole days of a certificate's life, or -1. */
static int read_days(const char *pem)
{
    int days = -1;
    int seconds;
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    if (certificate &&
            ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(certificate), X509_get0_notAfter(certificate)) != 1)
        days = -1;
    X509_free(certificate);
    BIO_free(bio);
    return days;
}

void try_lifetimes(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    if (!doctor->config) {
        finding_untested(finding, "there is no configuration");
        return;
    }
    int leaf = read_days(doctor->config->server_cert);
    int authority = read_days(doctor->config->ca_cert);
    if (leaf < 0 || authority < 0)
        finding_fails(finding, "a certificate cannot be read");
    else if (leaf > LEAF_DAYS_MAX || authority > AUTHORITY_DAYS_MAX)
        finding_fails(finding, "the server's is for %d days and the authority's for %d; at most %d and %d are wanted",
                leaf, authority, LEAF_DAYS_MAX, AUTHORITY_DAYS_MAX);
    else
        finding_holds(finding, "the server's is for %d days, the authority's for %d", leaf, authority);
}

/* A connection to the service, as its run directory tells its address; -ENOENT: it does not run. */
static int connect_service(const struct doctor *doctor)
{
    char path[4096];
    _cleanup_free_ char *text = NULL;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    const struct timeval wait = {.tv_sec = WAIT_S};
    uint64_t port;
    bool is_default = strcmp(doctor->prefix, CONFIG_PREFIX_DEFAULT) == 0;
    (void)snprintf(
            path, sizeof(path), "%s%s/address", is_default ? "" : doctor->prefix, is_default ? "/run/joblet" : "/run");
    if (fd_read_file_at(AT_FDCWD, path, 256, &text, NULL) < 0)
        return -ENOENT;
    text[strcspn(text, "\n")] = '\0';
    char *colon = strrchr(text, ':');
    if (!colon || text_parse_u64(colon + 1, UINT16_MAX, &port) < 0)
        return -ENOENT;
    *colon = '\0';
    if (text[0] == '[' && colon > text + 1)
        colon[-1] = '\0';
    v4.sin_port = v6.sin6_port = htons((uint16_t)port);
    bool is_v4 = inet_pton(AF_INET, text, &v4.sin_addr) == 1;
    if (!is_v4 && inet_pton(AF_INET6, text + (text[0] == '['), &v6.sin6_addr) != 1)
        return -ENOENT;
    _cleanup_close_ int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) < 0)
        return -errno;
    const struct sockaddr *address = is_v4 ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6;
    if (connect(fd, address, is_v4 ? sizeof(v4) : sizeof(v6)) < 0)
        return -ENOENT;
    return TAKE_FD(fd);
}

/* True when the service goes on with a client that knows no version beyond @version and presents no certificate. An old
 * version is gone on with as soon as the service shows its certificate; the handshake of TLS 1.3 ends on the client's
 * side before the service has looked for one, so there only what is read afterwards tells. */
static bool is_let_in(int fd, int version, char ret_reason[120])
{
    static const unsigned char protocols[] = {2, 'h', '2'};
    char byte;
    bool is_in = false;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = context ? SSL_new(context) : NULL;
    (void)snprintf(ret_reason, 120, "no connection");
    if (ssl && SSL_set_max_proto_version(ssl, version) == 1 &&
            SSL_set_alpn_protos(ssl, protocols, sizeof(protocols)) == 0 && SSL_set_fd(ssl, fd) == 1) {
        SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
        bool is_done = SSL_connect(ssl) == 1;
        is_in = version < TLS1_3_VERSION ? SSL_get0_peer_certificate(ssl) != NULL
                                         : is_done && SSL_read(ssl, &byte, 1) == 1;
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        (void)snprintf(ret_reason, 120, "%s", reason ? reason : "the connection was ended");
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    return is_in;
}

static void try_connection(const struct doctor *doctor, int version, const char *who, struct finding *finding)
{
    char reason[120];
    _cleanup_close_ int fd = connect_service(doctor);
    if (fd == -ENOENT)
        finding_untested(finding, "the service does not run");
    else if (fd < 0)
        finding_errno(finding, -fd, "connect to the service");
    else if (is_let_in(fd, version, reason))
        finding_fails(finding, "%s is let in", who);
    else
        finding_holds(finding, "%s is refused: %s", who, reason);
}

void try_old_tls(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    try_connection(doctor, TLS1_2_VERSION, "a client of TLS 1.2", finding);
}

void try_no_certificate(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    try_connection(doctor, TLS1_3_VERSION, "a client without a certificate", finding);
}
