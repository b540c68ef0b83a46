/* Writing texts of others where a person reads them: their control characters are made visible, so that none can move
 * the cursor, change the title of the administrator's terminal or pass for a line of ours. */
#pragma once

#include <stddef.h>
#include <stdio.h>

/* The size of the UTF-8 character at @bytes, of which there is at least one; 0 when it is malformed. */
size_t visible_character_size(const unsigned char *bytes, size_t size);
/* Writes @text with each control character (of ASCII, of Latin 1, and those that turn the direction of writing or end a
 * line) and each byte that is no UTF-8 as \n, \t, \r or \xNN. */
void visible_put_bytes(FILE *file, const char *text, size_t size);
void visible_put(FILE *file, const char *text);
/* The same for a text of several lines: they stay lines, each but the first behind two blanks, so that none can pass
 * for a line of ours. Without the line ends at its end. */
void visible_put_lines(FILE *file, const char *text);
