#include "network/survey.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

#define ROUTES_MAX 65536U

/* Shorter ones are default routes, also in two halves: every network lies within them. */
#define ROUTE_LENGTH_MIN 8U

struct collect {
    struct survey *survey;
    const char *bridge;
};

/* Room for one more of @count elements. False without memory, or beyond @max. */
static bool grow(void **elements, uint32_t count, size_t size, uint32_t max)
{
    if (count & (count - 1))
        return true; /* there is room up to the next power of two */
    if (count >= max)
        return false;
    void *grown = reallocarray(*elements, count == 0 ? 1 : count * 2UL, size);
    if (grown)
        *elements = grown;
    return grown != NULL;
}

static struct survey_link *find_link(const struct survey *survey, uint32_t index)
{
    for (uint32_t i = 0; i < survey->link_count; i++)
        if (survey->links[i].index == index)
            return &survey->links[i];
    return NULL;
}

/* What stands in a rule by its name. The kernel permits quotes and asterisks, too. */
static const char nameable[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

static int take_link(const struct netlink_link *link, void *user)
{
    const struct collect *collect = user;
    struct survey *survey = collect->survey;
    if (link->flags & IFF_LOOPBACK || find_link(survey, link->index))
        return 0;
    if (!grow((void **)&survey->links, survey->link_count, sizeof(*survey->links), SURVEY_LINKS_MAX))
        return -E2BIG;
    bool is_bridge = strcmp(link->kind, "bridge") == 0;
    bool is_ours = is_bridge && strcmp(link->name, collect->bridge) == 0;
    bool is_other = is_bridge && !is_ours && strncmp(link->alias, SURVEY_MARK, strlen(SURVEY_MARK)) == 0;
    struct survey_link *added = &survey->links[survey->link_count++];
    *added = (struct survey_link){.index = link->index,
            .mtu = link->mtu,
            .is_nameable = link->name[strspn(link->name, nameable)] == '\0',
            .is_ours = is_ours,
            .is_other = is_other,
            .is_inner = is_bridge || strcmp(link->kind, "veth") == 0};
    memcpy(added->name, link->name, sizeof(added->name));
    return 0;
}

static int take_address(const struct netlink_address *address, void *user)
{
    struct survey *survey = ((const struct collect *)user)->survey;
    const struct survey_link *link = find_link(survey, address->index);
    if ((link && link->is_ours) || address->ipv4 >> 24 == 127)
        return 0;
    for (uint32_t i = 0; i < survey->address_count; i++)
        if (survey->addresses[i].ipv4 == address->ipv4 && survey->addresses[i].index == address->index)
            return 0;
    if (!grow((void **)&survey->addresses, survey->address_count, sizeof(*survey->addresses), SURVEY_ADDRESSES_MAX))
        return -E2BIG;
    survey->addresses[survey->address_count++] = *address;
    return 0;
}

static int take_route(const struct netlink_route *route, void *user)
{
    struct survey *survey = ((const struct collect *)user)->survey;
    struct survey_link *link = find_link(survey, route->index);
    if (route->type != RTN_UNICAST || route->table == RT_TABLE_LOCAL || (link && link->is_ours))
        return 0;
    if (link) {
        link->has_route = true;
        if (route->prefix_length < ROUTE_LENGTH_MIN)
            link->is_default = true;
    }
    if (route->prefix_length < ROUTE_LENGTH_MIN || route->prefix_length > 32)
        return 0;
    if (!grow((void **)&survey->routes, survey->route_count, sizeof(*survey->routes), ROUTES_MAX))
        return -E2BIG;
    survey->routes[survey->route_count++] = (struct plan_route){route->ipv4, route->prefix_length};
    return 0;
}

int survey_take(int socket, const char *bridge, struct survey *ret_survey, struct error *error)
{
    struct survey survey = {0};
    struct collect collect = {.survey = &survey, .bridge = bridge};
    const char *what = "links";
    int r = netlink_each_link(socket, take_link, &collect);
    if (r == 0) {
        what = "addresses";
        r = netlink_each_address(socket, AF_INET, take_address, &collect);
    }
    if (r == 0) {
        what = "routes";
        r = netlink_each_route(socket, AF_INET, take_route, &collect);
    }
    if (r < 0) {
        survey_done(&survey);
        return error_errno(error, -r, "list the host's %s", what);
    }
    *ret_survey = survey;
    return 0;
}

void survey_done(struct survey *survey)
{
    free(survey->links);
    free(survey->addresses);
    free(survey->routes);
    memset(survey, 0, sizeof(*survey));
}

bool survey_is_way_out(const struct survey_link *link)
{
    return link->is_nameable && !link->is_ours && !link->is_other &&
           (link->is_default || (link->has_route && !link->is_inner));
}

uint32_t survey_mtu(const struct survey *survey)
{
    uint32_t mtu = 1500;
    for (uint32_t i = 0; i < survey->link_count; i++)
        if (survey->links[i].is_default && survey->links[i].mtu < mtu)
            mtu = survey->links[i].mtu;
    return mtu < 576 ? 576 : mtu;
}

bool survey_overlaps(const struct survey *survey, const struct plan_route *range, char ret_with[RANGE_TEXT_MAX])
{
    for (uint32_t i = 0; i < survey->address_count; i++) {
        const struct netlink_address *address = &survey->addresses[i];
        const struct plan_route used = {address->ipv4 & range_mask(address->prefix_length), address->prefix_length};
        if (range_overlaps(&used, range)) {
            range_format(&used, ret_with);
            return true;
        }
    }
    for (uint32_t i = 0; i < survey->route_count; i++)
        if (range_overlaps(&survey->routes[i], range)) {
            range_format(&survey->routes[i], ret_with);
            return true;
        }
    return false;
}

int survey_list_refused(const struct survey *survey, const struct plan_route *gateway, const uint32_t holes[],
        unsigned hole_count, struct ranges *ret_refused, struct error *error)
{
    static const struct plan_route link_local = {0xa9fe0000U, 16};
    ret_refused->count = 0;
    int r = ranges_add(ret_refused, *gateway, holes, hole_count);
    if (r == 0)
        r = ranges_add(ret_refused, link_local, holes, hole_count);
    for (uint32_t i = 0; i < survey->address_count && r == 0; i++) {
        const struct netlink_address *address = &survey->addresses[i];
        const struct survey_link *link = find_link(survey, address->index);
        /* Behind a bridge that is no way out lies what runs on this host. */
        bool is_closed = link && link->is_inner && !survey_is_way_out(link);
        const uint32_t length = is_closed && address->prefix_length >= ROUTE_LENGTH_MIN ? address->prefix_length : 32;
        r = ranges_add(ret_refused, (struct plan_route){address->ipv4 & range_mask(length), length}, holes, hole_count);
    }
    return r < 0 ? error_text(error, -r, "the host has more addresses than a build's list of refused ones holds, %u",
                           PLAN_ROUTES_MAX)
                 : 0;
}
