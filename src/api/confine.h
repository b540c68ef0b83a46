/* What keeps joblet-api small: it is started without any privilege, checks that, and gives up what is left. Its network
 * side is the one that strangers talk to; whoever takes it over has the job table, the logs, the privileged channel's
 * fixed operations and nothing else: no other file, no exec, no new connection, no look into another process. */
#pragma once

#include "base/error.h"

/* Refuses to go on with user id 0, root's groups or any capability; sets no-new-privileges and makes the process not
 * dumpable. 0 or -errno with @error. */
int confine_identity(struct error *error);
/* Landlock: the database's directory for SQLite's files, the directories of jobs, runtimes and the audit log for
 * reading, /proc and /sys for the host's figures for reading. Before the first thread. 0 or -errno with @error (without
 * Landlock in the kernel: an error). */
int confine_files(int database_fd, int jobs_fd, int runtimes_fd, int audit_fd, struct error *error);
/* The system call filter, for all threads. After all threads were started. 0 or -errno with @error. */
int confine_calls(struct error *error);
