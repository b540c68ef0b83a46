#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the test of the plain programs looks for. */
const char faults_marker[] = "JOBLET_TEST_HOOKS faults";

#define CALLS_MAX 128U

static struct faults *faults; /* shared with the test; NULL: nothing is done here */
static uint32_t role;
static int apart; /* what is called now is no part of a start */
static struct {
    uint32_t role;
    const char *name;
    uint32_t count;
} counters[CALLS_MAX];
static uint32_t pending; /* the entry of the call that is being made, from 1 */

static void begin(uint32_t new_role)
{
    role = new_role;
    memset(counters, 0, sizeof(counters));
}

__attribute__((constructor)) static void open_faults(void)
{
    char path[512];
    ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - sizeof("faults"));
    if (size <= 0)
        return;
    path[size] = '\0';
    char *name = strrchr(path, '/') + 1;
    int is_init = strcmp(name, "joblet-init") == 0;
    memcpy(name, "faults", sizeof("faults"));
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *memory = mmap(NULL, sizeof(struct faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (memory == MAP_FAILED)
        return;
    faults = memory;
    if (is_init)
        begin(ROLE_INIT);
}

static uint32_t count_call(const char *name)
{
    for (unsigned i = 0; i < CALLS_MAX; i++) {
        if (!counters[i].name) {
            counters[i].role = role;
            counters[i].name = name;
        }
        if (counters[i].role == role && strcmp(counters[i].name, name) == 0)
            return ++counters[i].count;
    }
    return 0;
}

static const char *name_of(const struct faults_call *call, const long arguments[6])
{
    return strcmp(call->name, "syscall") == 0 ? faults_syscall_name(arguments[0]) : call->name;
}

static void describe(const struct faults_call *call, const long arguments[6], char detail[FAULTS_DETAIL_MAX])
{
    const char *text = "";
    switch (call->detail) {
    case DETAIL_PATH_FIRST:
        text = (const char *)arguments[0];
        break;
    case DETAIL_PATH_SECOND:
        text = (const char *)arguments[1];
        break;
    case DETAIL_KEY_THIRD:
        text = (const char *)arguments[2];
        break;
    case DETAIL_TEXT:
        (void)snprintf(detail, FAULTS_DETAIL_MAX, "%.*s", arguments[2] < 32 ? (int)arguments[2] : 32,
                (const char *)arguments[1]);
        return;
    case DETAIL_FIRST:
        (void)snprintf(detail, FAULTS_DETAIL_MAX, "%ld", arguments[0]);
        return;
    case DETAIL_SECOND:
        (void)snprintf(detail, FAULTS_DETAIL_MAX, "%ld", arguments[1]);
        return;
    case DETAIL_NONE:
        break;
    }
    (void)snprintf(detail, FAULTS_DETAIL_MAX, "%s", text ? text : "");
}

static void add_entry(const struct faults_call *call, const long arguments[6], uint32_t occurrence)
{
    uint32_t index = __atomic_fetch_add(&faults->count, 1, __ATOMIC_SEQ_CST);
    if (index >= FAULTS_ENTRIES_MAX)
        return;
    struct faults_entry *entry = &faults->entries[index];
    entry->occurrence = occurrence;
    entry->code = 0;
    (void)snprintf(entry->call, sizeof(entry->call), "%s", name_of(call, arguments));
    describe(call, arguments, entry->detail);
    entry->role = role;
    pending = index + 1;
}

int faults_before(const struct faults_call *call, const long arguments[6])
{
    pending = 0;
    if (!faults || apart || role == ROLE_NONE || faults->mode == FAULTS_OFF)
        return 0;
    const char *name = name_of(call, arguments);
    uint32_t occurrence = count_call(name);
    if (faults->mode == FAULTS_COUNT)
        add_entry(call, arguments, occurrence);
    else if (role == faults->role && occurrence == faults->occurrence && strcmp(name, faults->call) == 0) {
        add_entry(call, arguments, occurrence);
        __atomic_fetch_add(&faults->fired, 1, __ATOMIC_SEQ_CST);
        errno = faults->code;
        return 1;
    }
    return 0;
}

long faults_result(long failed, long done)
{
    return faults->code ? failed : done;
}

static uint32_t role_after_clone(const long arguments[6])
{
    const struct clone_args *clone = (const struct clone_args *)arguments[1];
    if (arguments[0] != SYS_clone3 || !clone)
        return role;
    /* The process that only holds a new user namespace is killed at any moment: it does not count. */
    return clone->flags & CLONE_NEWUSER ? ROLE_NONE : ROLE_CHILD;
}

/* Where a call is the border between two parts of a start. */
static void change_role(const struct faults_call *call, const long arguments[6], long result)
{
    if (role == ROLE_NONE || (int)result < 0)
        return;
    if (strcmp(call->name, "syscall") == 0 && (int)result == 0)
        role = role_after_clone(arguments);
    else if (strcmp(call->name, "fork") == 0 && (int)result == 0)
        role = ROLE_COMMAND;
    else if (role == ROLE_COMMAND && strcmp(call->name, "recv") == 0)
        role = ROLE_EXEC;
    else if (strcmp(call->name, "send") != 0)
        return;
    else if (role == ROLE_JOBLET)
        role = ROLE_FOLLOW; /* the go */
    else if (role == ROLE_INIT && arguments[2] == 1)
        role = ROLE_STARTED; /* the command's go */
    else if (role == ROLE_STARTED)
        role = ROLE_NONE;
}

long faults_after(const struct faults_call *call, const long arguments[6], long result)
{
    int failed = call->is_pointer ? result == 0 : (int)result == -1;
    if (pending && faults->mode == FAULTS_COUNT && failed)
        faults->entries[pending - 1].code = errno;
    if (role != ROLE_NONE && !apart)
        change_role(call, arguments, result);
    return result;
}

/* --- the borders of a start in joblet --- */

uint32_t faults_enter(uint32_t new_role)
{
    uint32_t old = role;
    if (role != ROLE_NONE)
        role = new_role;
    return old;
}

void faults_set_apart(int by)
{
    apart += by;
}

void faults_leave(uint32_t old_role)
{
    role = old_role;
}

int faults_wants_new_slots(void)
{
    return faults && faults->mode != FAULTS_OFF && faults->renew_slots;
}

/* The first look at a start request. */
int __real_fd_check_sealed(int fd, size_t max, size_t *ret_size);
int __wrap_fd_check_sealed(int fd, size_t max, size_t *ret_size)
{
    if (faults && !apart && role == ROLE_NONE && faults->mode != FAULTS_OFF)
        begin(ROLE_JOBLET);
    return __real_fd_check_sealed(fd, max, ret_size);
}
