/* The service: "joblet serve". One process, one thread, as root; see docs/ARCHITECTURE.md for its place. */
#pragma once

struct error;

struct broker_options {
    const char *prefix;
    const char *init_path; /* joblet-init; NULL: beside this program, else where it is installed */
    const char *api_path;  /* joblet-api, likewise */
};

/* Serves until SIGTERM or SIGINT. The exit status: 0 after an orderly end, 1 when it could not start (the reason is
 * logged). */
int broker_run(const struct broker_options *options);
