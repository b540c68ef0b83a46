/* One attempt of a hostile job to get out, to look in, or to change something. Run inside a job by hostile.c; each says
 * what it tried and what the kernel answered. An attempt that succeeds is an escape, and so is one that could not be
 * made for a reason other than the refusal that is expected. */
#pragma once

#include <stddef.h>

#define ATTEMPT_SEEN_MAX 160

struct attempt {
    const char *promise; /* "P2" */
    const char *name;    /* unique; the tests select by it */
    /* 0 = refused as it should be, else an escape; @seen is what the kernel answered, in words. */
    int (*run)(char seen[ATTEMPT_SEEN_MAX]);
};

struct attempt_group {
    const struct attempt *attempts;
    size_t count;
};

extern const struct attempt_group attempts_files;
extern const struct attempt_group attempts_kernel;
extern const struct attempt_group attempts_processes;
extern const struct attempt_group attempts_network;

/* Judges the result of a system call: refused when it returned -1 with one of @errnos (ended by 0). Fills @seen. */
int attempt_expect(long result, char seen[ATTEMPT_SEEN_MAX], const int errnos[]);
#define ATTEMPT_REFUSED(result, seen, ...) attempt_expect((result), (seen), (const int[]){__VA_ARGS__, 0})

/* Judges a fact: refused when @holds. */
int attempt_fact(int holds, char seen[ATTEMPT_SEEN_MAX], const char *format, ...) __attribute__((format(printf, 3, 4)));
