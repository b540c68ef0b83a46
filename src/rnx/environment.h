/* Environment variables for a job, from KEY=VALUE texts of the command line. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "rnx/options.h"
#include "rnx/rnx.h"

#define ENVIRONMENT_VALUE_MAX 32768

struct environment_variable {
    char *name;        /* owned */
    const char *value; /* borrowed from the command line */
};

struct environment {
    struct environment_variable *variables; /* each name once, in the order of the first mention */
    size_t count;
};
void environment_done(struct environment *environment);

/* Reads KEY=VALUE texts: split at the first "=", blanks around the key removed, the value as it is; of a name given
 * twice the last value wins. With @secret no error text quotes a value. 0; -EINVAL or -ENOMEM with @error. */
int environment_parse(
        const struct rnx_list *texts, bool secret, struct environment *ret_environment, struct rnx_error *error);

/* A name that programs give a meaning of their own. */
bool environment_is_reserved(const char *name);
/* A value that looks like an attempt at something; only a reason to warn. */
bool environment_is_suspicious(const char *value);
