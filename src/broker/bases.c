#include "broker/bases.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/hash.h"
#include "base/log.h"
#include "broker/build.h"
#include "broker/context.h"
#include "broker/host_state.h"
#include "kernel/mount.h"

#define IMAGE_SUFFIX ".image"
#define RECORD_SUFFIX ".record"
#define FILE_NAME_MAX (TEXT_UUID_MAX + 8)
/* Changes with what lies on a disk: layers.h. */
#define LAYOUT_VERSION 1U
/* The kernel lets go of a sandbox's overlays a moment after its last process. */
#define BUSY_TRIES 3000U
#define BUSY_PAUSE_NS 10000000L
/* More are no use: each is some hundred megabytes. */
#define BASES_MAX 256U

/* --- records --- */

/* Against torn writes. */
uint64_t base_record_sum(const struct base_record *record)
{
    return hash_add(HASH_BEGIN, record, offsetof(struct base_record, check));
}

bool base_record_is_valid(const struct base_record *record)
{
    return record->magic == BASE_RECORD_MAGIC && record->version == BASE_RECORD_VERSION && record->reserved == 0 &&
           record->id_base >= PLAN_RANGE_SIZE && record->id_base % PLAN_RANGE_SIZE == 0 &&
           record->check == base_record_sum(record);
}

static uint64_t find_policy(const struct broker *broker)
{
    const struct config *config = broker->config;
    const uint32_t versions[] = {LAYOUT_VERSION, PLAN_VERSION};
    uint64_t sum = hash_add(HASH_BEGIN, versions, sizeof(versions));
    sum = hash_add(sum, config->build_hidden, strlen(config->build_hidden) + 1);
    return hash_add(sum, config->build_shown, strlen(config->build_shown) + 1);
}

/* --- the directory --- */

static void name_file(const char *uuid, const char *suffix, char ret_name[FILE_NAME_MAX])
{
    (void)snprintf(ret_name, FILE_NAME_MAX, "%s%s", uuid, suffix);
}

/* The image first: who writes the record of one looks afterwards whether it is still there. */
static void remove_files(const struct bases *bases, const char *uuid)
{
    static const char *const suffixes[] = {IMAGE_SUFFIX, RECORD_SUFFIX};
    for (size_t i = 0; i < ELEMENTS(suffixes); i++) {
        char name[FILE_NAME_MAX];
        name_file(uuid, suffixes[i], name);
        (void)unlinkat(bases->fd, name, 0);
    }
}

static bool is_whole(const struct bases *bases, const struct base *base)
{
    char name[FILE_NAME_MAX];
    char uuid[TEXT_UUID_MAX];
    struct stat status;
    name_file(base->uuid, IMAGE_SUFFIX, name);
    text_format_uuid(base->record.build_id, uuid);
    return base_record_is_valid(&base->record) && strcmp(uuid, base->uuid) == 0 &&
           fstatat(bases->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode) &&
           status.st_ino == base->record.inode;
}

/* The base whose record is @name; NULL: there is none, or not a whole one. */
static struct base *read_base(const struct bases *bases, const char *name)
{
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    struct base *base = calloc(1, sizeof(*base));
    if (!base)
        return NULL;
    (void)snprintf(base->uuid, sizeof(base->uuid), "%.*s", (int)strcspn(name, "."), name);
    if (fd_read_file_at(bases->fd, name, sizeof(base->record), &text, &size) == 0 && size == sizeof(base->record)) {
        memcpy(&base->record, text, size);
        if (is_whole(bases, base))
            return base;
    }
    free(base);
    return NULL;
}

static void put_first(struct bases *bases, struct base *base)
{
    base->next = bases->first;
    bases->first = base;
}

static const struct base *find_uuid(const struct bases *bases, const char *name)
{
    const struct base *base = bases->first;
    while (base && strncmp(name, base->uuid, strlen(base->uuid)) != 0)
        base = base->next;
    return base;
}

