#include "grpc/session.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include <nghttp2/nghttp2.h>

#include "base/text.h"
#include "grpc/frame.h"

/* What a client may have in flight to us. The connection's window is shared by its calls. */
#define STREAM_WINDOW (1 << 20)
#define CONNECTION_WINDOW (8 << 20)
#define MESSAGE_TEXT_MAX 2048
/* Frames that wait for a peer that makes us answer but does not read. */
#define OUTBOUND_FRAMES_MAX 10000U
/* Calls that end by a reset, whoever sent it: so many at once, and so many a second from then on (CVE-2023-44487 and
 * its kin: opening and ending a stream costs the client nothing). */
#define RESETS_BURST 1000U
#define RESETS_PER_SECOND 200U

/* One piece of a response, ready for the wire. */
struct piece {
    STAILQ_ENTRY(piece) entry;
    size_t size;
    size_t sent;
    uint8_t bytes[];
};
STAILQ_HEAD(piece_list, piece);

enum call_phase {
    CALL_RECEIVING, /* headers and the request message */
    CALL_RUNNING,   /* the application has it */
    CALL_FINISHED,  /* trailers are queued; the application has let go */
};

struct grpc_call {
    TAILQ_ENTRY(grpc_call) entry;
    TAILQ_ENTRY(grpc_call) drained_entry;
    struct grpc_session *session;
    int32_t stream_id;
    enum call_phase phase;
    bool is_drained; /* in the session's list of drained calls */
    bool has_sent_headers;
    bool is_deferred; /* nghttp2 waits for more data */
    bool has_message;
    bool is_held; /* finished, but not to be told yet */
    char *path;
    const struct grpc_method *method;
    struct grpc_frame_decoder decoder;
    uint64_t accounted;   /* of the decoder's memory, in the owner's sum */
    uint64_t deadline_ns; /* 0 until the headers are complete */
    uint64_t asked_deadline_ns;
    size_t header_bytes;
    bool is_post;
    bool has_te;
    bool has_content_type;
    bool is_encoded;
    bool has_bad_timeout;
    struct piece_list queue;
    size_t queued;
    enum grpc_status status;
    char *status_message;
    void *user;
    void (*on_cancel)(struct grpc_call *call);
    void (*on_drained)(struct grpc_call *call);
    const struct grpc_watch *watch; /* NULL: nobody does */
    void *watch_user;
};

struct grpc_session {
    struct grpc_session_owner owner;
    nghttp2_session *http;
    struct grpc_peer peer;
    TAILQ_HEAD(call_list, grpc_call) calls;
    TAILQ_HEAD(drained_list, grpc_call) drained;
    size_t call_count;
    uint64_t pings_answered;
    uint64_t resets_left;
    uint64_t resets_filled_ns;
    bool has_preface;
    bool is_going_away;
    bool has_said_goaway;
};

/* Opaque data of the PING that closes the first step of a graceful end. */
static const uint8_t goaway_ping[8] = {'g', 'o', 'a', 'w', 'a', 'y', 0, 1};

static void account(struct grpc_call *call)
{
    *call->session->owner.buffered_bytes -= call->accounted;
    call->accounted = call->decoder.capacity;
    *call->session->owner.buffered_bytes += call->accounted;
}

static void release_request(struct grpc_call *call)
{
    grpc_frame_done(&call->decoder);
    account(call);
}

static void unlist_drained(struct grpc_call *call)
{
    if (call->is_drained)
        TAILQ_REMOVE(&call->session->drained, call, drained_entry);
    call->is_drained = false;
}

static void drop_queue(struct grpc_call *call)
{
    struct piece *piece;
    while ((piece = STAILQ_FIRST(&call->queue))) {
        STAILQ_REMOVE_HEAD(&call->queue, entry);
        free(piece);
    }
    call->queued = 0;
}

/* Drops what has not begun to go out: a message is sent whole or not at all. */
static void drop_unsent(struct grpc_call *call)
{
    struct piece *begun = STAILQ_FIRST(&call->queue);
    if (begun && begun->sent > 0)
        STAILQ_REMOVE_HEAD(&call->queue, entry);
    else
        begun = NULL;
    drop_queue(call);
    if (begun) {
        STAILQ_INSERT_HEAD(&call->queue, begun, entry);
        call->queued = begun->size - begun->sent;
    }
}

