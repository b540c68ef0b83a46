/* Landlock, by system call. A ruleset handles every right of the host's ABI; what no rule grants is denied. REFER is
 * always handled and granted by our callers: a domain that does not grant it makes every rename and link between
 * directories fail with EXDEV (A23). */
#pragma once

#include <stdint.h>

/* Rights of files and of directories. Numbers of the kernel's ABI, some younger than the headers that we build with. */
#define LANDLOCK_EXECUTE (1ULL << 0)
#define LANDLOCK_WRITE_FILE (1ULL << 1)
#define LANDLOCK_READ_FILE (1ULL << 2)
#define LANDLOCK_READ_DIR (1ULL << 3)
#define LANDLOCK_MAKE_CHAR (1ULL << 6)
#define LANDLOCK_MAKE_BLOCK (1ULL << 11)
#define LANDLOCK_REFER (1ULL << 13)     /* ABI 2 */
#define LANDLOCK_TRUNCATE (1ULL << 14)  /* ABI 3 */
#define LANDLOCK_IOCTL_DEV (1ULL << 15) /* ABI 5 */

/* The rights that a rule can give to a thing that is no directory. */
#define LANDLOCK_FILE_RIGHTS                                                                                           \
    (LANDLOCK_EXECUTE | LANDLOCK_WRITE_FILE | LANDLOCK_READ_FILE | LANDLOCK_TRUNCATE | LANDLOCK_IOCTL_DEV)

/* The host's ABI, at least 1, or -errno (-ENOSYS, -EOPNOTSUPP: there is none, or it is off on the boot line). */
int landlock_get_abi(void);
/* All rights on files that ABI @abi knows. */
uint64_t landlock_known_rights(uint32_t abi);
/* A ruleset that handles all of them, and from ABI 6 on keeps signals and abstract sockets inside. A descriptor or
 * -errno. */
int landlock_new_ruleset(uint32_t abi);
/* Grants @rights (cut to what @abi knows) below the open directory, or on the open file, @fd (O_PATH). 0 or -errno. */
int landlock_allow(int ruleset, uint32_t abi, int fd, uint64_t rights);
/* Puts the calling thread, and what it will fork, under @ruleset. Needs no-new-privileges. 0 or -errno. */
int landlock_enforce(int ruleset);
