/* The connection core against nghttp2's own client, in memory: no socket, no TLS. Malloc failures are not simulated
 * here; what a peer can do wrong is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>

#include "base/text.h"
#include "grpc/frame.h"
#include "grpc/session.h"

struct world {
    struct grpc_server_options options;
    struct grpc_session *session;
    nghttp2_session *client;
    uint64_t buffered_bytes;
    uint64_t call_count;
    struct grpc_call *held; /* by the method "/hold" */
    unsigned cancelled;
    unsigned drained;
    unsigned handled;
    bool watched; /* calls are, from now on */
    struct grpc_call *finished;
    enum grpc_status finished_status;
    char finished_text[128];
    unsigned gone;
    /* What the client saw. */
    char status[16];
    char http_status[16];
    char message[128];
    uint8_t data[1 << 16];
    size_t data_size;
    bool is_closed;
    uint32_t close_code;
};

static struct world *the_world;

static void handle_echo(struct grpc_call *call, const uint8_t *message, size_t size, void *user)
{
    struct world *world = user;
    world->handled++;
    assert_int_equal(grpc_call_send(call, message, size), 0);
    grpc_call_finish(call, GRPC_OK, NULL);
}

static void handle_fail(struct grpc_call *call, const uint8_t *message, size_t size, void *user)
{
    (void)message;
    (void)size;
    (void)user;
    grpc_call_finish(call, GRPC_NOT_FOUND, "no job '%s'", "\xc3\xa4%");
}

static void on_cancel(struct grpc_call *call)
{
    assert_ptr_equal(call, the_world->held);
    the_world->held = NULL;
    the_world->cancelled++;
}

static void on_drained(struct grpc_call *call)
{
    assert_int_equal(grpc_call_queued(call), 0);
    the_world->drained++;
}

static void handle_hold(struct grpc_call *call, const uint8_t *message, size_t size, void *user)
{
    (void)message;
    (void)size;
    struct world *world = user;
    world->held = call;
    grpc_call_on_cancel(call, on_cancel);
    grpc_call_on_drained(call, on_drained);
}

static const struct grpc_method methods[] = {
        {"/t/Echo", handle_echo}, {"/t/Fail", handle_fail}, {"/t/Hold", handle_hold}, {"/t/Later", NULL}};

static void on_finished(struct grpc_call *call, enum grpc_status status, const char *message, void *user)
{
    struct world *world = user;
    assert_null(world->finished);
    world->finished = call;
    world->finished_status = status;
    (void)snprintf(world->finished_text, sizeof(world->finished_text), "%s", message);
}

static void on_gone(struct grpc_call *call, void *user)
{
    struct world *world = user;
    assert_ptr_equal(grpc_call_watcher(call), world);
    assert_true(!world->finished || world->finished == call);
    world->finished = NULL;
    world->gone++;
}

static const struct grpc_watch watch = {.finished = on_finished, .gone = on_gone};

