/* joblet-api's end of the privileged channel: requests with their replies, and events. joblet is the one whom we trust;
 * what contradicts the protocol means that one of us is broken, and ends the process (joblet starts a new one). */
#pragma once

#include <uv.h>

#include "base/error.h"
#include "channel/message.h"

/* Requests sent and not answered yet; further ones wait here. */
#define LINK_IN_FLIGHT_MAX 128U

struct link;

/* @reply is borrowed; its size is that of the operation's reply. */
typedef void (*link_done)(const struct channel_received *reply, void *user);

struct link_events {
    void (*job_view)(const struct channel_job_view *view, void *user);
    void (*job_ended)(const struct channel_job_ended *ended, void *user);
    void (*shutdown)(void *user);
    /* joblet is gone (@error->code = 0), or the channel is broken. Last call of this link. */
    void (*closed)(const struct error *error, void *user);
};

/* Takes @socket on success. @events is borrowed. 0 or -errno with @error. */
int link_new(uv_loop_t *loop, int socket, const struct link_events *events, void *user, struct link **ret_link,
        struct error *error);
/* Stops listening and forgets all requests; further ones fail. NULL is fine. */
void link_close(struct link *link);
/* Only after the loop has ended for good. NULL is fine. */
void link_free(struct link *link);

/* Sends @message (copied; header.operation and header.size set, the sequence is filled in) with the descriptor @fd
 * (taken, closed when sent) or -EBADF. @done is called with the reply, never from within this call; it may be NULL. 0,
 * -ENOMEM or -EPIPE when the channel is closed (the descriptor is closed in any case). */
int link_request(struct link *link, const void *message, int fd, link_done done, void *user);

/* The common requests. */
int link_job_signal(struct link *link, const uint8_t id[16], enum channel_signal signal, link_done done, void *user);
int link_job_id(struct link *link, enum channel_operation operation, const uint8_t id[16], link_done done, void *user);

/* The error of a channel_reply; for use in link_done. */
const struct error *link_reply_error(const struct channel_received *reply);
