/* One HTTP/2 connection of the server without its socket: bytes in, bytes out, calls in between. Pure in the sense that
 * it does no I/O: the server feeds it what TLS decrypted, and so does the fuzzer.
 *
 * Re-entrancy: nghttp2 must not be entered from its own callbacks. Handlers run within grpc_session_feed; what they
 * queue is pulled later by grpc_session_pull, which the owner calls when it was told through session_wants_pull. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "grpc/server.h"

struct grpc_session;

#define GRPC_SESSION_UNITS_MAX 16U

/* Who is at the other end; owned by the session. A text that is not known is NULL. */
struct grpc_peer {
    char *units[GRPC_SESSION_UNITS_MAX];
    size_t unit_count;
    char *name;
    char *serial;
    char *fingerprint;
    char *address;
};
/* Frees the texts. */
void grpc_peer_done(struct grpc_peer *peer);

/* What a session needs of its owner. */
struct grpc_session_owner {
    const struct grpc_server_options *options;
    uint64_t *buffered_bytes; /* request bytes held by all sessions; the session adds and takes away its own */
    uint64_t *call_count;
    void (*wants_pull)(void *owner);                      /* there may be something to pull; never pulls within */
    void (*deadline)(void *owner, uint64_t monotonic_ns); /* a call has this deadline: call grpc_session_expire then */
    void *owner;
};

/* Takes the texts of @peer on success. 0 or -ENOMEM. */
int grpc_session_new(const struct grpc_session_owner *owner, struct grpc_peer *peer, struct grpc_session **ret_session);
/* Cancels what runs (on_cancel is called), frees. NULL is fine. */
void grpc_session_free(struct grpc_session *session);

/* Feeds received bytes. 0, or negative: the connection is broken; pull what is left (a GOAWAY), then free. */
int grpc_session_feed(struct grpc_session *session, const uint8_t *bytes, size_t size);
/* The next bytes to send, valid until the next call; 0 when there are none, negative when broken. */
ssize_t grpc_session_pull(struct grpc_session *session, const uint8_t **ret_bytes);
/* Calls on_drained of the calls whose queue the last pulls emptied. Not within feed or pull. */
void grpc_session_report_drained(struct grpc_session *session);
/* True when the session has nothing more to say or to hear: close. */
bool grpc_session_is_over(const struct grpc_session *session);

/* True once the client's preface and its first SETTINGS frame have come. */
bool grpc_session_has_preface(const struct grpc_session *session);
/* Calls that are open. */
size_t grpc_session_calls(const struct grpc_session *session);
/* Ends calls whose deadline has passed with DEADLINE_EXCEEDED; returns the next deadline, 0 = none. */
uint64_t grpc_session_expire(struct grpc_session *session, uint64_t now_ns);
/* Sends a PING; grpc_session_pings_answered grows by one when its answer comes. */
void grpc_session_ping(struct grpc_session *session);
uint64_t grpc_session_pings_answered(const struct grpc_session *session);
/* Graceful end: GOAWAY in two steps, running calls go on. */
void grpc_session_shutdown(struct grpc_session *session);
/* Ends all open calls with CANCELLED or UNAVAILABLE. */
void grpc_session_cancel_all(struct grpc_session *session);
