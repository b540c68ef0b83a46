#include "base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void error_format(struct error *error, int code, const char *format, va_list arguments)
        __attribute__((format(printf, 3, 0)));
static void error_format(struct error *error, int code, const char *format, va_list arguments)
{
    error->code = code;
    (void)vsnprintf(error->text, sizeof(error->text), format, arguments);
}

int error_errno(struct error *error, int code, const char *format, ...)
{
    assert(code > 0);
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        error_format(error, code, format, arguments);
        va_end(arguments);
        size_t used = strlen(error->text);
        /* strerrordesc_np: no locale, no buffer, safe after clone. */
        const char *description = strerrordesc_np(code);
        (void)snprintf(error->text + used, sizeof(error->text) - used, ": %s", description ? description : "?");
    }
    return -code;
}

int error_text(struct error *error, int code, const char *format, ...)
{
    assert(code > 0);
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        error_format(error, code, format, arguments);
        va_end(arguments);
    }
    return -code;
}

int error_prefix(struct error *error, const char *format, ...)
{
    if (!error || error->code == 0)
        return -EIO;
    char old[ERROR_TEXT_MAX];
    memcpy(old, error->text, sizeof(old));
    va_list arguments;
    va_start(arguments, format);
    error_format(error, error->code, format, arguments);
    va_end(arguments);
    size_t used = strlen(error->text);
    (void)snprintf(error->text + used, sizeof(error->text) - used, ": %s", old);
    return -error->code;
}
