/* A blocking client: one socket, poll(2), one nghttp2 session, one call at a time. Connecting is tried again until the
 * deadline, because a service that starts up is not an error to its users. */
#include "grpc/client.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <nghttp2/nghttp2.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/fd.h"
#include "base/text.h"
#include "grpc/frame.h"
#include "grpc/tls.h"

#define MESSAGE_MAX_DEFAULT (128U << 20)
#define STREAM_WINDOW (4 << 20)
#define CONNECTION_WINDOW (16 << 20)
#define RETRY_FIRST_MS 50
#define RETRY_MAX_MS 2000
#define INPUT_SIZE (64U << 10)
/* While data keeps coming, the deadline and the interrupt are looked at after so many reads. */
#define READS_UNWATCHED 64U

struct grpc_client {
    char *host;
    char *port;
    char *authority;
    uint32_t max_receive_bytes;
    int interrupt_fd;
    SSL_CTX *tls;

    int fd;
    SSL *ssl;
    nghttp2_session *http;
    bool is_broken; /* the connection cannot be used for another call */

    /* The call. */
    int32_t stream_id; /* -1: none */
    const uint8_t *request;
    size_t request_size;
    size_t request_sent;     /* of the five bytes of framing and the request */
    uint64_t deadline_at_ns; /* monotonic, 0 = none */
    struct grpc_frame_decoder decoder;
    uint8_t *pending; /* DATA behind the message that the decoder holds */
    size_t pending_size;
    size_t pending_taken;
    bool has_message;
    bool is_closed;
    bool has_status;
    int status;
    uint32_t reset_code;
    int http_status;
    char message[1024];
    char failure[256]; /* why the connection does not work, newest */
    unsigned reads;    /* without a look at the clock */
    uint8_t input[INPUT_SIZE];
};

static int fail_result(struct grpc_result *result, int status, const char *text)
{
    result->status = status;
    (void)snprintf(result->message, sizeof(result->message), "%s", text);
    return -EREMOTEIO;
}

/* ---- the address ---- */

static int split_address(struct grpc_client *client, const char *address)
{
    const char *colon = strrchr(address, ':');
    if (!colon || colon == address || !colon[1])
        return -EINVAL;
    const char *host = address;
    size_t size = (size_t)(colon - address);
    if (host[0] == '[' && host[size - 1] == ']') {
        host++;
        size -= 2;
    } else if (memchr(host, ':', size)) {
        return -EINVAL; /* an IPv6 address without brackets */
    }
    client->host = strndup(host, size);
    client->port = strdup(colon + 1);
    client->authority = strdup(address);
    return client->host && client->port && client->authority ? 0 : -ENOMEM;
}

int grpc_client_new(const struct grpc_client_options *options, struct grpc_client **ret_client, struct error *error)
{
    struct grpc_client *client = calloc(1, sizeof(*client));
    if (!client)
        return error_errno(error, ENOMEM, "make the client");
    client->fd = -EBADF;
    client->stream_id = -1;
    client->interrupt_fd = options->interrupt_fd;
    client->max_receive_bytes = options->max_receive_bytes ? options->max_receive_bytes : MESSAGE_MAX_DEFAULT;
    int r = split_address(client, options->address);
    if (r < 0) {
        grpc_client_free(client);
        return error_text(error, -r, "the address '%s' is not HOST:PORT", options->address);
    }
    r = tls_new_client(options->cert_pem, options->key_pem, options->ca_pem, options->server_name, &client->tls, error);
    if (r < 0) {
        grpc_client_free(client);
        return r;
    }
    *ret_client = client;
    return 0;
}

static void disconnect(struct grpc_client *client)
{
    nghttp2_session_del(client->http);
    client->http = NULL;
    SSL_free(client->ssl);
    client->ssl = NULL;
    client->fd = fd_close(client->fd);
    client->is_broken = false;
    client->stream_id = -1;
}

static void forget_call(struct grpc_client *client)
{
    grpc_frame_done(&client->decoder);
    /* What nobody will decode still holds a part of the connection's window. */
    if (client->http && client->pending_size > client->pending_taken)
        (void)nghttp2_session_consume_connection(client->http, client->pending_size - client->pending_taken);
    free(client->pending);
    client->pending = NULL;
    client->pending_size = client->pending_taken = 0;
    client->stream_id = -1;
}

