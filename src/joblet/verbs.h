/* One row a verb of "joblet"; each has a file of its own, or is another folder's. */
#pragma once

/* Serves until it is told to end; takes no arguments. The exit status. */
int verb_serve(const char *prefix, int count, char **arguments);
/* Prints version and commit. The exit status. */
int verb_version(const char *prefix, int count, char **arguments);
/* Lists, shows and judges the audit log. The exit status. */
int verb_audit(const char *prefix, int count, char **arguments);
