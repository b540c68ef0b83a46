#include "builder/dpkg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

#define PROVIDES_MAX (4U * DPKG_PACKAGES_MAX)
#define NAME_SIZE_MAX 256U
#define ARCHITECTURES_MAX 32U /* of one package; more are not looked at */

bool dpkg_name_is_valid(const char *name, size_t size)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._";
    if (size == 0 || size > NAME_SIZE_MAX || strchr("+-._", name[0]))
        return false;
    for (size_t i = 0; i < size; i++)
        if (name[i] == '\0' || !strchr(allowed, name[i]))
            return false;
    return true;
}

static const struct {
    const char *name;
    size_t offset;
} fields[] = {
        {"Package", offsetof(struct dpkg_package, name)},
        {"Architecture", offsetof(struct dpkg_package, architecture)},
        {"Version", offsetof(struct dpkg_package, version)},
        {"Source", offsetof(struct dpkg_package, source)},
        {"Pre-Depends", offsetof(struct dpkg_package, pre_depends)},
        {"Depends", offsetof(struct dpkg_package, depends)},
        {"Provides", offsetof(struct dpkg_package, provides)},
};

static void set_field(struct dpkg_package *package, const char *name, size_t name_size, const char *value)
{
    for (size_t i = 0; i < ELEMENTS(fields); i++) {
        if (strlen(fields[i].name) == name_size && strncmp(fields[i].name, name, name_size) == 0)
            *(const char **)((char *)package + fields[i].offset) = value;
    }
}

/* "install ok installed" and the states in which a package's files are in place. */
static bool is_installed(const char *status)
{
    static const char *const states[] = {
            "installed", "triggers-pending", "triggers-awaited", "half-configured", "unpacked"};
    const char *state = strrchr(status, ' ');
    for (size_t i = 0; state && i < ELEMENTS(states); i++)
        if (strcmp(state + 1, states[i]) == 0)
            return true;
    return false;
}

/* The end of a field that starts at @line: the newline before the next line that does not go on with it. */
static char *field_end(char *line, char *end)
{
    for (;;) {
        char *newline = memchr(line, '\n', (size_t)(end - line));
        if (!newline || newline + 1 == end || (newline[1] != ' ' && newline[1] != '\t'))
            return newline ? newline : end;
        *newline = ' '; /* so that a folded field is one text */
        line = newline + 1;
    }
}

/* Reads one stanza at @next, which is moved behind it. True when it is an installed package. */
static bool read_stanza(char **next, char *end, struct dpkg_package *ret_package)
{
    struct dpkg_package package = {"", "", "", "", "", "", "", MAP_NONE, false};
    bool installed = false;
    char *line = *next;
    while (line < end && *line != '\n') {
        char *stop = field_end(line, end);
        *stop = '\0'; /* the buffer has a byte behind its end */
        char *colon = memchr(line, ':', (size_t)(stop - line));
        if (colon) {
            char *value = colon + 1 + strspn(colon + 1, " \t");
            if (colon - line == 6 && strncmp(line, "Status", 6) == 0)
                installed = is_installed(value);
            else
                set_field(&package, line, (size_t)(colon - line), value);
        }
        line = stop < end ? stop + 1 : end;
    }
    *next = line < end ? line + 1 : end;
    *ret_package = package;
    return installed && dpkg_name_is_valid(package.name, strlen(package.name)) && *package.version;
}

static int add_package(struct dpkg *dpkg, const struct dpkg_package *package, uint32_t *room)
{
    if (dpkg->count == DPKG_PACKAGES_MAX)
        return -E2BIG;
    if (dpkg->count == *room) {
        uint32_t larger = *room ? *room * 2 : 1024;
        struct dpkg_package *packages = realloc(dpkg->packages, larger * sizeof(*packages));
        if (!packages)
            return -ENOMEM;
        dpkg->packages = packages;
        *room = larger;
    }
    dpkg->packages[dpkg->count++] = *package;
    return 0;
}

static int read_packages(struct dpkg *dpkg, size_t size)
{
    uint32_t room = 0;
    char *next = dpkg->text;
    char *end = dpkg->text + size;
    int r = 0;
    while (r == 0 && next < end) {
        struct dpkg_package package;
        if (read_stanza(&next, end, &package))
            r = add_package(dpkg, &package, &room);
    }
    return r;
}