void grpc_client_free(struct grpc_client *client)
{
    if (!client)
        return;
    if (client->ssl && !client->is_broken) {
        ERR_clear_error();
        (void)SSL_shutdown(client->ssl);
    }
    disconnect(client);
    forget_call(client);
    SSL_CTX_free(client->tls);
    free(client->host);
    free(client->port);
    free(client->authority);
    free(client);
}

void grpc_client_freep(struct grpc_client **client)
{
    grpc_client_free(*client);
    *client = NULL;
}

/* ---- waiting ---- */

/* Milliseconds until the deadline: -1 = none, 0 = passed. */
static int remaining_ms(const struct grpc_client *client)
{
    if (!client->deadline_at_ns)
        return -1;
    int64_t left = (int64_t)client->deadline_at_ns - text_now_monotonic_ns();
    if (left <= 0)
        return 0;
    int64_t ms = left / 1000000 + 1;
    return ms > 1000000000 ? 1000000000 : (int)ms;
}

/* Waits for @events on the socket (or, with @fd < 0, for the time alone). 1: ready; 0: the time is over; -ETIMEDOUT:
 * the deadline has passed; -EINTR: interrupted. */
static int wait_for(struct grpc_client *client, int fd, short events, int max_ms)
{
    int left = remaining_ms(client);
    if (left == 0)
        return -ETIMEDOUT;
    int timeout = max_ms < 0 || (left >= 0 && left < max_ms) ? left : max_ms;
    struct pollfd polls[2] = {{.fd = fd, .events = events}, {.fd = client->interrupt_fd, .events = POLLIN}};
    int r = poll(polls, 2, timeout);
    if (r < 0)
        return errno == EINTR ? 1 : -errno;
    if (polls[1].revents)
        return -EINTR;
    if (r > 0)
        return 1;
    return remaining_ms(client) == 0 ? -ETIMEDOUT : 0;
}

/* ---- connecting ---- */

static int connect_one(struct grpc_client *client, const struct addrinfo *address)
{
    _cleanup_close_ int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, address->ai_addr, address->ai_addrlen) < 0) {
        if (errno != EINPROGRESS)
            return -errno;
        int r = wait_for(client, fd, POLLOUT, 10000);
        if (r <= 0)
            return r == 0 ? -ECONNABORTED : r;
        int code = 0;
        socklen_t size = sizeof(code);
        (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size);
        if (code)
            return -code;
    }
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    client->fd = TAKE_FD(fd);
    return 0;
}

static int connect_socket(struct grpc_client *client)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list;
    int r = getaddrinfo(client->host, client->port, &hints, &list);
    if (r != 0) {
        (void)snprintf(
                client->failure, sizeof(client->failure), "resolve %.100s: %.100s", client->host, gai_strerror(r));
        return -EHOSTUNREACH;
    }
    r = -EHOSTUNREACH;
    for (struct addrinfo *next = list; next; next = next->ai_next) {
        r = connect_one(client, next);
        if (r == 0 || r == -ETIMEDOUT || r == -EINTR)
            break;
    }
    freeaddrinfo(list);
    if (r < 0)
        (void)snprintf(
                client->failure, sizeof(client->failure), "connect to %.150s: %s", client->authority, strerror(-r));
    return r;
}

static int shake_hands(struct grpc_client *client)
{
    client->ssl = SSL_new(client->tls);
    if (!client->ssl || SSL_set_fd(client->ssl, client->fd) != 1)
        return -ENOMEM;
    SSL_set_connect_state(client->ssl);
    for (;;) {
        ERR_clear_error();
        int ok = SSL_connect(client->ssl);
        if (ok == 1)
            return 0;
        int reason = SSL_get_error(client->ssl, ok);
        if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE) {
            char buffer[64];
            long verified = SSL_get_verify_result(client->ssl);
            (void)snprintf(client->failure, sizeof(client->failure), "TLS handshake with %.100s: %s", client->authority,
                    verified != X509_V_OK                              ? X509_verify_cert_error_string(verified)
                    : reason == SSL_ERROR_SYSCALL || !ERR_peek_error() ? "the connection was closed"
                                                                       : tls_error_text(buffer, sizeof(buffer)));
            return -EPROTO;
        }
        int r = wait_for(client, client->fd, reason == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN, 10000);
        if (r <= 0)
            return r == 0 ? -ECONNABORTED : r;
    }
}

