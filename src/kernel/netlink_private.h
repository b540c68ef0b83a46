/* Between netlink.c (what is changed), netlink_list.c (what is read) and netlink_message.c (both directions' bytes). */
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All of our requests are shorter by far. */
#define NETLINK_REQUEST_MAX 1024U
/* The kernel fills at most so much in one go. */
#define NETLINK_REPLY_MAX 32768U

struct netlink_request {
    union {
        struct nlmsghdr header;
        uint8_t bytes[NETLINK_REQUEST_MAX];
    };
    bool is_full; /* something did not fit: never sent */
};

/* Begins a request with the fixed part @body. */
void netlink_begin(struct netlink_request *request, uint16_t type, uint16_t flags, const void *body, size_t body_size);
void netlink_put(struct netlink_request *request, uint16_t type, const void *data, size_t size);
void netlink_put_u32(struct netlink_request *request, uint16_t type, uint32_t value);
void netlink_put_u8(struct netlink_request *request, uint16_t type, uint8_t value);
/* An IPv4 address in host byte order. */
void netlink_put_ipv4(struct netlink_request *request, uint16_t type, uint32_t address);
/* With its NUL. */
void netlink_put_text(struct netlink_request *request, uint16_t type, const char *text);
/* Bytes without a header, within a nest. */
void netlink_put_raw(struct netlink_request *request, const void *data, size_t size);
/* What is put until netlink_unnest(@mark) lies within. */
size_t netlink_nest(struct netlink_request *request, uint16_t type);
void netlink_unnest(struct netlink_request *request, size_t mark);

/* Sends @request and waits for what the kernel says. 0 or -errno. */
int netlink_talk(int socket, struct netlink_request *request);
/* Sends @request and calls @each with each message of the answer until it returns another value than 0, which is
 * returned. 0 or -errno; -EINTR: what was listed changed meanwhile. The answer is read to its end in any case. */
int netlink_dump(int socket, struct netlink_request *request, int (*each)(const struct nlmsghdr *message, void *user),
        void *user);

/* The fixed part of a message, and the value of an attribute. */
static inline const void *netlink_body(const struct nlmsghdr *message)
{
    return (const uint8_t *)message + NLMSG_HDRLEN;
}
static inline const void *netlink_value(const struct rtattr *attribute)
{
    return (const uint8_t *)attribute + RTA_LENGTH(0);
}

/* The attributes behind the fixed part of @body_size bytes, by type: those of types up to @max, the last of each, NULL
 * where there is none. 0 or -EBADMSG. */
int netlink_parse(
        const struct nlmsghdr *message, size_t body_size, const struct rtattr *ret_attributes[], unsigned max);
/* The same for what lies within an attribute. */
int netlink_parse_nest(const struct rtattr *nest, const struct rtattr *ret_attributes[], unsigned max);
int netlink_parse_bytes(const uint8_t *bytes, size_t size, const struct rtattr *ret_attributes[], unsigned max);
/* The value of an attribute of exactly that size; 0 when it is another, or NULL. */
uint32_t netlink_get_u32(const struct rtattr *attribute);
uint8_t netlink_get_u8(const struct rtattr *attribute);
uint32_t netlink_get_ipv4(const struct rtattr *attribute);
/* At most @size bytes, ended by NUL; "" when it is NULL. */
void netlink_get_text(const struct rtattr *attribute, char *ret_text, size_t size);
