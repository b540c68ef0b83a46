/* What setup does, in the audit log: an intent before the first change, and the result with what was made or changed.
 * A run that changes nothing writes nothing, so it needs no lock. Names of files, and the serial numbers of the
 * certificates in them; nothing else of what is in them. */
#pragma once

#include <stdint.h>

#include "audit/log.h"
#include "base/error.h"
#include "config/config.h"

#define SETUP_TRAIL_NAMES_MAX 2048U

enum setup_change { SETUP_MADE, SETUP_RENEWED, SETUP_MENDED, SETUP_CHANGE_COUNT };

/* Zeroed = nothing happened. */
struct setup_trail {
    struct audit_log *log;
    const char *asked;                                     /* what setup was told to do, for the records */
    char names[SETUP_CHANGE_COUNT][SETUP_TRAIL_NAMES_MAX]; /* separated by blanks */
    char serials[SETUP_TRAIL_NAMES_MAX];                   /* "OWNER=HEX", the same */
};

/* Before a change, and again before each other one. In a prefix that has no log yet, nothing happens; the end makes
 * it. Waits a moment for the log; the service has it for as long as it runs. @config may be NULL: the usual sizes. 0 or
 * -errno with @error: nothing may be changed. */
int setup_trail_begin(struct setup_trail *trail, int prefix_fd, const struct config *config, struct error *error);
void setup_trail_note(struct setup_trail *trail, enum setup_change change, const char *name);
/* A certificate of @owner ("ca", "server", a role) was made: before it is written, for then it is in somebody's hands.
 */
void setup_trail_note_serial(struct setup_trail *trail, const char *owner, const char *serial);
/* Records how it ended: @failure (NULL: well). Nothing when nothing was changed. Closes the log. 0 or -errno with
 * @error. */
int setup_trail_end(struct setup_trail *trail, int prefix_fd, const struct config *config, const struct error *failure,
        struct error *error);
