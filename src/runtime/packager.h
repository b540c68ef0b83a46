/* What a recipe asks of a package manager, as data: one shell script for each, with the same actions. Everything that
 * comes from a specification reaches it as an argument, behind "--" where an option could be. Those of package managers
 * that the tests' hosts do not have are marked untried (see profile.h).
 *
 *     lists                        fetches the package lists when there are none, or none newer than a day
 *     select HINT PACKAGE...       prints those to install, one a line: what another of them replaces is left out.
 *                                  Those that there are not are named, and what HINT (a pattern of names) finds instead
 *     version PACKAGE WANTED       prints the version that would be installed; fails when it is not WANTED ("any")
 *     simulate PACKAGE...          fails when they cannot be installed together; says what of them is in the cache of
 *                                  downloads, and lays it ready
 *     install PACKAGE...           installs what "select" prints */
#pragma once

#include <stdbool.h>

#include "runtime/profile.h"

struct runtime_packager_commands {
    const char *name;           /* "apt": as in a recipe, and PKG_MANAGER */
    const char *script;         /* for /bin/sh -c SCRIPT NAME ACTION ... */
    const char *environment[4]; /* for all steps; ends with NULL */
    bool untried;
    bool collects; /* joblet-builder knows which files are of which of its packages: a runtime can be made of them */
};

/* Static. */
const struct runtime_packager_commands *runtime_packager_find(enum runtime_packager packager);
