#include "setup/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static bool is_ip(const char *host)
{
    struct in6_addr address;
    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

/* Letters, digits, hyphens and dots, no empty label: what a certificate and a YAML file can hold as it stands. */
static bool is_name(const char *host)
{
    size_t label = 0;
    for (const char *c = host; *c; c++) {
        if (*c == '.') {
            if (label == 0 || c[-1] == '-')
                return false;
            label = 0;
            continue;
        }
        if (!isalnum((unsigned char)*c) && (*c != '-' || label == 0))
            return false;
        if (++label > 63)
            return false;
    }
    return label > 0;
}

static int parse_port(const char *text, struct address *address)
{
    uint64_t port;
    if (text_parse_u64(text, 65535, &port) < 0 || port == 0)
        return -EINVAL;
    address->port = (uint16_t)port;
    address->has_port = true;
    return 0;
}

/* Splits "[HOST]:PORT" and "HOST:PORT". What has two colons and no brackets is an IPv6 address without a port. */
static int split(const char *text, struct address *address)
{
    const char *start = text;
    const char *port = NULL;
    size_t length = strlen(text);
    if (*text == '[') {
        const char *end = strchr(text, ']');
        if (!end || (end[1] && end[1] != ':'))
            return -EINVAL;
        start = text + 1;
        length = (size_t)(end - start);
        port = end[1] ? end + 2 : NULL;
    } else {
        const char *colon = strchr(text, ':');
        if (colon && !strchr(colon + 1, ':')) {
            length = (size_t)(colon - text);
            port = colon + 1;
        }
    }
    if (length == 0 || length >= sizeof(address->host))
        return -EINVAL;
    memcpy(address->host, start, length);
    address->host[length] = '\0';
    return port ? parse_port(port, address) : 0;
}

int address_parse(const char *text, struct address *ret_address, struct error *error)
{
    struct address address = {0};
    int r = split(text, &address);
    address.is_ip = r == 0 && is_ip(address.host);
    if (r < 0 || (!address.is_ip && !is_name(address.host)) || (*text == '[' && !address.is_ip))
        return error_text(error, EINVAL, "'%.60s' is not HOST, HOST:PORT or [IPv6]:PORT", text);
    *ret_address = address;
    return 0;
}

void address_format(const struct address *address, char ret_text[ADDRESS_TEXT_MAX])
{
    if (strchr(address->host, ':'))
        (void)snprintf(ret_text, ADDRESS_TEXT_MAX, "[%s]:%u", address->host, (unsigned)address->port);
    else
        (void)snprintf(ret_text, ADDRESS_TEXT_MAX, "%s:%u", address->host, (unsigned)address->port);
}
