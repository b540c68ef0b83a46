/* "joblet audit": what its verbs share. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "audit/reader.h"
#include "audit/record.h"

/* Exit statuses. */
#define AUDIT_EXIT_FOUND 1 /* something is wrong, or what was asked for is not there */
#define AUDIT_EXIT_FAILED 2

struct audit_verb_options {
    struct audit_filter filter;
    size_t limit;
    bool json;
    const char *key; /* a file; NULL: that of the prefix */
    bool has_expect;
    struct audit_position expect;
};

/* Judges the log below @dir_fd and says what is wrong with it. The exit status. */
int audit_verb_verify(const char *prefix, int dir_fd, const struct audit_verb_options *options);
