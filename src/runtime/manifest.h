/* The manifest of a runtime (plan/recipe.h): JSON lines. Read line by line, as a text of nobody's. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "runtime/description.h"

/* One line. */
#define RUNTIME_MANIFEST_LINE_MAX (64U << 10)

/* The last line, from the last bytes of the file (@size of them, at most RUNTIME_MANIFEST_LINE_MAX are looked at). 0 or
 * -EINVAL. */
struct runtime_manifest_totals {
    uint64_t files;
    uint64_t bytes;
};
int runtime_manifest_totals(const char *text, size_t size, struct runtime_manifest_totals *ret_totals);

/* A bill of materials, CycloneDX 1.5 in JSON, of the runtime and the package lines of its manifest. @text: the
 * manifest's beginning, @size bytes; what follows the last package line is not looked at. 0 with a text of the
 * caller's; -EINVAL with @error for a manifest that is none; -ENOMEM. */
int runtime_manifest_sbom(const struct runtime_description *description, const char *text, size_t size, char **ret_text,
        struct error *error);
