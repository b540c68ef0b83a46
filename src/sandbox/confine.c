/* Landlock and seccomp: the fences that hold even where ids and mounts would not. */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/landlock.h"
#include "sandbox/filter.h"
#include "sandbox/sandbox.h"

#define READ_RIGHTS (LANDLOCK_EXECUTE | LANDLOCK_READ_FILE | LANDLOCK_READ_DIR | LANDLOCK_REFER)
/* All but device nodes: the job could not make them anyway, and the proof tells the domain by this refusal. */
#define WRITE_RIGHTS (~(uint64_t)(LANDLOCK_MAKE_CHAR | LANDLOCK_MAKE_BLOCK))
#define PROGRAM_RIGHTS (LANDLOCK_EXECUTE | LANDLOCK_READ_FILE)
#define DEVICE_RIGHTS (LANDLOCK_READ_FILE | LANDLOCK_WRITE_FILE | LANDLOCK_TRUNCATE | LANDLOCK_IOCTL_DEV)

struct rule {
    const char *path;
    uint64_t rights;
};

static const struct rule standard_rules[] = {
        {"/", READ_RIGHTS},
        {"/work", WRITE_RIGHTS},
        {"/tmp", WRITE_RIGHTS},
        {"/dev/shm", WRITE_RIGHTS},
        {"/dev/pts", WRITE_RIGHTS},
        {"/dev/mqueue", WRITE_RIGHTS},
        {"/dev/null", DEVICE_RIGHTS},
        {"/dev/zero", DEVICE_RIGHTS},
        {"/dev/full", DEVICE_RIGHTS},
        {"/dev/random", DEVICE_RIGHTS},
        {"/dev/urandom", DEVICE_RIGHTS},
        {"/dev/tty", DEVICE_RIGHTS},
};

/* The mounts say what can be written; as in a standard job, no device node can be made and nothing outside is reached.
 */
static const struct rule other_rules[] = {{"/", WRITE_RIGHTS}};

static int allow_paths(int ruleset, uint32_t abi, const struct rule rules[], size_t count, struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        _cleanup_close_ int fd = open(rules[i].path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
        int r = fd < 0 ? -errno : landlock_allow(ruleset, abi, fd, rules[i].rights);
        if (r < 0)
            return error_errno(error, -r, "allow '%s' by Landlock", rules[i].path);
    }
    return 0;
}

static int allow(const struct sandbox *sandbox, int ruleset, struct error *error)
{
    uint32_t abi = sandbox->plan.landlock_abi;
    if (sandbox->plan.type == PLAN_TYPE_STANDARD)
        return allow_paths(ruleset, abi, standard_rules, ELEMENTS(standard_rules), error);
    int r = allow_paths(ruleset, abi, other_rules, ELEMENTS(other_rules), error);
    if (r < 0)
        return r;
    /* The program lies on the host's file system, below nothing that is in reach: its inode is the rule. */
    r = landlock_allow(ruleset, abi, PLAN_FD_PROGRAM, PROGRAM_RIGHTS);
    return r < 0 ? error_errno(error, -r, "allow the program by Landlock") : 0;
}

int sandbox_set_landlock(struct sandbox *sandbox, struct error *error)
{
    uint32_t abi = sandbox->plan.landlock_abi;
    /* A lower one than the kernel's would leave rights unhandled. */
    int found = landlock_get_abi();
    if (found != (int)abi)
        return found < 0 ? error_errno(error, -found, "ask for the Landlock ABI")
                         : error_text(error, EPROTO, "the plan has Landlock ABI %u, the kernel %d", abi, found);
    _cleanup_close_ int ruleset = landlock_new_ruleset(abi);
    if (ruleset < 0)
        return error_errno(error, -ruleset, "make a Landlock ruleset of ABI %u", abi);
    int r = allow(sandbox, ruleset, error);
    if (r < 0)
        return r;
    r = landlock_enforce(ruleset);
    return r < 0 ? error_errno(error, -r, "enforce Landlock") : 0;
}

static int set_filter(const struct sock_filter *program, unsigned short length, struct error *error)
{
    const struct sock_fprog filter = {.len = length, .filter = (struct sock_filter *)(uintptr_t)program};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0U, &filter) < 0)
        return error_errno(error, errno, "install the seccomp filter");
    return 0;
}

int sandbox_set_command_filter(struct sandbox *sandbox, struct error *error)
{
    return sandbox->plan.type == PLAN_TYPE_BUILD ? set_filter(filter_build_program, filter_build_length, error)
                                                 : set_filter(filter_command_program, filter_command_length, error);
}

int sandbox_set_filter(struct sandbox *sandbox, struct error *error)
{
    (void)sandbox;
    return set_filter(filter_supervisor_program, filter_supervisor_length, error);
}
