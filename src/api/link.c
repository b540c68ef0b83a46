#include "api/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

struct request {
    struct request *next;
    uint32_t sequence;
    int fd;
    link_done done;
    void *user;
    union {
        struct channel_header header;
        uint8_t bytes[CHANNEL_MESSAGE_MAX];
    } message;
};

struct queue {
    struct request *first;
    struct request **last;
};

struct link {
    uv_poll_t poll;
    int socket;
    const struct link_events *events;
    void *user;
    uint32_t sequence;
    unsigned in_flight;
    struct queue waiting;
    struct queue sent;
    bool writable_wanted;
    bool closed;
};

static const size_t reply_sizes[CHANNEL_OPERATION_COUNT] = {
        [CHANNEL_HELLO] = sizeof(struct channel_hello_reply),
        [CHANNEL_LIST_JOBS] = sizeof(struct channel_job_reply),
        [CHANNEL_JOB_START] = sizeof(struct channel_start_reply),
        [CHANNEL_JOB_SIGNAL] = sizeof(struct channel_reply),
        [CHANNEL_JOB_RELEASE] = sizeof(struct channel_reply),
        [CHANNEL_JOB_REMOVE] = sizeof(struct channel_reply),
        [CHANNEL_JOB_LOOK] = sizeof(struct channel_look_reply),
        [CHANNEL_BUILD_START] = sizeof(struct channel_start_reply),
        [CHANNEL_TOOL_START] = sizeof(struct channel_start_reply),
        [CHANNEL_BUILD_PUBLISH] = sizeof(struct channel_reply),
        [CHANNEL_RUNTIME_REMOVE] = sizeof(struct channel_reply),
        [CHANNEL_HOST_STATE] = sizeof(struct channel_host_reply),
        [CHANNEL_AUDIT_APPEND] = sizeof(struct channel_reply),
        [CHANNEL_BASE_FIND] = sizeof(struct channel_base_reply),
        [CHANNEL_BASE_SEAL] = sizeof(struct channel_reply),
};

