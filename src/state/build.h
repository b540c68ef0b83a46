/* The record of one build: stored before it starts and again, durably, when it has ended. Not kept in memory. Values
 * of the environment that the configuration gives to builds are never part of it. */
#pragma once

#include <stdint.h>

/* Of struct state_build.details. */
#define STATE_BUILD_DETAILS_MAX (256U << 10)

/* Owns its texts. */
struct state_build {
    uint8_t id[16];
    char *name; /* of the runtime */
    char *version;
    char *digest;      /* of the specification */
    char *fingerprint; /* of the host */
    char *who;         /* common name of the client's certificate */
    char *role;
    int64_t started_unix_ns;
    int64_t ended_unix_ns;
    const char *outcome;   /* "success", "failed", "cancelled", "unchanged"; "" while it runs; static */
    char *failure;         /* why it failed, exactly */
    char *manifest_digest; /* "" = nothing was published */
    char *details;         /* JSON: phases, counts, what was stripped, stray and changed */
};

/* NULL and half-built ones are fine. */
void state_build_free(struct state_build *build);
void state_build_freep(struct state_build **build);
/* A copy of all of it; NULL texts become "". NULL without memory. */
struct state_build *state_build_copy(const struct state_build *build);