static int authorize(struct grpc_call *call, const char *path, char *ret_message, void *user)
{
    struct world *world = user;
    (void)path;
    if (world->watched)
        grpc_call_watch(call, &watch, world);
    const char *unit;
    if (grpc_call_peer_units(call, &unit, 1) == 1 && strcmp(unit, "friend") == 0)
        return GRPC_OK;
    (void)snprintf(ret_message, 256, "only friends");
    return GRPC_PERMISSION_DENIED;
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

static int client_header(nghttp2_session *http, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
        const uint8_t *value, size_t value_size, uint8_t flags, void *user)
{
    (void)http;
    (void)frame;
    (void)flags;
    struct world *world = user;
    char *into = name_size == 11 && !memcmp(name, "grpc-status", 11) ? world->status
                 : name_size == 7 && !memcmp(name, ":status", 7)     ? world->http_status
                                                                     : NULL;
    if (into)
        (void)snprintf(into, 16, "%.*s", (int)value_size, value);
    if (name_size == 12 && !memcmp(name, "grpc-message", 12))
        grpc_decode_message((const char *)value, value_size, world->message, sizeof(world->message));
    return 0;
}

static int client_data(
        nghttp2_session *http, uint8_t flags, int32_t stream_id, const uint8_t *bytes, size_t size, void *user)
{
    (void)http;
    (void)flags;
    (void)stream_id;
    struct world *world = user;
    assert_true(world->data_size + size <= sizeof(world->data));
    memcpy(world->data + world->data_size, bytes, size);
    world->data_size += size;
    return 0;
}

static int client_closed(nghttp2_session *http, int32_t stream_id, uint32_t code, void *user)
{
    (void)http;
    (void)stream_id;
    struct world *world = user;
    world->is_closed = true;
    world->close_code = code;
    return 0;
}

static int set_up_as(void **state, const char *unit)
{
    struct world *world = calloc(1, sizeof(*world));
    the_world = world;
    world->options = (struct grpc_server_options){.methods = methods,
            .method_count = 4,
            .user = world,
            .max_receive_bytes = 1000,
            .max_send_bytes = 60000,
            .max_header_bytes = 4096,
            .max_concurrent_streams = 10,
            .max_buffered_bytes = 8192,
            .authorize = authorize};
    const struct grpc_session_owner owner = {
            &world->options, &world->buffered_bytes, &world->call_count, nothing, no_deadline, NULL};
    struct grpc_peer peer = {.units = {strdup(unit)}, .unit_count = 1, .name = strdup("somebody")};
    if (grpc_session_new(&owner, &peer, &world->session) < 0)
        return -1;
    nghttp2_session_callbacks *callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, client_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, client_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, client_closed);
    nghttp2_session_client_new(&world->client, callbacks, world);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(world->client, 0, NULL, 0);
    *state = world;
    return 0;
}

static int set_up(void **state)
{
    return set_up_as(state, "friend");
}

static int set_up_stranger(void **state)
{
    return set_up_as(state, "stranger");
}

static int tear_down(void **state)
{
    struct world *world = *state;
    nghttp2_session_del(world->client);
    grpc_session_free(world->session);
    int leaked = world->buffered_bytes != 0 || world->call_count != 0;
    free(world);
    return leaked;
}

/* Moves bytes both ways until nobody has anything to say. */
static void exchange(struct world *world)
{
    for (int quiet = 0; quiet < 2;) {
        const uint8_t *bytes;
        ssize_t size = nghttp2_session_mem_send(world->client, &bytes);
        assert_true(size >= 0);
        if (size > 0)
            assert_int_equal(grpc_session_feed(world->session, bytes, (size_t)size), 0);
        ssize_t back = grpc_session_pull(world->session, &bytes);
        assert_true(back >= 0);
        if (back > 0)
            assert_int_equal(nghttp2_session_mem_recv(world->client, bytes, (size_t)back), back);
        if (back == 0)
            grpc_session_report_drained(world->session);
        quiet = size == 0 && back == 0 ? quiet + 1 : 0;
    }
}

struct body {
    const uint8_t *bytes;
    size_t size;
    size_t sent;
    bool keep_open;
    bool has_trailers;
};

#define NV(a, b)                                                                                                       \
    {                                                                                                                  \
        (uint8_t *)(uintptr_t)(a), (uint8_t *)(uintptr_t)(b), strlen(a), strlen(b), 0                                  \
    }

static ssize_t read_body(nghttp2_session *http, int32_t stream_id, uint8_t *buffer, size_t size, uint32_t *flags,
        nghttp2_data_source *source, void *user)
{
    (void)user;
    struct body *body = source->ptr;
    size_t part = body->size - body->sent < size ? body->size - body->sent : size;
    memcpy(buffer, body->bytes + body->sent, part);
    body->sent += part;
    if (body->sent == body->size) {
        if (body->keep_open && part == 0)
            return NGHTTP2_ERR_DEFERRED;
        if (!body->keep_open)
            *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (body->has_trailers) {
            const nghttp2_nv trailers[] = {NV("grpc-timeout", "soon"), NV("grpc-encoding", "gzip")};
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            assert_int_equal(nghttp2_submit_trailer(http, stream_id, trailers, 2), 0);
        }
    }
    return (ssize_t)part;
}