static void queue_init(struct queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

static void queue_add(struct queue *queue, struct request *request)
{
    request->next = NULL;
    *queue->last = request;
    queue->last = &request->next;
}

static struct request *queue_take(struct queue *queue, uint32_t sequence)
{
    for (struct request **at = &queue->first; *at; at = &(*at)->next) {
        struct request *request = *at;
        if (request->sequence != sequence)
            continue;
        *at = request->next;
        if (queue->last == &request->next)
            queue->last = at;
        return request;
    }
    return NULL;
}

static void queue_done(struct queue *queue)
{
    while (queue->first) {
        struct request *request = queue->first;
        queue->first = request->next;
        (void)fd_close(request->fd);
        free(request);
    }
    queue_init(queue);
}

static void link_on_handle_closed(uv_handle_t *handle)
{
    struct link *link = handle->data;
    link->socket = fd_close(link->socket);
}

void link_close(struct link *link)
{
    if (!link || link->closed)
        return;
    link->closed = true;
    queue_done(&link->waiting);
    queue_done(&link->sent);
    uv_close((uv_handle_t *)&link->poll, link_on_handle_closed);
}

void link_free(struct link *link)
{
    if (!link)
        return;
    link_close(link);
    (void)fd_close(link->socket);
    free(link);
}

static void link_fail(struct link *link, const struct error *error)
{
    const struct link_events *events = link->events;
    void *user = link->user;
    link_close(link);
    events->closed(error, user);
}

static void link_on_poll(uv_poll_t *poll, int status, int events);

static void link_want(struct link *link, bool writable)
{
    if (link->writable_wanted == writable)
        return;
    link->writable_wanted = writable;
    (void)uv_poll_start(&link->poll, UV_READABLE | (writable ? UV_WRITABLE : 0), link_on_poll);
}

/* Sends what may be sent. 0 or -errno. */
static int link_flush(struct link *link)
{
    while (link->waiting.first && link->in_flight < LINK_IN_FLIGHT_MAX) {
        struct request *request = link->waiting.first;
        int r = channel_send(link->socket, request->message.bytes, &request->fd, request->fd >= 0 ? 1 : 0);
        if (r == -EAGAIN) {
            link_want(link, true);
            return 0;
        }
        if (r < 0)
            return r;
        link->waiting.first = request->next;
        if (!link->waiting.first)
            link->waiting.last = &link->waiting.first;
        request->fd = fd_close(request->fd);
        queue_add(&link->sent, request);
        link->in_flight++;
    }
    link_want(link, false);
    return 0;
}

/* False when the message contradicts the protocol. */
static bool link_handle(struct link *link, const struct channel_received *message)
{
    uint16_t operation = message->header.operation;
    if (message->fd_count != 0)
        return false;
    if (operation == CHANNEL_EVENT_SHUTDOWN && message->header.size == sizeof(struct channel_header)) {
        link->events->shutdown(link->user);
        return true;
    }
    if (operation == CHANNEL_EVENT_JOB_ENDED && message->header.size == sizeof(struct channel_job_ended)) {
        struct channel_job_ended ended;
        memcpy(&ended, message->bytes, sizeof(ended));
        link->events->job_ended(&ended, link->user);
        return true;
    }
    if (operation == CHANNEL_EVENT_JOB_VIEW && message->header.size == sizeof(struct channel_job_view)) {
        struct channel_job_view view;
        memcpy(&view, message->bytes, sizeof(view));
        link->events->job_view(&view, link->user);
        return true;
    }
    struct request *request = queue_take(&link->sent, message->header.sequence);
    if (!request)
        return false;
    bool valid = request->message.header.operation == operation && operation < CHANNEL_OPERATION_COUNT &&
                 message->header.size == reply_sizes[operation];
    link->in_flight--;
    if (valid && request->done)
        request->done(message, request->user);
    free(request);
    return valid;
}

static void link_on_poll(uv_poll_t *poll, int status, int events)
{
    struct link *link = poll->data;
    struct error error = {0};
    int r = 0;
    /* An error of the socket (a peer that went with our messages unread) says more when it is read. */
    while (r == 0 && !link->closed && (status < 0 || (events & UV_READABLE))) {
        struct channel_received message;
        r = channel_receive(link->socket, &message);
        if (r < 0)
            break;
        if (!link_handle(link, &message))
            r = -EPROTO;
        channel_received_done(&message);
    }
    if (link->closed)
        return;
    if (r == 0 || r == -EAGAIN)
        r = status < 0 ? status : link_flush(link);
    if (r == -ENODATA || r == -EPIPE || r == -ECONNRESET)
        link_fail(link, &error);
    else if (r < 0) {
        (void)error_errno(&error, -r, "privileged channel");
        link_fail(link, &error);
    }
}

int link_new(uv_loop_t *loop, int socket, const struct link_events *events, void *user, struct link **ret_link,
        struct error *error)
{
    struct link *link = calloc(1, sizeof(*link));
    if (!link)
        return error_text(error, ENOMEM, "privileged channel: no memory");
    *link = (struct link){.socket = socket, .events = events, .user = user};
    queue_init(&link->waiting);
    queue_init(&link->sent);
    link->poll.data = link;
    int r = uv_poll_init(loop, &link->poll, socket);
    if (r < 0) {
        free(link);
        return error_errno(error, -r, "privileged channel");
    }
    (void)uv_poll_start(&link->poll, UV_READABLE, link_on_poll);
    *ret_link = link;
    return 0;
}

int link_request(struct link *link, const void *message, int fd, link_done done, void *user)
{
    const struct channel_header *header = message;
    struct request *request = link->closed ? NULL : calloc(1, sizeof(*request));
    if (!request) {
        (void)fd_close(fd);
        return link->closed ? -EPIPE : -ENOMEM;
    }
    *request = (struct request){.sequence = ++link->sequence, .fd = fd, .done = done, .user = user};
    memcpy(request->message.bytes, message, header->size);
    request->message.header.sequence = request->sequence;
    queue_add(&link->waiting, request);
    /* A failure is seen by the poll as well, and told from there: callers need not expect it here. */
    (void)link_flush(link);
    return 0;
}

int link_job_signal(struct link *link, const uint8_t id[16], enum channel_signal signal, link_done done, void *user)
{
    struct channel_job_signal message = {
            .header = {.operation = CHANNEL_JOB_SIGNAL, .size = sizeof(message)}, .signal = signal};
    memcpy(message.job_id, id, sizeof(message.job_id));
    return link_request(link, &message, -EBADF, done, user);
}

int link_job_id(struct link *link, enum channel_operation operation, const uint8_t id[16], link_done done, void *user)
{
    struct channel_job_id message = {.header = {.operation = (uint16_t)operation, .size = sizeof(message)}};
    memcpy(message.job_id, id, sizeof(message.job_id));
    return link_request(link, &message, -EBADF, done, user);
}

const struct error *link_reply_error(const struct channel_received *reply)
{
    return &((const struct channel_reply *)(const void *)reply->bytes)->error;
}
