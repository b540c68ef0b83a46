/* Filling protobuf-c messages: all memory is malloc'ed, so that the generated free function gives it back. */
#pragma once

#include <stddef.h>

/* Replaces the text at @field (a field of a message that holds nothing of ours yet) by a copy of @text. What is not
 * UTF-8 becomes '?': names of processes and mount points are bytes, and one wrong byte would make the whole answer
 * unreadable for a client. 0 or -ENOMEM. */
int message_set_text(char **field, const char *text);
/* Appends a copy of @text to a list of texts. 0 or -ENOMEM. */
int message_add_text(char ***list, size_t *count, const char *text);
/* A list of @count numbers, copied. 0 or -ENOMEM. */
int message_set_numbers(double **list, size_t *ret_count, const double numbers[], size_t count);

/* Appends a new, zeroed item of @size bytes to a list. It or NULL. */
void *message_add(void ***list, size_t *count, size_t size);
#define MESSAGE_ADD(message, field, type, init)                                                                        \
    ({                                                                                                                 \
        type *_item = message_add((void ***)&(message)->field, &(message)->n_##field, sizeof(type));                   \
        if (_item)                                                                                                     \
            init(_item);                                                                                               \
        _item;                                                                                                         \
    })
/* A single submessage, initialised. It or NULL. */
#define MESSAGE_NEW(type, init)                                                                                        \
    ({                                                                                                                 \
        type *_item = malloc(sizeof(type));                                                                            \
        if (_item)                                                                                                     \
            init(_item);                                                                                               \
        _item;                                                                                                         \
    })
