/* The store of runtimes: PREFIX/runtimes/NAME/VERSION, each a whole tree that a build left. joblet makes and renames
 * the directories at its top and looks at their owners; what lies in them it never reads.
 *
 *     .staging-UUID   being filled by the collect of build UUID
 *     NAME/VERSION    finished
 *     .trash-UUID     was one of the above; goes as soon as nobody uses it (sweep.h)
 *
 * Each is a directory of the id range on disk (isolation.diskIdStart), the two levels above are root's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/text.h"
#include "channel/message.h"

#define STORE_STAGE_PREFIX ".staging-"
#define STORE_TRASH_PREFIX ".trash-"
#define STORE_NAME_MAX (sizeof(STORE_STAGE_PREFIX) + TEXT_UUID_MAX)

/* What a directory is known by, whatever it is called. inode 0: none. */
struct store_id {
    dev_t device;
    ino_t inode;
};
bool store_id_equal(const struct store_id *one, const struct store_id *other);

struct store {
    int fd;         /* PREFIX/runtimes */
    uint32_t owner; /* diskIdStart */
    struct store_id *verified;
    size_t verified_count;
};

/* Opens PREFIX/runtimes, made when it is not there, for root and the group @reader alone. 0 or -errno with @error. */
int store_open(struct store *store, int prefix_fd, uint32_t owner, gid_t reader, struct error *error);
void store_done(struct store *store);

/* Checks the operand: both empty or both names, and nothing behind them. 0 or -EINVAL with @error. */
int store_check_operand(const struct channel_runtime *runtime, bool may_be_empty, struct error *error);
/* As it is told to people: "NAME@VERSION". */
#define STORE_TEXT_MAX (PLAN_NAME_MAX + PLAN_VERSION_TEXT_MAX)
void store_describe(const struct channel_runtime *runtime, char ret_text[STORE_TEXT_MAX]);

/* Opens the directory of @runtime (O_PATH). No link is followed; it belongs to the range on disk. A descriptor; -ENOENT
 * when there is none; -errno, with @error. */
int store_find(
        const struct store *store, const struct channel_runtime *runtime, struct store_id *ret_id, struct error *error);
/* Opens its root, which jobs get. A descriptor; -EKEYREJECTED when it is not verified; -errno, with @error. */
int store_open_root(
        const struct store *store, const struct channel_runtime *runtime, struct store_id *ret_id, struct error *error);

/* Opens the directory @name of the store itself: a stage or trash. A descriptor (O_PATH) or -errno with @error. */
int store_open_owned(const struct store *store, const char *name, struct error *error);

bool store_is_verified(const struct store *store, const struct store_id *id);
/* 0 or -ENOMEM: it is not verified then. */
int store_set_verified(struct store *store, const struct store_id *id);

/* The directory is gone: its number will be another's. */
void store_forget_verified(struct store *store, const struct store_id *id);

/* Makes the empty directory @name below the store and opens it (O_PATH). A descriptor or -errno with @error. */
int store_make_stage(const struct store *store, const char *name, struct store_id *ret_id, struct error *error);
/* Gives the directory @stage its name. With @replace one that is there is taken out: its id comes in @ret_old and its
 * name, below the store, in @ret_trash; "" when there was none. The runtime is verified from now on. 0; -EEXIST;
 * -errno, with @error, and then nothing has changed. */
int store_publish(struct store *store, const char *stage, const struct channel_runtime *runtime, bool replace,
        char ret_trash[STORE_NAME_MAX], struct store_id *ret_old, struct error *error);
/* Waits until the names at @runtime's place are on the disk; what is in a stage its collect has put there. 0 or -errno.
 * It can take long. */
int store_sync(const struct store *store, const struct channel_runtime *runtime);
/* Renames @name below the store to @ret_trash. 0 or -errno. */
int store_trash(const struct store *store, const char *name, char ret_trash[STORE_NAME_MAX]);
/* Takes the runtime out of the store; it is @ret_trash below the store now. 0; -ENOENT; -errno, with @error. */
int store_remove(struct store *store, const struct channel_runtime *runtime, char ret_trash[STORE_NAME_MAX],
        struct error *error);
