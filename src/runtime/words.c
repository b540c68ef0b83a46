#include "runtime/words.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/fd.h"
#include "runtime/build.h"

#define MESSAGE_MAX 512

void words_add(struct words *words, const char *text)
{
    if (words->result == 0)
        words->result = runtime_list_add(words->list, text);
}

void words_add_all(struct words *words, ...)
{
    va_list arguments;
    va_start(arguments, words);
    for (const char *text; (text = va_arg(arguments, const char *));)
        words_add(words, text);
    va_end(arguments);
}

__attribute__((format(printf, 2, 0))) static void words_addv(struct words *words, const char *format, va_list arguments)
{
    char text[MESSAGE_MAX];
    (void)vsnprintf(text, sizeof(text), format, arguments);
    words_add(words, text);
}

void words_addf(struct words *words, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    words_addv(words, format, arguments);
    va_end(arguments);
}

void words_add_list(struct words *words, const struct runtime_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        words_add(words, list->items[i]);
}

void words_phase(struct words *words, unsigned number, const char *format, ...)
{
    va_list arguments;
    words_add(words, "phase");
    words_addf(words, "%u", number);
    words_add(words, runtime_phase_name(number));
    va_start(arguments, format);
    words_addv(words, format, arguments);
    va_end(arguments);
}

void words_say(struct words *words, const char *level, const char *format, ...)
{
    va_list arguments;
    words_add_all(words, "say", level, NULL);
    va_start(arguments, format);
    words_addv(words, format, arguments);
    va_end(arguments);
}
