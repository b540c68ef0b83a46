/* The lines that joblet-builder prints (plan/recipe.h). They are what a client will see of the build, so nothing in
 * them can move a cursor, break a line or be another line. Kept in a buffer of fixed size; say_flush writes it.
 * Standard output that nobody reads ends the program: there is nothing left to do. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum say_level { SAY_DEBUG, SAY_INFO, SAY_WARN, SAY_ERROR };

void say_phase(uint64_t number, const char *name, const char *message);
/* @text needs no NUL. */
void say_log(enum say_level level, const char *text, size_t size);
void say_log_format(enum say_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* By the name of the level in a recipe. */
void say_log_named(const char *level, const char *text);
void say_begin(const char *name, int64_t unix_ns);
/* @how is "exit" or "signal". */
void say_end(const char *name, int64_t unix_ns, const char *how, int number);
void say_value(const char *name, const char *text, size_t size);
void say_package(const char *name, const char *version, const char *architecture);
void say_path(const char *word, const char *path);
void say_changed(const char *kind, const char *origin, const char *path);
void say_stripped(const char *kind, const char *path);
void say_wrong(const char *path, const char *text);
void say_count(const char *name, uint64_t number);
void say_digest(const char *hex);

/* The last lines. Return the exit status. */
int say_done(void);
int say_fail(const struct error *error);

void say_flush(void);

/* Puts "?" in place of each byte that a line may not hold; an ill-formed sequence becomes as many as it has bytes. */
void say_sanitize(char *text, size_t size);
