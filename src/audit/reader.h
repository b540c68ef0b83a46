/* Finding records. It believes nothing: what is no record is passed over (audit_verify is what judges). For joblet-api
 * and "joblet audit"; both have the directory, read-only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Empty and 0: any. */
struct audit_filter {
    int64_t since_unix_ns;
    int64_t until_unix_ns;
    const char *job;    /* the id of a job or build, or its beginning */
    const char *user;   /* whole */
    const char *action; /* whole; "job.*": all that begin with "job." */
    const char *result; /* whole */
    uint64_t sequence;  /* this one */
};

struct audit_found {
    uint64_t sequence;
    int64_t unix_ns;
    char *line; /* without its line break, ended by NUL */
    size_t size;
};

struct audit_list {
    struct audit_found *items; /* the oldest first */
    size_t count;
    bool truncated; /* there are older ones that match */
};

/* The newest @limit records below @dir_fd (PREFIX/state/audit) that match. 0 (to be ended with audit_list_done) or
 * -errno with @error. */
int audit_find(
        int dir_fd, const struct audit_filter *filter, size_t limit, struct audit_list *ret_list, struct error *error);
void audit_list_done(struct audit_list *list);

/* One fact or field of a line, as text. False: stop. */
typedef bool (*audit_field_put)(void *context, const char *name, const char *value);
/* All of them, in their order. 0 or -EINVAL. */
int audit_fields(const char *line, size_t size, audit_field_put put, void *context);
