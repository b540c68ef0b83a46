/* The host as builds see it: from what joblet says of it (HOST_STATE) to the row of the profiles. Pure. */
#pragma once

#include "base/error.h"
#include "runtime/profile.h"

struct runtime_host {
    const struct runtime_platform *platform; /* static */
    unsigned platform_number;                /* its bit in runtime_spec.platforms */
    char distribution[32];                   /* "debian": PLATFORM */
    const char *architecture;                /* "amd64": ARCHITECTURE; static */
};

/* @distribution: ID of os-release, @like: ID_LIKE, @machine: as uname has it. 0; -EOPNOTSUPP with @error when runtimes
 * cannot be built on such a host. */
int runtime_host_find(const char *distribution, const char *like, const char *machine, struct runtime_host *ret_host,
        struct error *error);
/* True when the specification is for @host. */
bool runtime_host_fits(const struct runtime_host *host, const struct runtime_spec *spec);
