/* What belongs into a runtime, by its path alone. Fixed lists: nothing of a client's changes them. */
#pragma once

#include <stdbool.h>

enum rules_class {
    RULES_KEEP,  /* belongs into a runtime */
    RULES_STATE, /* of the package manager, of the machine, of the build's own root: never, and nobody misses it */
    RULES_STRAY, /* places that are not kept: told, and thrown away */
};

/* Of what the build wrote at @path. */
enum rules_class rules_classify(const char *path);

/* True when @path is documentation and the like, which is left out unless @keep (bits of enum words_keep) says so. */
bool rules_is_left_out(const char *path, unsigned keep);

/* True when the base's file stays, whatever the build's root has there: its content is the host's. What a step of the
 * client's makes of it counts, but for what is mounted over or written by us. */
bool rules_base_stays(const char *path);
bool rules_is_ours(const char *path);

/* True when many packages put their files into the directory @path: that a package owns it says nothing about what
 * else is in it. */
bool rules_is_shared(const char *path);

/* True when everything in the directory @path belongs to whoever owns it among others: bundles of certificates. */
bool rules_is_generated(const char *path);

/* True when @path is @directory or below it. */
bool rules_is_below(const char *path, const char *directory);