/* Twice: first the records, then what belongs to none. Only root writes here. */
static int read_all(struct bases *bases)
{
    for (unsigned round = 0; round < 2; round++) {
        int fd = openat(bases->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        if (!directory)
            return -errno;
        for (const struct dirent *entry; (entry = readdir(directory));) {
            const char *suffix = strchr(entry->d_name, '.');
            if (entry->d_name[0] == '.' || !suffix)
                continue;
            struct base *base =
                    round == 0 && strcmp(suffix, RECORD_SUFFIX) == 0 ? read_base(bases, entry->d_name) : NULL;
            if (base)
                put_first(bases, base);
            if (round == 0 || find_uuid(bases, entry->d_name))
                continue;
            char uuid[TEXT_UUID_MAX];
            (void)snprintf(uuid, sizeof(uuid), "%.*s", (int)(suffix - entry->d_name), entry->d_name);
            remove_files(bases, uuid);
            (void)unlinkat(bases->fd, entry->d_name, 0); /* whatever it is */
        }
        (void)closedir(directory);
    }
    return 0;
}

int bases_open(struct bases *bases, struct broker *broker, struct error *error)
{
    *bases = (struct bases){.broker = broker, .fd = -EBADF};
    if (broker->config->cache_bytes == 0)
        return 0;
    if (mkdirat(broker->prefix_fd, "cache/base", 0700) < 0 && errno != EEXIST)
        return error_errno(error, errno, "make '%s/cache/base'", broker->prefix);
    _cleanup_close_ int fd = openat(broker->prefix_fd, "cache/base", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchown(fd, 0, 0) < 0 || fchmod(fd, 0700) < 0)
        return error_errno(error, errno, "open '%s/cache/base' for root alone", broker->prefix);
    bases->fd = TAKE_FD(fd);
    int r = read_all(bases);
    return r < 0 ? error_errno(error, -r, "read '%s/cache/base'", broker->prefix) : 0;
}

/* --- those that are there --- */

static void drop(struct bases *bases, struct base *base, const char *why)
{
    struct base **at = &bases->first;
    while (*at != base)
        at = &(*at)->next;
    *at = base->next;
    log_event(LOG_LEVEL_INFO, "base removed", "build", base->uuid, "reason", why, NULL);
    remove_files(bases, base->uuid);
    free(base);
}

static struct base *find_key(const struct bases *bases, const uint8_t key[CHANNEL_BASE_KEY_SIZE])
{
    struct base *base = bases->first;
    while (base && memcmp(base->record.key, key, sizeof(base->record.key)) != 0)
        base = base->next;
    return base;
}

void bases_drop(struct bases *bases, const uint8_t key[CHANNEL_BASE_KEY_SIZE])
{
    struct base *base = find_key(bases, key);
    if (base)
        drop(bases, base, "it does not fit the host");
}

int bases_check(const struct bases *bases, struct error *error)
{
    return bases->fd < 0 ? error_text(error, ENOTSUP, "nothing is kept for later builds (runtime.cacheSize is 0)") : 0;
}

const struct base *bases_find(struct bases *bases, const uint8_t key[CHANNEL_BASE_KEY_SIZE], struct error *error)
{
    uint8_t fingerprint[32];
    if (bases_check(bases, error) < 0)
        return NULL;
    struct base *base = find_key(bases, key);
    if (!base) {
        (void)error_text(error, ENOENT, "these packages were not installed before");
        return NULL;
    }
    host_state_fingerprint(fingerprint);
    const char *why = NULL;
    if (memcmp(fingerprint, base->record.fingerprint, sizeof(fingerprint)) != 0)
        why = "packages, package sources or their lists of the host have changed since";
    else if (base->record.policy != find_policy(bases->broker))
        why = "what builds see of the host was configured otherwise";
    else if (!is_whole(bases, base))
        why = "it was removed meanwhile";
    if (!why)
        return base;
    (void)error_text(error, ESTALE, "%s", why);
    drop(bases, base, why);
    return NULL;
}

int bases_open_image(const struct bases *bases, const struct base *base, struct error *error)
{
    char name[FILE_NAME_MAX];
    name_file(base->uuid, IMAGE_SUFFIX, name);
    _cleanup_close_ int fd = openat(bases->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) < 0)
        return error_errno(error, errno, "open the base of build %s", base->uuid);
    (void)futimens(fd, NULL); /* when it was used last */
    return TAKE_FD(fd);
}

/* --- a new one --- */

static bool is_used(const struct bases *bases, const struct base *base)
{
    for (const struct build *build = bases->broker->first_build; build; build = build->next)
        if (build->base_use == CHANNEL_BASE_USE &&
                memcmp(build->base_key, base->record.key, sizeof(build->base_key)) == 0)
            return true;
    return false;
}

