/* rnx as a child: `joblet verify` asks the service as any client does. Its output, which may come out of a sandbox, is
 * kept up to a maximum. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

#define CLIENT_WORDS_MAX 48U
#define CLIENT_OUTPUT_MAX (1U << 20)
/* The exit status of what did not end within its time, or was ended by a signal. */
#define CLIENT_ENDED (-1)

/* A program that runs. One owner; client_end ends it. */
struct client {
    pid_t pid; /* 0: none */
    int output_fd;
    char *output; /* standard output and error, ended by NUL */
    size_t size;
    bool cut; /* there was more */
};

/* Starts @words (ended by NULL, [0] a path) with /dev/null for its input and default signals. 0 or -errno with @error.
 */
int client_start(const char *const words[], struct client *ret_client, struct error *error);
/* Reads until the output holds a line @line, its end, or @deadline_ns (CLOCK_MONOTONIC). True: the line is there. With
 * NULL: reads to the end; true when it came. */
bool client_read_until(struct client *client, const char *line, int64_t deadline_ns);
/* Reads to the end and waits until @deadline_ns, then kills. The exit status or CLIENT_ENDED. The output stays. */
int client_end(struct client *client, int64_t deadline_ns);
/* Frees; kills first if need be. */
void client_done(struct client *client);
/* What to say of one that has answered nothing useful: @status of client_end or client_run. Valid as long as both. */
const char *client_why(const struct client *client, int status, const struct error *error);
/* All of it. The exit status, CLIENT_ENDED or -errno below that with @error. client_done in any case. */
int client_run(const char *const words[], int64_t deadline_ns, struct client *ret_client, struct error *error);
