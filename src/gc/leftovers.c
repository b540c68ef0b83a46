#include "gc/leftovers.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/fd.h"
#include "broker/leftover.h"

static const char *outcome(const struct leftover *item, bool run)
{
    if (item->verdict == LEFTOVER_NOT_OURS)
        return "not ours, left";
    if (item->verdict == LEFTOVER_WAITS)
        return "waits";
    if (item->failure.code)
        return "failed";
    if (item->kind == LEFTOVER_JOB)
        return run ? "recorded" : "to be recorded";
    return run ? "removed" : "goes";
}

/* Why it is a leftover, and why it is left. */
static const char *reason(const struct leftover *item)
{
    return item->failure.code ? item->failure.text : item->stays;
}

static void format_age(const struct leftover *item, int64_t now_unix, char ret_text[32])
{
    int64_t seconds = now_unix > item->since_unix ? now_unix - item->since_unix : 0;
    if (item->since_unix == 0)
        (void)snprintf(ret_text, 32, "-");
    else if (seconds < 7200)
        (void)snprintf(ret_text, 32, "%" PRId64 " min", seconds / 60);
    else
        (void)snprintf(ret_text, 32, "%" PRId64 " h", seconds / 3600);
}

static void print_item(const struct leftover *item, int64_t now_unix, bool run)
{
    char age[32];
    const char *left = reason(item);
    format_age(item, now_unix, age);
    (void)printf("%-14s  %-14s  age %-8s  owner %s  %s\n    %s%s%s\n", outcome(item, run),
            leftover_kind_name(item->kind), age, item->owner[0] ? item->owner : "-", item->name, item->why,
            left ? "; " : "", left ? left : "");
}

static int add_json(const struct leftover *item, int64_t now_unix, bool run, json_t *array)
{
    const char *left = reason(item);
    json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:s?, s:s}", "kind", leftover_kind_name(item->kind), "name",
            item->name, "owner", item->owner, "why", item->why, "left", left, "outcome", outcome(item, run));
    json_t *age = item->since_unix == 0 ? json_null()
                                        : json_integer(now_unix > item->since_unix ? now_unix - item->since_unix : 0);
    if (json_object_set_new(object, "ageSeconds", age) < 0 || json_array_append_new(array, object) < 0)
        return -EINVAL;
    return 0;
}

static int tell(const struct leftover_list *list, bool run, json_t *json, struct leftovers_summary *summary)
{
    const int64_t now_unix = time(NULL);
    int r = 0;
    for (unsigned i = 0; i < list->count && r == 0; i++) {
        const struct leftover *item = &list->items[i];
        summary->found += item->verdict != LEFTOVER_NOT_OURS;
        if (json)
            r = add_json(item, now_unix, run, json);
        else
            print_item(item, now_unix, run);
    }
    if (!json && list->is_cut)
        (void)printf("there are more; call it again\n");
    return r;
}

int leftovers_collect(const char *prefix, const struct config *config, bool run, struct json_t *json,
        struct leftovers_summary *ret_summary, struct error *error)
{
    struct leftovers_summary summary = {0};
    struct leftover_outside *outside = NULL;
    struct leftover_list list = {0};
    _cleanup_free_ char *path = realpath(prefix, NULL);
    if (!path)
        return error_errno(error, errno, "find the prefix '%s'", prefix);
    int r = leftover_outside_open(path, config, run, &outside, error);
    if (r < 0)
        return r;
    struct leftover_place *place = leftover_outside_place(outside);
    r = leftovers_find(place, &list, error);
    if (run)
        summary.failed = leftovers_remove(place, &list);
    if (tell(&list, run, json, &summary) < 0 && r == 0)
        r = error_text(error, EINVAL, "a name is not UTF-8");
    leftovers_done(&list);
    leftover_outside_close(outside);
    *ret_summary = summary;
    return r;
}
