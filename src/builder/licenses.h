/* What packages say of their own licenses: names, one a line, in the words of whoever wrote them. All of it is written
 * by anybody: bounded, and nothing but text. */
#pragma once

#include <stddef.h>

#define LICENSES_TEXT_MAX 1024U

/* Of a Debian package, from its copyright file in the tree @root_fd; "" when that is not there, or not in the
 * machine-readable format. */
void licenses_of_debian(int root_fd, const char *package, char ret_text[LICENSES_TEXT_MAX]);

/* The pure parts; @text ends with a NUL. "" when there is none. */
void licenses_read_copyright(const char *text, char ret_text[LICENSES_TEXT_MAX]);
/* Of pip: License-Expression, else License when that is a name and no text, else the classifiers. */
void licenses_read_metadata(const char *text, char ret_text[LICENSES_TEXT_MAX]);
/* Adds one name of @size bytes, without blanks around it, that is not there yet and still fits. */
void licenses_add(char text[LICENSES_TEXT_MAX], const char *name, size_t size);