/* A call with these headers beside the usual ones; NULL leaves the usual value. */
static int32_t call_with(struct world *world, const char *path, const char *extra_name, const char *extra_value,
        const char *content_type, struct body *body)
{
    nghttp2_nv headers[] = {NV(":method", "POST"), NV(":scheme", "https"), NV(":path", path), NV(":authority", "x"),
            NV("te", "trailers"), NV("content-type", content_type ? content_type : "application/grpc"),
            NV(extra_name ? extra_name : "x-none", extra_value ? extra_value : "x")};
    nghttp2_data_provider provider = {.source.ptr = body, .read_callback = read_body};
    int32_t id = nghttp2_submit_request(world->client, NULL, headers, 7, &provider, NULL);
    assert_true(id > 0);
    exchange(world);
    return id;
}

static const uint8_t hello[] = {0, 0, 0, 0, 2, 'h', 'i'};

static void call(struct world *world, const char *path)
{
    struct body body = {hello, sizeof(hello), 0, false};
    (void)call_with(world, path, NULL, NULL, NULL, &body);
}

static void test_echo(void **state)
{
    struct world *world = *state;
    call(world, "/t/Echo");
    assert_string_equal(world->status, "0");
    assert_int_equal(world->data_size, sizeof(hello));
    assert_memory_equal(world->data, hello, sizeof(hello));
    assert_true(world->is_closed);
}

static void test_error_text(void **state)
{
    struct world *world = *state;
    call(world, "/t/Fail");
    assert_string_equal(world->status, "5");
    assert_string_equal(world->message, "no job '\xc3\xa4%'");
    assert_string_equal(world->http_status, "200");
}

static void test_unimplemented(void **state)
{
    struct world *world = *state;
    call(world, "/t/Nothing");
    assert_string_equal(world->status, "12");
    call(world, "/t/Later");
    assert_string_equal(world->status, "12");
}

static void test_stranger(void **state)
{
    struct world *world = *state;
    /* Answered on the headers: the body is never finished. */
    struct body body = {hello, 3, 0, true};
    (void)call_with(world, "/t/Echo", NULL, NULL, NULL, &body);
    assert_string_equal(world->status, "7");
    assert_string_equal(world->message, "only friends");
    assert_true(world->is_closed);
    assert_int_equal(world->handled, 0);
}

static void test_wrong_content_type(void **state)
{
    struct world *world = *state;
    struct body body = {hello, sizeof(hello), 0, false};
    (void)call_with(world, "/t/Echo", NULL, NULL, "text/plain", &body);
    assert_string_equal(world->http_status, "415");
    assert_int_equal(world->handled, 0);
}

static void test_compressed(void **state)
{
    struct world *world = *state;
    struct body body = {hello, sizeof(hello), 0, false};
    (void)call_with(world, "/t/Echo", "grpc-encoding", "gzip", NULL, &body);
    assert_string_equal(world->status, "12");
}

static void test_bodies(void **state)
{
    struct world *world = *state;
    static const struct {
        uint8_t bytes[20];
        size_t size;
        const char *status;
    } cases[] = {
            {{0}, 0, "13"},                             /* no message */
            {{0, 0, 0, 0, 5, 'x'}, 6, "13"},            /* a cut one */
            {{0, 0, 0}, 3, "13"},                       /* a cut header */
            {{1, 0, 0, 0, 1, 'x'}, 6, "13"},            /* compressed without an encoding */
            {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 10, "13"}, /* two messages */
            {{0, 0, 0x10, 0, 0, 'x'}, 6, "8"},          /* larger than the limit */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct body body = {cases[i].bytes, cases[i].size, 0, false};
        world->status[0] = '\0';
        (void)call_with(world, "/t/Echo", NULL, NULL, NULL, &body);
        assert_string_equal(world->status, cases[i].status);
    }
    assert_int_equal(world->handled, 0);
}

