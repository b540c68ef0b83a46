/* The verb "gc": what the prefix keeps for later, and what of it is to go. */
#pragma once

/* "joblet gc [--dry-run|--run] [--max-age DURATION] [--max-size MIB]". The exit status. */
int gc_main(const char *prefix, int count, char **arguments);
