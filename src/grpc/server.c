/* Sockets, TLS and timers around grpc/session.c. Each connection is a uv_poll on a non-blocking socket that OpenSSL
 * reads and writes itself: no copy between them. What a session wants to send is collected into one buffer of bounded
 * size; when the peer does not take it, nothing more is pulled, and the calls' queues are what grows
 * (grpc_call_queued). */
#include "grpc/server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/fd.h"
#include "base/text.h"
#include "grpc/session.h"
#include "grpc/tls.h"

#define OUTPUT_SIZE (128U << 10)
#define INPUT_SIZE (64U << 10)
/* Bytes that one connection may feed before the others get their turn. */
#define INPUT_TURN (1U << 20)
#define CONNECTIONS_DEFAULT 1024U
#define ACCEPT_PAUSE_MS 100U
/* How often an ended connection is looked at, and for how long at the most. */
#define LINGER_LOOK_MS 200U
#define LINGER_MAX_NS 3000000000LL

struct connection {
    TAILQ_ENTRY(connection) entry;
    TAILQ_ENTRY(connection) dirty_entry;
    struct grpc_server *server;
    int fd;
    struct sockaddr_storage address; /* of the peer */
    SSL *ssl;
    struct grpc_session *session; /* after the handshake */
    uv_poll_t poll;
    uv_timer_t timer; /* the handshake; then keepalive */
    unsigned open_handles;
    bool is_dirty;
    bool is_lingering; /* all is said; waits for the peer to have it */
    bool is_closing;
    bool wants_write;
    bool is_open; /* handshake and preface are done in time */
    bool is_ping_out;
    bool heard; /* since the timer last fired */
    int64_t linger_until_ns;
    uint64_t pings_answered;
    uint8_t *output; /* allocated while there is something in it */
    size_t output_used;
    size_t output_sent;
};

struct grpc_server {
    struct grpc_server_options options;
    SSL_CTX *tls;
    uv_poll_t listener;
    uv_idle_t flusher;
    uv_timer_t deadline_timer;
    uv_timer_t grace_timer;
    uv_timer_t accept_timer;
    uint64_t next_deadline_ns;
    TAILQ_HEAD(connection_list, connection) connections;
    TAILQ_HEAD(dirty_list, connection) dirty;
    size_t connection_count;
    uint64_t buffered_bytes;
    uint64_t call_count;
    unsigned open_handles;
    bool is_shutting_down;
    bool is_listening;
    void (*done)(void *user);
    void *done_user;
    uint8_t input[INPUT_SIZE];
};

static void connection_close(struct connection *connection);
static void connection_write(struct connection *connection);
static void watch(struct connection *connection, bool wants_write);

static void server_check_done(struct grpc_server *server)
{
    if (!server->is_shutting_down || server->connection_count > 0 || !server->done)
        return;
    void (*done)(void *user) = server->done;
    server->done = NULL;
    (void)uv_timer_stop(&server->grace_timer);
    (void)uv_timer_stop(&server->deadline_timer);
    done(server->done_user);
}

static void connection_freed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;
    if (--connection->open_handles > 0)
        return;
    struct grpc_server *server = connection->server;
    (void)fd_close(connection->fd);
    TAILQ_REMOVE(&server->connections, connection, entry);
    server->connection_count--;
    free(connection);
    server_check_done(server);
}

static void connection_free_session(struct connection *connection)
{
    grpc_session_free(connection->session);
    connection->session = NULL;
    SSL_free(connection->ssl);
    connection->ssl = NULL;
    free(connection->output);
    connection->output = NULL;
    connection->output_used = connection->output_sent = 0;
}

static void connection_close(struct connection *connection)
{
    if (connection->is_closing)
        return;
    connection->is_closing = true;
    struct grpc_server *server = connection->server;
    if (connection->is_dirty)
        TAILQ_REMOVE(&server->dirty, connection, dirty_entry);
    connection->is_dirty = false;
    connection_free_session(connection);
    uv_close((uv_handle_t *)&connection->poll, connection_freed);
    uv_close((uv_handle_t *)&connection->timer, connection_freed);
}

