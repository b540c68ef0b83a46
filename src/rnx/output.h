/* What people read on the terminal: times, durations, sizes, coloured status words, joined command lines. Texts that
 * come from jobs and from other users are written with their control characters made visible: a job's arguments must
 * not be able to move the cursor or change the title of the administrator's terminal. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* As base/visible.h says. */
void output_text(FILE *file, const char *text);
void output_bytes(FILE *file, const char *text, size_t size);
void output_lines(FILE *file, const char *text);
/* "LABEL: VALUE" and the end of the line on standard output, the value as by output_text. */
void output_field(const char *label, const char *value);
size_t output_character_size(const unsigned char *bytes, size_t size);
/* The largest size of at most @size at which @text can be cut without cutting a character of UTF-8. */
size_t output_cut_size(const char *text, size_t size);

/* "2026-01-02 03:04:05" from RFC 3339, in its own offset; " UTC" or " +0200" is added with @zone. "" gives @empty; what
 * is no time is copied as it is, cut at the buffer. */
#define OUTPUT_TIME_MAX 48
void output_format_time(const char *rfc3339, bool zone, const char *empty, char ret_text[OUTPUT_TIME_MAX]);

/* "30.0s", "5.0m", "2h", "2h30m", "3d", "3d4h". */
#define OUTPUT_DURATION_MAX 32
void output_format_duration(double seconds, char ret_text[OUTPUT_DURATION_MAX]);

/* "512 B", "1.5 KB", "3.2 GB": 1024 based. */
#define OUTPUT_SIZE_MAX 32
void output_format_size(int64_t bytes, char ret_text[OUTPUT_SIZE_MAX]);

/* "512B", "1.5KB", "3.2GB": 1024 based, up to GB. */
void output_format_size_tight(int64_t bytes, char ret_text[OUTPUT_SIZE_MAX]);

/* "3d 4h 5m" */
#define OUTPUT_UPTIME_MAX 48
void output_format_uptime(int64_t seconds, char ret_text[OUTPUT_UPTIME_MAX]);

/* The colour's escape sequence of a status word, or "" when it has none. */
const char *output_status_colour(const char *status);
/* The word, coloured with @colour, then blanks up to @width characters. */
void output_status(FILE *file, const char *status, bool colour, int width);

/* A new text "COMMAND ARG ARG", owned by the caller, or NULL without memory. */
char *output_join_command(const char *command, char *const *args, size_t count);
/* The command of a table's row: the first line, cut at 80 characters with "...". New, owned by the caller, or NULL. */
char *output_shorten_command(const char *joined);

/* Writes all of @data to standard output or standard error, also when that is a non-blocking pipe. 0; -EINTR when the
 * user interrupted (interrupt.h); -errno. Not to be mixed with stdio on the same descriptor without fflush. */
int output_write_all(int fd, const void *data, size_t size);
/* Flushes standard output. 0, or -errno of this or an earlier write. */
int output_flush(void);
/* Ends the process by SIGPIPE, as any other filter whose reader has seen enough. Does not return unless it is blocked.
 */
void output_end_by_pipe(void);
