/* One record of the audit log: a line of JSON, at most AUDIT_LINE_MAX bytes with its line break.
 *
 *     {"v":1,"seq":7,"time":"2026-01-31T10:00:00.000000001Z","source":"joblet-api","action":"job.run", ... ,
 *      "prev":"<64 hexadecimal digits>","hash":"<64 hexadecimal digits>"}
 *
 * (without white space). "hash" is the SHA-256 of the line's bytes before ',"hash":'; "prev" is the hash of the line
 * before, 64 zeros for the first of all. docs/AUDIT.md says how to check both without us.
 *
 * What stands between "source" and "prev" are facts: names and texts of whoever asked for the record. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define AUDIT_VERSION 1U
#define AUDIT_HASH_SIZE 32U
#define AUDIT_HASH_HEX_MAX 65U
/* NAME\0VALUE\0 of all facts of a record. */
#define AUDIT_FACTS_SIZE_MAX (64U << 10)
#define AUDIT_FACTS_COUNT_MAX 512U
/* Each byte of a fact can take six of JSON. */
#define AUDIT_LINE_MAX (6U * AUDIT_FACTS_SIZE_MAX + 4096U)

/* Where a chain stands. */
struct audit_position {
    uint64_t sequence; /* of the last record; 0 = none yet */
    uint8_t hash[AUDIT_HASH_SIZE];
};

void audit_hash_format(const uint8_t hash[AUDIT_HASH_SIZE], char ret_hex[AUDIT_HASH_HEX_MAX]);
/* Exactly 64 small hexadecimal digits at @hex, which need no NUL after them. 0 or -EINVAL. */
int audit_hash_parse(const char *hex, uint8_t ret_hash[AUDIT_HASH_SIZE]);
/* 0 or -EIO. */
int audit_hash(const void *data, size_t size, uint8_t ret_hash[AUDIT_HASH_SIZE]);

/* "2026-01-31T10:00:00.000000001Z", always UTC and with nine digits. */
#define AUDIT_TIME_MAX 32
void audit_format_time(int64_t unix_ns, char ret_text[AUDIT_TIME_MAX]);

/* Checks facts: an even number of texts that each end with NUL, names [a-z][a-z0-9_]*, each once, and none of those
 * that every record has (v, seq, time, source, prev, hash). 0 or -EINVAL with @error. */
int audit_facts_check(const char *facts, size_t size, struct error *error);

/* The line (ended by a line break and NUL, from malloc) that follows @position with checked @facts. Bytes that are no
 * UTF-8 are written as "\xNN" with a backslash of their own. @ret_position: where the chain stands then. 0 or -errno.
 */
int audit_record_format(const struct audit_position *position, int64_t unix_ns, const char *source, const char *facts,
        size_t facts_size, char **ret_line, size_t *ret_size, struct audit_position *ret_position);

/* What every line tells; the texts lie in the line. */
struct audit_record {
    uint64_t sequence;
    int64_t unix_ns;
    uint8_t prev[AUDIT_HASH_SIZE];
    uint8_t hash[AUDIT_HASH_SIZE];
    bool hash_fits; /* the line's bytes have the hash that it names */
};

/* Reads the frame of the line of @size bytes at @line, without its line break. Facts are not looked at. 0; -EINVAL with
 * @error for what audit_record_format does not write. */
int audit_record_read(const char *line, size_t size, struct audit_record *ret_record, struct error *error);
/* The same without the hashes, for whoever only looks for a record: they are left 0. 0 or -EINVAL. */
int audit_record_peek(const char *line, size_t size, struct audit_record *ret_record);
