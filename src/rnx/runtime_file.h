/* A runtime's specification as a user names it: a file, or a directory that has one and perhaps a script. */
#pragma once

#include "rnx/rnx.h"

/* More than any server takes, and less than what would hurt. */
#define RUNTIME_FILE_SIZE_MAX (1U << 20)

/* Reads @path; when that is a directory @path/runtime.yaml or, without one, @path/runtime.yml. A pipe is read to its
 * end. What could not be sent unchanged (not UTF-8, a NUL character) is an error. 0 with a text that the caller frees;
 * -errno with @error. */
int runtime_file_read(const char *path, char **ret_text, struct rnx_error *error);
/* The same, and *ret_script is the text of @path/setup.sh: NULL when @path is no directory or has none. Both are the
 * caller's. */
int runtime_file_read_both(const char *path, char **ret_text, char **ret_script, struct rnx_error *error);
