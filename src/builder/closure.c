#include "builder/closure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

struct queue {
    uint32_t *packages; /* each at most once: as many as there are */
    uint32_t count;
};

static void enter(struct dpkg *dpkg, struct queue *queue, uint32_t package)
{
    if (dpkg->packages[package].in_closure)
        return;
    dpkg->packages[package].in_closure = true;
    queue->packages[queue->count++] = package;
}

struct relation {
    const char *name;
    size_t size;
    char architecture[32]; /* "" when not said; "any" and "native" say nothing either */
    bool has_version;
};

/* Reads one alternative at @at, up to "|", "," or the end. */
static const char *read_relation(const char *at, struct relation *ret_relation)
{
    *ret_relation = (struct relation){0};
    at += strspn(at, " \t|,");
    ret_relation->name = at;
    ret_relation->size = strcspn(at, " \t(:|,[<");
    at += ret_relation->size;
    if (*at == ':') {
        size_t size = strcspn(++at, " \t(|,[<");
        if (size < sizeof(ret_relation->architecture) && strncmp(at, "any", size) != 0 &&
                strncmp(at, "native", size) != 0)
            memcpy(ret_relation->architecture, at, size);
    }
    size_t rest = strcspn(at, "|,");
    ret_relation->has_version = memchr(at, '(', rest) != NULL;
    return at + rest;
}

/* Once it is so it stays so: the chain of providers, however long, is not walked again. */
static bool is_provided(struct dpkg *dpkg, uint32_t name)
{
    for (uint32_t i = dpkg->first_provide[name]; i != MAP_NONE && !dpkg->satisfied[name]; i = dpkg->provides[i].next)
        dpkg->satisfied[name] = dpkg->packages[dpkg->provides[i].package].in_closure;
    return dpkg->satisfied[name];
}

/* Takes what is installed for one alternative. True when there is something. */
static bool take(struct dpkg *dpkg, struct queue *queue, const struct relation *relation, const char *architecture)
{
    uint32_t name = dpkg_find_name(dpkg, relation->name, relation->size);
    if (name == MAP_NONE)
        return false;
    uint32_t package = dpkg_find_package(
            dpkg, relation->name, relation->size, *relation->architecture ? relation->architecture : architecture);
    if (package != MAP_NONE) {
        enter(dpkg, queue, package);
        return true;
    }
    if (is_provided(dpkg, name))
        return true;
    uint32_t provide = dpkg->first_provide[name];
    if (provide == MAP_NONE)
        return false;
    enter(dpkg, queue, dpkg->provides[provide].package);
    dpkg->satisfied[name] = true;
    return true;
}

/* "a (>= 1) | b, c": one of a group is enough. Of alternatives with a version, the one that holds is not known here, so
 * others that are installed come too. */
static void add_depends(struct dpkg *dpkg, struct queue *queue, const char *depends, const char *architecture)
{
    const char *at = depends;
    bool is_satisfied = false;
    while (*at) {
        struct relation relation;
        at = read_relation(at, &relation);
        if (relation.size > 0 && !is_satisfied)
            is_satisfied = take(dpkg, queue, &relation, architecture) && !relation.has_version;
        if (*at == ',')
            is_satisfied = false;
        at += *at != '\0';
    }
}

static const char *native_architecture(const struct dpkg *dpkg)
{
    uint32_t itself = dpkg_find_package(dpkg, "dpkg", 4, "");
    return itself == MAP_NONE ? "" : dpkg->packages[itself].architecture;
}

int closure_add(struct dpkg *dpkg, const char *name, struct error *error)
{
    struct queue queue = {.packages = calloc(dpkg->count + 1U, sizeof(uint32_t))};
    if (!queue.packages)
        return error_errno(error, ENOMEM, "the package database");
    struct relation relation;
    (void)read_relation(name, &relation);
    bool found = relation.size > 0 && take(dpkg, &queue, &relation, native_architecture(dpkg));
    for (uint32_t i = 0; i < queue.count; i++) {
        struct dpkg_package *package = &dpkg->packages[queue.packages[i]];
        /* A package for all architectures depends on what the machine's own is. */
        const char *architecture =
                strcmp(package->architecture, "all") == 0 ? native_architecture(dpkg) : package->architecture;
        add_depends(dpkg, &queue, package->pre_depends, architecture);
        add_depends(dpkg, &queue, package->depends, architecture);
    }
    free(queue.packages);
    return found ? 0 : error_text(error, ENOENT, "the package '%.100s' is not installed", name);
}