static void on_linger(uv_timer_t *timer)
{
    struct connection *connection = timer->data;
    int unsent = 0;
    bool is_received = ioctl(connection->fd, SIOCOUTQ, &unsent) < 0 || unsent == 0;
    if (is_received || text_now_monotonic_ns() > connection->linger_until_ns)
        connection_close(connection);
    else
        (void)uv_timer_start(timer, on_linger, LINGER_LOOK_MS, 0);
}

/* What the peer still says is not for anybody; its end is ours. */
static void connection_discard(struct connection *connection)
{
    for (size_t turn = 0; turn < INPUT_TURN;) {
        ssize_t size = recv(connection->fd, connection->server->input, INPUT_SIZE, 0);
        if (size < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (size <= 0) {
            connection_close(connection);
            return;
        }
        turn += (size_t)size;
    }
}

/* Says close_notify and goes, as soon as the peer has all that was sent. A socket that is closed with unread input is
 * reset by the kernel, which throws away what is still on its way out: the last answers of a client that just sent a
 * window update. */
static void connection_end(struct connection *connection)
{
    if (connection->is_closing || connection->is_lingering)
        return;
    if (!connection->session) {
        connection_close(connection);
        return;
    }
    ERR_clear_error();
    (void)SSL_shutdown(connection->ssl);
    (void)shutdown(connection->fd, SHUT_WR);
    connection->is_lingering = true;
    connection->linger_until_ns = text_now_monotonic_ns() + LINGER_MAX_NS;
    connection_free_session(connection);
    watch(connection, false);
    (void)uv_timer_start(&connection->timer, on_linger, LINGER_LOOK_MS, 0);
}

static void on_flush(uv_idle_t *idle)
{
    struct grpc_server *server = idle->data;
    struct connection *connection;
    /* One round: what becomes dirty meanwhile waits until the loop has looked at everybody's input. */
    size_t round = 0;
    TAILQ_FOREACH(connection, &server->dirty, dirty_entry)
    round++;
    while (round-- > 0 && (connection = TAILQ_FIRST(&server->dirty))) {
        TAILQ_REMOVE(&server->dirty, connection, dirty_entry);
        connection->is_dirty = false;
        connection_write(connection);
    }
    if (TAILQ_EMPTY(&server->dirty))
        (void)uv_idle_stop(idle);
}

/* Many messages of one turn of the loop leave in one write. */
static void mark_dirty(void *owner)
{
    struct connection *connection = owner;
    if (connection->is_dirty || connection->is_closing || connection->is_lingering)
        return;
    TAILQ_INSERT_TAIL(&connection->server->dirty, connection, dirty_entry);
    connection->is_dirty = true;
    (void)uv_idle_start(&connection->server->flusher, on_flush);
}

static void on_deadline(uv_timer_t *timer)
{
    struct grpc_server *server = timer->data;
    uint64_t now = (uint64_t)text_now_monotonic_ns();
    uint64_t next = 0;
    struct connection *connection;
    TAILQ_FOREACH(connection, &server->connections, entry)
    {
        uint64_t own = connection->session ? grpc_session_expire(connection->session, now) : 0;
        if (own && (next == 0 || own < next))
            next = own;
    }
    server->next_deadline_ns = next;
    if (next)
        (void)uv_timer_start(timer, on_deadline, (next - now) / 1000000 + 1, 0);
}

static void note_deadline(void *owner, uint64_t deadline_ns)
{
    struct connection *connection = owner;
    struct grpc_server *server = connection->server;
    if (server->next_deadline_ns && server->next_deadline_ns <= deadline_ns)
        return;
    server->next_deadline_ns = deadline_ns;
    uint64_t now = (uint64_t)text_now_monotonic_ns();
    uv_update_time(server->options.loop);
    (void)uv_timer_start(
            &server->deadline_timer, on_deadline, deadline_ns > now ? (deadline_ns - now) / 1000000 + 1 : 0, 0);
}

static void on_events(uv_poll_t *poll, int status, int events);

static void watch(struct connection *connection, bool wants_write)
{
    if (connection->wants_write == wants_write && uv_is_active((uv_handle_t *)&connection->poll))
        return;
    connection->wants_write = wants_write;
    (void)uv_poll_start(&connection->poll, UV_READABLE | (wants_write ? UV_WRITABLE : 0), on_events);
}

/* Fills the output buffer from the session. 0, or negative when the session is broken. */
static int connection_pull(struct connection *connection)
{
    if (!connection->output && !(connection->output = malloc(OUTPUT_SIZE)))
        return -ENOMEM;
    while (connection->output_used < OUTPUT_SIZE - (20U << 10)) {
        const uint8_t *bytes;
        ssize_t size = grpc_session_pull(connection->session, &bytes);
        if (size < 0)
            return -EPROTO;
        if (size == 0)
            return 0;
        /* nghttp2 hands out one frame at a time, at most 16 KiB and its header with our settings of it. */
        if ((size_t)size > OUTPUT_SIZE - connection->output_used)
            return -EMSGSIZE;
        memcpy(connection->output + connection->output_used, bytes, (size_t)size);
        connection->output_used += (size_t)size;
    }
    return 0;
}

/* Sends the output buffer. 1: all gone; 0: the socket is full; negative: broken. */
static int connection_push(struct connection *connection)
{
    while (connection->output_sent < connection->output_used) {
        size_t sent;
        ERR_clear_error();
        int ok = SSL_write_ex(connection->ssl, connection->output + connection->output_sent,
                connection->output_used - connection->output_sent, &sent);
        if (ok == 1) {
            connection->output_sent += sent;
            continue;
        }
        int reason = SSL_get_error(connection->ssl, ok);
        return reason == SSL_ERROR_WANT_WRITE || reason == SSL_ERROR_WANT_READ ? 0 : -EPIPE;
    }
    connection->output_used = 0;
    connection->output_sent = 0;
    return 1;
}

static void connection_write(struct connection *connection)
{
    if (connection->is_closing || !connection->session)
        return;
    /* Bounded: other connections have their turn when this one always has more. */
    for (int round = 0; round < 16; round++) {
        int r = connection_push(connection);
        if (r == 1)
            r = connection_pull(connection) < 0 ? -EPROTO : 1;
        if (r < 0) {
            connection_close(connection);
            return;
        }
        if (r == 0) {
            watch(connection, true);
            return;
        }
        if (connection->output_used == 0) {
            grpc_session_report_drained(connection->session);
            /* What the application queued meanwhile is pulled in the next round, if there is anything. */
            if (connection_pull(connection) < 0) {
                connection_close(connection);
                return;
            }
            if (connection->output_used == 0)
                break;
        }
    }
    if (connection->output_used > 0) {
        watch(connection, true);
        return;
    }
    free(connection->output);
    connection->output = NULL;
    watch(connection, false);
    if (grpc_session_is_over(connection->session))
        connection_end(connection);
}

static char *entry_text(X509_NAME_ENTRY *entry)
{
    unsigned char *text = NULL;
    int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(entry));
    char *copy = NULL;
    /* A NUL inside would make two readers see two names. */
    if (size >= 0 && !memchr(text, '\0', (size_t)size))
        copy = strndup((const char *)text, (size_t)size);
    OPENSSL_free(text);
    return copy;
}

