/* The one option parser, driven by tables. Flags are "--name value", "--name=value", "-n value", "-n=value"; a switch
 * may be given a truth value ("--json=false"); "--" ends the flags. A number that is none is an error that names the
 * flag, the value and what would be right: a limit must never be dropped because of a typing error. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rnx_error;

enum rnx_option_kind {
    RNX_OPTION_SWITCH, /* bool */
    RNX_OPTION_TEXT,   /* const char *, borrowed from the command line; the last one wins */
    RNX_OPTION_NUMBER, /* int32_t, 0 to @max */
    RNX_OPTION_LIST,   /* struct rnx_list, one item for each time the flag is given */
};

struct rnx_option {
    const char *name; /* without the dashes */
    char letter;      /* of the short form, or 0 */
    enum rnx_option_kind kind;
    size_t offset;     /* of the field in the target */
    int32_t max;       /* of a number */
    const char *value; /* name of the value in the help, NULL for a switch */
    const char *help;  /* one line; NULL = not listed */
};

/* Borrowed texts in an owned array. */
struct rnx_list {
    const char **items;
    size_t count;
};
void rnx_list_done(struct rnx_list *list);

/* One table with the struct that its values go to. */
struct rnx_option_set {
    const struct rnx_option *options;
    size_t count;
    void *target;
};

#define OPTIONS_STOP_AT_WORD (1U << 0) /* the first word that is no flag ends the flags */

/* Reads the flags of @words (NULL-terminated) by the tables @sets. What is no flag is moved to the front of @words, in
 * order, NULL-terminated; *ret_count says how many these are. 0; -EINVAL with @error; -ENOMEM with @error. On an error
 * the targets and @words may be changed in part. */
int options_parse(const struct rnx_option_set *sets, size_t set_count, unsigned flags, char **words, size_t *ret_count,
        struct rnx_error *error);
/* The same for the flags in front of the first word only: *ret_used says how many words they are. @words stays as it
 * is. */
int options_parse_leading(
        const struct rnx_option_set *sets, size_t set_count, char **words, size_t *ret_used, struct rnx_error *error);
