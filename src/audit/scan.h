/* Walking along a file of the audit log, line by line, with the chain. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/record.h"

/* A file is not larger than its limit and a record. */
#define AUDIT_FILE_MAX (1ULL << 30)

struct audit_scan {
    char *text; /* the file's, a copy */
    size_t size;
    size_t offset; /* where the next line begins */
    uint64_t line; /* number of the line that was read last, from 1 */
};

/* Reads the file @name below @dir_fd. 0 (to be ended with audit_scan_done) or -errno with @error. */
int audit_scan_open(int dir_fd, const char *name, struct audit_scan *ret_scan, struct error *error);
void audit_scan_done(struct audit_scan *scan);
/* The next line, without its line break, in the copy. False at the end, and at a last line without a line break. */
bool audit_scan_next(struct audit_scan *scan, const char **ret_line, size_t *ret_size);
/* The bytes of a last line without a line break. */
size_t audit_scan_rest(const struct audit_scan *scan);
/* The next line must be a whole record that follows @position, which moves on. 0; -ENODATA at the end; -EBADMSG with
 * @error (the scan stays before that line). @ret_record may be NULL. */
int audit_scan_follow(
        struct audit_scan *scan, struct audit_position *position, struct audit_record *ret_record, struct error *error);