static void call_free(struct grpc_call *call)
{
    release_request(call);
    unlist_drained(call);
    drop_queue(call);
    TAILQ_REMOVE(&call->session->calls, call, entry);
    call->session->call_count--;
    (*call->session->owner.call_count)--;
    free(call->path);
    free(call->status_message);
    free(call);
}

/* The stream is gone: the application is told unless it has let go already. */
static void call_gone(struct grpc_call *call)
{
    if (call->phase == CALL_RUNNING && call->on_cancel)
        call->on_cancel(call);
    if (call->watch)
        call->watch->gone(call, call->watch_user);
    call_free(call);
}

#define HEADER(text_name, text_value, value_size)                                                                      \
    (nghttp2_nv)                                                                                                       \
    {                                                                                                                  \
        (uint8_t *)(uintptr_t)(text_name), (uint8_t *)(uintptr_t)(text_value), sizeof(text_name) - 1, (value_size),    \
                NGHTTP2_NV_FLAG_NONE                                                                                   \
    }
#define HEADER_TEXT(text_name, text_value) HEADER(text_name, text_value, sizeof(text_value) - 1)

/* The status as headers behind @headers. Returns how many there are now. */
static size_t add_status(const struct grpc_call *call, nghttp2_nv *headers, size_t count, char *code, size_t code_size,
        char *encoded, size_t encoded_size)
{
    int length = snprintf(code, code_size, "%d", (int)call->status);
    headers[count++] = HEADER("grpc-status", code, (size_t)length);
    if (call->status_message && *call->status_message) {
        grpc_encode_message(call->status_message, encoded, encoded_size);
        headers[count++] = HEADER("grpc-message", encoded, strlen(encoded));
    }
    if (call->status == GRPC_UNIMPLEMENTED)
        headers[count++] = HEADER_TEXT("grpc-accept-encoding", "identity");
    return count;
}

static ssize_t submit_trailers(struct grpc_call *call)
{
    nghttp2_nv headers[3];
    char code[16];
    char encoded[MESSAGE_TEXT_MAX];
    size_t count = add_status(call, headers, 0, code, sizeof(code), encoded, sizeof(encoded));
    return nghttp2_submit_trailer(call->session->http, call->stream_id, headers, count);
}

static void note_drained(struct grpc_call *call)
{
    if (call->phase == CALL_RUNNING && !call->is_drained) {
        TAILQ_INSERT_TAIL(&call->session->drained, call, drained_entry);
        call->is_drained = true;
    }
}

