/* Hides what the configuration gives to builds: a proxy's password printed by a package manager must not reach a client
 * or a record. */
#pragma once

#include <stddef.h>

#include "runtime/list.h"

/* A shorter value ("1", "no") is no secret, and would be found everywhere. */
#define MASK_VALUE_MIN 6U

/* Copies @text, cut at @size bytes (its NUL included), with "***" in place of each value of @environment ("NAME=VALUE")
 * and of what stands between "://" and "@" in one. Pure. */
void mask_text(const struct runtime_list *environment, const char *text, char *ret_text, size_t size);
