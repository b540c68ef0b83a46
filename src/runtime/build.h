/* From a specification to what joblet-builder is told: the words of its recipes (plan/recipe.h). Nothing is parsed by a
 * shell but what is meant for one: hooks, setup.sh, and our own scripts, which get the rest as arguments. */
#pragma once

#include "base/error.h"
#include "runtime/host.h"
#include "runtime/list.h"
#include "runtime/profile.h"
#include "runtime/spec.h"

#define RUNTIME_PHASE_COUNT 14U
/* "Parse & Validate" and so on, from 1; "" for others. Static. */
const char *runtime_phase_name(unsigned number);

/* A setup script is one argument of bash. */
#define RUNTIME_SETUP_MAX (120U << 10)
/* Names of queries, by which their values are known in the output. */
#define RUNTIME_QUERY_PACKAGE "package" /* one to install */
#define RUNTIME_QUERY_VERSION "version" /* of the language's package */
/* Where a build finds its runtime's directory: PREFIX has no say inside. */
#define RUNTIME_DIRECTORY "/opt/joblet/runtimes"

/* Which part of an install: the packages of the language, which nothing of the client's comes before, or what follows
 * on them, or all of it in one go. */
enum runtime_part { RUNTIME_PART_ALL, RUNTIME_PART_BASE, RUNTIME_PART_REST };

/* All borrowed. */
struct runtime_build {
    const struct runtime_spec *spec;
    const struct runtime_host *host;
    const struct runtime_recipe *recipe;
    const char *build_id;
    const char *setup_script;               /* "" = none */
    const struct runtime_list *environment; /* "NAME=VALUE": what the configuration gives to all builds */
    uint64_t timeout_ns;                    /* of each step that has no other */
    bool dry_run;                           /* only what phase 4 looks at */
};

#define RUNTIME_FINGERPRINT_SIZE 32U

/* The digest of the specification and its setup script ("" = none), as runtime_spec_digest has it. 0 or -ENOMEM. */
int runtime_build_digest(
        const struct runtime_spec *spec, const char *setup_script, char ret_digest[RUNTIME_DIGEST_MAX]);

/* What packages come from, in hexadecimal. The host's @fingerprint (of its packages and package sources) as it is;
 * where @environment has addresses (NAME=VALUE with "://", no proxy), a digest of both. Users and passwords in
 * addresses are no part of it. 0 or -ENOMEM. */
int runtime_sources_digest(const uint8_t fingerprint[RUNTIME_FINGERPRINT_SIZE], const struct runtime_list *environment,
        char ret_digest[RUNTIME_DIGEST_MAX]);

/* Appends the words of "install", the mode included. The base's are the same for all specifications that need the same
 * packages. 0 or -ENOMEM. */
int runtime_build_install(const struct runtime_build *build, enum runtime_part part, struct runtime_list *words);
/* True when the packages can be installed before all else; else why not. Static text. */
bool runtime_build_has_base(const struct runtime_build *build, const char **ret_why_not);
/* What a base is known by, beside the host's state: everything that reaches its sandbox, and @version, the builder's. 0
 * or -ENOMEM. */
#define RUNTIME_BASE_KEY_SIZE 32U
int runtime_build_base_key(
        const struct runtime_build *build, const char *version, uint8_t ret_key[RUNTIME_BASE_KEY_SIZE]);

struct runtime_step {
    char name[32];
    int64_t begin_unix_ns;
    int64_t end_unix_ns;
};

/* What is known after the install. Borrowed. */
struct runtime_built {
    const struct runtime_list *packages; /* that were selected for it */
    const struct runtime_step *steps;
    size_t step_count;
    int64_t since_unix_ns;
    uint64_t limit_bytes;
    uint64_t cache_bytes;    /* of downloads that are kept for later builds; 0 = none */
    const char *description; /* the text of runtime.yml */
};

/* Appends the words of "collect" for a build that failed after those steps. 0 or -ENOMEM. */
int runtime_build_look(
        const struct runtime_build *build, const struct runtime_built *built, struct runtime_list *words);

/* Appends the words of "collect", the mode included. 0 or -ENOMEM. */
int runtime_build_collect(
        const struct runtime_build *build, const struct runtime_built *built, struct runtime_list *words);