static ssize_t read_data(nghttp2_session *http, int32_t stream_id, uint8_t *buffer, size_t size, uint32_t *flags,
        nghttp2_data_source *source, void *user)
{
    (void)http;
    (void)stream_id;
    (void)user;
    struct grpc_call *call = source->ptr;
    size_t used = 0;
    struct piece *piece;
    if (call->is_held) {
        call->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    while (used < size && (piece = STAILQ_FIRST(&call->queue))) {
        size_t part = piece->size - piece->sent;
        if (part > size - used)
            part = size - used;
        memcpy(buffer + used, piece->bytes + piece->sent, part);
        used += part;
        piece->sent += part;
        call->queued -= part;
        if (piece->sent == piece->size) {
            STAILQ_REMOVE_HEAD(&call->queue, entry);
            free(piece);
        }
    }
    if (call->queued == 0) {
        if (call->phase == CALL_FINISHED) {
            *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (submit_trailers(call) != 0)
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        } else if (used == 0) {
            call->is_deferred = true;
            return NGHTTP2_ERR_DEFERRED;
        } else {
            note_drained(call);
        }
    }
    return (ssize_t)used;
}

static void wants_pull(const struct grpc_session *session)
{
    session->owner.wants_pull(session->owner.owner);
}

static void resume(struct grpc_call *call)
{
    if (call->is_deferred) {
        call->is_deferred = false;
        (void)nghttp2_session_resume_data(call->session->http, call->stream_id);
    }
    wants_pull(call->session);
}

static int send_headers(struct grpc_call *call)
{
    const nghttp2_nv headers[] = {HEADER_TEXT(":status", "200"), HEADER_TEXT("content-type", "application/grpc")};
    nghttp2_data_provider provider = {.source.ptr = call, .read_callback = read_data};
    if (nghttp2_submit_response(call->session->http, call->stream_id, headers, 2, &provider) != 0)
        return -ENOMEM;
    call->has_sent_headers = true;
    return 0;
}

/* Trailers-Only: headers that carry the status and end the stream. */
static void send_only_status(struct grpc_call *call, const char *http_status)
{
    nghttp2_nv headers[6] = {HEADER(":status", http_status, 3), HEADER_TEXT("content-type", "application/grpc")};
    char code[16];
    char encoded[MESSAGE_TEXT_MAX];
    size_t count = add_status(call, headers, 2, code, sizeof(code), encoded, sizeof(encoded));
    (void)nghttp2_submit_response(call->session->http, call->stream_id, headers, count, NULL);
    call->has_sent_headers = true;
}

static void send_answer(struct grpc_call *call, const char *http_status)
{
    if (call->has_sent_headers)
        resume(call);
    else
        send_only_status(call, http_status);
    wants_pull(call->session);
}

/* Ends the call; @message is taken. The request's memory goes now, the rest when the stream is closed. */
static void finish(struct grpc_call *call, enum grpc_status status, char *message, const char *http_status)
{
    if (call->phase == CALL_FINISHED) {
        free(message);
        return;
    }
    call->phase = CALL_FINISHED;
    call->status = status;
    call->status_message = message;
    call->deadline_ns = 0;
    unlist_drained(call);
    release_request(call);
    if (call->watch) {
        call->is_held = true;
        call->watch->finished(call, status, message ? message : "", call->watch_user);
    } else {
        send_answer(call, http_status);
    }
}

void grpc_call_answer(struct grpc_call *call, enum grpc_status status, const char *message)
{
    assert(call->is_held);
    call->is_held = false;
    if (status != GRPC_OK) {
        drop_unsent(call);
        free(call->status_message);
        call->status = status;
        call->status_message = message ? strdup(message) : NULL;
    }
    send_answer(call, "200");
}

static void refuse(struct grpc_call *call, enum grpc_status status, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
static void refuse(struct grpc_call *call, enum grpc_status status, const char *format, ...)
{
    char *message = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&message, format, arguments) < 0)
        message = NULL;
    va_end(arguments);
    finish(call, status, message, "200");
}

static int on_begin_headers(nghttp2_session *http, const nghttp2_frame *frame, void *user)
{
    struct grpc_session *session = user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct grpc_call *call = calloc(1, sizeof(*call));
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    call->session = session;
    call->stream_id = frame->hd.stream_id;
    STAILQ_INIT(&call->queue);
    grpc_frame_init(&call->decoder, session->owner.options->max_receive_bytes);
    TAILQ_INSERT_TAIL(&session->calls, call, entry);
    session->call_count++;
    (*session->owner.call_count)++;
    (void)nghttp2_session_set_stream_user_data(http, frame->hd.stream_id, call);
    return 0;
}

static bool is_text(const uint8_t *value, size_t size, const char *text)
{
    return size == strlen(text) && memcmp(value, text, size) == 0;
}

static int header_path(struct grpc_call *call, const uint8_t *value, size_t size)
{
    if (call->path || size > 512)
        return 0;
    call->path = strndup((const char *)value, size);
    return call->path ? 0 : -ENOMEM;
}

static int header_method(struct grpc_call *call, const uint8_t *value, size_t size)
{
    call->is_post = is_text(value, size, "POST");
    return 0;
}

static int header_te(struct grpc_call *call, const uint8_t *value, size_t size)
{
    call->has_te = is_text(value, size, "trailers");
    return 0;
}

static int header_content_type(struct grpc_call *call, const uint8_t *value, size_t size)
{
    static const char prefix[] = "application/grpc";
    size_t length = sizeof(prefix) - 1;
    call->has_content_type = size >= length && strncasecmp((const char *)value, prefix, length) == 0 &&
                             (size == length || value[length] == '+' || value[length] == ';');
    return 0;
}

static int header_encoding(struct grpc_call *call, const uint8_t *value, size_t size)
{
    call->is_encoded = !is_text(value, size, "identity");
    return 0;
}

static int header_timeout(struct grpc_call *call, const uint8_t *value, size_t size)
{
    uint64_t timeout_ns;
    if (grpc_parse_timeout((const char *)value, size, &timeout_ns) < 0) {
        call->has_bad_timeout = true;
        return 0;
    }
    uint64_t now = (uint64_t)text_now_monotonic_ns();
    call->asked_deadline_ns = timeout_ns > UINT64_MAX / 2 - now ? 0 : now + timeout_ns;
    return 0;
}

