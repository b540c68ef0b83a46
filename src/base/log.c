#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

static const struct {
    const char *name;
    int priority; /* syslog(3) */
} log_levels[] = {
        [LOG_LEVEL_DEBUG] = {"DEBUG", 7},
        [LOG_LEVEL_INFO] = {"INFO", 6},
        [LOG_LEVEL_WARN] = {"WARN", 4},
        [LOG_LEVEL_ERROR] = {"ERROR", 3},
};

static const char *log_process = "joblet";
static enum log_level log_lowest = LOG_LEVEL_INFO;
static enum log_format log_format = LOG_FORMAT_TEXT;
static bool log_to_journal;

struct line {
    char text[LOG_LINE_MAX];
    size_t used;
};

/* Kept free at the end of a line: what closes a cut value, a JSON object and the line. */
#define LINE_TAIL 4

static bool line_has_room(const struct line *line, size_t size)
{
    return line->used + size <= sizeof(line->text) - LINE_TAIL;
}

static void line_add(struct line *line, char character)
{
    if (line_has_room(line, 1))
        line->text[line->used++] = character;
}

static void line_add_text(struct line *line, const char *text)
{
    for (; *text; text++)
        line_add(line, *text);
}

/* Quoted so that no value can forge a field or a line: quotes, backslashes and control characters are escaped in the
 * same way in both formats. */
static void line_add_quoted(struct line *line, const char *text)
{
    line_add(line, '"');
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        char escape[8] = {*text};
        if (byte == '"' || byte == '\\')
            (void)snprintf(escape, sizeof(escape), "\\%c", byte);
        else if (byte < 0x20 || byte == 0x7f)
            (void)snprintf(escape, sizeof(escape), "\\u%04x", byte);
        /* A value is cut between characters of its own, never within an escape. */
        if (!line_has_room(line, strlen(escape)))
            break;
        line_add_text(line, escape);
    }
    line->text[line->used++] = '"'; /* of the tail, when the value was cut */
}

/* A value of the text format stands bare when it cannot be misread. */
static bool is_bare(const char *text)
{
    if (!*text)
        return false;
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || *text == '"' || *text == '=' || *text == '\\' || *text == 0x7f)
            return false;
    return true;
}

static void line_add_field(struct line *line, const char *key, const char *value)
{
    /* A field that does not fit with an empty value is left out whole. */
    if (!line_has_room(line, strlen(key) + sizeof(",\"\":\"\"")))
        return;
    if (log_format == LOG_FORMAT_JSON) {
        line_add(line, line->text[line->used - 1] == '{' ? '"' : ',');
        if (line->text[line->used - 1] == ',')
            line_add(line, '"');
        line_add_text(line, key);
        line_add_text(line, "\":");
        line_add_quoted(line, value);
        return;
    }
    line_add(line, ' ');
    line_add_text(line, key);
    line_add(line, '=');
    if (is_bare(value))
        line_add_text(line, value);
    else
        line_add_quoted(line, value);
}

void log_open(const char *process, enum log_level lowest, enum log_format format)
{
    log_process = process;
    log_lowest = lowest;
    log_format = format;
    /* JOURNAL_STREAM=DEVICE:INODE names the stream that is the journal: systemd.exec(5). */
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat status;
    unsigned long long device;
    unsigned long long inode;
    log_to_journal = stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
                     fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

int log_parse_level(const char *text, enum log_level *ret_level)
{
    for (size_t i = 0; i < sizeof(log_levels) / sizeof(log_levels[0]); i++) {
        if (strcasecmp(text, log_levels[i].name) == 0) {
            *ret_level = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

void log_event(enum log_level level, const char *message, ...)
{
    if (level < log_lowest)
        return;
    struct line line = {.used = 0};
    if (log_to_journal) {
        char prefix[8];
        (void)snprintf(prefix, sizeof(prefix), "<%d>", log_levels[level].priority);
        line_add_text(&line, prefix);
    }
    char now[TEXT_TIME_MAX];
    text_format_time(text_now_unix_ns(), now);
    if (log_format == LOG_FORMAT_JSON) {
        line_add(&line, '{');
        line_add_field(&line, "time", now);
        line_add_field(&line, "level", log_levels[level].name);
        line_add_field(&line, "process", log_process);
        line_add_field(&line, "message", message);
    } else {
        line_add_text(&line, now);
        line_add(&line, ' ');
        line_add_text(&line, log_levels[level].name);
        line_add(&line, ' ');
        line_add_text(&line, log_process);
        line_add_text(&line, ": ");
        line_add_text(&line, message);
    }
    va_list pairs;
    va_start(pairs, message);
    const char *key;
    while ((key = va_arg(pairs, const char *))) {
        const char *value = va_arg(pairs, const char *);
        line_add_field(&line, key, value ? value : "");
    }
    va_end(pairs);
    if (log_format == LOG_FORMAT_JSON)
        line.text[line.used++] = '}';
    line.text[line.used++] = '\n';
    /* A log that cannot be written must not stop the service: ignoring. */
    (void)!write(STDERR_FILENO, line.text, line.used);
}

const char *log_number(char buffer[24], int64_t value)
{
    (void)snprintf(buffer, 24, "%lld", (long long)value);
    return buffer;
}