/* ---- HTTP/2 ---- */

static int on_header(nghttp2_session *http, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
        const uint8_t *value, size_t value_size, uint8_t flags, void *user)
{
    (void)http;
    (void)flags;
    struct grpc_client *client = user;
    if (frame->hd.stream_id != client->stream_id)
        return 0;
    char number[16];
    if (name_size == 11 && memcmp(name, "grpc-status", 11) == 0 && value_size < sizeof(number)) {
        memcpy(number, value, value_size);
        number[value_size] = '\0';
        uint64_t status;
        client->has_status = true;
        client->status = text_parse_u64(number, 1000, &status) == 0 ? (int)status : GRPC_UNKNOWN;
    } else if (name_size == 12 && memcmp(name, "grpc-message", 12) == 0) {
        grpc_decode_message((const char *)value, value_size, client->message, sizeof(client->message));
    } else if (name_size == 7 && memcmp(name, ":status", 7) == 0 && value_size == 3) {
        client->http_status = (value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0');
    }
    return 0;
}

static int on_data(
        nghttp2_session *http, uint8_t flags, int32_t stream_id, const uint8_t *bytes, size_t size, void *user)
{
    (void)flags;
    struct grpc_client *client = user;
    if (stream_id != client->stream_id) {
        (void)nghttp2_session_consume(http, stream_id, size);
        return 0;
    }
    if (size == 0)
        return 0;
    /* Bytes wait here until they are decoded; the window bounds them. */
    if (client->pending_taken == client->pending_size)
        client->pending_taken = client->pending_size = 0;
    uint8_t *larger = realloc(client->pending, client->pending_size + size);
    if (!larger)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    memcpy(larger + client->pending_size, bytes, size);
    client->pending = larger;
    client->pending_size += size;
    return 0;
}

static int on_stream_closed(nghttp2_session *http, int32_t stream_id, uint32_t code, void *user)
{
    (void)http;
    struct grpc_client *client = user;
    if (stream_id == client->stream_id) {
        client->is_closed = true;
        client->reset_code = code;
    }
    return 0;
}

static int start_http(struct grpc_client *client)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0) {
        nghttp2_session_callbacks_del(callbacks);
        return -ENOMEM;
    }
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_closed);
    /* Windows are opened when bytes were decoded: a caller that is slow to take messages slows the server. */
    nghttp2_option_set_no_auto_window_update(option, 1);
    int r = nghttp2_session_client_new2(&client->http, callbacks, client, option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    if (r != 0)
        return -ENOMEM;
    const nghttp2_settings_entry settings[] = {
            {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW}};
    if (nghttp2_submit_settings(client->http, NGHTTP2_FLAG_NONE, settings, 2) != 0 ||
            nghttp2_session_set_local_window_size(client->http, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW) != 0)
        return -ENOMEM;
    return 0;
}

/* Connects, again and again until the deadline. 0, -ETIMEDOUT, -EINTR, -ENOMEM. */
static int ensure_connected(struct grpc_client *client)
{
    if (client->http && !client->is_broken && nghttp2_session_check_request_allowed(client->http))
        return 0;
    for (int pause_ms = RETRY_FIRST_MS;; pause_ms = pause_ms * 2 < RETRY_MAX_MS ? pause_ms * 2 : RETRY_MAX_MS) {
        disconnect(client);
        int r = connect_socket(client);
        if (r == 0)
            r = shake_hands(client);
        if (r == 0)
            r = start_http(client);
        if (r == 0 || r == -ETIMEDOUT || r == -EINTR || r == -ENOMEM)
            return r;
        r = wait_for(client, -1, 0, pause_ms);
        if (r < 0)
            return r;
    }
}

/* Notes why the connection broke; @reason is of SSL_get_error. */
static void note_failure(struct grpc_client *client, int reason)
{
    char buffer[64];
    if (reason == SSL_ERROR_SSL)
        (void)snprintf(client->failure, sizeof(client->failure), "connection to %.100s: %s", client->authority,
                tls_error_text(buffer, sizeof(buffer)));
    else
        (void)snprintf(client->failure, sizeof(client->failure), "connection to %.100s was closed", client->authority);
}

