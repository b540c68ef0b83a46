/* A server for tests/grpc/test_grpc.py: echo_server LISTEN_FD CERT KEY CA [KEEPALIVE_MS [GRACE_MS]]. Writes "ready"
 * once it listens; on SIGTERM it shuts down gracefully (2 s otherwise) and writes its figures, which must all be 0. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "grpc/server.h"

#define QUEUE_MAX (2U << 20)

static struct grpc_server *server;
static uv_signal_t terminate;

/* "Stream": so many messages of such a size, as fast as the client takes them. */
struct stream {
    uint32_t left;
    uint32_t size;
    uint32_t number;
    uint8_t *bytes;
};

static void stream_free(struct grpc_call *call)
{
    struct stream *stream = grpc_call_user(call);
    free(stream->bytes);
    free(stream);
}

static void stream_pump(struct grpc_call *call)
{
    struct stream *stream = grpc_call_user(call);
    while (stream->left > 0 && grpc_call_queued(call) < QUEUE_MAX) {
        stream->left--;
        if (stream->size >= 4)
            memcpy(stream->bytes, &stream->number, 4);
        stream->number++;
        if (grpc_call_send(call, stream->bytes, stream->size) < 0) {
            stream_free(call);
            grpc_call_finish(call, GRPC_INTERNAL, "send failed");
            return;
        }
    }
    if (stream->left == 0) {
        stream_free(call);
        grpc_call_finish(call, GRPC_OK, NULL);
    }
}

static void handle_stream(struct grpc_call *call, const uint8_t *message, size_t size, void *user)
{
    (void)user;
    struct stream *stream = calloc(1, sizeof(*stream));
    if (!stream || size != 8) {
        free(stream);
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "eight bytes: count and size");
        return;
    }
    memcpy(&stream->left, message, 4);
    memcpy(&stream->size, message + 4, 4);
    stream->bytes = calloc(1, stream->size + 1U);
    grpc_call_set_user(call, stream);
    grpc_call_on_cancel(call, stream_free);
    grpc_call_on_drained(call, stream_pump);
    stream_pump(call);
}

static void handle_echo(struct grpc_call *call, const uint8_t *message, size_t size, void *user)
{
    (void)user;
    if (grpc_call_send(call, message, size) < 0)
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "the answer is too large");
    else
        grpc_call_finish(call, GRPC_OK, NULL);
}

/* The first byte is the status, the rest its text. */
static void handle_fail(struct grpc_call *call, const uint8_t *message, size_t size, void *user)
{
    (void)user;
    grpc_call_finish(call, message[0], "%.*s", (int)size - 1, message + 1);
}

static uint64_t grace_ns = 2000000000ULL;
static unsigned cancelled;

static void on_cancel(struct grpc_call *call)
{
    (void)call;
    cancelled++;
}

/* Sends one message, then nothing, until somebody ends it. */
static void handle_hold(struct grpc_call *call, const uint8_t *message, size_t size, void *user)
{
    (void)user;
    grpc_call_on_cancel(call, on_cancel);
    if (size > 0)
        (void)grpc_call_send(call, message, size);
}

static void handle_cancelled(struct grpc_call *call, const uint8_t *message, size_t size, void *user)
{
    (void)message;
    (void)size;
    (void)user;
    char text[32];
    int length = snprintf(text, sizeof(text), "%u", cancelled);
    (void)grpc_call_send(call, text, (size_t)length);
    grpc_call_finish(call, GRPC_OK, NULL);
}

static void handle_who(struct grpc_call *call, const uint8_t *message, size_t size, void *user)
{
    (void)message;
    (void)size;
    (void)user;
    char text[256];
    const char *units[4];
    size_t count = grpc_call_peer_units(call, units, 4);
    int length = snprintf(text, sizeof(text), "%s %s", grpc_call_peer_name(call), count ? units[0] : "");
    (void)grpc_call_send(call, text, (size_t)length);
    grpc_call_finish(call, GRPC_OK, NULL);
}

static int authorize(struct grpc_call *call, const char *path, char *ret_message, void *user)
{
    (void)call;
    (void)user;
    if (strcmp(path, "/t.Test/Forbidden") != 0)
        return GRPC_OK;
    (void)snprintf(ret_message, 256, "not for you");
    return GRPC_PERMISSION_DENIED;
}

static const struct grpc_method methods[] = {
        {"/t.Test/Echo", handle_echo},
        {"/t.Test/Fail", handle_fail},
        {"/t.Test/Hold", handle_hold},
        {"/t.Test/Stream", handle_stream},
        {"/t.Test/Cancelled", handle_cancelled},
        {"/t.Test/Who", handle_who},
        {"/t.Test/Forbidden", handle_echo},
        {"/t.Test/NotOffered", NULL},
};

static void on_done(void *user)
{
    (void)user;
    struct grpc_server_figures figures;
    grpc_server_figures(server, &figures);
    printf("figures %llu %llu %llu\n", (unsigned long long)figures.connections, (unsigned long long)figures.calls,
            (unsigned long long)figures.buffered_bytes);
    (void)fflush(stdout);
    grpc_server_free(server);
}

static void on_signal(uv_signal_t *signal, int number)
{
    (void)number;
    grpc_server_shutdown(server, grace_ns, on_done, NULL);
    uv_close((uv_handle_t *)signal, NULL);
}

static char *read_text(const char *path)
{
    char *text = NULL;
    size_t size;
    if (fd_read_file_at(AT_FDCWD, path, 1 << 16, &text, &size) < 0) {
        (void)fprintf(stderr, "cannot read %s\n", path);
        exit(2);
    }
    return text;
}

int main(int count, char **arguments)
{
    if (count < 5)
        return 2;
    uv_loop_t *loop = uv_default_loop();
    _cleanup_free_ char *cert = read_text(arguments[2]);
    _cleanup_free_ char *key = read_text(arguments[3]);
    _cleanup_free_ char *ca = read_text(arguments[4]);
    struct grpc_server_options options = {
            .loop = loop,
            .listen_fd = atoi(arguments[1]),
            .cert_pem = cert,
            .key_pem = key,
            .ca_pem = ca,
            .methods = methods,
            .method_count = ELEMENTS(methods),
            .max_receive_bytes = 128U << 20,
            .max_send_bytes = 128U << 20,
            .max_header_bytes = 8192,
            .max_concurrent_streams = 1000,
            .max_connections = 64,
            .max_buffered_bytes = 300U << 20,
            .keepalive_ns = (count > 5 ? strtoull(arguments[5], NULL, 10) : 10000) * 1000000,
            .keepalive_timeout_ns = 1000000000,
            .connection_timeout_ns = 1000000000,
            .authorize = authorize,
    };
    if (count > 6)
        grace_ns = strtoull(arguments[6], NULL, 10) * 1000000;
    struct error error = {0};
    (void)signal(SIGPIPE, SIG_IGN);
    if (grpc_server_new(&options, &server, &error) < 0) {
        (void)fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    (void)uv_signal_init(loop, &terminate);
    (void)uv_signal_start(&terminate, on_signal, SIGTERM);
    printf("ready\n");
    (void)fflush(stdout);
    (void)uv_run(loop, UV_RUN_DEFAULT);
    return uv_loop_close(loop) == 0 ? 0 : 3;
}
