/* What a set of packages needs to work: themselves and, over Pre-Depends and Depends, all that is installed for them.
 * Versions are not compared: dpkg has done that when it installed them. */
#pragma once

#include "base/error.h"
#include "builder/dpkg.h"

/* Marks what the package @name (perhaps "name:architecture", or what others provide) needs, itself included, as in the
 * closure. 0; -ENOENT with @error when it is not installed; -ENOMEM. */
int closure_add(struct dpkg *dpkg, const char *name, struct error *error);
