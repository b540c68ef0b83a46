#include "kernel/landlock.h"

#include <errno.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Rights known to the ABIs 1 to 5 and later. */
static const uint64_t known_rights[] = {
        (1ULL << 13) - 1,
        (1ULL << 14) - 1,
        (1ULL << 15) - 1,
        (1ULL << 15) - 1,
        (1ULL << 16) - 1,
};

/* struct landlock_ruleset_attr as of ABI 6; older kernels take the shorter forms. */
struct ruleset_attributes {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
};
#define SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0)
#define SCOPE_SIGNAL (1ULL << 1)

int landlock_get_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, 1U /* LANDLOCK_CREATE_RULESET_VERSION */);
    return abi < 0 ? -errno : (int)abi;
}

uint64_t landlock_known_rights(uint32_t abi)
{
    size_t last = sizeof(known_rights) / sizeof(known_rights[0]);
    return abi == 0 ? 0 : known_rights[(abi < last ? abi : last) - 1];
}

int landlock_new_ruleset(uint32_t abi)
{
    struct ruleset_attributes attributes = {.handled_access_fs = landlock_known_rights(abi)};
    size_t size = sizeof(attributes.handled_access_fs);
    if (abi >= 6) {
        attributes.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
        size = sizeof(attributes);
    }
    long fd = syscall(SYS_landlock_create_ruleset, &attributes, size, 0U);
    return fd < 0 ? -errno : (int)fd; /* close-on-exec by itself */
}

int landlock_allow(int ruleset, uint32_t abi, int fd, uint64_t rights)
{
    const struct landlock_path_beneath_attr rule = {
            .allowed_access = rights & landlock_known_rights(abi),
            .parent_fd = fd,
    };
    return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0U) < 0 ? -errno : 0;
}

int landlock_enforce(int ruleset)
{
    return syscall(SYS_landlock_restrict_self, ruleset, 0U) < 0 ? -errno : 0;
}
