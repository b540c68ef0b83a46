/* A gRPC server on nghttp2, OpenSSL (TLS 1.3, client certificates required) and libuv; one thread, one loop. It knows
 * framing, deadlines, cancellation, flow control, keepalive and limits; it knows nothing of the messages' content.
 *
 * Life of a call: the server collects the one request message, then calls the method's handler. From then on the call
 * belongs to the application until it calls grpc_call_finish, or until its on_cancel callback returns, whichever is
 * first; after that the pointer is dead. All functions run on the loop's thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "grpc/status.h"

struct grpc_server;
struct grpc_call;

/* @message is borrowed for the duration of the handler. */
typedef void (*grpc_handler)(struct grpc_call *call, const uint8_t *message, size_t size, void *user);

struct grpc_method {
    const char *path;     /* "/joblet.JobService/RunJob" */
    grpc_handler handler; /* NULL: known but not offered, UNIMPLEMENTED */
};

struct grpc_server_options {
    uv_loop_t *loop;
    int listen_fd; /* bound, listening, non-blocking; taken by grpc_server_new on success */
    /* PEM texts; borrowed during grpc_server_new. */
    const char *cert_pem;
    const char *key_pem;
    const char *ca_pem;
    const struct grpc_method *methods; /* static; methods not listed are UNIMPLEMENTED */
    size_t method_count;
    void *user;                 /* given to handlers */
    uint32_t max_receive_bytes; /* of one message; larger: RESOURCE_EXHAUSTED */
    uint32_t max_send_bytes;
    uint32_t max_header_bytes;
    uint32_t max_concurrent_streams;
    uint32_t max_connections; /* 0 = 1024; beyond: accepted and closed */
    uint64_t
            max_buffered_bytes; /* request bytes held for all calls together, 0 = 512 MiB; beyond: RESOURCE_EXHAUSTED */
    uint64_t keepalive_ns;      /* PING after this much silence, 0 = never */
    uint64_t keepalive_timeout_ns;  /* without an answer: closed */
    uint64_t connection_timeout_ns; /* TLS handshake and preface */
    /* Before a request's body is accepted: may this peer call this method at all? GRPC_OK, or the status to answer
     * with (@ret_message, a buffer of 256, filled). NULL = all. Called on the headers, so that who may not call
     * cannot make us buffer 128 MiB. */
    int (*authorize)(struct grpc_call *call, const char *path, char *ret_message, void *user);
    /* A peer at @address showed no certificate, or none that our authority vouches for; @why is OpenSSL's word. NULL =
     * nobody wants to know. */
    void (*stranger)(const char *address, const char *why, void *user);
};

/* 0, or -errno with @error (a certificate that does not parse, a key that does not match). */
int grpc_server_new(const struct grpc_server_options *options, struct grpc_server **ret_server, struct error *error);
/* Stops accepting, sends GOAWAY on every connection, lets running calls end; @done is called once none is left (or at
 * once). Calls still running after @grace_ns are cancelled. */
void grpc_server_shutdown(struct grpc_server *server, uint64_t grace_ns, void (*done)(void *user), void *user);
/* Only after @done. NULL is fine. */
void grpc_server_free(struct grpc_server *server);

struct grpc_server_figures {
    uint64_t connections;
    uint64_t calls;
    uint64_t buffered_bytes;
};
void grpc_server_figures(const struct grpc_server *server, struct grpc_server_figures *ret_figures);

/* The application's own pointer of a call. */
void grpc_call_set_user(struct grpc_call *call, void *user);
void *grpc_call_user(const struct grpc_call *call);
/* "/joblet.JobService/RunJob" */
const char *grpc_call_path(const struct grpc_call *call);

/* The peer's certificate: organizational units of the leaf's subject, as many as @max, as UTF-8 texts owned by the
 * call's connection. Returns how many there are. The common name, or "". */
size_t grpc_call_peer_units(const struct grpc_call *call, const char *ret_units[], size_t max);
const char *grpc_call_peer_name(const struct grpc_call *call);
/* Its serial number and the SHA-256 of the whole certificate, in hexadecimal, and where it comes from, "ADDRESS:PORT".
 * "" when it is not known. Owned by the call's connection. */
const char *grpc_call_peer_serial(const struct grpc_call *call);
const char *grpc_call_peer_fingerprint(const struct grpc_call *call);
const char *grpc_call_peer_address(const struct grpc_call *call);

/* Called when the client cancelled, the deadline passed or the connection went; not after grpc_call_finish. The call is
 * dead when it returns. Set it in the handler. */
void grpc_call_on_cancel(struct grpc_call *call, void (*on_cancel)(struct grpc_call *call));

/* Queues one message (copied). Response headers go before the first. 0; -EMSGSIZE above max_send_bytes (nothing is
 * queued); -ENOMEM. */
int grpc_call_send(struct grpc_call *call, const void *message, size_t size);
/* Bytes queued and not yet taken by the connection: the backpressure of a stream. */
size_t grpc_call_queued(const struct grpc_call *call);
/* Called (from the loop, never from within grpc_call_send) each time the queue has become empty. */
void grpc_call_on_drained(struct grpc_call *call, void (*on_drained)(struct grpc_call *call));

/* Whoever must know how a call ends before its client does. */
struct grpc_watch {
    /* The call has its answer: by the application, or by the server itself (a role, a request that is cut, a deadline
     * that passed). What is queued and the status wait for grpc_call_answer, which may be called from within. */
    void (*finished)(struct grpc_call *call, enum grpc_status status, const char *message, void *user);
    /* The call is dead when it returns. Last, and for every call; when finished was not called before, the client
     * went (after on_cancel). */
    void (*gone)(struct grpc_call *call, void *user);
};
/* From options.authorize on. @watch is static. */
void grpc_call_watch(struct grpc_call *call, const struct grpc_watch *watch, void *user);
/* The user of grpc_call_watch, NULL when nobody watches. */
void *grpc_call_watcher(const struct grpc_call *call);
/* Once after finished: the answer goes out. Another status than GRPC_OK replaces the one that was to be sent, and
 * unsent messages are dropped; @message (copied, may be NULL) is its text. */
void grpc_call_answer(struct grpc_call *call, enum grpc_status status, const char *message);

/* Ends the call with trailers; what is queued is sent before. @format may be NULL for no message. Safe to call from
 * within the handler. The call is dead afterwards. */
void grpc_call_finish(struct grpc_call *call, enum grpc_status status, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
