#include "kernel/netlink_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void netlink_begin(struct netlink_request *request, uint16_t type, uint16_t flags, const void *body, size_t body_size)
{
    /* Any number will do that no earlier request on the socket had: a socket may be used by several processes, one
     * after the other. */
    static atomic_uint last;
    memset(request, 0, sizeof(*request));
    request->header = (struct nlmsghdr){.nlmsg_len = NLMSG_HDRLEN,
            .nlmsg_type = type,
            .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
            .nlmsg_seq = ((uint32_t)getpid() << 16) + atomic_fetch_add(&last, 1) + 1};
    netlink_put_raw(request, body, body_size);
}

void netlink_put_raw(struct netlink_request *request, const void *data, size_t size)
{
    size_t at = NLMSG_ALIGN(request->header.nlmsg_len);
    if (request->is_full || size > sizeof(request->bytes) - NLMSG_ALIGNTO - at) {
        request->is_full = true;
        return;
    }
    if (size > 0)
        memcpy(request->bytes + at, data, size);
    request->header.nlmsg_len = (uint32_t)(at + NLMSG_ALIGN(size));
}

void netlink_put(struct netlink_request *request, uint16_t type, const void *data, size_t size)
{
    const struct rtattr attribute = {.rta_len = (uint16_t)RTA_LENGTH(size), .rta_type = type};
    if (size > sizeof(request->bytes)) {
        request->is_full = true;
        return;
    }
    netlink_put_raw(request, &attribute, sizeof(attribute));
    netlink_put_raw(request, data, size);
}

void netlink_put_u32(struct netlink_request *request, uint16_t type, uint32_t value)
{
    netlink_put(request, type, &value, sizeof(value));
}

void netlink_put_u8(struct netlink_request *request, uint16_t type, uint8_t value)
{
    netlink_put(request, type, &value, sizeof(value));
}

void netlink_put_ipv4(struct netlink_request *request, uint16_t type, uint32_t address)
{
    netlink_put_u32(request, type, htonl(address));
}

void netlink_put_text(struct netlink_request *request, uint16_t type, const char *text)
{
    netlink_put(request, type, text, strlen(text) + 1);
}

size_t netlink_nest(struct netlink_request *request, uint16_t type)
{
    size_t mark = request->header.nlmsg_len;
    netlink_put(request, type, NULL, 0);
    return mark;
}

void netlink_unnest(struct netlink_request *request, size_t mark)
{
    if (request->is_full)
        return;
    const uint16_t size = (uint16_t)(request->header.nlmsg_len - mark);
    memcpy(request->bytes + mark + offsetof(struct rtattr, rta_len), &size, sizeof(size));
}

