/* runtime.yml: what a finished runtime says of itself, beside its isolated/. Written when it is built, read by whoever
 * lists runtimes and starts jobs with them. It is read as a text of nobody's: bounded, without anchors and tags, each
 * value by the rule that it was accepted by (rule.h). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "runtime/list.h"
#include "runtime/spec.h"

/* The specification's text is part of it. */
#define RUNTIME_DESCRIPTION_SIZE_MAX (1U << 20)

/* Owns all of its texts; none is NULL after reading. */
struct runtime_description {
    char *name;
    char *version;
    char *language;
    char *language_version;
    char *description;
    struct runtime_list environment; /* "NAME=VALUE" */
    struct runtime_list packages;    /* of pip, then of npm, as asked for */
    struct runtime_list libraries;
    struct runtime_list architectures; /* "amd64" */
    struct runtime_list test;          /* command line that shows that the language works */
    bool gpu;
    char *cuda_version;
    char *built_at; /* RFC 3339, UTC */
    char *built_with;
    char *builder_version;
    char *platform;
    char *build_id;    /* of the build's record */
    char *digest;      /* of the specification: runtime_spec_digest, and of setup.sh */
    char *fingerprint; /* of the host's packages and package sources: runtime_sources_digest */
    char *original_yaml;
};

/* NULL is fine. */
void runtime_description_free(struct runtime_description *description);
void runtime_description_freep(struct runtime_description **description);

/* The text, the caller's. 0 or -ENOMEM. */
int runtime_description_write(const struct runtime_description *description, char **ret_text);
/* Parses @text. Keys that are not known are passed over: a later version may have more. 0 with a description to be
 * freed; -EINVAL with @error; -ENOMEM. */
int runtime_description_read(
        const char *text, size_t size, struct runtime_description **ret_description, struct error *error);

#define RUNTIME_BUILT_WITH "joblet-builder"
