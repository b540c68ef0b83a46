/* The one place that knows what is secret: what the configuration gives to builds (a proxy's password printed by a
 * package manager must not reach a client or a record), and what a client's words call so. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "runtime/list.h"

/* Shown instead. */
#define MASK "***"
/* A shorter value ("1", "no") is no secret, and would be found everywhere. */
#define MASK_VALUE_MIN 6U

/* True when an environment variable of that name holds a secret. Pure. */
bool mask_name_is_secret(const char *name);

/* Copies @text, cut at @size bytes (its NUL included), with "***" in place of each value of @environment ("NAME=VALUE")
 * and of what stands between "://" and "@" in one. What the cut leaves of one goes too. Pure. */
void mask_text(const struct runtime_list *environment, const char *text, char *ret_text, size_t size);

/* As mask_text, and with "***" in place of what the words before it call a secret, whosever it is: "API_TOKEN=...",
 * "--password ...", "password: ...", "Bearer ...", "://user:password@". The result has at most @size bytes, its NUL
 * included, and is the caller's; NULL without memory. Pure. */
char *mask_words(const struct runtime_list *environment, const char *text, size_t size);
/* One argument of a command line after @previous (or NULL): as mask_words, and the whole of it behind "--password" or
 * after "API_TOKEN=". */
char *mask_argument(const struct runtime_list *environment, const char *previous, const char *text, size_t size);
