/* The capability sets of the calling thread, by system call: nothing to link, nothing cached. */
#pragma once

#include <stdint.h>

/* Drops every capability that the kernel knows from the bounding set. Needs CAP_SETPCAP. 0 or -errno. */
int capability_drop_bounding(void);
/* The same for all but those of the set of bits @kept. */
int capability_limit_bounding(uint64_t kept);
/* Sets the permitted and the effective set, and empties the inheritable one; the ambient set goes with it. 0 or -errno.
 */
int capability_set(uint64_t permitted, uint64_t effective);
/* Empties the permitted, effective and inheritable sets; the ambient set goes with them. 0 or -errno. */
int capability_clear(void);
/* Empties the ambient set. 0 or -errno. */
int capability_clear_ambient(void);
/* The union of the permitted, effective and inheritable sets: 0 means no right at all. 0 or -errno. */
int capability_read(uint64_t *ret_any);