static int send_request(int socket, struct netlink_request *request)
{
    if (request->is_full)
        return -EMSGSIZE;
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t sent;
    do
        sent = sendto(
                socket, request->bytes, request->header.nlmsg_len, 0, (const struct sockaddr *)&kernel, sizeof(kernel));
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

/* One datagram of the kernel's; others are passed over. Its size or -errno. */
static ssize_t receive(int socket, void *buffer, size_t size)
{
    for (;;) {
        struct sockaddr_nl sender = {0};
        struct iovec part = {.iov_base = buffer, .iov_len = size};
        struct msghdr message = {.msg_name = &sender, .msg_namelen = sizeof(sender), .msg_iov = &part, .msg_iovlen = 1};
        ssize_t received = recvmsg(socket, &message, 0);
        /* ENOBUFS: news that nobody waits for was lost (netlink_watch_links); an answer always finds room. */
        if (received < 0 && (errno == EINTR || errno == ENOBUFS))
            continue;
        if (received < 0)
            return -errno;
        if (message.msg_flags & MSG_TRUNC)
            return -EMSGSIZE;
        if (message.msg_namelen == sizeof(sender) && sender.nl_pid == 0)
            return received;
    }
}

struct answer {
    int (*each)(const struct nlmsghdr *message, void *user);
    void *user;
    int result;
    bool is_interrupted;
};

/* One message of the answer. 1: it was the last. */
static int take_message(struct answer *answer, const struct nlmsghdr *message)
{
    if (message->nlmsg_flags & NLM_F_DUMP_INTR)
        answer->is_interrupted = true;
    if (message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE) {
        int32_t code = 0;
        if (message->nlmsg_len >= NLMSG_LENGTH(sizeof(code)))
            memcpy(&code, netlink_body(message), sizeof(code));
        else if (message->nlmsg_type == NLMSG_ERROR)
            code = -EBADMSG;
        if (answer->result == 0)
            answer->result = code > 0 ? -EBADMSG : code;
        return 1;
    }
    if (message->nlmsg_type < NLMSG_MIN_TYPE)
        return 0;
    if (answer->result == 0 && answer->each)
        answer->result = answer->each(message, answer->user);
    return message->nlmsg_flags & NLM_F_MULTI ? 0 : 2;
}

/* Reads until the answer to @sequence has ended. */
static int read_answer(int socket, uint32_t sequence, bool wants_acknowledgement, struct answer *answer)
{
    union {
        struct nlmsghdr header;
        uint8_t bytes[NETLINK_REPLY_MAX];
    } buffer;
    for (;;) {
        ssize_t received = receive(socket, &buffer, sizeof(buffer));
        if (received < 0)
            return (int)received;
        size_t left = (size_t)received;
        for (size_t at = 0; left >= sizeof(struct nlmsghdr);) {
            const struct nlmsghdr *message = (const void *)(buffer.bytes + at);
            if (message->nlmsg_len < sizeof(*message) || message->nlmsg_len > left)
                return -EBADMSG;
            size_t step = NLMSG_ALIGN(message->nlmsg_len);
            /* Another number: the rest of an answer that somebody did not wait for. */
            int last = message->nlmsg_seq == sequence ? take_message(answer, message) : 0;
            if (last == 1 || (last == 2 && !wants_acknowledgement))
                return answer->result;
            at += step;
            left = step < left ? left - step : 0;
        }
        if (left > 0)
            return -EBADMSG;
    }
}

int netlink_talk(int socket, struct netlink_request *request)
{
    request->header.nlmsg_flags |= NLM_F_ACK;
    int r = send_request(socket, request);
    struct answer answer = {0};
    return r < 0 ? r : read_answer(socket, request->header.nlmsg_seq, /* wants_acknowledgement= */ true, &answer);
}

int netlink_dump(int socket, struct netlink_request *request, int (*each)(const struct nlmsghdr *message, void *user),
        void *user)
{
    int r = send_request(socket, request);
    struct answer answer = {.each = each, .user = user};
    if (r == 0)
        r = read_answer(socket, request->header.nlmsg_seq, /* wants_acknowledgement= */ false, &answer);
    return r == 0 && answer.is_interrupted ? -EINTR : r;
}

int netlink_parse_bytes(const uint8_t *bytes, size_t size, const struct rtattr *ret_attributes[], unsigned max)
{
    for (unsigned i = 0; i <= max; i++)
        ret_attributes[i] = NULL;
    for (size_t at = 0; at + sizeof(struct rtattr) <= size;) {
        const struct rtattr *attribute = (const void *)(bytes + at);
        if (attribute->rta_len < sizeof(*attribute) || attribute->rta_len > size - at)
            return -EBADMSG;
        unsigned type = attribute->rta_type & NLA_TYPE_MASK;
        if (type <= max)
            ret_attributes[type] = attribute;
        at += RTA_ALIGN(attribute->rta_len);
    }
    return 0;
}

int netlink_parse(const struct nlmsghdr *message, size_t body_size, const struct rtattr *ret_attributes[], unsigned max)
{
    size_t before = NLMSG_SPACE(body_size);
    if (message->nlmsg_len < NLMSG_LENGTH(body_size))
        return -EBADMSG;
    size_t size = message->nlmsg_len > before ? message->nlmsg_len - before : 0;
    return netlink_parse_bytes((const uint8_t *)message + before, size, ret_attributes, max);
}

int netlink_parse_nest(const struct rtattr *nest, const struct rtattr *ret_attributes[], unsigned max)
{
    return netlink_parse_bytes(netlink_value(nest), RTA_PAYLOAD(nest), ret_attributes, max);
}

uint32_t netlink_get_u32(const struct rtattr *attribute)
{
    uint32_t value = 0;
    if (attribute && RTA_PAYLOAD(attribute) == sizeof(value))
        memcpy(&value, netlink_value(attribute), sizeof(value));
    return value;
}

uint8_t netlink_get_u8(const struct rtattr *attribute)
{
    return attribute && RTA_PAYLOAD(attribute) == 1 ? *(const uint8_t *)netlink_value(attribute) : 0;
}

uint32_t netlink_get_ipv4(const struct rtattr *attribute)
{
    return ntohl(netlink_get_u32(attribute));
}

void netlink_get_text(const struct rtattr *attribute, char *ret_text, size_t size)
{
    size_t length = attribute ? RTA_PAYLOAD(attribute) : 0;
    if (length >= size)
        length = size - 1;
    if (length > 0)
        memcpy(ret_text, netlink_value(attribute), length);
    ret_text[length] = '\0';
}