static const struct {
    const char *name;
    int (*take)(struct grpc_call *call, const uint8_t *value, size_t size);
} header_table[] = {
        {":path", header_path},
        {":method", header_method},
        {"te", header_te},
        {"content-type", header_content_type},
        {"grpc-encoding", header_encoding},
        {"grpc-timeout", header_timeout},
};

static int on_header(nghttp2_session *http, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
        const uint8_t *value, size_t value_size, uint8_t flags, void *user)
{
    (void)flags;
    struct grpc_session *session = user;
    struct grpc_call *call = nghttp2_session_get_stream_user_data(http, frame->hd.stream_id);
    /* Trailers of a request mean nothing here. */
    if (!call || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    /* RFC 9113, 10.5.1: 32 bytes are counted for each field. */
    call->header_bytes += name_size + value_size + 32;
    if (call->header_bytes > session->owner.options->max_header_bytes)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    for (size_t i = 0; i < sizeof(header_table) / sizeof(header_table[0]); i++) {
        if (is_text(name, name_size, header_table[i].name))
            return header_table[i].take(call, value, value_size) < 0 ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
    }
    return 0;
}

static const struct grpc_method *find_method(const struct grpc_session *session, const char *path)
{
    const struct grpc_server_options *options = session->owner.options;
    for (size_t i = 0; i < options->method_count; i++)
        if (strcmp(options->methods[i].path, path) == 0)
            return &options->methods[i];
    return NULL;
}

static void headers_complete(struct grpc_session *session, struct grpc_call *call)
{
    const struct grpc_server_options *options = session->owner.options;
    if (!call->is_post || !call->path) {
        finish(call, GRPC_INTERNAL, strdup("only POST with a path is a gRPC call"), "405");
        return;
    }
    if (!call->has_content_type) {
        finish(call, GRPC_INTERNAL, strdup("the content-type is not application/grpc"), "415");
        return;
    }
    if (!call->has_te || call->has_bad_timeout) {
        refuse(call, GRPC_INTERNAL, call->has_te ? "malformed grpc-timeout" : "the header te: trailers is missing");
        return;
    }
    char text[256] = "";
    int status = options->authorize ? options->authorize(call, call->path, text, options->user) : GRPC_OK;
    if (status != GRPC_OK) {
        refuse(call, (enum grpc_status)status, "%s", text);
        return;
    }
    /* After the role: who may not call a method does not learn whether it is offered. */
    call->method = find_method(session, call->path);
    if (!call->method) {
        refuse(call, GRPC_UNIMPLEMENTED, "unknown method %s", call->path);
        return;
    }
    if (!call->method->handler)
        refuse(call, GRPC_UNIMPLEMENTED, "method %s is not offered by this server", call->path);
    else if (call->is_encoded)
        refuse(call, GRPC_UNIMPLEMENTED, "compressed messages are not supported, only identity");
    else if ((call->deadline_ns = call->asked_deadline_ns))
        session->owner.deadline(session->owner.owner, call->deadline_ns);
}

static void request_complete(struct grpc_session *session, struct grpc_call *call)
{
    if (call->phase != CALL_RECEIVING)
        return;
    if (!call->has_message) {
        refuse(call, GRPC_INTERNAL,
                grpc_frame_is_partial(&call->decoder) ? "the request message is cut"
                                                      : "the request message is missing");
        return;
    }
    call->phase = CALL_RUNNING;
    uint8_t *message = call->decoder.message;
    size_t size = call->decoder.size;
    /* Until the handler is done the message is the call's; it may end the call, so the memory is held here. */
    call->decoder.message = NULL;
    call->decoder.capacity = 0;
    account(call);
    call->method->handler(call, message ? message : (const uint8_t *)"", size, session->owner.options->user);
    free(message);
}

/* The second step of a graceful end: calls beyond this one were not begun and can be made elsewhere. */
static void say_goaway(struct grpc_session *session)
{
    if (!session->is_going_away || session->has_said_goaway)
        return;
    session->has_said_goaway = true;
    (void)nghttp2_submit_goaway(session->http, NGHTTP2_FLAG_NONE,
            nghttp2_session_get_last_proc_stream_id(session->http), NGHTTP2_NO_ERROR, NULL, 0);
}

static int on_frame_received(nghttp2_session *http, const nghttp2_frame *frame, void *user)
{
    struct grpc_session *session = user;
    if (frame->hd.type == NGHTTP2_SETTINGS)
        session->has_preface = true;
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK)) {
        session->pings_answered++;
        if (memcmp(frame->ping.opaque_data, goaway_ping, sizeof(goaway_ping)) == 0)
            say_goaway(session);
        return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct grpc_call *call = nghttp2_session_get_stream_user_data(http, frame->hd.stream_id);
    if (!call)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        headers_complete(session, call);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        request_complete(session, call);
    return 0;
}

