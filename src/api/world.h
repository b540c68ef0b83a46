/* What joblet-api is born with (config/settings.h): read once, checked, closed. */
#pragma once

#include "base/error.h"
#include "config/settings.h"
#include "runtime/list.h"

/* One PEM text. */
#define WORLD_PEM_MAX (1U << 20)

struct world {
    struct settings settings;
    char *cert_pem;
    char *key_pem;
    char *ca_pem;
    struct runtime_list build_environment; /* "NAME=VALUE": secrets */
};

/* What the configuration may give to builds, all together. */
#define WORLD_BUILD_ENVIRONMENT_MAX (64U << 10)

/* Reads SETTINGS_FD_SETTINGS, the environment of builds and the PEM texts and closes their descriptors; makes all
 * others of enum settings_fd close-on-exec. 0 or -errno with @error. */
int world_read(struct world *world, struct error *error);
/* Frees the PEM texts; the key is overwritten. */
void world_forget_pems(struct world *world);
