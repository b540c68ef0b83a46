/* Judging the audit log: every line, the chain over all files, the signed head. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "audit/files.h"
#include "audit/record.h"
#include "base/error.h"

struct audit_problem {
    char file[AUDIT_NAME_MAX + 64]; /* "" : the log as a whole */
    uint64_t line;                  /* from 1; 0: the file as a whole */
    char text[ERROR_TEXT_MAX];
};

#define AUDIT_PROBLEMS_MAX 100U

struct audit_verdict {
    uint64_t files;
    uint64_t records; /* that are whole and stand where they belong */
    uint64_t first;   /* the sequences of the first and the last of them */
    uint64_t last;
    uint64_t sealed; /* the last one that the head covers */
    uint32_t count;  /* of problems, those beyond the most counted too */
    struct audit_problem problems[AUDIT_PROBLEMS_MAX];
};

/* Holds the log below @dir_fd against itself, the PEM text @public_key and @expect (NULL: nothing), a record that was
 * noted elsewhere; also while it grows. 0 when it could be looked at, whatever was found; -errno with @error. */
int audit_verify(int dir_fd, const char *public_key, const struct audit_position *expect,
        struct audit_verdict *ret_verdict, struct error *error);