static void test_cancel_by_client(void **state)
{
    struct world *world = *state;
    struct body body = {hello, sizeof(hello), 0, false};
    int32_t id = call_with(world, "/t/Hold", NULL, NULL, NULL, &body);
    assert_non_null(world->held);
    nghttp2_submit_rst_stream(world->client, 0, id, NGHTTP2_CANCEL);
    exchange(world);
    assert_int_equal(world->cancelled, 1);
    assert_int_equal(world->call_count, 0);
}

static void test_deadline(void **state)
{
    struct world *world = *state;
    struct body body = {hello, sizeof(hello), 0, false};
    (void)call_with(world, "/t/Hold", "grpc-timeout", "1m", NULL, &body);
    assert_non_null(world->held);
    assert_true(grpc_session_expire(world->session, 0) > 0);
    assert_true(grpc_session_expire(world->session, (uint64_t)text_now_monotonic_ns() + 10000000) == 0);
    exchange(world);
    assert_int_equal(world->cancelled, 1);
    assert_string_equal(world->status, "4");
    (void)call_with(world, "/t/Hold", "grpc-timeout", "soon", NULL, &(struct body){hello, sizeof(hello), 0, false});
    assert_string_equal(world->status, "13");
}

static void test_stream_and_drain(void **state)
{
    struct world *world = *state;
    struct body body = {hello, sizeof(hello), 0, false};
    (void)call_with(world, "/t/Hold", NULL, NULL, NULL, &body);
    static const uint8_t chunk[20000];
    assert_int_equal(grpc_call_send(world->held, chunk, sizeof(chunk)), 0);
    assert_int_equal(grpc_call_queued(world->held), sizeof(chunk) + GRPC_FRAME_HEADER_SIZE);
    assert_int_equal(grpc_call_send(world->held, chunk, 60001), -EMSGSIZE);
    exchange(world);
    assert_int_equal(grpc_call_queued(world->held), 0);
    assert_int_equal(world->drained, 1);
    assert_int_equal(world->data_size, sizeof(chunk) + GRPC_FRAME_HEADER_SIZE);
    grpc_call_finish(world->held, GRPC_OK, NULL);
    world->held = NULL;
    exchange(world);
    assert_string_equal(world->status, "0");
    assert_int_equal(world->cancelled, 0);
}

static void test_watched_answer_waits(void **state)
{
    struct world *world = *state;
    world->watched = true;
    call(world, "/t/Echo");
    assert_non_null(world->finished);
    assert_int_equal(world->finished_status, GRPC_OK);
    assert_string_equal(world->status, "");
    assert_int_equal(world->data_size, 0);
    grpc_call_answer(world->finished, GRPC_OK, NULL);
    assert_int_equal(world->gone, 0);
    exchange(world);
    assert_string_equal(world->status, "0");
    assert_memory_equal(world->data, hello, sizeof(hello));
    assert_int_equal(world->data_size, sizeof(hello));
    assert_int_equal(world->gone, 1);
}

static void test_watched_answer_replaced(void **state)
{
    struct world *world = *state;
    world->watched = true;
    call(world, "/t/Echo");
    grpc_call_answer(world->finished, GRPC_UNAVAILABLE, "not recorded");
    exchange(world);
    assert_string_equal(world->status, "14");
    assert_string_equal(world->message, "not recorded");
    assert_int_equal(world->data_size, 0);
    call(world, "/t/Fail");
    assert_int_equal(world->finished_status, GRPC_NOT_FOUND);
    assert_string_equal(world->finished_text, "no job '\xc3\xa4%'");
    grpc_call_answer(world->finished, GRPC_UNAVAILABLE, "not recorded");
    exchange(world);
    assert_string_equal(world->status, "14");
    assert_int_equal(world->gone, 2);
}