static int64_t used_ns(const struct bases *bases, const struct base *base)
{
    char name[FILE_NAME_MAX];
    struct stat status;
    name_file(base->uuid, IMAGE_SUFFIX, name);
    if (fstatat(bases->fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return status.st_mtim.tv_sec * 1000000000LL + status.st_mtim.tv_nsec;
}

/* Makes room for the newest, which stands first. */
static void limit(struct bases *bases)
{
    const struct base *newest = bases->first;
    for (struct base *next, *base = newest->next; base; base = next) {
        next = base->next;
        if (memcmp(base->record.key, newest->record.key, sizeof(base->record.key)) == 0)
            drop(bases, base, "there is a newer one");
        else if (memcmp(base->record.fingerprint, newest->record.fingerprint, sizeof(base->record.fingerprint)) != 0)
            drop(bases, base, "the host's packages have changed");
    }
    for (;;) {
        uint64_t bytes = 0;
        unsigned count = 0;
        struct base *oldest = NULL;
        for (struct base *base = bases->first; base; base = base->next, count++) {
            bytes += base->record.bytes;
            if (base != newest && !is_used(bases, base) && (!oldest || used_ns(bases, base) < used_ns(bases, oldest)))
                oldest = base;
        }
        if (!oldest || (bytes <= bases->broker->config->cache_bytes && count <= BASES_MAX))
            return;
        drop(bases, oldest, "runtime.cacheSize");
    }
}

static int end_writing(int mount_fd)
{
    const struct timespec pause = {.tv_nsec = BUSY_PAUSE_NS};
    int r;
    for (unsigned i = 0; (r = mount_end_writing(mount_fd)) == -EBUSY && i < BUSY_TRIES; i++)
        (void)nanosleep(&pause, NULL);
    return r;
}

/* Each name when what it names is on the disk. */
static int name_base(int dir_fd, int image_fd, struct base_record *record)
{
    char source[32];
    char uuid[TEXT_UUID_MAX];
    char name[FILE_NAME_MAX];
    struct stat status;
    text_format_uuid(record->build_id, uuid);
    name_file(uuid, IMAGE_SUFFIX, name);
    (void)snprintf(source, sizeof(source), "/proc/self/fd/%d", image_fd);
    if (fchmod(image_fd, 0400) < 0 || fsync(image_fd) < 0 || fstat(image_fd, &status) < 0 ||
            linkat(AT_FDCWD, source, dir_fd, name, AT_SYMLINK_FOLLOW) < 0 || fsync(dir_fd) < 0)
        return -errno;
    record->bytes = (uint64_t)status.st_blocks * 512; /* now that all is written */
    record->check = base_record_sum(record);
    char record_name[FILE_NAME_MAX];
    name_file(uuid, RECORD_SUFFIX, record_name);
    int r = fd_replace_file_at(dir_fd, record_name, record, sizeof(*record), 0400);
    /* We can outlive our joblet. The next one takes an image without a record for what a crash left. */
    if (r == 0 && faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
        (void)unlinkat(dir_fd, record_name, 0);
        r = -ENOENT;
    }
    return r;
}

/* Nothing of joblet's but what it works on: neither the lock nor a channel outlives joblet through it. */
__attribute__((noreturn)) static void run_child(int dir_fd, int mount_fd, int image_fd, struct base_record *record)
{
    enum { FIRST = 512 };
    int dir = fd_move_above(fcntl(dir_fd, F_DUPFD, 3), FIRST);
    int mount = fd_move_above(fcntl(mount_fd, F_DUPFD, 3), FIRST);
    int image = fd_move_above(fcntl(image_fd, F_DUPFD, 3), FIRST);
    if (dir < 0 || mount < 0 || image < 0)
        _exit(EMFILE);
    (void)close_range(0, FIRST - 1, 0);
    int r = end_writing(mount);
    (void)close(mount);
    if (r == 0)
        r = name_base(dir, image, record);
    _exit(-r);
}

static void answer(struct broker *broker, const struct channel_header *request, uint32_t generation, int code)
{
    struct error error = {0};
    if (code != 0)
        (void)error_errno(&error, code, "keep the build's disk as a base");
    api_reply(&broker->api, request, generation, &error);
}

static void let_go(struct base_seal *seal)
{
    struct bases *bases = &seal->broker->bases;
    struct base_seal **at = &bases->first_seal;
    while (*at != seal)
        at = &(*at)->next;
    *at = seal->next;
    (void)fd_close(loop_remove(seal->broker->loop, &seal->process));
    build_unref(seal->build);
    free(seal);
}

static int add_sealed(struct base_seal *seal)
{
    struct bases *bases = &seal->broker->bases;
    char uuid[TEXT_UUID_MAX];
    char name[FILE_NAME_MAX];
    text_format_uuid(seal->record.build_id, uuid);
    name_file(uuid, RECORD_SUFFIX, name);
    struct base *base = read_base(bases, name);
    if (!base) {
        remove_files(bases, uuid);
        return EBADMSG;
    }
    put_first(bases, base);
    log_event(LOG_LEVEL_INFO, "base kept", "build", uuid, "bytes", LOG_NUMBER(base->record.bytes), NULL);
    limit(bases);
    return 0;
}

static void on_sealed(struct loop_source *source, uint32_t events)
{
    struct base_seal *seal = LOOP_OWNER(source, struct base_seal, process);
    siginfo_t info = {0};
    (void)events;
    (void)waitid((idtype_t)P_PIDFD, (id_t)source->fd, &info, WEXITED | WNOHANG);
    int code = info.si_code == CLD_EXITED ? info.si_status : EIO;
    if (code == 0)
        code = add_sealed(seal);
    seal->build->state = code == 0 ? BUILD_PUBLISHED : BUILD_FAILED;
    answer(seal->broker, &seal->request, seal->generation, code);
    let_go(seal);
}

static int start(struct bases *bases, struct base_seal *seal, const struct disk_grant *disk)
{
    int pidfd = -EBADF;
    struct clone_args arguments = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid < 0)
        return -errno;
    if (pid == 0)
        run_child(bases->fd, disk->again_fd, disk->image_fd, &seal->record);
    int r = loop_add(bases->broker->loop, &seal->process, pidfd, EPOLLIN, on_sealed);
    if (r < 0)
        (void)fd_close(pidfd);
    return r;
}

static void fill_record(const struct broker *broker, const struct build *build, uint32_t id_base,
        const struct channel_base_seal *request, const struct stat *image, struct base_record *record)
{
    memset(record, 0, sizeof(*record));
    record->magic = BASE_RECORD_MAGIC;
    record->version = BASE_RECORD_VERSION;
    memcpy(record->key, build->base_key, sizeof(record->key));
    memcpy(record->build_id, build->id, sizeof(record->build_id));
    memcpy(record->fingerprint, build->fingerprint, sizeof(record->fingerprint));
    record->policy = find_policy(broker);
    record->id_base = id_base;
    record->inode = image->st_ino;
    record->bytes = (uint64_t)image->st_blocks * 512;
    record->made_unix_ns = text_now_unix_ns();
    memcpy(record->notes, request->notes, sizeof(record->notes));
    record->check = base_record_sum(record);
}

void bases_seal(struct bases *bases, struct build *build, const struct channel_base_seal *request)
{
    struct broker *broker = bases->broker;
    struct slot slot;
    struct stat image;
    struct base_seal *seal = calloc(1, sizeof(*seal));
    int r = seal ? 0 : -ENOMEM;
    if (r == 0 && (fstat(build->disk.image_fd, &image) < 0 || slots_look(broker->slots, build->slot_index, &slot) < 0))
        r = -EINVAL;
    if (r == 0 && (uint64_t)image.st_blocks * 512 > broker->config->cache_bytes)
        r = -EFBIG;
    if (r == 0) {
        fill_record(broker, build, slot.base, request, &image, &seal->record);
        r = start(bases, seal, &build->disk);
    }
    if (r < 0) {
        free(seal);
        build->state = BUILD_FAILED;
        answer(broker, &request->header, broker->api.generation, -r);
        return;
    }
    build->state = BUILD_SEALING;
    build_ref(build);
    seal->broker = broker;
    seal->build = build;
    seal->request = request->header;
    seal->generation = broker->api.generation;
    seal->next = bases->first_seal;
    bases->first_seal = seal;
}

void bases_done(struct bases *bases)
{
    while (bases->first_seal)
        let_go(bases->first_seal);
    while (bases->first) {
        struct base *base = bases->first;
        bases->first = base->next;
        free(base);
    }
    bases->fd = fd_close(bases->fd);
}
