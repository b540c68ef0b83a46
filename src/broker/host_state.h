/* What builds rest on: the host's package manager and its database. Known from a fixed list of paths, by looking at
 * them and by reading small files that root owns; nothing is executed, no lock is taken. */
#pragma once

#include "channel/message.h"

/* Fills all of @ret_reply but its header. An error in it says why nothing can be built now: no package manager that we
 * know, its database is locked, or was left half-changed. Loop thread; takes well under a millisecond. */
void host_state_read(int prefix_fd, struct channel_host_reply *ret_reply);
