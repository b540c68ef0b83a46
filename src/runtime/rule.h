/* The rules for single texts of a specification. Each text ends up as a directory's name, as an argument of a package
 * manager or in a job's environment, so what is accepted is a list of what is known to be harmless there; nothing that
 * is accepted can be taken for an option, a path or an address. Pure functions. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUNTIME_NAME_MAX 64U
#define RUNTIME_DESCRIPTION_MAX 256U
#define RUNTIME_PACKAGE_MAX 256U
#define RUNTIME_LIBRARY_MAX 256U
#define RUNTIME_VALUE_MAX 32768U
#define RUNTIME_VARIABLE_NAME_MAX 256U

/* 1 to 64 of a-z, 0-9, '.', '-', the first a letter or a digit: never "." or "..", never with '/'. */
bool rule_is_name(const char *text);
/* X.Y.Z, each a number below 10^9 without leading zeros, so that no two versions of one meaning differ in text. */
bool rule_is_version(const char *text);
/* A language's version as package names can hold it: 1 to 32 letters, digits, '.', '+', '-', the first a digit or
 * letter. */
bool rule_is_language_version(const char *text);
/* One line of at least one and at most @max bytes: no control characters, none that change the writing direction. */
bool rule_is_line(const char *text, size_t max);
/* As a line, but empty, and with line breaks and tabs, if wanted. */
bool rule_is_block(const char *text, size_t max);

/* A requirement for pip's own index: NAME, NAME[EXTRA,...], each with version clauses "==1.0", ">=1,<2". No blanks, no
 * path, archive or address, never an option. */
bool rule_is_pip(const char *text);
/* NAME, @SCOPE/NAME, each with "@VERSION", "@TAG" or "@RANGE". The same. */
bool rule_is_npm(const char *text);
/* A glob of shared libraries: letters, digits and . _ + - @ * ? [ ] ! /, no component "..", the last one not empty. */
bool rule_is_library(const char *text);
/* An https address without user, password, query and fragment. */
bool rule_is_address(const char *text);
/* "11", "11.8", "11.8.0", also after ">=". */
bool rule_is_cuda_version(const char *text);

/* The environment's names that belong to the service: JOB_*, JOBLET_* and two more. */
bool rule_is_reserved_variable(const char *name);

/* "256MB", "1.5gb": a number with at most three decimals and KB, MB, GB or TB, 1024 based, in any case; more than 0, at
 * most 1024 TB. 0 or -EINVAL. */
int rule_parse_memory(const char *text, uint64_t *ret_bytes);
/* "true" or "false". 0 or -EINVAL. */
int rule_parse_bool(const char *text, bool *ret_value);
