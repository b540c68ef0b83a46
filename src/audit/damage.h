/* A damage that was found and is not in a record yet. It is noted on the disk before anything is put aside: the log is
 * as if nothing had been wrong with it afterwards, and a start that cannot write the record leaves it to the next one.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"

#define AUDIT_DAMAGE_FILE "tampered"

/* What was noted below @dir_fd; code 0: nothing. 0 or -errno with @error. */
int audit_damage_read(int dir_fd, struct error *ret_damage, struct error *error);
/* Adds @more to @damage and notes both, for @owner and @readers. What is there already is not written again. 0 or
 * -errno with @error. */
int audit_damage_note(
        int dir_fd, uid_t owner, gid_t readers, const struct error *more, struct error *damage, struct error *error);
/* It is in a record that is on the disk. A power loss may bring the note back: then it is recorded once more. */
int audit_damage_drop(int dir_fd, struct error *error);