/* A server that refuses our certificate says so in an alert, which is behind the failed write. */
static void note_failed_write(struct grpc_client *client, int reason)
{
    size_t size;
    note_failure(client, reason);
    do {
        ERR_clear_error();
    } while (SSL_read_ex(client->ssl, client->input, sizeof(client->input), &size) == 1);
    if (SSL_get_error(client->ssl, 0) == SSL_ERROR_SSL)
        note_failure(client, SSL_ERROR_SSL);
}

/* Writes all that the session has. 0; 1: the socket is full; negative: broken. */
static int flush(struct grpc_client *client)
{
    for (;;) {
        const uint8_t *bytes;
        ssize_t size = nghttp2_session_mem_send(client->http, &bytes);
        if (size <= 0)
            return size < 0 ? -EPROTO : 0;
        for (size_t sent = 0; sent < (size_t)size;) {
            size_t part;
            ERR_clear_error();
            int ok = SSL_write_ex(client->ssl, bytes + sent, (size_t)size - sent, &part);
            if (ok == 1) {
                sent += part;
                continue;
            }
            int reason = SSL_get_error(client->ssl, ok);
            if (reason != SSL_ERROR_WANT_WRITE && reason != SSL_ERROR_WANT_READ) {
                note_failed_write(client, reason);
                return -EPIPE;
            }
            int r = wait_for(client, client->fd, reason == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN, -1);
            if (r < 0)
                return r;
        }
    }
}

/* Sends and receives until something happened. 0; -EAGAIN: nothing was received for @wait_ms (-1: without end);
 * -ETIMEDOUT, -EINTR, or another negative: the connection is broken. */
static int turn(struct grpc_client *client, int wait_ms)
{
    int r = flush(client);
    if (r < 0)
        return r;
    if (++client->reads % READS_UNWATCHED == 0) {
        r = wait_for(client, -1, 0, 0);
        if (r < 0)
            return r;
    }
    for (;;) {
        size_t size;
        ERR_clear_error();
        int ok = SSL_read_ex(client->ssl, client->input, sizeof(client->input), &size);
        if (ok == 1)
            return nghttp2_session_mem_recv(client->http, client->input, size) == (ssize_t)size ? flush(client)
                                                                                                : -EPROTO;
        int reason = SSL_get_error(client->ssl, ok);
        if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE) {
            note_failure(client, reason);
            return -EPIPE;
        }
        r = wait_for(client, client->fd, reason == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN, wait_ms);
        if (r < 0)
            return r;
        if (r == 0 && wait_ms >= 0)
            return -EAGAIN;
    }
}

/* ---- calls ---- */

static ssize_t read_request(nghttp2_session *http, int32_t stream_id, uint8_t *buffer, size_t size, uint32_t *flags,
        nghttp2_data_source *source, void *user)
{
    (void)http;
    (void)stream_id;
    (void)user;
    struct grpc_client *client = source->ptr;
    uint8_t header[GRPC_FRAME_HEADER_SIZE];
    grpc_frame_write_header(header, (uint32_t)client->request_size);
    size_t total = sizeof(header) + client->request_size;
    size_t used = 0;
    while (used < size && client->request_sent < sizeof(header))
        buffer[used++] = header[client->request_sent++];
    size_t part = total - client->request_sent;
    if (part > size - used)
        part = size - used;
    if (part > 0)
        memcpy(buffer + used, client->request + (client->request_sent - sizeof(header)), part);
    client->request_sent += part;
    if (client->request_sent == total)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)(used + part);
}