static char *serial_text(const X509 *certificate)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
    char *hex = number ? BN_bn2hex(number) : NULL;
    char *copy = hex ? strdup(hex) : NULL;
    OPENSSL_free(hex);
    BN_free(number);
    return copy;
}

static char *fingerprint_text(const X509 *certificate)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    char text[2 * EVP_MAX_MD_SIZE + 1] = "";
    if (X509_digest(certificate, EVP_sha256(), digest, &size) != 1)
        return NULL;
    for (unsigned i = 0; i < size; i++)
        (void)snprintf(text + (size_t)2 * i, 3, "%02x", digest[i]);
    return strdup(text);
}

/* "ADDRESS:PORT"; an IPv4 address looks the same whatever socket it came to. */
static char *address_text(const struct sockaddr_storage *address)
{
    char host[INET6_ADDRSTRLEN] = "";
    char *text = NULL;
    const struct sockaddr_in6 *v6 = (const void *)address;
    const struct sockaddr_in *v4 = (const void *)address;
    bool is_v6 = address->ss_family == AF_INET6;
    if (!is_v6 && address->ss_family != AF_INET)
        return NULL;
    bool is_mapped = is_v6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
    const void *bytes = !is_v6      ? (const void *)&v4->sin_addr
                        : is_mapped ? (const void *)&v6->sin6_addr.s6_addr[12]
                                    : (const void *)&v6->sin6_addr;
    if (!inet_ntop(is_v6 && !is_mapped ? AF_INET6 : AF_INET, bytes, host, sizeof(host)))
        return NULL;
    const char *open = is_v6 && !is_mapped ? "[" : "";
    const char *close = *open ? "]" : "";
    return asprintf(&text, "%s%s%s:%u", open, host, close, ntohs(is_v6 ? v6->sin6_port : v4->sin_port)) < 0 ? NULL
                                                                                                            : text;
}

