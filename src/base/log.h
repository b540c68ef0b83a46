/* The service's own log: one structured line for each event, on standard error. Only the processes' own folders log;
 * libraries return errors and whoever decides logs once. Under systemd (standard error is the journal) each line
 * carries its priority as "<N>", which the journal reads: see sd-daemon(3). Secrets are never passed to it. */
#pragma once

#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* Sets the process's name (static text), lowest level and format. Once, before threads. */
void log_open(const char *process, enum log_level lowest, enum log_format format);

/* "DEBUG", "INFO", "WARN", "ERROR" in either case. 0 or -EINVAL. */
int log_parse_level(const char *text, enum log_level *ret_level);

/* Writes one line: the message and pairs of key and value, ended by NULL:
 *     log_event(LOG_LEVEL_INFO, "job ended", "job", id, "reason", reason, NULL);
 * All values are texts; a NULL value is written as "". Cut at LOG_LINE_MAX. Any thread; one write(2) a line. */
#define LOG_LINE_MAX 2048
void log_event(enum log_level level, const char *message, ...) __attribute__((sentinel));

/* A number as text for log_event, in a buffer of the caller's expression. */
#define LOG_NUMBER(value) log_number((char[24]){0}, (int64_t)(value))
const char *log_number(char buffer[24], int64_t value);
