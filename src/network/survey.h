/* What the host's network looks like now, as far as builds have to do with it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "kernel/netlink.h"
#include "network/range.h"

/* Begins the alias of each bridge of ours, and the comment of each table. */
#define SURVEY_MARK "joblet "
/* A host with more of them is refused: what does not fit the list of what is out of reach would be in reach. */
#define SURVEY_ADDRESSES_MAX 512U
#define SURVEY_LINKS_MAX 16384U

struct survey_link {
    uint32_t index;
    uint32_t mtu;
    char name[NETLINK_NAME_MAX];
    bool is_nameable; /* of letters, digits, ".", "_", "-" */
    bool is_ours;     /* the bridge of this service */
    bool is_other;    /* of another joblet */
    bool is_inner;    /* a bridge or a pair's end: something of the host's lies behind it, unless it is a way out */
    bool is_default;  /* a default route goes out of it: a way out, whatever its kind */
    bool has_route;   /* some route goes out of it */
};

struct survey {
    struct survey_link *links;
    uint32_t link_count;
    struct netlink_address *addresses; /* IPv4, without the loopback's 127.0.0.0/8 and without our bridge's */
    uint32_t address_count;
    struct plan_route *routes; /* where unicast routes go to, without those of our bridge and those shorter than /8 */
    uint32_t route_count;
};

/* Asks the kernel, over a route socket. @bridge: name of our bridge. 0 or -errno with @error. */
int survey_take(int socket, const char *bridge, struct survey *ret_survey, struct error *error);
void survey_done(struct survey *survey);

/* True for a link that builds may go out of. */
bool survey_is_way_out(const struct survey_link *link);
/* The smallest unit of the links with a default route, between 576 and 1500. */
uint32_t survey_mtu(const struct survey *survey);
/* True when an address or a route of the host's overlaps @range; its text in @ret_with. */
bool survey_overlaps(const struct survey *survey, const struct plan_route *range, char ret_with[RANGE_TEXT_MAX]);
/* What a build cannot reach: @gateway, link-local addresses, the host's own ones, networks of other joblets, and those
 * behind the host's bridges; but not @holes. 0 or -E2BIG with @error. */
int survey_list_refused(const struct survey *survey, const struct plan_route *gateway, const uint32_t holes[],
        unsigned hole_count, struct ranges *ret_refused, struct error *error);