static void read_peer(SSL *ssl, const struct sockaddr_storage *address, struct grpc_peer *peer)
{
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    X509_NAME *subject = certificate ? X509_get_subject_name(certificate) : NULL;
    if (!subject)
        return;
    for (int at = -1; peer->unit_count < GRPC_SESSION_UNITS_MAX;) {
        at = X509_NAME_get_index_by_NID(subject, NID_organizationalUnitName, at);
        if (at < 0)
            break;
        char *unit = entry_text(X509_NAME_get_entry(subject, at));
        if (unit)
            peer->units[peer->unit_count++] = unit;
    }
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at >= 0)
        peer->name = entry_text(X509_NAME_get_entry(subject, at));
    peer->serial = serial_text(certificate);
    peer->fingerprint = fingerprint_text(certificate);
    peer->address = address_text(address);
}

static void on_keepalive(uv_timer_t *timer)
{
    struct connection *connection = timer->data;
    const struct grpc_server_options *options = &connection->server->options;
    /* A reader that takes nothing for a while is slow, not gone: a ping would only stand behind what it has not read.
     * Whether it is gone is for TCP to find out. */
    if (connection->output_sent < connection->output_used)
        connection->heard = true;
    if (connection->is_ping_out && grpc_session_pings_answered(connection->session) == connection->pings_answered &&
            !connection->heard) {
        connection_close(connection);
        return;
    }
    bool was_silent = !connection->heard && !connection->is_ping_out;
    connection->heard = false;
    connection->is_ping_out = was_silent;
    if (was_silent) {
        connection->pings_answered = grpc_session_pings_answered(connection->session);
        grpc_session_ping(connection->session);
        mark_dirty(connection);
    }
    (void)uv_timer_start(
            timer, on_keepalive, (was_silent ? options->keepalive_timeout_ns : options->keepalive_ns) / 1000000, 0);
}

/* The handshake is done: who is it, and a session for it. */
static int connection_begin(struct connection *connection)
{
    struct grpc_server *server = connection->server;
    const unsigned char *protocol;
    unsigned size;
    SSL_get0_alpn_selected(connection->ssl, &protocol, &size);
    if (size != 2 || memcmp(protocol, "h2", 2) != 0 || SSL_get_verify_result(connection->ssl) != X509_V_OK)
        return -EPROTO;
    struct grpc_peer peer = {0};
    read_peer(connection->ssl, &connection->address, &peer);
    const struct grpc_session_owner owner = {
            .options = &server->options,
            .buffered_bytes = &server->buffered_bytes,
            .call_count = &server->call_count,
            .wants_pull = mark_dirty,
            .deadline = note_deadline,
            .owner = connection,
    };
    int r = grpc_session_new(&owner, &peer, &connection->session);
    if (r < 0) {
        grpc_peer_done(&peer);
        return r;
    }
    if (server->is_shutting_down)
        grpc_session_shutdown(connection->session);
    mark_dirty(connection);
    return 0;
}

/* Only what is about the certificate: whoever merely knocks is not refused. */
static void tell_stranger(const struct connection *connection)
{
    const struct grpc_server_options *options = &connection->server->options;
    int reason = ERR_GET_REASON(ERR_peek_error());
    long verified = SSL_get_verify_result(connection->ssl);
    if (!options->stranger ||
            (reason != SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE && reason != SSL_R_CERTIFICATE_VERIFY_FAILED))
        return;
    _cleanup_free_ char *address = address_text(&connection->address);
    options->stranger(address ? address : "",
            verified == X509_V_OK ? "no certificate" : X509_verify_cert_error_string(verified), options->user);
}

static void connection_shake_hands(struct connection *connection)
{
    ERR_clear_error();
    int ok = SSL_accept(connection->ssl);
    if (ok == 1) {
        if (connection_begin(connection) < 0)
            connection_close(connection);
        return;
    }
    int reason = SSL_get_error(connection->ssl, ok);
    if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE)
        watch(connection, reason == SSL_ERROR_WANT_WRITE);
    else {
        tell_stranger(connection);
        connection_close(connection);
    }
}

