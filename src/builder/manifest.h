/* The manifest of a runtime (plan/recipe.h), read back. It is written by manifest_write.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "builder/digest.h"

#define MANIFEST_VERSION 1U
#define MANIFEST_SIZE_MAX (512U << 20)
#define MANIFEST_ENTRIES_MAX (1U << 20)

enum manifest_type { MANIFEST_FILE, MANIFEST_LINK, MANIFEST_DIRECTORY };

struct manifest_entry {
    enum manifest_type type;
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
    uint64_t size;
    const char *path; /* absolute, canonical; in the manifest's text, as @target is */
    const char *target;
    uint8_t digest[DIGEST_SIZE];
};

/* A file beside isolated/. */
struct manifest_beside {
    const char *name;
    uint64_t size;
    uint8_t digest[DIGEST_SIZE];
};

#define MANIFEST_BESIDE_MAX 16U

struct manifest {
    char *text;
    struct manifest_entry *entries; /* sorted by path, each path once */
    uint32_t count;
    struct manifest_beside beside[MANIFEST_BESIDE_MAX];
    size_t beside_count;
    uint32_t room;
};

/* Takes @text (@size bytes, from malloc; also when it fails). Strict: every line, their order, the totals. 0 (to be
 * ended with manifest_done) or -errno with @error, which names the line. */
int manifest_parse(char *text, size_t size, struct manifest *ret_manifest, struct error *error);
void manifest_done(struct manifest *manifest);
/* The entry of @path, or NULL. */
const struct manifest_entry *manifest_find(const struct manifest *manifest, const char *path);