/* What the server itself answers is seen too. */
static void test_watched_refusals(void **state)
{
    struct world *world = *state;
    static const uint8_t cut[] = {0, 0, 0, 0, 5, 'x'};
    struct body body = {cut, sizeof(cut), 0, false};
    world->watched = true;
    (void)call_with(world, "/t/Echo", NULL, NULL, NULL, &body);
    assert_int_equal(world->finished_status, GRPC_INTERNAL);
    assert_string_equal(world->finished_text, "the request message is cut");
    assert_string_equal(world->status, "");
    grpc_call_answer(world->finished, GRPC_OK, NULL);
    exchange(world);
    assert_string_equal(world->status, "13");
    call(world, "/t/Later");
    assert_int_equal(world->finished_status, GRPC_UNIMPLEMENTED);
    grpc_call_answer(world->finished, GRPC_OK, NULL);
    exchange(world);
    assert_string_equal(world->status, "12");
    assert_int_equal(world->gone, 2);
    assert_int_equal(world->handled, 0);
}

static void test_watched_stranger(void **state)
{
    struct world *world = *state;
    struct body body = {hello, 3, 0, true};
    world->watched = true;
    (void)call_with(world, "/t/Echo", NULL, NULL, NULL, &body);
    assert_int_equal(world->finished_status, GRPC_PERMISSION_DENIED);
    assert_string_equal(world->finished_text, "only friends");
    assert_false(world->is_closed);
    grpc_call_answer(world->finished, GRPC_OK, NULL);
    exchange(world);
    assert_string_equal(world->status, "7");
    assert_true(world->is_closed);
    assert_int_equal(world->handled, 0);
}

static void test_watched_client_goes(void **state)
{
    struct world *world = *state;
    struct body body = {hello, sizeof(hello), 0, false};
    world->watched = true;
    int32_t id = call_with(world, "/t/Hold", NULL, NULL, NULL, &body);
    nghttp2_submit_rst_stream(world->client, 0, id, NGHTTP2_CANCEL);
    exchange(world);
    assert_int_equal(world->cancelled, 1);
    assert_int_equal(world->gone, 1);
    body.sent = 0;
    id = call_with(world, "/t/Echo", NULL, NULL, NULL, &body);
    assert_non_null(world->finished);
    nghttp2_submit_rst_stream(world->client, 0, id, NGHTTP2_CANCEL);
    exchange(world);
    assert_null(world->finished);
    assert_int_equal(world->gone, 2);
    body.sent = 0;
    /* The deadline is an answer. */
    (void)call_with(world, "/t/Hold", "grpc-timeout", "1m", NULL, &body);
    (void)grpc_session_expire(world->session, (uint64_t)text_now_monotonic_ns() + 10000000);
    assert_int_equal(world->finished_status, GRPC_DEADLINE_EXCEEDED);
    grpc_call_answer(world->finished, GRPC_OK, NULL);
    exchange(world);
    assert_string_equal(world->status, "4");
}

/* A peer that does not open its window makes the queue grow, not our output. */
static void test_slow_reader(void **state)
{
    struct world *world = *state;
    struct body body = {hello, sizeof(hello), 0, false};
    (void)call_with(world, "/t/Hold", NULL, NULL, NULL, &body);
    static const uint8_t chunk[60000];
    for (int i = 0; i < 10; i++)
        assert_int_equal(grpc_call_send(world->held, chunk, sizeof(chunk)), 0);
    size_t pulled = 0;
    const uint8_t *bytes;
    ssize_t size;
    while ((size = grpc_session_pull(world->session, &bytes)) > 0)
        pulled += (size_t)size;
    assert_true(pulled < 70000); /* HTTP/2's first window is 65,535 */
    assert_true(grpc_call_queued(world->held) > 500000);
}

static void test_large_headers(void **state)
{
    struct world *world = *state;
    char large[5000];
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    struct body body = {hello, sizeof(hello), 0, false};
    (void)call_with(world, "/t/Echo", "x-large", large, NULL, &body);
    assert_int_equal(world->handled, 0);
    assert_true(world->is_closed);
    /* The connection lives on. */
    call(world, "/t/Echo");
    assert_string_equal(world->status, "0");
}

