/* What packages say of their licenses, in the words of SPDX where they are those, else as it is. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Data (license_ids.c), sorted without regard to case. */
extern const char *const license_ids[];
extern const size_t license_id_count;
extern const char *const license_exceptions[];
extern const size_t license_exception_count;

/* The SPDX identifier that the name is, or that a name of Debian's or of PyPI's means; NULL when there is none. Static.
 */
const char *license_find(const char *name);
/* True for an expression of SPDX identifiers with AND, OR, WITH and parentheses, of at most a few hundred bytes. */
bool license_is_expression(const char *text);
