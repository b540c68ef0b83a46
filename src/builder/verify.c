/* Holds a runtime against its manifest: the manifest against the digest that joblet-api knows, every entry of the tree
 * against its line, nothing missing and nothing more. Files are read by as many threads as there are processors, up to
 * a few: one file each at a time. Read-only: whoever can change the tree while it is read could do so afterwards, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/fd.h"
#include "builder/digest.h"
#include "builder/manifest.h"
#include "builder/modes.h"
#include "builder/root.h"
#include "builder/say.h"
#include "plan/recipe.h"

#define WRONG_TOLD 100U
#define THREADS_MAX 4
#define READ_SIZE (256U << 10)

struct verifying {
    struct manifest manifest;
    int stage_fd;
    int root_fd;
    atomic_uint next; /* the entry that is looked at next */
    pthread_mutex_t lock;
    uint64_t wrong; /* under the lock, as the lines that are said */
    uint64_t bytes;
};

static void tell_wrong(struct verifying *verifying, const char *path, const char *text)
{
    (void)pthread_mutex_lock(&verifying->lock);
    if (verifying->wrong++ < WRONG_TOLD)
        say_wrong(path, text);
    (void)pthread_mutex_unlock(&verifying->lock);
}

/* The digest of a file's content, of exactly @size bytes. NULL or what is wrong. */
static const char *check_content(
        int fd, uint64_t size, const uint8_t expected[DIGEST_SIZE], struct digest *digest, char *buffer)
{
    uint8_t found[DIGEST_SIZE];
    struct stat status;
    if (fstat(fd, &status) < 0 || (uint64_t)status.st_size != size)
        return "another size";
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    digest_begin(digest);
    for (uint64_t left = size; left > 0;) {
        size_t part = left < READ_SIZE ? (size_t)left : READ_SIZE;
        if (fd_read_exact(fd, buffer, part) < 0)
            return "cannot be read";
        digest_add(digest, buffer, part);
        left -= part;
    }
    if (digest_end(digest, found) < 0)
        return "cannot be digested";
    return memcmp(found, expected, DIGEST_SIZE) == 0 ? NULL : "another content";
}

static const char *check_link(int root_fd, const struct manifest_entry *entry)
{
    char target[PATH_MAX];
    if (root_read_link(root_fd, entry->path, target) < 0)
        return "cannot be read";
    return strcmp(target, entry->target) == 0 ? NULL : "another target";
}

static const char *check_entry(
        const struct verifying *verifying, const struct manifest_entry *entry, struct digest *digest, char *buffer)
{
    static const mode_t types[] = {
            [MANIFEST_FILE] = S_IFREG, [MANIFEST_LINK] = S_IFLNK, [MANIFEST_DIRECTORY] = S_IFDIR};
    struct stat status;
    if (root_stat(verifying->root_fd, entry->path, &status) < 0)
        return "missing";
    if ((status.st_mode & S_IFMT) != types[entry->type])
        return "another type";
    if (entry->type != MANIFEST_LINK && (status.st_mode & 07777) != entry->mode)
        return "another mode";
    if (status.st_uid != entry->uid || status.st_gid != entry->gid)
        return "another owner";
    if (entry->type == MANIFEST_LINK)
        return check_link(verifying->root_fd, entry);
    if (entry->type == MANIFEST_DIRECTORY)
        return NULL;
    _cleanup_close_ int fd = root_open_file(verifying->root_fd, entry->path);
    return fd < 0 ? "cannot be read" : check_content(fd, entry->size, entry->digest, digest, buffer);
}

static void *check_entries(void *context)
{
    struct verifying *verifying = context;
    _cleanup_(digest_freep) struct digest *digest = digest_new();
    _cleanup_free_ char *buffer = malloc(READ_SIZE);
    for (;;) {
        unsigned number = atomic_fetch_add(&verifying->next, 1);
        if (number >= verifying->manifest.count)
            return NULL;
        const struct manifest_entry *entry = &verifying->manifest.entries[number];
        const char *wrong =
                digest && buffer ? check_entry(verifying, entry, digest, buffer) : "cannot be looked at: no memory";
        if (wrong)
            tell_wrong(verifying, entry->path, wrong);
    }
}

