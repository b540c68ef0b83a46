/* What builds rest on: the host's package manager and its database. Known from a fixed list of paths, by looking at
 * them and by reading files that root owns; nothing is executed, no lock is taken. */
#pragma once

#include "channel/message.h"

#define HOST_FINGERPRINT_SIZE sizeof(((struct channel_host_reply *)0)->fingerprint)

/* Fills all of @ret_reply but its header. An error in it says why nothing can be built now: no package manager that we
 * know, its database is locked, or was left half-changed. Loop thread; reads dpkg's database of some hundred kilobytes
 * once a build (2 ms with 800 packages). */
void host_state_read(int prefix_fd, struct channel_host_reply *ret_reply);
/* What tells one state of the host's packages and their sources from the next one. Well under a millisecond. */
void host_state_fingerprint(uint8_t ret_fingerprint[HOST_FINGERPRINT_SIZE]);
