/* pip_options: options that change what pip installs and from where, from a list of known ones. What would write
 * elsewhere, read files of the builder, run other programs or weaken TLS is not among them. */
#pragma once

#include <stddef.h>

#include "runtime/list.h"

/* Splits @text at blanks and appends each option to @options in its long form, "--name" or "--name=value". 0; -EINVAL
 * with what is wrong in @ret_why (values of addresses are not shown), some options may have been appended; -ENOMEM. */
#define RUNTIME_OPTIONS_WHY_MAX 320U
int runtime_options_parse(
        const char *text, size_t max, struct runtime_list *options, char ret_why[RUNTIME_OPTIONS_WHY_MAX]);