static nghttp2_nv header_of(const char *name, const char *value)
{
    return (nghttp2_nv){
            (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static int submit(struct grpc_client *client, const char *path)
{
    char timeout[16] = "";
    nghttp2_nv headers[9];
    size_t count = 0;
    headers[count++] = header_of(":method", "POST");
    headers[count++] = header_of(":scheme", "https");
    headers[count++] = header_of(":path", path);
    headers[count++] = header_of(":authority", client->authority);
    headers[count++] = header_of("te", "trailers");
    headers[count++] = header_of("content-type", "application/grpc");
    headers[count++] = header_of("user-agent", "grpc-c-joblet");
    if (client->deadline_at_ns) {
        int64_t left = (int64_t)client->deadline_at_ns - text_now_monotonic_ns();
        grpc_format_timeout(left > 0 ? (uint64_t)left : 1, timeout);
        headers[count++] = header_of("grpc-timeout", timeout);
    }
    nghttp2_data_provider provider = {.source.ptr = client, .read_callback = read_request};
    client->stream_id = nghttp2_submit_request(client->http, NULL, headers, count, &provider, NULL);
    return client->stream_id < 0 ? -ENOMEM : 0;
}

static int deadline_result(const struct grpc_client *client, struct grpc_result *result)
{
    char text[400];
    if (*client->failure)
        (void)snprintf(text, sizeof(text),
                "context deadline exceeded while waiting for connections to become ready: %s", client->failure);
    else
        (void)snprintf(text, sizeof(text), "context deadline exceeded");
    return fail_result(result, GRPC_DEADLINE_EXCEEDED, text);
}

int grpc_client_stream_open(struct grpc_client *client, const char *path, const void *request, size_t size,
        uint64_t deadline_ns, struct grpc_result *ret_result)
{
    grpc_client_stream_cancel(client);
    forget_call(client);
    grpc_frame_init(&client->decoder, client->max_receive_bytes);
    client->request = request;
    client->request_size = size;
    client->request_sent = 0;
    client->deadline_at_ns = deadline_ns ? (uint64_t)text_now_monotonic_ns() + deadline_ns : 0;
    client->has_message = client->is_closed = client->has_status = false;
    client->http_status = 0;
    client->message[0] = client->failure[0] = '\0';
    int r = ensure_connected(client);
    if (r == 0)
        r = submit(client, path);
    if (r == -EINTR)
        return r;
    if (r == -ETIMEDOUT)
        return deadline_result(client, ret_result);
    if (r < 0)
        return fail_result(ret_result, GRPC_INTERNAL, strerror(-r));
    client->failure[0] = '\0';
    /* The request is sent whole here, because its bytes are the caller's only for this call. */
    while (client->request_sent < GRPC_FRAME_HEADER_SIZE + size && !client->is_closed) {
        r = flush(client);
        if (r == 0 && client->request_sent < GRPC_FRAME_HEADER_SIZE + size)
            r = turn(client, -1);
        if (r == -ETIMEDOUT) {
            grpc_client_stream_cancel(client);
            return deadline_result(client, ret_result);
        }
        if (r < 0) {
            client->is_broken = true;
            client->stream_id = -1;
            if (r == -EINTR)
                return r;
            return fail_result(ret_result, GRPC_UNAVAILABLE,
                    *client->failure ? client->failure : "the connection to the server broke");
        }
    }
    return 0;
}

/* Decodes what has arrived. 1: a message; 0: more is needed; negative: malformed. */
static int decode(struct grpc_client *client)
{
    if (client->has_message) {
        grpc_frame_next(&client->decoder);
        client->has_message = false;
    }
    size_t size = client->pending_size - client->pending_taken;
    if (size == 0)
        return 0;
    size_t taken = 0;
    int r = grpc_frame_feed(&client->decoder, client->pending + client->pending_taken, size, &taken);
    client->pending_taken += taken;
    if (client->stream_id > 0 && taken > 0)
        (void)nghttp2_session_consume(client->http, client->stream_id, taken);
    client->has_message = r == 1;
    return r;
}

/* The stream is closed: with which status? */
static int closed_result(struct grpc_client *client, struct grpc_result *result)
{
    client->stream_id = -1;
    if (client->has_status && client->status == GRPC_OK)
        return grpc_frame_is_partial(&client->decoder)
                       ? fail_result(result, GRPC_INTERNAL, "the server ended in the middle of a message")
                       : 0;
    if (client->has_status)
        return fail_result(result, client->status, client->message);
    char text[128];
    if (client->http_status && client->http_status != 200)
        (void)snprintf(text, sizeof(text), "unexpected HTTP status %d", client->http_status);
    else
        (void)snprintf(text, sizeof(text), "stream terminated by RST_STREAM with error code: %u", client->reset_code);
    return fail_result(result, client->reset_code == NGHTTP2_REFUSED_STREAM ? GRPC_UNAVAILABLE : GRPC_INTERNAL, text);
}

int grpc_client_stream_next(
        struct grpc_client *client, const uint8_t **ret_message, size_t *ret_size, struct grpc_result *ret_result)
{
    return grpc_client_stream_next_within(client, -1, ret_message, ret_size, ret_result);
}

int grpc_client_stream_next_within(struct grpc_client *client, int wait_ms, const uint8_t **ret_message,
        size_t *ret_size, struct grpc_result *ret_result)
{
    for (;;) {
        int r = decode(client);
        if (r == 1) {
            *ret_message = client->decoder.message ? client->decoder.message : (const uint8_t *)"";
            *ret_size = client->decoder.size;
            return 1;
        }
        if (r < 0) {
            grpc_client_stream_cancel(client);
            return r == -EMSGSIZE ? fail_result(ret_result, GRPC_RESOURCE_EXHAUSTED, "received message larger than max")
                                  : fail_result(ret_result, GRPC_INTERNAL, "the server sent a malformed message");
        }
        if (client->is_closed)
            return closed_result(client, ret_result);
        r = turn(client, wait_ms);
        if (r == -EINTR || r == -EAGAIN)
            return r;
        if (r == -ETIMEDOUT) {
            grpc_client_stream_cancel(client);
            return deadline_result(client, ret_result);
        }
        if (r < 0 && !client->is_closed) {
            client->is_broken = true;
            client->stream_id = -1;
            return fail_result(ret_result, GRPC_UNAVAILABLE,
                    *client->failure ? client->failure : "the connection to the server broke");
        }
    }
}

int grpc_client_stream_wait_writable(struct grpc_client *client, int fd)
{
    bool alive = client->http && !client->is_broken && !client->is_closed;
    for (;;) {
        /* What TLS holds already makes no descriptor readable. */
        int r = alive ? turn(client, 0) : -EAGAIN;
        if (r == -EINTR)
            return r;
        alive = alive && (r == 0 || r == -EAGAIN) && !client->is_closed;
        struct pollfd polls[3] = {{.fd = fd, .events = POLLOUT}, {.fd = client->interrupt_fd, .events = POLLIN},
                {.fd = alive ? client->fd : -1, .events = POLLIN}};
        if (poll(polls, ELEMENTS(polls), r == 0 ? 0 : -1) < 0 && errno != EINTR)
            return -errno;
        if (polls[1].revents)
            return -EINTR;
        if (polls[0].revents)
            return 0;
    }
}

void grpc_client_stream_cancel(struct grpc_client *client)
{
    if (client->stream_id > 0 && client->http && !client->is_broken && !client->is_closed) {
        (void)nghttp2_submit_rst_stream(client->http, NGHTTP2_FLAG_NONE, client->stream_id, NGHTTP2_CANCEL);
        client->deadline_at_ns = (uint64_t)text_now_monotonic_ns() + 1000000000ULL;
        if (flush(client) < 0)
            client->is_broken = true;
    }
    client->stream_id = -1;
}

int grpc_client_call(struct grpc_client *client, const char *path, const void *request, size_t size,
        uint64_t deadline_ns, uint8_t **ret_message, size_t *ret_size, struct grpc_result *ret_result)
{
    int r = grpc_client_stream_open(client, path, request, size, deadline_ns, ret_result);
    if (r < 0)
        return r;
    uint8_t *message = NULL;
    size_t message_size = 0;
    const uint8_t *next;
    size_t next_size;
    while ((r = grpc_client_stream_next(client, &next, &next_size, ret_result)) == 1) {
        if (message) {
            free(message);
            grpc_client_stream_cancel(client);
            return fail_result(ret_result, GRPC_INTERNAL, "the server sent more than one response");
        }
        message = malloc(next_size ? next_size : 1);
        if (!message)
            return fail_result(ret_result, GRPC_RESOURCE_EXHAUSTED, "no memory for the response");
        memcpy(message, next, next_size);
        message_size = next_size;
    }
    if (r < 0) {
        free(message);
        return r;
    }
    if (!message)
        return fail_result(ret_result, GRPC_INTERNAL, "the server sent no response");
    *ret_message = message;
    *ret_size = message_size;
    ret_result->status = GRPC_OK;
    ret_result->message[0] = '\0';
    return 0;
}
