/* The verb "joblet verify": an auditor's look at a service that runs. It runs the host-protection suite in a job and in
 * a build of that service, and looks from outside at the same time, with its own eyes. It asks the service as a client
 * does and uses nothing of what joblet itself says but where that is what is checked. */
#pragma once

/* @arguments are those behind the verb. The exit status: 0 every promise that was tried is kept, 1 one is broken, 2
 * something could not be tried, or a malformed call. */
int verify_main(const char *prefix, int count, char **arguments);
