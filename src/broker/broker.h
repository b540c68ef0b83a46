/* The service: "joblet serve". One process, one thread, as root; see docs/ARCHITECTURE.md for its place. */
#pragma once

/* Serves @prefix until SIGTERM or SIGINT. joblet-init and joblet-api are those beside this program, else the installed
 * ones; nothing else can be named. The exit status: 0 after an orderly end, 1 when it could not start (the reason is
 * logged). */
int broker_run(const char *prefix);
