/* A list of texts with one owner. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct runtime_list {
    char **items; /* each owned, never NULL */
    size_t count;
};

/* Appends a copy of @text. 0 or -ENOMEM. */
int runtime_list_add(struct runtime_list *list, const char *text);
/* Appends the formatted text. 0 or -ENOMEM. */
int runtime_list_addf(struct runtime_list *list, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* True when @text is among the items. */
bool runtime_list_has(const struct runtime_list *list, const char *text);
/* Frees the items; the list is empty afterwards. */
void runtime_list_done(struct runtime_list *list);
