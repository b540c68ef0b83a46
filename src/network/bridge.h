/* The bridge of this service. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "kernel/netlink.h"
#include "network/range.h"

struct bridge_names {
    char name[NETLINK_NAME_MAX];
    const char *identity; /* begins the alias */
    uint8_t address[6];   /* of the link; from the identity, too */
};

/* Finds it. 0; -ENODEV: it is not there; -EEXIST with @error: a link has the name and is not ours; -errno with
 * @error. */
int bridge_find(int socket, const struct bridge_names *names, struct netlink_link *ret_link, struct error *error);
/* Makes it, down, with its alias. 0 or -errno with @error; then it is not there. */
int bridge_make(int socket, const struct bridge_names *names, uint32_t mtu, const char *switched,
        struct netlink_link *ret_link, struct error *error);
/* Says in the alias what was switched on. 0 or -errno with @error. */
int bridge_set_switched(int socket, const struct bridge_names *names, const struct netlink_link *link,
        const char *switched, struct error *error);
/* The same, but that it is being put back: the others need not leave it to us. Nothing when it is not there. 0 or
 * -errno with @error. */
int bridge_set_leaving(int socket, const struct bridge_names *names, const char *switched, struct error *error);
/* What the alias of a bridge of any service says: whose it is (0; -ENOENT: of none), which links it names, "" = none,
 * in
 * @link, and whether it is putting them back. */
int bridge_read_identity(const struct netlink_link *link, char *ret_identity, size_t size);
const char *bridge_get_switched(const struct netlink_link *link);
bool bridge_is_leaving(const struct netlink_link *link);
/* Gives it the first address of @network, no IPv6, and sets it up. Does nothing where that is so. 0 or -errno with
 * @error. */
int bridge_set_up(int socket, const struct netlink_link *link, const struct plan_route *network, struct error *error);
/* Removes it, with the pairs below it, if it is there and ours. 0 or -errno with @error. */
int bridge_remove(int socket, const struct bridge_names *names, struct error *error);
