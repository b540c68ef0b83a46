/* The finished runtimes below PREFIX/runtimes: what NAME/VERSION/runtime.yml and the manifest's ends say. Read when
 * asked for, kept while nothing changes there. joblet alone publishes and removes; what lies there otherwise, in
 * whatever shape, is no runtime. Nothing below isolated/ is ever opened. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "runtime/description.h"
#include "runtime/reference.h"

#define STORE_RUNTIMES_MAX 4096U

struct store;

struct store_runtime {
    struct runtime_description *description; /* owned by the store */
    uint64_t size_bytes;                     /* of its files; 0: the manifest does not say */
    uint64_t files;
    bool available; /* its manifest is whole */
};

/* @fd: the directory, borrowed. 0 or -ENOMEM with @error. */
int store_new(int fd, struct store **ret_store, struct error *error);
/* NULL is fine. */
void store_free(struct store *store);

/* All of now, by name and version, the highest version first. Borrowed, as all they hold, until the next call of a
 * function here. 0 or -errno with @error. */
int store_list(struct store *store, const struct store_runtime **ret_runtimes, size_t *ret_count, struct error *error);
/* The one that the reference means. NULL in @ret_runtime when there is none. */
int store_resolve(struct store *store, const struct runtime_reference *reference,
        const struct store_runtime **ret_runtime, struct error *error);
/* The one of exactly that name and version, or NULL. */
const struct store_runtime *store_find(struct store *store, const char *name, const char *version);
/* At most @max bytes of the manifest's beginning, the caller's. 0 or -errno with @error. */
int store_read_manifest(struct store *store, const struct store_runtime *runtime, size_t max, char **ret_text,
        size_t *ret_size, struct error *error);
