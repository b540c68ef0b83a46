/* What joblet-builder can be told to do; each in a file of its own. They print what recipe.h says, but for the last
 * line. */
#pragma once

#include "base/error.h"
#include "builder/words.h"

/* 0; -errno with @error, whose text becomes the "fail" line. @environment: ours, ended by NULL. */
int install_run(const struct words *words, char *const *environment, struct error *error);
int collect_run(const struct words *words, char *const *environment, struct error *error);
int verify_run(const struct words *words, char *const *environment, struct error *error);
int sweep_run(const struct words *words, char *const *environment, struct error *error);
