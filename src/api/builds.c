#include "api/builds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/task.h"

static bool is_running(const struct build *build)
{
    return build->state != BUILD_WAITING;
}

/* One that is built already, under the same name and version: two would get into each other's way. A dry run leaves
 * nothing behind. */
static const struct build *find_same(const struct build *build)
{
    for (const struct build *other = build->api->builds; other; other = other->next)
        if (other != build && is_running(other) && !other->dry_run && !build->dry_run &&
                strcmp(other->spec->name, build->spec->name) == 0 &&
                strcmp(other->spec->version, build->spec->version) == 0)
            return other;
    return NULL;
}

static void tell_waiting(struct build *build, unsigned before)
{
    if (build->waiting_told)
        return;
    build->waiting_told = true;
    if (find_same(build))
        build_say(build, "info", "waiting for another build of %s@%s", build->spec->name, build->spec->version);
    else
        build_say(build, "info", "waiting for %u build%s", before, before == 1 ? "" : "s");
}

static void dispatch(struct api *api)
{
    unsigned most = api->settings.max_builds > 0 ? api->settings.max_builds : 1;
    unsigned running = 0;
    unsigned before = 0;
    for (const struct build *build = api->builds; build; build = build->next)
        running += is_running(build);
    for (struct build *next, *build = api->builds; build; build = next) {
        next = build->next;
        if (is_running(build))
            continue;
        if (running < most && !find_same(build)) {
            running++;
            build_begin(build);
            continue;
        }
        tell_waiting(build, running + before);
        before++;
    }
}

int builds_add(struct api *api, const struct build_request *request, const struct build_sink *sink, void *user,
        struct build **ret_build)
{
    unsigned count = 0;
    for (const struct build *build = api->builds; build; build = build->next)
        count++;
    if (count >= BUILDS_MAX)
        return -EAGAIN;
    int r = build_new(api, request, sink, user, ret_build);
    if (r == 0)
        dispatch(api);
    return r;
}

void builds_on_gone(struct api *api)
{
    if (!api->shutting_down) {
        dispatch(api);
        return;
    }
    void (*done)(struct api *) = api->builds_stopped;
    if (!done || api->builds || api->tasks)
        return;
    api->builds_stopped = NULL;
    done(api);
}

void builds_stop_all(struct api *api, void (*done)(struct api *api))
{
    api->builds_stopped = done;
    for (struct build *next, *build = api->builds; build; build = next) {
        next = build->next;
        build_cancel(build, "the service is shutting down");
    }
    for (struct task *task = api->tasks; task; task = task->next)
        task_kill(task);
    builds_on_gone(api);
}
