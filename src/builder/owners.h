/* Which package owns which path, from the lists of files in dpkg's database. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "builder/dpkg.h"
#include "builder/map.h"

#define OWNERS_PATHS_MAX (4U << 20)
#define OWNERS_LIST_MAX (64U << 20)
#define OWNERS_BYTES_MAX (1ULL << 30)

struct owner {
    uint32_t package;    /* the first; one of the closure before others */
    bool in_closure;     /* one of its packages is */
    bool out_of_closure; /* one of its packages is not */
};

struct owners {
    struct map paths;
    struct owner *items; /* by number of a path */
    uint32_t room;
    struct map diverted;                 /* paths that dpkg-divert moved */
    struct owners_diversion *diversions; /* by number */
    bool merged[8];                      /* which of the top directories are links into /usr */
    uint64_t bytes;
};

struct owners_diversion {
    char *to;
    char *package;
};

/* Reads the lists of all packages, those of the closure first, from the root of @root_fd. Hostile lists cost at most
 * bounded memory. 0 (to be ended with owners_done) or -errno with @error. */
int owners_read(int root_fd, const struct dpkg *dpkg, struct owners *ret_owners, struct error *error);
void owners_done(struct owners *owners);

/* The owner of @path (canonical), or NULL. */
const struct owner *owners_find(const struct owners *owners, const char *path);

/* Called with each path that the package owns, as dpkg put it (diverted or not). 0: go on. */
typedef int owners_visit(void *context, const char *path);
/* Reads the list of one package. A package without one has no files. 0 or what @visit returned, or -errno with @error.
 */
int owners_list(int root_fd, const struct owners *owners, const struct dpkg_package *package, owners_visit *visit,
        void *context, struct error *error);
/* When dpkg wrote the list, in nanoseconds: when the package was installed. 0 when there is none. */
int64_t owners_list_time(int root_fd, const struct dpkg_package *package);
