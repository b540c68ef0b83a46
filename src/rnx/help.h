/* Help texts, made from the tables of verbs and flags, and the search for a verb by its words. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

struct rnx_verb;

bool help_is_group(const char *word);
/* The verb @name of @group (NULL = none), or NULL. */
const struct rnx_verb *help_find_verb(const char *group, const char *name);

/* The list of commands: of @group, or all with NULL. Returns RNX_EXIT_OK. */
int help_print_commands(FILE *file, const char *group);
/* All about one verb. Returns RNX_EXIT_OK. */
int help_print_verb(FILE *file, const struct rnx_verb *verb);
/* The usage line of a verb (NULL = of rnx) and where to read on. */
void help_print_usage(FILE *file, const struct rnx_verb *verb);

/* Says that there is no such command, and which one may be meant. Returns RNX_EXIT_USAGE. */
int help_fail_unknown(const char *group, const char *name);
