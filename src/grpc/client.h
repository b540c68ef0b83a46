/* A gRPC client for the command line: one connection, blocking calls, no threads, no loop library; starts in
 * milliseconds. TLS 1.3 with a client certificate; the server's name is verified as @server_name. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "grpc/status.h"

struct grpc_client;

struct grpc_client_options {
    const char *address;     /* "HOST:PORT", "[::1]:PORT" */
    const char *server_name; /* "joblet" */
    const char *cert_pem;
    const char *key_pem;
    const char *ca_pem;
    uint32_t max_receive_bytes; /* of one message, 0 = 128 MiB */
    int interrupt_fd;           /* readable = give up (a signalfd or pipe), or -EBADF */
};

/* How a call ended. */
struct grpc_result {
    int status;         /* enum grpc_status */
    char message[1024]; /* decoded grpc-message, or our own text for a failure of the connection */
};

/* Checks the certificates; does not connect yet. 0 or -errno with @error. */
int grpc_client_new(const struct grpc_client_options *options, struct grpc_client **ret_client, struct error *error);
void grpc_client_free(struct grpc_client *client);
void grpc_client_freep(struct grpc_client **client);

/* Wait-for-ready: while the server cannot be reached, connecting is tried again (with growing pauses) until the
 * deadline; then the status is DEADLINE_EXCEEDED. @deadline_ns = 0: none. Unary: 0 with the response message (owned by
 * the caller, may be empty) when the status is OK; -EREMOTEIO when the server answered with another status, or the
 * deadline passed (@ret_result holds it); -EINTR when interrupted. */
int grpc_client_call(struct grpc_client *client, const char *path, const void *request, size_t size,
        uint64_t deadline_ns, uint8_t **ret_message, size_t *ret_size, struct grpc_result *ret_result);

/* Server streaming: open, then next until it returns other than 1. One stream at a time. */
int grpc_client_stream_open(struct grpc_client *client, const char *path, const void *request, size_t size,
        uint64_t deadline_ns, struct grpc_result *ret_result);
/* 1 with a message, valid until the next call of this client; 0 when the stream ended with OK; -EREMOTEIO with
 * @ret_result for another status; -EINTR when interrupted. */
int grpc_client_stream_next(
        struct grpc_client *client, const uint8_t **ret_message, size_t *ret_size, struct grpc_result *ret_result);
/* The same, but -EAGAIN when nothing has come for @wait_ms (-1: waits without end); the stream stays as it is. */
int grpc_client_stream_next_within(struct grpc_client *client, int wait_ms, const uint8_t **ret_message,
        size_t *ret_size, struct grpc_result *ret_result);
/* Waits until @fd can be written to, however long that takes, and keeps the connection alive meanwhile: pings are
 * answered, and what comes waits here, as much as the windows let through. For a caller whose own output is held. 0;
 * -EINTR when interrupted; -errno of poll. A connection that breaks meanwhile shows with the next message. */
int grpc_client_stream_wait_writable(struct grpc_client *client, int fd);
/* Cancels the open stream, if there is one. */
void grpc_client_stream_cancel(struct grpc_client *client);