static void feed_message(struct grpc_session *session, struct grpc_call *call, const uint8_t *bytes, size_t size)
{
    const struct grpc_server_options *options = session->owner.options;
    uint64_t ceiling = options->max_buffered_bytes ? options->max_buffered_bytes : 512ULL << 20;
    if (call->has_message) {
        refuse(call, GRPC_INTERNAL, "more than one request message");
        return;
    }
    size_t taken = 0;
    int r = grpc_frame_feed(&call->decoder, bytes, size, &taken);
    account(call);
    if (r == -EMSGSIZE)
        refuse(call, GRPC_RESOURCE_EXHAUSTED, "received message larger than max (%u vs. %u)", call->decoder.size,
                options->max_receive_bytes);
    else if (r == -EPROTO)
        refuse(call, GRPC_INTERNAL, "a message has the compressed flag, but the call has no grpc-encoding");
    else if (r < 0 || *session->owner.buffered_bytes > ceiling)
        refuse(call, GRPC_RESOURCE_EXHAUSTED, "the server holds too many request bytes, try again");
    else if (r == 1) {
        call->has_message = true;
        if (taken < size)
            refuse(call, GRPC_INTERNAL, "more than one request message");
    }
}

static int on_data(
        nghttp2_session *http, uint8_t flags, int32_t stream_id, const uint8_t *bytes, size_t size, void *user)
{
    (void)flags;
    struct grpc_session *session = user;
    struct grpc_call *call = nghttp2_session_get_stream_user_data(http, stream_id);
    if (call && call->phase == CALL_RECEIVING)
        feed_message(session, call, bytes, size);
    return 0;
}

