/* Ctrl-C while output is streamed: the first SIGINT or SIGTERM makes a descriptor readable and interrupts a blocked
 * write, so that the verb can end in an orderly way; the second one ends the process at once, as if we had never asked.
 * A handler and not a signalfd, because a write to a full pipe must be interrupted too. */
#pragma once

#include <stdbool.h>

/* Once for the process. A descriptor that stays open, or -errno. */
int interrupt_open(void);
/* True once a signal came; its number is kept. */
bool interrupt_came(void);
/* The exit status that a shell shows for a process that the signal ended (130 for SIGINT). */
int interrupt_exit_status(void);
