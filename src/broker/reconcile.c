#include "broker/reconcile.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "broker/context.h"
#include "broker/leftover.h"
#include "broker/world.h"
#include "network/network.h"

/* Of many of a kind only so many have a line each. */
#define TOLD_MAX 16U

static void sweep(void *user, const char *name)
{
    sweep_add(&((struct broker *)user)->sweep, name);
}

void reconcile_begin(struct broker *broker)
{
    struct error error = {0};
    struct leftover_place *place = &broker->place;
    *place = (struct leftover_place){.config = broker->config,
            .prefix_fd = broker->prefix_fd,
            .run_fd = broker->run_fd,
            .jobs_fd = broker->jobs_fd,
            .store_fd = broker->store.fd,
            .own_host = &broker->cgroups,
            .network = broker->network,
            .is_start = true,
            .sweep = sweep,
            .user = broker};
    memcpy(place->boot_id, broker->boot_id, sizeof(place->boot_id));
    world_name_groups(broker->prefix, place->parent);
    if (leftovers_find_devices(place, &broker->leftovers, &error) < 0)
        log_event(LOG_LEVEL_WARN, "loop devices of an earlier joblet are not looked for", "error", error.text, NULL);
}

/* Our own groups, and those of earlier ones that were noted. */
static void set_hosts(struct broker *broker)
{
    struct leftover_place *place = &broker->place;
    place->hosts[place->host_count++] = &broker->cgroups;
    for (const struct foreign_host *at = broker->foreign; at && place->host_count < LEFTOVER_HOSTS_MAX; at = at->next)
        place->hosts[place->host_count++] = &at->host;
}

static const char *describe(const struct leftover *item)
{
    if (item->verdict == LEFTOVER_NOT_OURS)
        return "something looks like ours and is not: left";
    if (item->failure.code)
        return "a leftover of an earlier joblet cannot be removed";
    if (item->verdict == LEFTOVER_WAITS)
        return "a leftover of an earlier joblet waits";
    if (item->kind == LEFTOVER_JOB)
        return "a job was left half-started, recorded as a setup failure";
    /* A sandbox empties the one, joblet-scratch removes the other. */
    return item->kind == LEFTOVER_TREE || item->kind == LEFTOVER_DEVICE
                   ? "a leftover of an earlier joblet is being removed"
                   : "a leftover of an earlier joblet was removed";
}

static void tell(const struct leftover *item, int64_t now_unix)
{
    const char *left = item->failure.code ? item->failure.text : item->stays;
    int64_t age_s = item->since_unix > 0 && item->since_unix < now_unix ? now_unix - item->since_unix : 0;
    log_event(item->failure.code ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, describe(item), "kind",
            leftover_kind_name(item->kind), "name", item->name, "owner", item->owner, "age_s", LOG_NUMBER(age_s), "why",
            item->why, left ? "left" : NULL, left, NULL);
}

static void tell_all(const struct leftover_list *list)
{
    unsigned told[LEFTOVER_KIND_COUNT] = {0};
    unsigned untold = 0;
    for (unsigned i = 0; i < list->count; i++) {
        if (told[list->items[i].kind]++ < TOLD_MAX || list->items[i].failure.code)
            tell(&list->items[i], time(NULL));
        else
            untold++;
    }
    if (untold > 0)
        log_event(LOG_LEVEL_WARN, "more leftovers of the same kinds", "count", LOG_NUMBER(untold), NULL);
}

/* Bridge and tables of builds that run are taken over; without any, what is there was removed with the leftovers. */
static void take_over_network(struct broker *broker)
{
    struct leftover_place *place = &broker->place;
    if (!broker->network)
        return;
    if (!place->is_network_done)
        place->network_result = network_reconcile(broker->network, &place->network_error);
    if (place->network_result < 0)
        log_event(LOG_LEVEL_ERROR, "the network of earlier builds cannot be removed", "error",
                place->network_error.text, NULL);
}

void reconcile_finish(struct broker *broker)
{
    struct error error = {0};
    struct leftover_list *list = &broker->leftovers;
    set_hosts(broker);
    if (leftovers_find(&broker->place, list, &error) < 0)
        log_event(LOG_LEVEL_ERROR, "leftovers of an earlier joblet are not all found", "error", error.text, NULL);
    (void)leftovers_remove(&broker->place, list);
    tell_all(list);
    take_over_network(broker);
    leftovers_done(list);
}