/* From here on keepalive looks after the connection. */
static void connection_opened(struct connection *connection)
{
    const struct grpc_server_options *options = &connection->server->options;
    connection->is_open = true;
    (void)uv_timer_stop(&connection->timer);
    if (options->keepalive_ns)
        (void)uv_timer_start(&connection->timer, on_keepalive, options->keepalive_ns / 1000000, 0);
}

static void connection_read(struct connection *connection)
{
    struct grpc_server *server = connection->server;
    size_t turn = 0;
    do {
        size_t size;
        ERR_clear_error();
        int ok = SSL_read_ex(connection->ssl, server->input, sizeof(server->input), &size);
        if (ok != 1) {
            int reason = SSL_get_error(connection->ssl, ok);
            if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE)
                connection_close(connection);
            break;
        }
        connection->heard = true;
        turn += size;
        if (grpc_session_feed(connection->session, server->input, size) < 0) {
            /* A last try to say why (GOAWAY). */
            if (connection_pull(connection) == 0)
                (void)connection_push(connection);
            connection_end(connection);
            break;
        }
        if (!connection->is_open && grpc_session_has_preface(connection->session))
            connection_opened(connection);
    } while (turn < INPUT_TURN || SSL_pending(connection->ssl) > 0);
    mark_dirty(connection);
}

static void on_events(uv_poll_t *poll, int status, int events)
{
    struct connection *connection = poll->data;
    if (status < 0) {
        connection_close(connection);
        return;
    }
    if (connection->is_lingering) {
        connection_discard(connection);
        return;
    }
    if (!connection->session) {
        connection_shake_hands(connection);
        if (connection->is_closing || !connection->session)
            return;
        /* The first bytes may have come with the end of the handshake. */
        events |= UV_READABLE;
    }
    if (events & UV_READABLE)
        connection_read(connection);
    if ((events & UV_WRITABLE) && !connection->is_closing)
        mark_dirty(connection);
}

static void on_handshake_timeout(uv_timer_t *timer)
{
    connection_close(timer->data);
}

static void server_accept(struct grpc_server *server, int fd, const struct sockaddr_storage *address)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    SSL *ssl = connection ? SSL_new(server->tls) : NULL;
    if (!ssl || SSL_set_fd(ssl, fd) != 1 || uv_poll_init(server->options.loop, &connection->poll, fd) < 0) {
        SSL_free(ssl);
        free(connection);
        (void)fd_close(fd);
        return;
    }
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    SSL_set_accept_state(ssl);
    connection->server = server;
    connection->fd = fd;
    connection->address = *address;
    connection->ssl = ssl;
    connection->poll.data = connection;
    (void)uv_timer_init(server->options.loop, &connection->timer);
    connection->timer.data = connection;
    connection->open_handles = 2;
    TAILQ_INSERT_TAIL(&server->connections, connection, entry);
    server->connection_count++;
    (void)uv_timer_start(&connection->timer, on_handshake_timeout, server->options.connection_timeout_ns / 1000000, 0);
    watch(connection, false);
}

static void on_listener(uv_poll_t *poll, int status, int events);

static void on_accept_again(uv_timer_t *timer)
{
    struct grpc_server *server = timer->data;
    if (server->is_listening)
        (void)uv_poll_start(&server->listener, UV_READABLE, on_listener);
}

static void on_listener(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct grpc_server *server = poll->data;
    size_t max = server->options.max_connections ? server->options.max_connections : CONNECTIONS_DEFAULT;
    for (int turn = 0; turn < 64; turn++) {
        struct sockaddr_storage address = {0};
        socklen_t size = sizeof(address);
        int fd = accept4(server->options.listen_fd, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == ECONNABORTED || errno == EINTR))
            continue;
        if (fd < 0 && errno != EAGAIN) {
            /* Out of descriptors or memory: the socket stays readable, so look away for a moment. */
            (void)uv_poll_stop(poll);
            (void)uv_timer_start(&server->accept_timer, on_accept_again, ACCEPT_PAUSE_MS, 0);
        }
        if (fd < 0)
            return;
        if (server->connection_count >= max)
            (void)fd_close(fd);
        else
            server_accept(server, fd, &address);
    }
}