static void test_graceful_end(void **state)
{
    struct world *world = *state;
    struct body body = {hello, sizeof(hello), 0, false};
    (void)call_with(world, "/t/Hold", NULL, NULL, NULL, &body);
    grpc_session_shutdown(world->session);
    exchange(world);
    assert_false(grpc_session_is_over(world->session));
    assert_int_equal(nghttp2_session_check_request_allowed(world->client), 0);
    grpc_call_finish(world->held, GRPC_OK, NULL);
    world->held = NULL;
    exchange(world);
    assert_string_equal(world->status, "0");
    assert_true(grpc_session_is_over(world->session));
}

/* A client without calls is not waited for: it may not look at its connection before its next call. */
static void test_graceful_end_of_an_idle_one(void **state)
{
    struct world *world = *state;
    call(world, "/t/Echo");
    grpc_session_shutdown(world->session);
    const uint8_t *bytes;
    while (grpc_session_pull(world->session, &bytes) > 0)
        ; /* to a client that does not read */
    assert_true(grpc_session_is_over(world->session));
}

static void test_free_cancels(void **state)
{
    struct world *world = *state;
    struct body body = {hello, sizeof(hello), 0, false};
    (void)call_with(world, "/t/Hold", NULL, NULL, NULL, &body);
    grpc_session_free(world->session);
    world->session = NULL;
    assert_int_equal(world->cancelled, 1);
}

/* Opening and resetting streams costs a client nothing, so it may not do it without end. */
static void test_reset_storm(void **state)
{
    struct world *world = *state;
    unsigned storm = 0;
    while (storm < 3000 && nghttp2_session_check_request_allowed(world->client)) {
        struct body body = {hello, sizeof(hello), 0, false};
        int32_t id = call_with(world, "/t/Hold", NULL, NULL, NULL, &body);
        nghttp2_submit_rst_stream(world->client, 0, id, NGHTTP2_CANCEL);
        exchange(world);
        storm++;
    }
    assert_in_range(storm, 900, 2500);
    assert_int_equal(world->cancelled, storm);
    assert_true(grpc_session_is_over(world->session));
}

static void test_preface_is_seen(void **state)
{
    struct world *world = *state;
    static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert_int_equal(grpc_session_feed(world->session, preface, sizeof(preface) - 1), 0);
    assert_false(grpc_session_has_preface(world->session));
    static const uint8_t settings[9] = {0, 0, 0, 4};
    assert_int_equal(grpc_session_feed(world->session, settings, sizeof(settings)), 0);
    assert_true(grpc_session_has_preface(world->session));
}

/* Trailers of a request have no say. */
static void test_trailers_of_a_request(void **state)
{
    struct world *world = *state;
    struct body body = {hello, sizeof(hello), 0, .has_trailers = true};
    (void)call_with(world, "/t/Echo", NULL, NULL, NULL, &body);
    assert_int_equal(world->handled, 1);
    assert_string_equal(world->status, "0");
}

static void test_garbage(void **state)
{
    struct world *world = *state;
    assert_true(grpc_session_feed(world->session, (const uint8_t *)"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27) < 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
            TEST(test_echo),
            TEST(test_error_text),
            TEST(test_unimplemented),
            cmocka_unit_test_setup_teardown(test_stranger, set_up_stranger, tear_down),
            TEST(test_wrong_content_type),
            TEST(test_compressed),
            TEST(test_bodies),
            TEST(test_cancel_by_client),
            TEST(test_deadline),
            TEST(test_stream_and_drain),
            TEST(test_watched_answer_waits),
            TEST(test_watched_answer_replaced),
            TEST(test_watched_refusals),
            cmocka_unit_test_setup_teardown(test_watched_stranger, set_up_stranger, tear_down),
            TEST(test_watched_client_goes),
            TEST(test_slow_reader),
            TEST(test_large_headers),
            TEST(test_graceful_end),
            TEST(test_graceful_end_of_an_idle_one),
            TEST(test_free_cancels),
            TEST(test_reset_storm),
            TEST(test_preface_is_seen),
            TEST(test_trailers_of_a_request),
            TEST(test_garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
