/* joblet looks at each job from outside before it says go, and tells clients what it saw (P5). Here that is held
 * against what we see ourselves. */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "kernel/procstatus.h"
#include "verify/run.h"

static json_int_t number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : -1;
}

static const char *compare_namespaces(const json_t *told, const struct procstatus_namespaces *seen)
{
    for (unsigned i = 0; i < PROCSTATUS_NS_COUNT; i++) {
        const json_t *space = json_object_get(json_object_get(told, "namespaces"), procstatus_ns_name(i));
        if (number_of(space, "inode") != (json_int_t)seen->inode[i])
            return procstatus_ns_name(i);
    }
    return NULL;
}

/* The first field that is told otherwise, or NULL. */
static const char *compare(const json_t *told, pid_t pid, const struct procstatus *seen,
        const struct procstatus_namespaces *namespaces, const struct procstatus_id_map *map)
{
    const json_t *capabilities = json_object_get(told, "capabilities");
    const char *seccomp = json_string_value(json_object_get(told, "seccomp"));
    if (number_of(told, "pid") != pid)
        return "pid";
    if (json_is_true(json_object_get(told, "noNewPrivs")) != (seen->no_new_privs == 1))
        return "noNewPrivs";
    if ((seccomp && strcmp(seccomp, "filter") == 0) != (seen->seccomp == 2))
        return "seccomp";
    if (number_of(told, "groupCount") != seen->group_count)
        return "groupCount";
    if (json_integer_value(json_array_get(json_object_get(told, "uids"), 0)) != seen->uid[0])
        return "uids";
    if (number_of(json_object_get(told, "uidMap"), "outside") != map->outside)
        return "uidMap";
    const struct {
        const char *name;
        uint64_t set;
    } sets[] = {{"inheritable", seen->cap_inheritable}, {"permitted", seen->cap_permitted},
            {"effective", seen->cap_effective}, {"bounding", seen->cap_bounding}, {"ambient", seen->cap_ambient}};
    for (size_t i = 0; i < ELEMENTS(sets); i++)
        if ((int)json_array_size(json_object_get(capabilities, sets[i].name)) != __builtin_popcountll(sets[i].set))
            return sets[i].name;
    return compare_namespaces(told, namespaces);
}

static void compare_process(struct run *run, const json_t *kernel, const char *name, pid_t pid, const char *tried)
{
    struct procstatus status;
    struct procstatus_namespaces namespaces;
    struct procstatus_id_map map;
    struct error error = {0};
    _cleanup_close_ int fd = procstatus_open(pid);
    if (fd < 0 || procstatus_read(fd, &status, &error) < 0 || procstatus_read_namespaces(fd, &namespaces, &error) < 0 ||
            procstatus_read_id_map(fd, "uid_map", &map) < 0)
        return report_add(&run->report, 5, REPORT_OUTSIDE, REPORT_UNABLE, tried, "process %d cannot be read", pid);
    const json_t *told = json_object_get(kernel, name);
    const char *differs = compare(told, pid, &status, &namespaces, &map);
    report_fact(&run->report, 5, REPORT_OUTSIDE, !differs, tried, "%s%s",
            differs ? "joblet tells another " : "ids, capabilities, filter, namespaces agree", differs ? differs : "");
}

void look_at_view(struct run *run, const struct seen_sandbox *sandbox, const char *status)
{
    json_t *root = json_loads(status, 0, NULL);
    const json_t *kernel = json_object_get(root, "kernel");
    if (kernel) {
        compare_process(run, kernel, "command", sandbox->command, "what joblet saw of the command is what we see");
        compare_process(run, kernel, "init", sandbox->init, "what joblet saw of joblet-init is what we see");
    } else {
        report_fact(&run->report, 5, REPORT_OUTSIDE, false, "what joblet saw of a job is told", "it tells nothing");
    }
    json_decref(root);
}
