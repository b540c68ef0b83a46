/* Which attempts of docs/ESCAPES.md `joblet verify` makes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "verify/report.h"

struct escape {
    char number[4];
    unsigned promise; /* that is broken when it succeeds; the row in docs/ESCAPES.md may name another, of the mechanism
                       */
};
extern const struct escape escapes[];
extern const size_t escape_count;

/* True when @line is the answer of the attempt @name. */
bool escape_parse(const char *line, const char *name, bool *ret_refused, char ret_seen[REPORT_TEXT_MAX]);
