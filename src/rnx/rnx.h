/* What the verbs of rnx share: the verb's row, the flags that every verb takes, and how an error is said.
 *
 * rnx is one short-lived process with one thread. A verb says an error itself, once, on standard error, and returns its
 * exit status. Standard output carries nothing but the answer, so that scripts can read it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rnx/options.h"

/* Exit statuses. `job run --follow` and `--wait` return the job's own instead. */
#define RNX_EXIT_OK 0
#define RNX_EXIT_FAILED 1
#define RNX_EXIT_USAGE 2

/* Flags that every verb takes, before or after it. */
struct rnx_global {
    const char *config_path; /* "" = search */
    const char *node;        /* "" = the default node */
    bool json;
    bool help;
    bool version;
};

struct rnx {
    struct rnx_global global;
    bool colour; /* standard output is a terminal and NO_COLOR is not set */
};

/* One verb. Static, one for each file. */
struct rnx_verb {
    const char *group;                /* "job", "audit", or NULL */
    const char *name;                 /* "list" */
    const char *arguments;            /* for the usage line: "UUID", "[flags] COMMAND [ARGS...]", or "" */
    const char *summary;              /* one line for the list of commands */
    const char *help;                 /* what it does, with examples; ends with a newline */
    const struct rnx_option *options; /* its own flags, fields of *target */
    size_t option_count;
    void *target;
    unsigned flags;    /* RNX_VERB_* */
    size_t word_count; /* how many words it takes; not looked at with RNX_VERB_COMMAND or RNX_VERB_WORDS */
    /* @words are the arguments without flags. Returns the exit status. */
    int (*run)(const struct rnx *rnx, char **words, size_t count);
};

#define RNX_VERB_COMMAND (1U << 0) /* flags end at the first word: the rest is somebody else's command line */
#define RNX_VERB_WORDS (1U << 1)   /* any number of words */

extern const struct rnx_verb job_run_verb;
extern const struct rnx_verb job_list_verb;
extern const struct rnx_verb job_status_verb;
extern const struct rnx_verb job_log_verb;
extern const struct rnx_verb job_stop_verb;
extern const struct rnx_verb job_delete_verb;
extern const struct rnx_verb job_delete_all_verb;
extern const struct rnx_verb runtime_build_verb;
extern const struct rnx_verb runtime_validate_verb;
extern const struct rnx_verb runtime_list_verb;
extern const struct rnx_verb runtime_info_verb;
extern const struct rnx_verb runtime_status_verb;
extern const struct rnx_verb runtime_test_verb;
extern const struct rnx_verb runtime_remove_verb;
extern const struct rnx_verb monitor_status_verb;
extern const struct rnx_verb audit_list_verb;
extern const struct rnx_verb audit_show_verb;
extern const struct rnx_verb nodes_verb;
extern const struct rnx_verb version_verb;
extern const struct rnx_verb help_verb;
extern const struct rnx_verb config_help_verb;

/* All of them, in the order of the help; ended by NULL. */
extern const struct rnx_verb *const rnx_verbs[];
/* The flags of struct rnx_global. */
extern const struct rnx_option rnx_global_options[];
extern const size_t rnx_global_option_count; /* for every verb */
extern const size_t rnx_root_option_count;   /* in front of the first word: --version too */

/* An error for people, longer than struct error because it quotes paths and names. */
struct rnx_error {
    char text[2048];
};
/* Fills @error and returns -@code. */
int rnx_error_set(struct rnx_error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* "Error: TEXT" on standard error, control characters made visible. Returns RNX_EXIT_FAILED. */
int rnx_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same for a call that was malformed, followed by the usage of @verb (NULL = of rnx). Returns RNX_EXIT_USAGE. */
int rnx_fail_usage(const struct rnx_verb *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));