/* With one thread less for each that cannot be made. */
static void check_all(struct verifying *verifying)
{
    pthread_t threads[THREADS_MAX];
    int wanted = get_nprocs() < THREADS_MAX ? get_nprocs() : THREADS_MAX;
    int started = 0;
    while (started < wanted - 1 && pthread_create(&threads[started], NULL, check_entries, verifying) == 0)
        started++;
    (void)check_entries(verifying);
    for (int i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL);
}

static int find_more(void *context, const char *path, const struct stat *status)
{
    struct verifying *verifying = context;
    (void)status;
    if (manifest_find(&verifying->manifest, path))
        return 0;
    tell_wrong(verifying, path, "not in the manifest");
    return 1;
}

/* The files beside isolated/, and that there are no others. */
static void check_beside(struct verifying *verifying)
{
    _cleanup_(digest_freep) struct digest *digest = digest_new();
    _cleanup_free_ char *buffer = malloc(READ_SIZE);
    for (size_t i = 0; i < verifying->manifest.beside_count; i++) {
        const struct manifest_beside *beside = &verifying->manifest.beside[i];
        _cleanup_close_ int fd = root_open_file(verifying->stage_fd, beside->name);
        const char *wrong = fd < 0             ? "missing"
                            : digest && buffer ? check_content(fd, beside->size, beside->digest, digest, buffer)
                                               : "cannot be looked at: no memory";
        if (wrong)
            tell_wrong(verifying, beside->name, wrong);
    }
}

/* Reads the manifest and holds it against the digest of the recipe. */
static int read_manifest(struct verifying *verifying, const struct words *words, struct error *error)
{
    char *text = NULL;
    size_t size = 0;
    const struct word *word = words_find(words, WORD_DIGEST);
    int r = root_read_file(verifying->stage_fd, RECIPE_FILE_MANIFEST, MANIFEST_SIZE_MAX, &text, &size);
    if (r < 0)
        return error_errno(error, -r, "read the manifest");
    if (word && strcmp(word->name, "-") != 0) {
        uint8_t expected[DIGEST_SIZE];
        uint8_t found[DIGEST_SIZE] = {0};
        _cleanup_(digest_freep) struct digest *digest = digest_new();
        if (digest) {
            digest_begin(digest);
            digest_add(digest, text, size);
        }
        if (!digest || digest_end(digest, found) < 0 || digest_parse(word->name, strlen(word->name), expected) < 0 ||
                memcmp(found, expected, DIGEST_SIZE) != 0) {
            free(text);
            return error_text(error, EBADMSG, "the manifest is not the one that was made");
        }
    }
    return manifest_parse(text, size, &verifying->manifest, error);
}

static int verify(struct verifying *verifying, const struct words *words, struct error *error)
{
    verifying->stage_fd = open(RECIPE_STAGE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (verifying->stage_fd < 0)
        return error_errno(error, errno, "open '%s'", RECIPE_STAGE);
    int r = read_manifest(verifying, words, error);
    if (r < 0)
        return r;
    verifying->root_fd = root_open_directory(verifying->stage_fd, RECIPE_DIRECTORY_ROOT);
    if (verifying->root_fd < 0)
        return error_errno(error, -verifying->root_fd, "open '%s'", RECIPE_DIRECTORY_ROOT);
    check_all(verifying);
    check_beside(verifying);
    r = root_walk(verifying->root_fd, "/", /* one_device= */ 0, find_more, verifying);
    if (r < 0)
        return error_errno(error, -r, "look for what is not in the manifest");
    say_count("entries", verifying->manifest.count);
    say_count("wrong", verifying->wrong);
    if (verifying->wrong > 0)
        return error_text(error, EBADMSG, "%llu entries of the runtime are not as they were made",
                (unsigned long long)verifying->wrong);
    return 0;
}

int verify_run(const struct words *words, char *const *environment, struct error *error)
{
    struct verifying verifying = {.stage_fd = -EBADF, .root_fd = -EBADF, .lock = PTHREAD_MUTEX_INITIALIZER};
    (void)environment;
    int r = verify(&verifying, words, error);
    manifest_done(&verifying.manifest);
    (void)fd_close(verifying.root_fd);
    (void)fd_close(verifying.stage_fd);
    return r;
}
