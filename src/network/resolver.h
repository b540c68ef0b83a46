/* The host's name servers, for builds: what /etc/resolv.conf says and a build can reach. Never one that the host does
 * not have. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "plan/plan.h"

struct resolvers {
    uint32_t count; /* at least 1 */
    uint32_t addresses[PLAN_RESOLVERS_MAX];
    char search[256]; /* "search ..." or "" */
};

/* Reads @path (NULL: /etc/resolv.conf) and, when that names nothing but systemd-resolved's address on the loopback,
 * @resolved (NULL: where systemd-resolved writes its own ones). 0; -EADDRNOTAVAIL with @error: none of them can be
 * reached from a build; -errno with @error. */
int resolvers_read(const char *path, const char *resolved, struct resolvers *ret_resolvers, struct error *error);

/* What a file's text names. 0 or a sum of RESOLVER_*; for tests. */
struct resolver_file {
    struct resolvers usable; /* maybe none */
    unsigned skipped;        /* what could not be used: RESOLVER_* */
};
#define RESOLVER_LOOPBACK 1U /* on the loopback; also when no server is named, which means that */
#define RESOLVER_STUB 2U     /* systemd-resolved's */
#define RESOLVER_IPV6 4U
void resolver_parse(const char *text, struct resolver_file *ret_file);
