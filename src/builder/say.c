#include "builder/say.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "plan/recipe.h"

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static char buffer[16 * RECIPE_LINE_MAX];
static size_t used;

void say_flush(void)
{
    if (used > 0 && fd_write_all(STDOUT_FILENO, buffer, used) < 0)
        _exit(1);
    used = 0;
}

/* The length of the sequence at @text, 0 when it is none. */
static size_t sequence(const char *text, size_t size)
{
    for (size_t length = 2; length <= 4 && length <= size; length++)
        if (text_is_utf8(text, length))
            return length;
    return 0;
}

void say_sanitize(char *text, size_t size)
{
    for (size_t i = 0; i < size;) {
        unsigned char byte = (unsigned char)text[i];
        if (byte < 0x80) {
            if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
                text[i] = '?';
            i++;
            continue;
        }
        size_t length = sequence(text + i, size - i);
        if (length == 0)
            text[i] = '?';
        i += length ? length : 1;
    }
}

/* A line of @size bytes after the mark; cut, made harmless, ended. */
static void put(const char *text, size_t size)
{
    if (size > RECIPE_LINE_MAX - 2)
        size = RECIPE_LINE_MAX - 2;
    if (sizeof(buffer) - used < RECIPE_LINE_MAX)
        say_flush();
    buffer[used] = RECIPE_MARK;
    memcpy(buffer + used + 1, text, size);
    say_sanitize(buffer + used + 1, size);
    buffer[used + 1 + size] = '\n';
    used += size + 2;
}

__attribute__((format(printf, 1, 2))) static void put_format(const char *format, ...)
{
    char line[RECIPE_LINE_MAX];
    va_list list;
    va_start(list, format);
    int length = vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    if (length > 0)
        put(line, (size_t)length < sizeof(line) ? (size_t)length : sizeof(line) - 1);
}

/* @head, then bytes that may hold a NUL. */
static void put_bytes(const char *head, const char *text, size_t size)
{
    char line[RECIPE_LINE_MAX];
    size_t length = strlen(head);
    if (length > sizeof(line))
        length = sizeof(line);
    if (size > sizeof(line) - length)
        size = sizeof(line) - length;
    memcpy(line, head, length);
    memcpy(line + length, text, size);
    put(line, length + size);
}

void say_phase(uint64_t number, const char *name, const char *message)
{
    put_format("phase %" PRIu64 " %s: %s", number, name, message);
    say_flush();
}

void say_log(enum say_level level, const char *text, size_t size)
{
    char head[16];
    (void)snprintf(head, sizeof(head), "log %s ", level_names[level]);
    put_bytes(head, text, size);
}

void say_log_format(enum say_level level, const char *format, ...)
{
    char line[RECIPE_LINE_MAX];
    va_list list;
    va_start(list, format);
    int length = vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    if (length > 0)
        say_log(level, line, (size_t)length < sizeof(line) ? (size_t)length : sizeof(line) - 1);
}

void say_log_named(const char *level, const char *text)
{
    put_format("log %s %s", level, text);
}

void say_begin(const char *name, int64_t unix_ns)
{
    put_format("begin %s %" PRId64, name, unix_ns);
    say_flush();
}

void say_end(const char *name, int64_t unix_ns, const char *how, int number)
{
    put_format("end %s %" PRId64 " %s %d", name, unix_ns, how, number);
    say_flush();
}

void say_value(const char *name, const char *text, size_t size)
{
    char head[RECIPE_LINE_MAX];
    (void)snprintf(head, sizeof(head), "value %s ", name);
    put_bytes(head, text, size);
}

void say_package(const char *name, const char *version, const char *architecture)
{
    put_format("package %s %s %s", name, version, architecture);
}

void say_path(const char *word, const char *path)
{
    put_format("%s %s", word, path);
}

void say_changed(const char *kind, const char *origin, const char *path)
{
    put_format("changed %s %s %s", kind, origin, path);
}

void say_stripped(const char *kind, const char *path)
{
    put_format("stripped %s %s", kind, path);
}

void say_wrong(const char *path, const char *text)
{
    put_format("wrong %s %s", path, text);
}

void say_count(const char *name, uint64_t number)
{
    put_format("count %s %" PRIu64, name, number);
}

void say_digest(const char *hex)
{
    put_format("digest %s", hex);
}

int say_done(void)
{
    put_format("done");
    say_flush();
    return EXIT_SUCCESS;
}

int say_fail(const struct error *error)
{
    put_format("fail %s", *error->text ? error->text : "unknown error");
    say_flush();
    return EXIT_FAILURE;
}
