#include <stdarg.h>
#include <stdio.h>

#include "rnx/rnx.h"

int rnx_error_set(struct rnx_error *error, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    return -code;
}
