/* Words of a recipe, one after the other; the first failure is kept. For this folder only. */
#pragma once

#include "runtime/list.h"

struct words {
    struct runtime_list *list; /* borrowed */
    int result;                /* 0 or -ENOMEM */
};

void words_add(struct words *words, const char *text);
/* NULL ends. */
void words_add_all(struct words *words, ...) __attribute__((sentinel));
void words_addf(struct words *words, const char *format, ...) __attribute__((format(printf, 2, 3)));
void words_add_list(struct words *words, const struct runtime_list *list);
/* "phase NUMBER NAME MESSAGE" */
void words_phase(struct words *words, unsigned number, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* "say LEVEL TEXT" */
void words_say(struct words *words, const char *level, const char *format, ...) __attribute__((format(printf, 3, 4)));
