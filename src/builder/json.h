/* Lines of JSON: one flat object each, written into a file of the staging directory and read back. Texts are bytes
 * (paths of Linux are): a control character is written as "\u00XX", a byte that belongs to no well-formed UTF-8 as
 * "\udcXX", the way Python's surrogateescape has it. So every line is printable UTF-8, and reading gives the same bytes
 * back. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "builder/digest.h"

struct json {
    int fd;
    int result; /* the first failure, -errno */
    bool is_first;
    struct digest *digest;
    size_t used;
    char buffer[65536];
};

/* Makes the file @name below @dir_fd, which must not be there, mode 0644. 0 or -errno. */
int json_open(struct json *json, int dir_fd, const char *name);
void json_begin(struct json *json);
void json_text(struct json *json, const char *key, const char *value);
void json_number(struct json *json, const char *key, uint64_t value);
void json_bool(struct json *json, const char *key, bool value);
void json_end(struct json *json);
/* Writes the rest, syncs, closes; the digest of all bytes into @ret_digest, when that is not NULL. 0 or -errno of
 * whatever failed first. Ends it in any case. */
int json_close(struct json *json, uint8_t *ret_digest);

/* One member of a line that is read. */
struct json_member {
    const char *key;
    const char *text; /* a text, ended by NUL, or NULL */
    uint64_t number;  /* else a number; true and false are 1 and 0 */
};

#define JSON_MEMBERS_MAX 16U

/* Reads the line of @size bytes at @line, without its newline, in place: the texts of @members lie in it. Strict: what
 * json_* does not write (white space, other numbers, nesting, a text with a NUL) is refused. The number of members, or
 * -EINVAL. */
int json_read(char *line, size_t size, struct json_member members[JSON_MEMBERS_MAX]);
/* The member's text, or NULL. */
const char *json_find_text(const struct json_member *members, int count, const char *key);
/* 0 or -ENOENT. */
int json_find_number(const struct json_member *members, int count, const char *key, uint64_t *ret_number);