/* A call that was answered before its request was complete: tell the client to stop sending. */
static int on_frame_sent(nghttp2_session *http, const nghttp2_frame *frame, void *user)
{
    (void)user;
    if (frame->hd.type != NGHTTP2_HEADERS || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    if (nghttp2_session_get_stream_remote_close(http, frame->hd.stream_id) == 0)
        (void)nghttp2_submit_rst_stream(http, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
}

static void count_reset(struct grpc_session *session)
{
    uint64_t now = (uint64_t)text_now_monotonic_ns();
    uint64_t more = (now - session->resets_filled_ns) / (1000000000U / RESETS_PER_SECOND);
    if (more > 0) {
        session->resets_left += more > RESETS_BURST ? RESETS_BURST : more;
        session->resets_filled_ns = now;
        if (session->resets_left > RESETS_BURST)
            session->resets_left = RESETS_BURST;
    }
    if (session->resets_left == 0)
        (void)nghttp2_session_terminate_session(session->http, NGHTTP2_ENHANCE_YOUR_CALM);
    else
        session->resets_left--;
}

static int on_stream_closed(nghttp2_session *http, int32_t stream_id, uint32_t code, void *user)
{
    if (code != NGHTTP2_NO_ERROR)
        count_reset(user);
    struct grpc_call *call = nghttp2_session_get_stream_user_data(http, stream_id);
    if (call) {
        struct grpc_session *session = call->session;
        (void)nghttp2_session_set_stream_user_data(http, stream_id, NULL);
        call_gone(call);
        if (session->call_count == 0)
            say_goaway(session);
    }
    return 0;
}

static int new_http(struct grpc_session *session)
{
    nghttp2_session_callbacks *callbacks = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return -ENOMEM;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_received);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_closed);
    nghttp2_option *option = NULL;
    int r = nghttp2_option_new(&option);
    if (r == 0) {
        /* Closed streams are remembered only for priorities, which we do not have. */
        nghttp2_option_set_no_closed_streams(option, 1);
        r = nghttp2_session_server_new2(&session->http, callbacks, session, option);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return r == 0 ? 0 : -ENOMEM;
}

static int send_settings(struct grpc_session *session)
{
    const struct grpc_server_options *options = session->owner.options;
    const nghttp2_settings_entry settings[] = {
            {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options->max_concurrent_streams},
            {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
            {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, options->max_header_bytes},
    };
    if (nghttp2_submit_settings(session->http, NGHTTP2_FLAG_NONE, settings, sizeof(settings) / sizeof(settings[0])) !=
                    0 ||
            nghttp2_session_set_local_window_size(session->http, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW) != 0)
        return -ENOMEM;
    return 0;
}

int grpc_session_new(const struct grpc_session_owner *owner, struct grpc_peer *peer, struct grpc_session **ret_session)
{
    struct grpc_session *session = calloc(1, sizeof(*session));
    if (!session)
        return -ENOMEM;
    session->owner = *owner;
    TAILQ_INIT(&session->calls);
    TAILQ_INIT(&session->drained);
    session->resets_left = RESETS_BURST;
    session->resets_filled_ns = (uint64_t)text_now_monotonic_ns();
    if (new_http(session) < 0 || send_settings(session) < 0) {
        grpc_session_free(session);
        return -ENOMEM;
    }
    session->peer = *peer;
    *peer = (struct grpc_peer){0};
    *ret_session = session;
    return 0;
}

void grpc_peer_done(struct grpc_peer *peer)
{
    for (size_t i = 0; i < peer->unit_count; i++)
        free(peer->units[i]);
    free(peer->name);
    free(peer->serial);
    free(peer->fingerprint);
    free(peer->address);
    *peer = (struct grpc_peer){0};
}

void grpc_session_free(struct grpc_session *session)
{
    if (!session)
        return;
    struct grpc_call *call;
    while ((call = TAILQ_FIRST(&session->calls)))
        call_gone(call);
    nghttp2_session_del(session->http);
    grpc_peer_done(&session->peer);
    free(session);
}

int grpc_session_feed(struct grpc_session *session, const uint8_t *bytes, size_t size)
{
    ssize_t taken = nghttp2_session_mem_recv(session->http, bytes, size);
    if (taken != (ssize_t)size)
        return -EPROTO;
    return nghttp2_session_get_outbound_queue_size(session->http) > OUTBOUND_FRAMES_MAX ? -ENOBUFS : 0;
}

ssize_t grpc_session_pull(struct grpc_session *session, const uint8_t **ret_bytes)
{
    return nghttp2_session_mem_send(session->http, ret_bytes);
}

void grpc_session_report_drained(struct grpc_session *session)
{
    /* Calls drained anew by what the callbacks do wait for the next round. */
    size_t round = 0;
    struct grpc_call *call;
    TAILQ_FOREACH(call, &session->drained, drained_entry)
    round++;
    while (round-- > 0 && (call = TAILQ_FIRST(&session->drained))) {
        unlist_drained(call);
        if (call->phase == CALL_RUNNING && call->queued == 0 && call->on_drained)
            call->on_drained(call);
    }
}

bool grpc_session_is_over(const struct grpc_session *session)
{
    if (session->is_going_away && session->has_said_goaway && session->call_count == 0 &&
            !nghttp2_session_want_write(session->http))
        return true;
    return !nghttp2_session_want_read(session->http) && !nghttp2_session_want_write(session->http);
}

bool grpc_session_has_preface(const struct grpc_session *session)
{
    return session->has_preface;
}

size_t grpc_session_calls(const struct grpc_session *session)
{
    return session->call_count;
}

/* Tells the application that its call is over, and answers with @status. */
static void cancel(struct grpc_call *call, enum grpc_status status, const char *text)
{
    if (call->phase == CALL_RUNNING && call->on_cancel) {
        call->on_cancel(call);
        call->on_cancel = NULL;
    }
    drop_unsent(call);
    refuse(call, status, "%s", text);
}

uint64_t grpc_session_expire(struct grpc_session *session, uint64_t now_ns)
{
    uint64_t next = 0;
    struct grpc_call *call = TAILQ_FIRST(&session->calls);
    while (call) {
        struct grpc_call *after = TAILQ_NEXT(call, entry);
        if (call->deadline_ns && call->deadline_ns <= now_ns)
            cancel(call, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
        else if (call->deadline_ns && (next == 0 || call->deadline_ns < next))
            next = call->deadline_ns;
        call = after;
    }
    return next;
}

void grpc_session_ping(struct grpc_session *session)
{
    (void)nghttp2_submit_ping(session->http, NGHTTP2_FLAG_NONE, NULL);
}

uint64_t grpc_session_pings_answered(const struct grpc_session *session)
{
    return session->pings_answered;
}

void grpc_session_shutdown(struct grpc_session *session)
{
    if (session->is_going_away)
        return;
    session->is_going_away = true;
    (void)nghttp2_submit_shutdown_notice(session->http);
    /* A client without calls may not even look at its connection, so nobody waits for its answer; what it sends at this
     * moment is not begun, and GOAWAY says so. */
    if (session->call_count == 0)
        say_goaway(session);
    else
        (void)nghttp2_submit_ping(session->http, NGHTTP2_FLAG_NONE, goaway_ping);
    wants_pull(session);
}

void grpc_session_cancel_all(struct grpc_session *session)
{
    struct grpc_call *call = TAILQ_FIRST(&session->calls);
    while (call) {
        struct grpc_call *after = TAILQ_NEXT(call, entry);
        if (call->phase != CALL_FINISHED)
            cancel(call, GRPC_UNAVAILABLE, "the server is shutting down");
        call = after;
    }
}

void grpc_call_set_user(struct grpc_call *call, void *user)
{
    call->user = user;
}

void *grpc_call_user(const struct grpc_call *call)
{
    return call->user;
}

const char *grpc_call_path(const struct grpc_call *call)
{
    return call->path;
}

size_t grpc_call_peer_units(const struct grpc_call *call, const char *ret_units[], size_t max)
{
    const struct grpc_peer *peer = &call->session->peer;
    for (size_t i = 0; i < peer->unit_count && i < max; i++)
        ret_units[i] = peer->units[i];
    return peer->unit_count;
}

const char *grpc_call_peer_name(const struct grpc_call *call)
{
    return call->session->peer.name ? call->session->peer.name : "";
}

const char *grpc_call_peer_serial(const struct grpc_call *call)
{
    return call->session->peer.serial ? call->session->peer.serial : "";
}

const char *grpc_call_peer_fingerprint(const struct grpc_call *call)
{
    return call->session->peer.fingerprint ? call->session->peer.fingerprint : "";
}

const char *grpc_call_peer_address(const struct grpc_call *call)
{
    return call->session->peer.address ? call->session->peer.address : "";
}

void grpc_call_watch(struct grpc_call *call, const struct grpc_watch *watch, void *user)
{
    call->watch = watch;
    call->watch_user = user;
}

void *grpc_call_watcher(const struct grpc_call *call)
{
    return call->watch_user;
}

void grpc_call_on_cancel(struct grpc_call *call, void (*on_cancel)(struct grpc_call *call))
{
    call->on_cancel = on_cancel;
}

void grpc_call_on_drained(struct grpc_call *call, void (*on_drained)(struct grpc_call *call))
{
    call->on_drained = on_drained;
}

int grpc_call_send(struct grpc_call *call, const void *message, size_t size)
{
    assert(call->phase == CALL_RUNNING);
    if (size > call->session->owner.options->max_send_bytes)
        return -EMSGSIZE;
    struct piece *piece = malloc(sizeof(*piece) + GRPC_FRAME_HEADER_SIZE + size);
    if (!piece)
        return -ENOMEM;
    piece->size = GRPC_FRAME_HEADER_SIZE + size;
    piece->sent = 0;
    grpc_frame_write_header(piece->bytes, (uint32_t)size);
    if (size > 0)
        memcpy(piece->bytes + GRPC_FRAME_HEADER_SIZE, message, size);
    if (!call->has_sent_headers && send_headers(call) < 0) {
        free(piece);
        return -ENOMEM;
    }
    STAILQ_INSERT_TAIL(&call->queue, piece, entry);
    call->queued += piece->size;
    unlist_drained(call);
    resume(call);
    return 0;
}

size_t grpc_call_queued(const struct grpc_call *call)
{
    return call->queued;
}

void grpc_call_finish(struct grpc_call *call, enum grpc_status status, const char *format, ...)
{
    assert(call->phase == CALL_RUNNING);
    char *message = NULL;
    if (format) {
        va_list arguments;
        va_start(arguments, format);
        if (vasprintf(&message, format, arguments) < 0)
            message = NULL;
        va_end(arguments);
    }
    finish(call, status, message, "200");
}
