/* The status file of dpkg, read from a tree that a build could write: any bytes at all. Only what is installed is kept.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "builder/map.h"

#define DPKG_STATUS_MAX (128U << 20)
#define DPKG_PACKAGES_MAX 200000U

struct dpkg_package {
    /* Texts in the database's buffer, ended by NUL; "" when the field is not there. */
    const char *name;
    const char *architecture;
    const char *version;
    const char *source;
    const char *pre_depends;
    const char *depends;
    const char *provides;
    uint32_t next; /* the next package of the same name and another architecture, or MAP_NONE */
    bool in_closure;
};

struct dpkg {
    char *text; /* the status file, cut into texts */
    struct dpkg_package *packages;
    uint32_t count;
    struct map names;              /* of packages, and of what they provide */
    uint32_t *first;               /* by number of a name: the first package of it, or MAP_NONE */
    struct dpkg_provide *provides; /* chains of providers */
    uint32_t provide_count;
    uint32_t *first_provide; /* by number of a name */
    bool *satisfied;         /* by number of a name: something of the closure is it or provides it */
};

struct dpkg_provide {
    uint32_t package;
    uint32_t next;
};

/* True for what may be a package's name: no path and no option. */
bool dpkg_name_is_valid(const char *name, size_t size);

/* Takes @text (@size bytes and a NUL, from malloc; also when it fails). 0 (to be ended with dpkg_done) or -errno with
 * @error. */
int dpkg_parse(char *text, size_t size, struct dpkg *ret_dpkg, struct error *error);
void dpkg_done(struct dpkg *dpkg);

/* The number of the name in the map, or MAP_NONE; "name:architecture" counts as "name". */
uint32_t dpkg_find_name(const struct dpkg *dpkg, const char *name, size_t size);
/* The installed package of the name, that of @architecture before others; MAP_NONE when there is none. */
uint32_t dpkg_find_package(const struct dpkg *dpkg, const char *name, size_t size, const char *architecture);
