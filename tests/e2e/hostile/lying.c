/* Linked into a joblet-init of its own, between its code and the C library: system calls that fail ("a kernel that
 * cannot") or that do nothing and say 0 ("a kernel that lies"). Everything else is the joblet-init that is installed.
 * A filter could not do this: a sandbox that finds a filter that is not its own refuses for that.
 *
 * Which calls: lines of "CALL ERRNO" or "CALL ERRNO FIRST-ARGUMENT" in DIRECTORY/refuse. DIRECTORY is overwritten by
 * the test in its copy of the program, because the environment and the arguments are joblet's to choose. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LIES_MAX 8

static const volatile char directory[256] = "@DIRECTORY@";

static struct lie {
    char call[32];
    int code;
    int has_first;
    long first;
} lies[LIES_MAX];
static int lie_count;

__attribute__((constructor)) static void read_lies(void)
{
    char path[300];
    char line[128];
    (void)snprintf(path, sizeof(path), "%s/refuse", (const char *)directory);
    FILE *list = fopen(path, "re");
    if (!list)
        abort();
    while (lie_count < LIES_MAX && fgets(line, sizeof(line), list)) {
        struct lie *lie = &lies[lie_count++];
        lie->has_first = sscanf(line, "%31s %d %ld", lie->call, &lie->code, &lie->first) == 3;
    }
    (void)fclose(list);
}

/* 1: the call is not made, and *ret_result is its result. */
static int lies_about(const char *call, long first, long *ret_result)
{
    for (int i = 0; i < lie_count; i++) {
        if (strcmp(lies[i].call, call) != 0 || (lies[i].has_first && lies[i].first != first))
            continue;
        *ret_result = lies[i].code == 0 ? 0 : -1;
        if (lies[i].code != 0)
            errno = lies[i].code;
        return 1;
    }
    return 0;
}

#define WRAP(name, parameters, first, arguments)                                                                       \
    int __real_##name parameters;                                                                                      \
    int __wrap_##name parameters                                                                                       \
    {                                                                                                                  \
        long result;                                                                                                   \
        return lies_about(#name, (long)(first), &result) ? (int)result : __real_##name arguments;                      \
    }

WRAP(unshare, (int flags), flags, (flags))
WRAP(setns, (int fd, int type), type, (fd, type))
WRAP(fsopen, (const char *type, unsigned flags), 0, (type, flags))
WRAP(fsmount, (int fd, unsigned flags, unsigned attributes), 0, (fd, flags, attributes))
WRAP(move_mount, (int from, const char *a, int to, const char *b, unsigned flags), 0, (from, a, to, b, flags))
WRAP(mount_setattr, (int fd, const char *path, unsigned flags, void *attributes, size_t size), 0,
        (fd, path, flags, attributes, size))
WRAP(umount2, (const char *target, int flags), 0, (target, flags))
WRAP(sethostname, (const char *name, size_t size), 0, (name, size))
WRAP(setgroups, (size_t count, const gid_t *groups), 0, (count, groups))
WRAP(setresuid, (uid_t real, uid_t effective, uid_t saved), 0, (real, effective, saved))
WRAP(setresgid, (gid_t real, gid_t effective, gid_t saved), 0, (real, effective, saved))
WRAP(setrlimit64, (int resource, const struct rlimit64 *limit), resource, (resource, limit))
WRAP(close_range, (unsigned first, unsigned last, int flags), flags, (first, last, flags))
WRAP(prctl, (int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d), option,
        (option, a, b, c, d))

static const char *name_of(long number)
{
    switch (number) {
    case SYS_pivot_root:
        return "pivot_root";
    case SYS_capset:
        return "capset";
    case SYS_keyctl:
        return "keyctl";
    case SYS_seccomp:
        return "seccomp";
    case SYS_landlock_create_ruleset:
        return "landlock_create_ruleset";
    case SYS_landlock_add_rule:
        return "landlock_add_rule";
    case SYS_landlock_restrict_self:
        return "landlock_restrict_self";
    default:
        return "";
    }
}

long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    return lies_about(name_of(number), a, &result) ? result : __real_syscall(number, a, b, c, d, e, f);
}
