/* Writing the audit log, and its signed head. One process at a time writes: it holds the lock of the directory.
 *
 *     PREFIX/state/audit/         0750, root's; joblet-api's group reads
 *       N.jsonl                   N: the sequence of the first record, 20 digits; the newest is appended to
 *       head                      how far the log is on the disk, signed; trails behind the newest file
 *     PREFIX/config/audit-key.pem     the private key (Ed25519), 0600
 *     PREFIX/config/audit-public.pem  for whoever checks
 *
 * A head is written after what it covers has reached the disk, the first one before there is a key or a record. So a
 * kill or a power loss leaves lines that no head covers, or half a line; the next start keeps the whole ones and cuts
 * the half one, and both is said in a record. Anything else is damage: it is noted, what cannot be gone on with is put
 * aside, and the chain goes on behind the last record that is sure.
 *
 * Opening reads from the head's file on, not all: audit_verify does. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "audit/record.h"
#include "base/error.h"

#define AUDIT_DIRECTORY "state/audit"
#define AUDIT_KEY_FILE "config/audit-key.pem"
#define AUDIT_PUBLIC_FILE "config/audit-public.pem"
#define AUDIT_HEAD_FILE "head"
#define AUDIT_HEAD_MAX 768U
/* In the names of what could not be gone on with: "NAME.damaged-TIME". An administrator takes it away. */
#define AUDIT_DAMAGED ".damaged-"

struct audit_options {
    uint64_t file_bytes; /* a file that has as many is followed by a new one */
    uint32_t keep_files; /* older ones go; at least 2 */
    uid_t owner;         /* of what is made */
    gid_t readers;       /* its group may read */
    /* Gets each record that was written, its line with the line break, for a copy of it. NULL: nobody does. */
    void (*on_record)(void *context, const char *line);
    void *context;
};

/* What a head says. */
struct audit_head {
    struct audit_position last; /* what is on the disk */
    uint64_t first;             /* the sequence of the first record that is kept */
    uint8_t first_prev[AUDIT_HASH_SIZE];
};

struct audit_log;

/* What opening found. */
struct audit_opened {
    uint64_t uncovered;  /* whole records after the head, kept */
    uint64_t cut_bytes;  /* of what came after them and is no record, cut */
    struct error damage; /* the log is not what the head says, or was not and nobody has recorded it. Code 0: it is */
};

/* Opens the log of @prefix_fd for writing and makes what is missing of it (directory, key). 0; -EBUSY with @error when
 * another process has it; -ENOKEY when the key is gone and the log is not; -errno with @error. No record is written
 * yet: audit_log_tell says what was found. */
int audit_log_open(int prefix_fd, const struct audit_options *options, struct audit_log **ret_log,
        struct audit_opened *ret_opened, struct error *error);
/* NULL is fine. What is not on the disk is left as it is. */
void audit_log_close(struct audit_log *log);

/* Appends a record of facts (checked here). It is in the file then, perhaps not yet on the disk. 0 or -errno with
 * @error: nothing was written. */
int audit_log_append(struct audit_log *log, const char *source, const char *facts, size_t size, struct error *error);

/* Writes what opening found, "audit.tampered" or "audit.recovered"; the former is on the disk then. 0, also when
 * nothing was found, or -errno with @error: of a damage the next opening tells again. */
int audit_log_tell(struct audit_log *log, const char *source, const struct audit_opened *opened, struct error *error);

/* The newest file and the directory, borrowed. */
int audit_log_file(const struct audit_log *log);
int audit_log_directory(const struct audit_log *log);
/* The sequence of the last record. */
uint64_t audit_log_last(const struct audit_log *log);

/* The head that is right once what is written now is on the disk: signed text. Its size, or -errno with @error. */
int audit_log_make_head(struct audit_log *log, char ret_text[AUDIT_HEAD_MAX], struct error *error);
/* Puts the file @fd and then the head on the disk. For a child, too: it touches nothing else. 0 or -errno. */
int audit_log_settle(int dir_fd, int fd, const char *head, size_t size, gid_t readers);
/* What was made a head is on the disk now: files that it does not keep may go. */
void audit_log_settled(struct audit_log *log);
/* All three, waiting for the disk: for setup, and at the end. 0 or -errno with @error. */
int audit_log_flush(struct audit_log *log, struct error *error);
