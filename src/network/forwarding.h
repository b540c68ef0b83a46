/* Forwarding, switched on for exactly the links that need it, and off again.
 *
 * A packet is forwarded when the link that it came in by says so: the bridge, and each link that answers come in by.
 * Where the host forwards anyway (ip_forward is 1) nothing is changed. When somebody switches ip_forward on while
 * builds run, the settings are theirs from then on: nothing is put back.
 *
 * Several services: each keeps in the alias of its bridge the links that it found off, or that another one of them had
 * found off. Who ends says there first that it is leaving, and then puts back what no other bridge names, those of
 * others that are leaving aside: so of two that end at once the one that said it last puts it back, perhaps both. */
#pragma once

#include "base/error.h"
#include "network/survey.h"

/* Names, separated by blanks; "" = none. With a mark and an identity it fits an alias. */
#define FORWARDING_NAMES_MAX 160U

/* The links to be switched on, or that stay so until we put them back: those of @switched (NULL: none) that are there
 * still, and others that are off. 0; -E2BIG with @error: too many; -errno with @error. */
int forwarding_plan(int socket, const char *bridge, const struct survey *survey, const char *switched,
        char ret_names[FORWARDING_NAMES_MAX], struct error *error);
/* Switches on @bridge and those of @names. 0 or -errno with @error. */
int forwarding_apply(const char *bridge, const char *names, struct error *error);
/* Puts back @names, but what other services named. A link that is gone is fine. 0 or -errno with @error. */
int forwarding_restore(int socket, const char *bridge, const char *names, struct error *error);

/* Writes net.ipvN.conf.LINK.NAME. 0 or -errno. */
int forwarding_write(const char *family, const char *link, const char *name, const char *value);
