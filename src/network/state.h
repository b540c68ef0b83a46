/* PREFIX/run/network: what this service changed on the host, written before it is changed, so that whatever is left by
 * a crash is found and put back. Texts; only root writes there. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "network/forwarding.h"

#define STATE_FILE "network"

struct state {
    struct plan_route network;
    char switched[FORWARDING_NAMES_MAX];
};

/* Replaces the file. 0 or -errno with @error. */
int state_write(int run_fd, const char *identity, const struct state *state, struct error *error);
/* 0; -ENOENT: there is none, or it is of another boot or identity, of which nothing is left; -errno with @error. */
int state_read(int run_fd, const char *identity, struct state *ret_state, struct error *error);
void state_remove(int run_fd);
