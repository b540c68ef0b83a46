/* What is wrong with a specification: all of it, not the first thing, and in bounded memory whatever a client sends. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "runtime/list.h"

#define RUNTIME_PROBLEMS_MAX 64U
/* One text, cut here. */
#define RUNTIME_PROBLEM_TEXT_MAX 384U

struct runtime_problems {
    /* "line 7: base.language: 'ruby' is not one of python, java, node, go, rust": printable, one line each, in the
     * order of the text. */
    struct runtime_list texts;
    size_t left_out; /* more than RUNTIME_PROBLEMS_MAX */
    bool no_memory;
};

/* Adds one; @line 0 = none. */
void runtime_problems_add(struct runtime_problems *problems, unsigned line, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* True when nothing was added. */
bool runtime_problems_none(const struct runtime_problems *problems);
void runtime_problems_done(struct runtime_problems *problems);

/* @value as it may stand in a problem: at most 40 bytes, "?" for what is not printable ASCII. What looks like an
 * address is not shown, because addresses hold passwords. */
#define RUNTIME_SHOWN_MAX 48
void runtime_show(const char *value, char ret_text[RUNTIME_SHOWN_MAX]);