int grpc_server_new(const struct grpc_server_options *options, struct grpc_server **ret_server, struct error *error)
{
    struct grpc_server *server = calloc(1, sizeof(*server));
    if (!server)
        return error_errno(error, ENOMEM, "make the API server");
    int r = tls_new_server(options->cert_pem, options->key_pem, options->ca_pem, &server->tls, error);
    if (r < 0) {
        free(server);
        return r;
    }
    server->options = *options;
    server->options.cert_pem = server->options.key_pem = server->options.ca_pem = NULL;
    TAILQ_INIT(&server->connections);
    TAILQ_INIT(&server->dirty);
    r = uv_poll_init(options->loop, &server->listener, options->listen_fd);
    if (r < 0) {
        SSL_CTX_free(server->tls);
        free(server);
        return error_errno(error, -r, "watch the listening socket");
    }
    server->listener.data = server;
    (void)uv_idle_init(options->loop, &server->flusher);
    server->flusher.data = server;
    (void)uv_timer_init(options->loop, &server->deadline_timer);
    server->deadline_timer.data = server;
    (void)uv_timer_init(options->loop, &server->grace_timer);
    server->grace_timer.data = server;
    (void)uv_timer_init(options->loop, &server->accept_timer);
    server->accept_timer.data = server;
    (void)uv_poll_start(&server->listener, UV_READABLE, on_listener);
    server->is_listening = true;
    *ret_server = server;
    return 0;
}

static void on_patience_over(uv_timer_t *timer)
{
    struct grpc_server *server = timer->data;
    struct connection *connection;
    struct connection *after;
    for (connection = TAILQ_FIRST(&server->connections); connection; connection = after) {
        after = TAILQ_NEXT(connection, entry);
        connection_close(connection);
    }
}

/* Streams that did not end by themselves are told why they end, and have a moment to hear it. */
static void on_grace(uv_timer_t *timer)
{
    struct grpc_server *server = timer->data;
    struct connection *connection;
    TAILQ_FOREACH(connection, &server->connections, entry)
    {
        if (!connection->session)
            continue;
        grpc_session_cancel_all(connection->session);
        mark_dirty(connection);
    }
    (void)uv_timer_start(timer, on_patience_over, LINGER_MAX_NS / 1000000, 0);
}

void grpc_server_shutdown(struct grpc_server *server, uint64_t grace_ns, void (*done)(void *user), void *user)
{
    server->is_shutting_down = true;
    server->done = done;
    server->done_user = user;
    if (server->is_listening)
        (void)uv_poll_stop(&server->listener);
    (void)uv_timer_stop(&server->accept_timer);
    server->is_listening = false;
    struct connection *connection;
    struct connection *after;
    for (connection = TAILQ_FIRST(&server->connections); connection; connection = after) {
        after = TAILQ_NEXT(connection, entry);
        if (connection->session)
            grpc_session_shutdown(connection->session);
        else if (!connection->is_lingering)
            connection_close(connection);
    }
    (void)uv_timer_start(&server->grace_timer, on_grace, grace_ns / 1000000, 0);
    server_check_done(server);
}

static void on_server_handle_closed(uv_handle_t *handle)
{
    struct grpc_server *server = handle->data;
    if (--server->open_handles > 0)
        return;
    (void)fd_close(server->options.listen_fd);
    SSL_CTX_free(server->tls);
    free(server);
}

void grpc_server_free(struct grpc_server *server)
{
    if (!server)
        return;
    assert(server->connection_count == 0);
    server->open_handles = 5;
    uv_close((uv_handle_t *)&server->listener, on_server_handle_closed);
    uv_close((uv_handle_t *)&server->flusher, on_server_handle_closed);
    uv_close((uv_handle_t *)&server->deadline_timer, on_server_handle_closed);
    uv_close((uv_handle_t *)&server->grace_timer, on_server_handle_closed);
    uv_close((uv_handle_t *)&server->accept_timer, on_server_handle_closed);
}

void grpc_server_figures(const struct grpc_server *server, struct grpc_server_figures *ret_figures)
{
    *ret_figures = (struct grpc_server_figures){
            .connections = server->connection_count,
            .calls = server->call_count,
            .buffered_bytes = server->buffered_bytes,
    };
}
