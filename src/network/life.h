/* Which services of this host live, and what a dead one left.
 *
 * A service that lives holds a name: an abstract socket of the host's network namespace, where the links are too, named
 * by the identity of its prefix. The kernel lets go of it with the process, however that ends. Who can take the name of
 * another holds the proof that it is dead; its builds may run on without it, and then have ports below its bridge.
 *
 * Anybody may hold a name, and so keep something from being removed; nobody can make a service look dead that holds its
 * own. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "network/survey.h"

/* Takes the name @identity. A descriptor, which holds it, the caller's; -EADDRINUSE: somebody has it; -errno. */
int life_hold(const char *identity);
/* True when nobody has that name. */
bool life_is_dead(const char *identity);
/* True when a service of another identity lives; also when that cannot be found out. */
bool life_has_others(const char *identity);
/* The hash that is in the names of what @identity has on the host. */
uint32_t life_hash(const char *identity);

/* Removes what services left that are dead, have no build and will perhaps never come again (their prefix is deleted):
 * bridge, tables, and the forwarding that they switched on, but where a bridge of a living one (@bridge, too) names it.
 * If they come again they find nothing, and begin anew. 0 or -errno with @error: of the first that could not be
 * removed. */
int life_bury(int socket, const char *bridge, struct error *error);
