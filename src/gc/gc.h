/* The verb "gc": what crashes left and what the prefix keeps for later, and what of it is to go. */
#pragma once

/* "joblet gc [--dry-run|--run] [--json] [--max-age DURATION] [--max-size MIB]"; without a flag nothing is changed. The
 * exit status: 0; 1 when something failed or could not be removed; 2 for a malformed call. */
int gc_main(const char *prefix, int count, char **arguments);
