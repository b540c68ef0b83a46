/* How jobs and commands name a runtime, and which of the installed ones is meant:
 *
 *     NAME, NAME@latest     the highest version of that name
 *     NAME@VERSION          exactly that version
 *     LANGUAGE:VERSION      (older clients; "+tags" behind it are ignored) a runtime by name or language, and by its
 *     LANGUAGE-VERSION      own or its language's version; only when no runtime has the whole text as its name
 *
 * Pure functions. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define RUNTIME_REFERENCE_MAX 256U

struct runtime_reference {
    char name[RUNTIME_REFERENCE_MAX + 1];
    char version[RUNTIME_REFERENCE_MAX + 1]; /* "" = the highest */
    bool by_language;                        /* LANGUAGE:VERSION: there can be no runtime of that name */
};

/* A runtime that is installed. Borrowed texts. */
struct runtime_candidate {
    const char *name;
    const char *version;
    const char *language;
    const char *language_version;
};

/* Compares two versions "X.Y.Z[-PRE][+BUILD]" as semver says: numbers as numbers of any length, a pre-release below its
 * release, builds not at all. Missing numbers are 0; what is no version is below all versions, and ordered by its
 * bytes. <0, 0, >0. */
int runtime_version_compare(const char *left, const char *right);
/* True for "X.Y.Z[-PRE][+BUILD]". */
bool runtime_version_is_valid(const char *text);

/* 0; -EINVAL with @error that says what would be right. */
int runtime_reference_parse(const char *text, struct runtime_reference *ret_reference, struct error *error);
/* The candidate that @reference means, the highest when several fit; NULL when none does. */
const struct runtime_candidate *runtime_reference_resolve(
        const struct runtime_reference *reference, const struct runtime_candidate candidates[], size_t count);
