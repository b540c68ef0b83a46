/* Cuts a stream of bytes into lines, whatever somebody writes: the memory is fixed, what does not fit into a line is
 * dropped, a carriage return ends one too (progress bars), and an end without a newline counts. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "plan/recipe.h"

typedef void lines_put(void *context, size_t stream, const char *text, size_t size);

struct lines {
    lines_put *put;
    void *context;
    size_t stream;
    char text[RECIPE_LINE_MAX];
    size_t used;
    bool after_return; /* a newline that follows belongs to the line before */
};

/* @put is called for each line with @context and @stream, its text without the line's end. */
void lines_init(struct lines *lines, lines_put *put, void *context, size_t stream);
void lines_add(struct lines *lines, const char *data, size_t size);
void lines_end(struct lines *lines);
