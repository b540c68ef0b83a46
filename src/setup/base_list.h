/* What the base root consists of: fixed lists. For src/setup only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct base_command {
    const char *name;      /* looked for in the host's directories of commands */
    const char *arguments; /* for the trial run, parted by spaces; it must end by itself */
    bool required;         /* a base without it is not made */
};

/* A trial that must print exactly @expected; run by the base's shell if the base has the commands @needs (parted by
 * spaces). */
struct base_trial {
    const char *script;
    const char *needs;
    const char *expected;
};

struct base_directory {
    const char *path;
    const char *const *but; /* names left out, ended by NULL; may be NULL */
};

struct base_text {
    const char *path;
    const char *text;
};

/* All ended by a row whose first member is NULL. */
extern const struct base_command base_commands[];
extern const struct base_trial base_trials[];
/* Libraries that programs open by name at run time, so that no ELF header tells of them. */
extern const char *const base_libraries[];
/* Files of the host that are copied when they are there. */
extern const char *const base_files[];
extern const struct base_directory base_directories[];
/* Files below the directories of libraries: gconv modules and the like. */
extern const char *const base_library_files[];
extern const char *const base_terminals[];
/* Empty directories: where sandboxes mount, and what programs expect. */
extern const char *const base_empty_directories[];
extern const struct base_text base_texts[];

/* A number that changes when one of the lists does: a base of other lists is made again. */
uint64_t base_lists_digest(void);
