/* The address that clients use, as it is given to setup: a name or an IP address, with or without a port. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define ADDRESS_HOST_MAX 254 /* a DNS name of 253 characters and its NUL */
#define ADDRESS_TEXT_MAX 264

struct address {
    char host[ADDRESS_HOST_MAX]; /* without brackets */
    bool is_ip;
    bool has_port; /* false: port is 0 */
    uint16_t port;
};

/* Reads "HOST", "HOST:PORT", "IPv4:PORT", "IPv6", "[IPv6]:PORT". 0 or -EINVAL with @error. */
int address_parse(const char *text, struct address *ret_address, struct error *error);
/* "HOST:PORT" with brackets where they are needed: what gRPC clients take. */
void address_format(const struct address *address, char ret_text[ADDRESS_TEXT_MAX]);