/* Calls for each name in a list of relations: "a, b (= 1)". */
static int add_provides(struct dpkg *dpkg, uint32_t number)
{
    const char *at = dpkg->packages[number].provides;
    while (*at) {
        at += strspn(at, ", \t");
        size_t size = strcspn(at, ", \t(:|");
        uint32_t name;
        if (dpkg_name_is_valid(at, size)) {
            if (dpkg->provide_count == PROVIDES_MAX)
                return -E2BIG;
            int r = map_add(&dpkg->names, at, size, &name);
            if (r < 0)
                return r;
            dpkg->provides[dpkg->provide_count++] = (struct dpkg_provide){number, name};
        }
        at += strcspn(at, ",");
    }
    return 0;
}

static size_t count_provides(const struct dpkg *dpkg)
{
    size_t count = 0;
    for (uint32_t i = 0; i < dpkg->count; i++) {
        if (*dpkg->packages[i].provides)
            count++;
        for (const char *c = dpkg->packages[i].provides; *c; c++)
            count += *c == ',';
    }
    return count;
}

static uint32_t *new_chain(const struct dpkg *dpkg)
{
    uint32_t *chain = malloc((dpkg->names.count + 1) * sizeof(uint32_t));
    for (uint32_t i = 0; chain && i < dpkg->names.count; i++)
        chain[i] = MAP_NONE;
    return chain;
}

static int index_names(struct dpkg *dpkg)
{
    dpkg->provides = calloc(count_provides(dpkg) + 1, sizeof(*dpkg->provides));
    int r = dpkg->provides ? map_init(&dpkg->names, DPKG_PACKAGES_MAX + PROVIDES_MAX) : -ENOMEM;
    for (uint32_t i = 0; r == 0 && i < dpkg->count; i++) {
        uint32_t name;
        r = map_add(&dpkg->names, dpkg->packages[i].name, strlen(dpkg->packages[i].name), &name);
        if (r == 0)
            r = add_provides(dpkg, i);
    }
    if (r < 0)
        return r;
    dpkg->first = new_chain(dpkg);
    dpkg->first_provide = new_chain(dpkg);
    dpkg->satisfied = calloc(dpkg->names.count + 1U, sizeof(bool));
    if (!dpkg->first || !dpkg->first_provide || !dpkg->satisfied)
        return -ENOMEM;
    /* From the end, so that chains have the order of the file. */
    for (uint32_t i = dpkg->count; i-- > 0;) {
        uint32_t name = map_find(&dpkg->names, dpkg->packages[i].name, strlen(dpkg->packages[i].name));
        dpkg->packages[i].next = dpkg->first[name];
        dpkg->first[name] = i;
    }
    for (uint32_t i = dpkg->provide_count; i-- > 0;) {
        uint32_t name = dpkg->provides[i].next;
        dpkg->provides[i].next = dpkg->first_provide[name];
        dpkg->first_provide[name] = i;
    }
    return 0;
}

int dpkg_parse(char *text, size_t size, struct dpkg *ret_dpkg, struct error *error)
{
    struct dpkg dpkg = {.text = text};
    int r = read_packages(&dpkg, size);
    if (r == 0)
        r = index_names(&dpkg);
    if (r < 0) {
        dpkg_done(&dpkg);
        return error_errno(error, -r, "the package database");
    }
    *ret_dpkg = dpkg;
    return 0;
}

void dpkg_done(struct dpkg *dpkg)
{
    free(dpkg->text);
    free(dpkg->packages);
    free(dpkg->provides);
    free(dpkg->first);
    free(dpkg->first_provide);
    free(dpkg->satisfied);
    map_done(&dpkg->names);
    *dpkg = (struct dpkg){0};
}

uint32_t dpkg_find_name(const struct dpkg *dpkg, const char *name, size_t size)
{
    const char *colon = memchr(name, ':', size);
    return map_find(&dpkg->names, name, colon ? (size_t)(colon - name) : size);
}

uint32_t dpkg_find_package(const struct dpkg *dpkg, const char *name, size_t size, const char *architecture)
{
    uint32_t number = dpkg_find_name(dpkg, name, size);
    uint32_t first = number == MAP_NONE ? MAP_NONE : dpkg->first[number];
    uint32_t i = first;
    for (unsigned looked = 0; i != MAP_NONE && looked < ARCHITECTURES_MAX; i = dpkg->packages[i].next, looked++)
        if (strcmp(dpkg->packages[i].architecture, architecture) == 0)
            return i;
    return first;
}
