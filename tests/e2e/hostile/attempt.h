/* One attempt of a hostile job to get out, to look in, or to change something. Run inside a job by hostile.c; each says
 * what it tried and what the kernel answered. An attempt that succeeds is an escape, and so is one that could not be
 * made for a reason other than the refusal that is expected.
 *
 * The numbers are for good: docs/ESCAPES.md has a row for each, and a test compares. The letter is the group's. */
#pragma once

#include <stddef.h>

#define ATTEMPT_SEEN_MAX 240

struct attempt {
    const char *number;    /* "F01" */
    const char *promise;   /* "P2" */
    const char *name;      /* unique; the tests select by it */
    const char *mechanism; /* what it stands for, with the CVEs that went this way */
    /* 0 = refused as it should be, else an escape; @seen is what the kernel answered, in words. */
    int (*run)(char seen[ATTEMPT_SEEN_MAX]);
};

struct attempt_group {
    const struct attempt *attempts;
    size_t count;
};

extern const struct attempt_group attempts_files;     /* F */
extern const struct attempt_group attempts_kernel;    /* K */
extern const struct attempt_group attempts_processes; /* P */
extern const struct attempt_group attempts_network;   /* N */
extern const struct attempt_group attempts_runtimes;  /* R: what broke other runtimes and sandboxes */
extern const struct attempt_group attempts_modules;   /* M: what makes the kernel run a program of the host */
extern const struct attempt_group attempts_syscalls;  /* S: the filter, by number and argument */
extern const struct attempt_group attempts_jobs;      /* J: another job */

/* The other job of attempts_jobs: leaves something of each kind behind, says "ready" and waits to be ended. */
int jobs_leave(void);
/* Takes inotify instances and message queues until there are no more, says how many and "ready", and waits. */
int jobs_take(void);

/* Judges the result of a system call: refused when it returned -1 with one of @errnos (ended by 0). Fills @seen. */
int attempt_expect(long result, char seen[ATTEMPT_SEEN_MAX], const int errnos[]);
#define ATTEMPT_REFUSED(result, seen, ...) attempt_expect((result), (seen), (const int[]){__VA_ARGS__, 0})

/* Judges a fact: refused when @holds. */
int attempt_fact(int holds, char seen[ATTEMPT_SEEN_MAX], const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The first line of @path that begins with @key, without it and without white space around; "" when there is none. */
const char *attempt_field(const char *path, const char *key, char text[static 128]);
