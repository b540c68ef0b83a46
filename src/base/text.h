/* Strict parsers and formatters for the small texts of the wire, the configuration and the command line. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* A whole decimal number without sign or blanks, at most @max. 0, -EINVAL or -ERANGE. */
int text_parse_u64(const char *text, uint64_t max, uint64_t *ret_value);

/* A duration in Go's notation ("30s", "1h30m", "1.5h", "250ms", "0"): units ns us ms s m h, each part with a unit, no
 * sign. Stored in nanoseconds. 0; -EINVAL when malformed or negative; -ERANGE beyond about 292 years. */
int text_parse_duration(const char *text, uint64_t *ret_ns);
/* The shortest form that text_parse_duration reads back, in Go's style: "1h30m0s", "250ms", "0s". */
#define TEXT_DURATION_MAX 40
void text_format_duration(uint64_t ns, char ret_text[TEXT_DURATION_MAX]);

/* RFC 3339 in the process's time zone, in whole seconds ("2026-01-02T03:04:05Z", "...+02:00"). */
#define TEXT_TIME_MAX 40
void text_format_time(int64_t unix_ns, char ret_text[TEXT_TIME_MAX]);
/* Reads RFC 3339 with a zone and an optional fraction. 0 or -EINVAL. */
int text_parse_time(const char *text, int64_t *ret_unix_ns);

/* A time as people give it: "2026-01-31", "2026-01-31 15:00", "2026-01-31T15:00:00" (in the process's time zone), RFC
 * 3339, or how long ago ("2h"). 0 or -EINVAL. */
int text_parse_when(const char *text, int64_t *ret_unix_ns);

/* Lower-case UUID text (36 characters) to and from 16 bytes. 0 or -EINVAL. */
#define TEXT_UUID_MAX 37
int text_parse_uuid(const char *text, uint8_t ret_id[16]);
void text_format_uuid(const uint8_t id[16], char ret_text[TEXT_UUID_MAX]);
/* A new version 4 UUID from the kernel's random source. 0 or -errno. */
int text_new_uuid(uint8_t ret_id[16]);

/* True when @text is well-formed UTF-8 (no surrogates, no overlong forms). */
bool text_is_utf8(const char *text, size_t size);

/* A copy, ended by NUL, of @text up to its NUL or to @size bytes, whichever comes first: the bytes need no NUL. The
 * caller's; NULL without memory. */
char *text_dup_bounded(const char *text, size_t size);

/* Copies @text (well-formed UTF-8), cut at @size bytes, its NUL included, but never within a character. @size > 0. */
void text_copy_cut(char *ret_text, size_t size, const char *text);

/* True when @name matches [A-Za-z_][A-Za-z0-9_]*. */
bool text_is_environment_name(const char *name);

/* CLOCK_REALTIME and CLOCK_MONOTONIC in nanoseconds. */
int64_t text_now_unix_ns(void);
int64_t text_now_monotonic_ns(void);
