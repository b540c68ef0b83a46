/* Copies of records to syslog. The log is the record: nothing waits for a copy, and one that finds no room is given up.
 */
#pragma once

/* Sends @line (its line break is left out) by the socket *@fd, which is opened, and opened again, when that is needed
 * (-EBADF: it is not open). The caller closes it. 0, or -errno: the copy is lost. */
int audit_syslog_send(int *fd, const char *line);
