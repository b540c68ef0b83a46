#include "broker/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "broker/context.h"
#include "broker/job.h"
#include "broker/limits.h"
#include "plan/spec.h"

/* What is left beyond these is found at the next start. */
#define SWEEPS_MAX 4096U
#define DOUBLINGS_MAX 7U
#define RETRY_NS 2000000000ULL

static void on_again(struct loop_timer *timer)
{
    sweep_next(LOOP_OWNER(timer, struct sweep, timer));
}

static void push(struct sweep *sweep, struct sweep_item *item)
{
    item->next = NULL;
    *(sweep->last ? &sweep->last->next : &sweep->first) = item;
    sweep->last = item;
    sweep->count++;
}

void sweep_add(struct sweep *sweep, const char *name)
{
    struct stat status;
    struct sweep_item *item = sweep->count < SWEEPS_MAX ? calloc(1, sizeof(*item)) : NULL;
    if (!item)
        return;
    if (fstatat(sweep->broker->store.fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(status.st_mode)) {
        free(item);
        return;
    }
    (void)snprintf(item->name, sizeof(item->name), "%s", name);
    item->id = (struct store_id){.device = status.st_dev, .inode = status.st_ino};
    push(sweep, item);
    sweep_next(sweep);
}

static void take_off(struct sweep *sweep, struct sweep_item *item)
{
    struct sweep_item *before = sweep->first == item ? NULL : sweep->first;
    while (before && before->next != item)
        before = before->next;
    *(before ? &before->next : &sweep->first) = item->next;
    if (sweep->last == item)
        sweep->last = before;
    sweep->count--;
}

static void drop_item(struct sweep *sweep, struct sweep_item *item)
{
    take_off(sweep, item);
    free(item);
}

static int start(struct sweep *sweep, const struct sweep_item *item)
{
    struct broker *broker = sweep->broker;
    struct job_order order = {.type = PLAN_TYPE_SWEEP, .swept = item->name};
    char mode[] = "sweep";
    char *const arguments[] = {mode, NULL};
    char *const environment[] = {NULL};
    int spec_fd = -EBADF;
    struct error error = {0};
    int r = text_new_uuid(order.id);
    if (r == 0)
        r = limits_settle_build(broker, &order.limits, &error);
    if (r == 0)
        r = spec_encode("/", arguments, environment, &spec_fd, &error);
    if (r == 0 && broker->builder_fd < 0)
        r = -ENOENT;
    if (r < 0) {
        (void)fd_close(spec_fd);
        return r;
    }
    job_start(broker, &order, spec_fd);
    (void)fd_close(spec_fd);
    return 0;
}

/* The first that nobody uses; those that are empty go at once. */
static struct sweep_item *choose(struct sweep *sweep)
{
    struct sweep_item *item = sweep->first;
    while (item) {
        struct sweep_item *next = item->next;
        if (job_uses_runtime(sweep->broker, &item->id)) {
            item = next;
            continue;
        }
        if (unlinkat(sweep->broker->store.fd, item->name, AT_REMOVEDIR) < 0 && errno != ENOENT)
            return item;
        drop_item(sweep, item);
        item = next;
    }
    return NULL;
}

void sweep_next(struct sweep *sweep)
{
    if (sweep->current || sweep->broker->shutting_down || sweep->timer.deadline_ns != 0)
        return;
    sweep->current = choose(sweep);
    if (sweep->current && start(sweep, sweep->current) < 0)
        sweep_over(sweep, /* well= */ false);
}

void sweep_over(struct sweep *sweep, bool well)
{
    struct sweep_item *item = sweep->current;
    sweep->current = NULL;
    if (well && unlinkat(sweep->broker->store.fd, item->name, AT_REMOVEDIR) == 0) {
        store_forget_verified(&sweep->broker->store, &item->id);
        drop_item(sweep, item);
        sweep_next(sweep);
        return;
    }
    /* Others have their turn before the next try. */
    uint64_t delay_ns = RETRY_NS << item->tries;
    item->tries += item->tries < DOUBLINGS_MAX;
    log_event(LOG_LEVEL_WARN, "a directory of the store of runtimes is not removed yet", "name", item->name, NULL);
    take_off(sweep, item);
    push(sweep, item);
    loop_arm(sweep->broker->loop, &sweep->timer, delay_ns, on_again);
}

void sweep_done(struct sweep *sweep)
{
    if (sweep->broker && sweep->broker->loop)
        loop_disarm(sweep->broker->loop, &sweep->timer);
    while (sweep->first)
        drop_item(sweep, sweep->first);
}
