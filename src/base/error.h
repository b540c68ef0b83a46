/* An error with its context, of fixed size and without malloc, so that it survives clone() and travels through a pipe
 * or the privileged channel. It is made where the failure happens, in one expression:
 *
 *     return error_errno(error, errno, "mount '%s'", target);
 *
 * Convention of all functions: 0 = done, negative errno = broken, a positive value only where the function's own
 * contract names it. @error may be NULL everywhere. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The text is cut (never overflowed) at this size, its NUL included. */
#define ERROR_TEXT_MAX 192

struct error {
    int32_t code;              /* a positive errno value, 0 = no error */
    uint32_t stage;            /* where it happened: enum plan_stage for a sandbox, 0 = not said */
    char text[ERROR_TEXT_MAX]; /* for people: what was tried, on what; always NUL-terminated */
};

/* Fills @error with @code and the formatted text, followed by ": " and strerror(@code). Returns -@code. Any thread,
 * also after clone. @code must be positive. */
int error_errno(struct error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As error_errno, but the text stands alone: for errors that are ours and not the kernel's. Returns -@code. */
int error_text(struct error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts the formatted text and ": " before the text of @error: context added on the way up. Returns -error->code, or
 * -EIO when @error is NULL or holds none. */
int error_prefix(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
