/* What the tests of sandboxes that are not standard share: one driver, one builder, jobs that are shell scripts, and
 * what their logs must hold. With cmocka. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "builder.h"

extern struct driver check_driver;
extern struct builder check_builder;

/* Prints what became of the job. */
void check_show(const struct driver_job *job);
/* A shell's script as the command of a sandbox of @type, over the disk as it is. @script is borrowed. */
void check_init(struct driver_job *job, uint32_t type, char *script);
/* To its end; nothing may be left of it. */
void check_run(struct driver_job *job);
/* Both, and it must end with 0. The log stays in @job. */
void check_script(struct driver_job *job, uint32_t type, const char *script);
/* Its setup must fail at @stage with an error that holds @text, and nothing be executed. Frees @job. */
void check_setup_fails(struct driver_job *job, uint32_t stage, const char *text);

/* The log has this line; the log does not hold this text. */
void check_line(const struct driver_job *job, const char *line);
void check_no_text(const struct driver_job *job, const char *text);

/* For builder.change_fds: puts a copy of check_other_fd (-1: none) at check_other_number. */
extern int check_other_fd;
extern int check_other_number;
void check_put_other(const struct driver *driver, struct driver_job *job, int fds[]);

/* Makes a secret below the small host's /opt whose path is longer than PATH_MAX, which a shell's tools cannot remove;
 * or removes it. */
void check_make_deep(bool removes);

/* Around a test: a small host, made up by it, and a new disk. */
int check_set_up(void **state);
int check_tear_down(void **state);
#define SMALL(test) cmocka_unit_test_setup_teardown(test, check_set_up, check_tear_down)

/* Runs them all with one driver and one builder; what main returns. Its arguments are main's: joblet-init's path. */
struct CMUnitTest;
int check_tests(int count, char **arguments, const char *name, const struct CMUnitTest *tests, size_t test_count);
