/* What joblet-builder says (plan/recipe.h): the bytes of a log, cut into lines, each understood or not. What runs in a
 * build can write into its log what it likes: nothing here is more than the build's word about itself. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/recipe.h"

enum runtime_output_kind {
    RUNTIME_OUTPUT_OTHER, /* no recipe's line: text */
    RUNTIME_OUTPUT_PHASE, /* number, name, text */
    RUNTIME_OUTPUT_LOG,   /* name (the level), text */
    RUNTIME_OUTPUT_BEGIN, /* name, time */
    RUNTIME_OUTPUT_END,   /* name, time, number (exit status, or 128 + signal) */
    RUNTIME_OUTPUT_VALUE, /* name, text */
    RUNTIME_OUTPUT_PACKAGE,
    RUNTIME_OUTPUT_STRIPPED, /* name (the kind), text (the path) */
    RUNTIME_OUTPUT_STRAY,    /* text */
    RUNTIME_OUTPUT_CHANGED,  /* name (the kind), text ("ORIGIN PATH") */
    RUNTIME_OUTPUT_HOST_CHANGED,
    RUNTIME_OUTPUT_COUNT, /* name, number */
    RUNTIME_OUTPUT_DIGEST,
    RUNTIME_OUTPUT_WRONG, /* text */
    RUNTIME_OUTPUT_FAIL,
    RUNTIME_OUTPUT_DONE,
};

/* Borrowed from the line; never NULL. */
struct runtime_output {
    enum runtime_output_kind kind;
    uint64_t number;
    int64_t unix_ns;
    const char *name; /* without blanks, but of a phase */
    const char *text; /* one line of UTF-8 without control characters but the tab */
};

/* Takes the line apart, in place: @line has @size bytes and room for a NUL after them. Whatever is no line of a recipe
 * in its exact form is RUNTIME_OUTPUT_OTHER. */
void runtime_output_parse(char *line, size_t size, struct runtime_output *ret_output);

/* Cuts bytes into lines. Zeroed = empty. */
struct runtime_lines {
    size_t used;
    bool too_long; /* the rest of the line is left out */
    char buffer[RECIPE_LINE_MAX + 1];
};
typedef void (*runtime_lines_each)(const struct runtime_output *output, void *user);
void runtime_lines_add(
        struct runtime_lines *lines, const char *bytes, size_t size, runtime_lines_each each, void *user);
/* What stands after the last line's end is a line too. */
void runtime_lines_end(struct runtime_lines *lines, runtime_lines_each each, void *user);
