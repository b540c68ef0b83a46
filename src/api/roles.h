/* Who may call what: one table of all methods of the contract. A role is an organizational unit of the client's
 * certificate; nothing else of a request has a say. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* The least privileged first: of several roles in one certificate the lowest counts. */
enum role { ROLE_UNKNOWN, ROLE_READER, ROLE_DEVELOPER, ROLE_MAINTAINER, ROLE_ADMIN, ROLE_COUNT };

/* "reader" and so on; "unknown". Static text. */
const char *role_name(enum role role);
/* The role of a certificate with these organizational units. Case does not matter; "viewer" is the reader; units that
 * are no roles do not count. */
enum role role_from_units(const char *const units[], size_t count);

struct role_method {
    const char *path;
    const char *operation; /* named in refusals */
    enum role lowest;      /* who may call it: this role and those above it */
    const char *action;    /* named in the audit log */
    bool changes;          /* recorded always, not only when it is refused */
};
/* The row of @path, or NULL when it is no method of the contract. */
const struct role_method *role_method_find(const char *path);
/* All rows. */
const struct role_method *role_methods(size_t *ret_count);

/* 0; -EACCES with @error, which names role and operation. Methods that do not exist are permitted: they are answered
 * with UNIMPLEMENTED. */
int role_permit(enum role role, const char *path, struct error *error);
