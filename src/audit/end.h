/* Where the chain of the audit log ends: looked for from the record of the signed head on, in the files from that
 * record's on. Earlier ones are not read (audit_verify does). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "audit/log.h"

struct audit_end {
    struct audit_position last; /* the last record that follows */
    uint64_t file_first;        /* its file; 0: none was read */
    uint64_t offset;            /* behind it, in that file */
    uint64_t rest;              /* bytes behind it, in that file */
    bool covers;                /* the record of the head was there */
    bool half;                  /* the rest is what a kill or a power loss leaves of records on their way */
    struct error error;         /* what is wrong behind the last record */
};

/* Follows the chain through the files @firsts (ascending, at least one). */
void audit_end_find(
        int dir_fd, const uint64_t *firsts, int count, const struct audit_head *head, struct audit_end *ret_end);
/* The record before the first one of the file @first. 0; -ENODATA: that file has none; -errno with @error. */
int audit_end_before(int dir_fd, uint64_t first, struct audit_position *ret_position, struct error *error);
