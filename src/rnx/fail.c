/* How rnx says an error: once, on standard error; the usage only when the call itself was malformed. */
#include <stdarg.h>
#include <stdio.h>

#include "rnx/help.h"
#include "rnx/output.h"
#include "rnx/rnx.h"

static void __attribute__((format(printf, 1, 0))) fail_print(const char *format, va_list arguments)
{
    char text[4096];
    (void)vsnprintf(text, sizeof(text), format, arguments);
    /* What was printed before comes first, also when both go to one file. */
    (void)fflush(stdout);
    (void)fputs("Error: ", stderr);
    output_text(stderr, text);
    (void)fputc('\n', stderr);
}

int rnx_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fail_print(format, arguments);
    va_end(arguments);
    return RNX_EXIT_FAILED;
}

int rnx_fail_usage(const struct rnx_verb *verb, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fail_print(format, arguments);
    va_end(arguments);
    help_print_usage(stderr, verb);
    return RNX_EXIT_USAGE;
}
