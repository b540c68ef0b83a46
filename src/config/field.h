/* The table of configuration keys; for this folder only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_ID_RANGE_SIZE 65536U
/* The last range of 32-bit ids holds (uid_t)-1, which is no id. */
#define CONFIG_ID_END 0xffff0000ULL
#define CONFIG_FIELD_COUNT 55

struct config_field;

struct config_kind {
    /* Reads @text into @target. 0 or -errno; nothing is written on failure. */
    int (*read)(const struct config_field *field, const char *text, void *target);
    /* What would be right, for an error: "a whole number from 1 to 5". */
    void (*describe)(const struct config_field *field, char *ret_text, size_t size);
    /* As it stands in a file, without quotes. */
    void (*write)(const struct config_field *field, const void *source, char *ret_text, size_t size);
    bool quoted;
    bool secret; /* never shown in an error */
    bool block;  /* written as a literal block */
};

struct config_field {
    const char *section; /* "" for the top level */
    const char *key;
    const struct config_kind *kind;
    size_t offset;
    uint64_t min;
    uint64_t max;
    const char *preset; /* NULL: the key must be there */
    const char *comment;
};

extern const struct config_field config_fields[CONFIG_FIELD_COUNT];
