/* Which host ids a prefix may use: ranges for its jobs, one for its files on disk, a user for joblet-api. All from
 * 0x70000000 up to 0x7fffffff, where no distribution allocates, and away from what /etc/subuid, /etc/subgid,
 * /etc/passwd and /etc/group have given out. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "config/config.h"

/* Fills the ids of @config but command_id; id_range_count must be set. joblet-api becomes @user when it is given, else
 * the user "joblet" when there is one; else that user is made when @make_user, else it gets a number from a range of
 * its own. 0 or -errno with @error. Starts useradd(8), so not in a threaded process. */
int ids_choose(const char *user, bool make_user, struct config *config, struct error *error);

/* True when the ids from @start on, @count of them, meet one that a line of @text gives out; @text is in the format of
 * subuid(5). Lines that are none are passed over. */
bool ids_overlap_subids(const char *text, uint64_t start, uint64_t count);

/* True when a user or group of /etc/passwd or /etc/group has an id from @start on, @count of them. Local accounts only:
 * nobody may enumerate a directory of a company, and its ids are not up here. Not in a threaded process. */
bool ids_overlap_accounts(uint64_t start, uint64_t count);
