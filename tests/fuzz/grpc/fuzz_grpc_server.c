/* What a client with a good certificate may send above TLS: HTTP/2 and gRPC, answered by methods that reply at once,
 * later and never. The first byte says how the input is cut. Afterwards nothing is held any more. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "grpc/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HELD_MAX 64U
static struct grpc_call *held[HELD_MAX];

static void forget(struct grpc_call *call)
{
    for (size_t i = 0; i < HELD_MAX; i++)
        if (held[i] == call)
            held[i] = NULL;
}

static void handle_echo(struct grpc_call *call, const uint8_t *message, size_t size, void *user)
{
    (void)user;
    (void)grpc_call_send(call, message, size);
    grpc_call_finish(call, GRPC_OK, NULL);
}

static void handle_later(struct grpc_call *call, const uint8_t *message, size_t size, void *user)
{
    (void)message;
    (void)size;
    (void)user;
    for (size_t i = 0; i < HELD_MAX; i++) {
        if (!held[i]) {
            held[i] = call;
            grpc_call_on_cancel(call, forget);
            return;
        }
    }
    grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "full");
}

static const struct grpc_method methods[] = {
        {"/t.T/Echo", handle_echo},
        {"/t.T/Later", handle_later},
        {"/t.T/None", NULL},
};
static const struct grpc_server_options options = {
        .methods = methods,
        .method_count = 3,
        .max_receive_bytes = 1U << 16,
        .max_send_bytes = 1U << 16,
        .max_header_bytes = 8192,
        .max_concurrent_streams = 100,
        .max_buffered_bytes = 1U << 20,
};

static void wants_pull(void *owner)
{
    (void)owner;
}

static void note_deadline(void *owner, uint64_t deadline_ns)
{
    (void)owner;
    (void)deadline_ns;
}

static void pull(struct grpc_session *session)
{
    const uint8_t *bytes;
    while (grpc_session_pull(session, &bytes) > 0)
        continue;
    grpc_session_report_drained(session);
}

static void answer_held(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < HELD_MAX; i++) {
        struct grpc_call *call = held[i];
        if (!call || i % 2 != size % 2)
            continue;
        held[i] = NULL;
        (void)grpc_call_send(call, data, size);
        grpc_call_finish(call, GRPC_ABORTED, "late");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    uint64_t buffered = 0;
    uint64_t calls = 0;
    const struct grpc_session_owner owner = {.options = &options,
            .buffered_bytes = &buffered,
            .call_count = &calls,
            .wants_pull = wants_pull,
            .deadline = note_deadline};
    struct grpc_peer peer = {0};
    struct grpc_session *session;
    memset(held, 0, sizeof(held));
    if (grpc_session_new(&owner, &peer, &session) < 0)
        return 0;
    size_t piece = data[0] ? data[0] * 8U : size;
    int r = 0;
    for (size_t at = 1; at < size && r == 0; at += piece) {
        size_t part = size - at < piece ? size - at : piece;
        r = grpc_session_feed(session, data + at, part);
        assert(calls == grpc_session_calls(session) && buffered <= options.max_buffered_bytes + (2U << 16));
        if (data[0] % 2)
            pull(session);
        if (data[0] % 3 == 0)
            answer_held(data, part);
        if (data[0] % 5 == 0)
            (void)grpc_session_expire(session, UINT64_MAX);
        if (data[0] % 7 == 0)
            grpc_session_shutdown(session);
    }
    pull(session);
    grpc_session_cancel_all(session);
    pull(session);
    grpc_session_free(session);
    assert(buffered == 0 && calls == 0);
    for (size_t i = 0; i < HELD_MAX; i++)
        assert(!held[i]);
    return 0;
}
