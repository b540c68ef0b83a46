#include "runtime/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define VALUE_SHOWN_MAX 40U

void runtime_problems_add(struct runtime_problems *problems, unsigned line, const char *format, ...)
{
    if (problems->texts.count >= RUNTIME_PROBLEMS_MAX) {
        problems->left_out++;
        return;
    }
    char text[RUNTIME_PROBLEM_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    int r = line > 0 ? runtime_list_addf(&problems->texts, "line %u: %s", line, text)
                     : runtime_list_add(&problems->texts, text);
    if (r < 0)
        problems->no_memory = true;
}

bool runtime_problems_none(const struct runtime_problems *problems)
{
    return problems->texts.count == 0 && !problems->no_memory;
}

void runtime_problems_done(struct runtime_problems *problems)
{
    runtime_list_done(&problems->texts);
    *problems = (struct runtime_problems){0};
}

void runtime_show(const char *value, char ret_text[RUNTIME_SHOWN_MAX])
{
    if (strstr(value, "://")) {
        (void)snprintf(ret_text, RUNTIME_SHOWN_MAX, "(an address)");
        return;
    }
    size_t length = strlen(value);
    size_t shown = length < VALUE_SHOWN_MAX ? length : VALUE_SHOWN_MAX;
    for (size_t i = 0; i < shown; i++)
        ret_text[i] = value[i] >= ' ' && value[i] < 0x7f ? value[i] : '?';
    (void)snprintf(ret_text + shown, 4, "%s", length > shown ? "..." : "");
}
