/* runtime.yaml, schema 1.0: what a language runtime is to be built from.
 *
 * The text is a client's. It is parsed by joblet-api, which has no rights; joblet never sees it. It is read as a stream
 * of events (yaml_events.h) against one table of keys (field.c): every violation is found and said with its line, and
 * an unknown key is one of them, because a typing error must not leave out a package or a requirement. What comes out
 * is typed and checked by rule.h: no text of it can be taken for an option, a path or an address where it is used. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "runtime/list.h"
#include "runtime/problem.h"

/* Of the whole text. */
#define RUNTIME_SPEC_SIZE_MAX (256U << 10)
#define RUNTIME_SPEC_PACKAGES_MAX 512U  /* each of pip and npm */
#define RUNTIME_SPEC_OPTIONS_MAX 32U    /* pip_options */
#define RUNTIME_SPEC_VARIABLES_MAX 256U /* environment */
#define RUNTIME_SPEC_LIBRARIES_MAX 128U
#define RUNTIME_SPEC_KEEP_MAX 8U
#define RUNTIME_SPEC_HOOK_MAX (64U << 10) /* each of the two */
#define RUNTIME_SPEC_HOOK_TIMEOUT_NS (20ULL * 60 * 1000000000)

enum runtime_language {
    RUNTIME_LANGUAGE_PYTHON,
    RUNTIME_LANGUAGE_JAVA,
    RUNTIME_LANGUAGE_NODE,
    RUNTIME_LANGUAGE_GO,
    RUNTIME_LANGUAGE_RUST,
    RUNTIME_LANGUAGE_COUNT,
};
/* "python" and so on. Static. */
const char *runtime_language_name(enum runtime_language language);

/* Owns all of its texts; none of the pointers is NULL after runtime_spec_parse, "" is "not given". */
struct runtime_spec {
    char *name;
    char *version; /* X.Y.Z */
    char *description;
    enum runtime_language language;  /* base.language */
    char *language_version;          /* base.version */
    struct runtime_list pip;         /* as given, in that order */
    struct runtime_list pip_options; /* one option each, "--name" or "--name=value", short forms written out */
    struct runtime_list npm;
    struct runtime_list environment; /* "NAME=VALUE", sorted by name */
    bool gpu;                        /* requirements.gpu */
    char *cuda_version;              /* requirements.cuda_version: "11.8", ">=12.0" */
    uint64_t min_memory_bytes;       /* requirements.min_memory, 0 = none */
    uint32_t platforms;              /* bits of enum runtime_platform (profile.h), 0 = any */
    struct runtime_list libraries;   /* globs of further shared libraries */
    struct runtime_list keep; /* what is otherwise left out of a runtime: "doc", "man", "locale", "headers", "static" */
    uint64_t hook_timeout_ns; /* hooks.timeout, of each hook */
    char *pre_install;        /* hooks.pre_install, bash; "" = none */
    char *post_install;
};

/* Parses @text (of @size bytes, need not end with NUL). 0 with a specification to be freed; -EINVAL when something is
 * wrong with it, all of which is in @problems (initialized to zero by the caller, who ends it); -ENOMEM. Any thread. */
int runtime_spec_parse(
        const char *text, size_t size, struct runtime_spec **ret_spec, struct runtime_problems *problems);
/* What is permitted and probably not meant ("pip_options: there is no pip package"), without lines. 0 or -ENOMEM. */
int runtime_spec_warn(const struct runtime_spec *spec, struct runtime_list *warnings);
/* NULL is fine. */
void runtime_spec_free(struct runtime_spec *spec);
void runtime_spec_freep(struct runtime_spec **spec);

/* SHA-256, in hexadecimal, over a canonical form: what means the same has the same digest, whatever the order of keys,
 * comments, quotes, units and presets. The order of packages, options and libraries counts. 0 or -ENOMEM. */
#define RUNTIME_DIGEST_MAX 65U
int runtime_spec_digest(const struct runtime_spec *spec, char ret_digest[RUNTIME_DIGEST_MAX]);
