/* The table of keys of runtime.yaml; for this folder only. */
#pragma once

#include "runtime/spec.h"

enum field_kind {
    FIELD_TEXT,    /* a single value */
    FIELD_LIST,    /* a list of single values */
    FIELD_MAP,     /* names and single values */
    FIELD_SECTION, /* keys of the table below it */
};

struct field_place {
    struct runtime_spec *spec;
    struct runtime_problems *problems;
    unsigned line;
};

struct field {
    const char *section; /* "" for the top level */
    const char *key;
    enum field_kind kind;
    bool required;
    bool hidden; /* values are not shown in problems */
    /* Reads a value (of a list: one of its items; of a map: the value of @name) into the specification; adds what is
     * wrong. 0, also when something is wrong; -ENOMEM. */
    int (*read)(const struct field *field, const struct field_place *place, const char *name, const char *text);
    size_t offset;     /* of the char * or the list that it goes to */
    size_t count_max;  /* of a list or a map */
    const char *right; /* "X is not ..." */
};

#define FIELD_COUNT 22U
extern const struct field fields[FIELD_COUNT];

/* "base.language"; a name that fits any field. */
#define FIELD_NAME_MAX 64U
void field_format_name(const struct field *field, char ret_name[FIELD_NAME_MAX]);
/* The index, or -1. */
int field_find(const char *section, const char *key);
