/* What a peer that passed TLS can send: any bytes into the connection core, behind a valid preface or not. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "grpc/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void handle_echo(struct grpc_call *call, const uint8_t *message, size_t size, void *user)
{
    (void)user;
    (void)grpc_call_send(call, message, size);
    grpc_call_finish(call, GRPC_OK, NULL);
}

static struct grpc_call *held;

static void on_cancel(struct grpc_call *call)
{
    if (held == call)
        held = NULL;
}

static void handle_hold(struct grpc_call *call, const uint8_t *message, size_t size, void *user)
{
    (void)message;
    (void)size;
    (void)user;
    grpc_call_on_cancel(call, on_cancel);
    held = call;
}

static void nothing(void *owner)
{
    (void)owner;
}

static void no_deadline(void *owner, uint64_t ns)
{
    (void)owner;
    (void)ns;
}

static const struct grpc_method methods[] = {{"/t/Echo", handle_echo}, {"/t/Hold", handle_hold}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct grpc_server_options options = {.methods = methods,
            .method_count = 2,
            .max_receive_bytes = 4096,
            .max_send_bytes = 4096,
            .max_header_bytes = 4096,
            .max_concurrent_streams = 8,
            .max_buffered_bytes = 16384};
    uint64_t buffered_bytes = 0;
    uint64_t call_count = 0;
    const struct grpc_session_owner owner = {&options, &buffered_bytes, &call_count, nothing, no_deadline, NULL};
    struct grpc_peer peer = {0};
    struct grpc_session *session;
    if (grpc_session_new(&owner, &peer, &session) < 0)
        abort();
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    if (data[0] & 1)
        (void)grpc_session_feed(session, (const uint8_t *)preface, sizeof(preface) - 1);
    size_t piece = (size_t)(data[0] >> 1) + 1;
    for (size_t at = 1; at < size; at += piece) {
        size_t part = size - at < piece ? size - at : piece;
        if (grpc_session_feed(session, data + at, part) < 0)
            break;
        const uint8_t *bytes;
        while (grpc_session_pull(session, &bytes) > 0)
            ;
        grpc_session_report_drained(session);
        if (buffered_bytes > 2 * 16384 + 4096)
            abort();
    }
    if (held)
        grpc_call_finish(held, GRPC_OK, NULL);
    held = NULL;
    (void)grpc_session_expire(session, UINT64_MAX);
    grpc_session_free(session);
    if (buffered_bytes != 0 || call_count != 0)
        abort();
    return 0;
}
