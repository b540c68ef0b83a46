#include "network/life.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "network/bridge.h"
#include "network/forwarding.h"
#include "network/ruleset.h"

#define LIST_SIZE_MAX (64U << 20)

int life_hold(const char *identity)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(identity);
    if (length + 1 > sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path + 1, identity, length);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, size) < 0)
        return -errno;
    return TAKE_FD(fd);
}

bool life_is_dead(const char *identity)
{
    _cleanup_close_ int held = life_hold(identity);
    return held >= 0;
}

/* The kernel lists abstract names with "@" for their first byte, each at the end of a line. */
bool life_has_others(const char *identity)
{
    _cleanup_free_ char *text = NULL;
    const size_t length = strlen(identity);
    if (fd_read_file_at(AT_FDCWD, "/proc/net/unix", LIST_SIZE_MAX, &text, NULL) < 0)
        return true;
    for (const char *at = strstr(text, " @" SURVEY_MARK); at; at = strstr(at + 1, " @" SURVEY_MARK))
        if (strncmp(at + 2, identity, length) != 0 || (at[2 + length] != '\n' && at[2 + length] != '\0'))
            return true;
    return false;
}

uint32_t life_hash(const char *identity)
{
    uint32_t hash = 2166136261U;
    for (const char *at = identity; *at; at++)
        hash = (hash ^ (uint8_t)*at) * 16777619U;
    return hash;
}

#define OTHERS_MAX 64U

struct other {
    struct netlink_link link;
    bool has_ports;
};

struct others {
    const char *bridge;
    struct other *at;
    unsigned count;
};

/* A bridge whose name says the hash of its identity. */
static int find_other(const struct netlink_link *link, void *user)
{
    struct others *others = user;
    char identity[RULESET_IDENTITY_MAX];
    char name[NETLINK_NAME_MAX];
    if (others->count == OTHERS_MAX || strcmp(link->kind, "bridge") != 0 || strcmp(link->name, others->bridge) == 0 ||
            bridge_read_identity(link, identity, sizeof(identity)) < 0)
        return 0;
    (void)snprintf(name, sizeof(name), "jb%08x", life_hash(identity));
    if (strcmp(link->name, name) == 0)
        others->at[others->count++] = (struct other){.link = *link};
    return 0;
}

static int find_ports(const struct netlink_link *link, void *user)
{
    struct others *others = user;
    for (unsigned i = 0; i < others->count; i++)
        others->at[i].has_ports |= link->master == others->at[i].link.index;
    return 0;
}

/* While we hold its name: it waits with its start until we are done. */
static int bury(int socket, const struct netlink_link *link, const char *identity, struct error *error)
{
    char switched[NETLINK_ALIAS_MAX];
    struct ruleset rules = {0};
    struct bridge_names names = {.identity = identity};
    memcpy(names.name, link->name, sizeof(names.name));
    memcpy(names.address, link->address, sizeof(names.address));
    (void)snprintf(switched, sizeof(switched), "%s", bridge_get_switched(link));
    (void)snprintf(rules.name, sizeof(rules.name), "joblet_%.8s", link->name + 2);
    (void)snprintf(rules.identity, sizeof(rules.identity), "%s", identity);
    int r = forwarding_restore(socket, link->name, switched, error);
    if (r == 0) /* the bridge last: it is what leads the next one here */
        r = ruleset_unload(&rules, error);
    if (r == 0)
        r = bridge_remove(socket, &names, error);
    ruleset_done(&rules);
    return r;
}

static int bury_if_dead(int socket, const struct other *other, struct error *error)
{
    char identity[RULESET_IDENTITY_MAX];
    if (other->has_ports || bridge_read_identity(&other->link, identity, sizeof(identity)) < 0)
        return 0;
    _cleanup_close_ int held = life_hold(identity);
    if (held < 0)
        return held == -EADDRINUSE ? 0 : error_errno(error, -held, "look whether another service lives");
    /* It may have begun a build, or ended, before we had its name. */
    struct others now = {.bridge = "", .at = &(struct other){.link = other->link}, .count = 1};
    int r = netlink_get_link(socket, other->link.index, &now.at->link);
    if (r == 0)
        r = netlink_each_link(socket, find_ports, &now);
    if (r == -ENODEV || (r == 0 && (now.at->has_ports || strcmp(now.at->link.name, other->link.name) != 0)))
        return 0;
    return r < 0 ? error_errno(error, -r, "look at the bridge of another service")
                 : bury(socket, &now.at->link, identity, error);
}

int life_bury(int socket, const char *bridge, struct error *error)
{
    struct others others = {.bridge = bridge, .at = calloc(OTHERS_MAX, sizeof(struct other))};
    if (!others.at)
        return error_errno(error, ENOMEM, "look for other services");
    int result = 0;
    int r = netlink_each_link(socket, find_other, &others);
    if (r == 0)
        r = others.count == 0 ? 0 : netlink_each_link(socket, find_ports, &others);
    if (r < 0)
        result = error_errno(error, -r, "look for other services");
    for (unsigned i = 0; r == 0 && i < others.count; i++) {
        struct error own = {0};
        int s = bury_if_dead(socket, &others.at[i], &own);
        if (s < 0 && result == 0) {
            result = s;
            if (error)
                *error = own;
        }
    }
    free(others.at);
    return result;
}
