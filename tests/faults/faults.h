/* Failing calls, one at a time, in a joblet and a joblet-init of their own: the objects of the plain build, linked once
 * more with a wrapper around every call of the C library that can reach the kernel (generate.py makes them from the
 * symbols that our objects leave open, so that a new call is a new point by itself). Never part of what is installed.
 *
 * The test and the programs share one file, "faults" beside the programs. It names one point, as (role, call,
 * occurrence), and the errno with which it fails instead of being made; 0: it says that it was made. A start request
 * begins with nothing counted. */
#pragma once

#include <stdint.h>

#define FAULTS_NAME_MAX 32
#define FAULTS_DETAIL_MAX 80
#define FAULTS_ENTRIES_MAX 4096

enum faults_mode { FAULTS_OFF = 0, FAULTS_COUNT = 1, FAULTS_FAIL = 2 };

/* Who makes a call. A process changes its role as a start goes on. */
enum faults_role {
    ROLE_NONE = 0, /* no start is in progress: nothing is counted */
    ROLE_JOBLET,   /* from the request to the go */
    ROLE_SLOT,     /* joblet, while it makes the user namespaces of a slot */
    ROLE_CHILD,    /* joblet's child, until it executes joblet-init */
    ROLE_INIT,     /* joblet-init until it lets the command go */
    ROLE_COMMAND,  /* the command's process, until the go */
    ROLE_EXEC,     /* the command's process, from the go to the exec */
    ROLE_STARTED,  /* joblet-init: the command executes; until joblet is told */
    ROLE_FOLLOW,   /* joblet: from the go to the answer */
};

struct faults_entry {
    uint32_t role;
    uint32_t occurrence; /* of this call in this role, from 1 */
    int32_t code;        /* of the real call when it failed, else 0 */
    uint32_t reserved;
    char call[FAULTS_NAME_MAX];
    char detail[FAULTS_DETAIL_MAX]; /* a path, a number: which one it is */
};

/* The layout is known to tests/e2e/test_fail_closed.py. */
struct faults {
    uint32_t mode;
    uint32_t renew_slots; /* 1: a start makes its slot's user namespaces anew */
    uint32_t role;        /* the point to fail */
    uint32_t occurrence;
    int32_t code;
    uint32_t fired;
    uint32_t count; /* of entries; in FAULTS_FAIL the only one is the point that failed */
    uint32_t reserved;
    char call[FAULTS_NAME_MAX];
    struct faults_entry entries[FAULTS_ENTRIES_MAX];
};

/* What the detail of a call is made of. */
enum faults_detail {
    DETAIL_NONE,
    DETAIL_PATH_FIRST,
    DETAIL_PATH_SECOND,
    DETAIL_KEY_THIRD,
    DETAIL_FIRST,
    DETAIL_SECOND,
    DETAIL_TEXT
};

struct faults_call {
    const char *name;
    enum faults_detail detail;
    int is_pointer; /* fails with NULL */
};

/* Around one call: 1 when it is to fail (errno is set); else the call is made, and faults_after told what came of it.
 */
int faults_before(const struct faults_call *call, const long arguments[6]);
long faults_after(const struct faults_call *call, const long arguments[6], long result);

/* What it answers then: @failed, or @done when it is to look as if it had been made. */
long faults_result(long failed, long done);

/* Calls are @new_role's until faults_leave, when a start is in progress. Returns the role before. */
/* With 1 and then with -1: calls between them are none of a start's. */
void faults_set_apart(int by);
uint32_t faults_enter(uint32_t new_role);
void faults_leave(uint32_t old_role);
int faults_wants_new_slots(void);

/* The name of a system call that our sources make by number. Made by generate.py. */
const char *faults_syscall_name(long number);
