/* The verb "joblet setup": everything that a prefix needs before the service can start. */
#pragma once

/* Makes what is missing below @prefix (an absolute path): directories, id ranges, certificates, configuration files,
 * base root; leaves alone what is there unless an option asks for it, and says which is which on standard output.
 * @arguments are those behind the verb. The exit status: 0, 1 when something failed, 2 for a malformed call. */
int setup_main(const char *prefix, int count, char **arguments);
