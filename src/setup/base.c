/* The base is always whole: built as base.new, tried, flushed to the disk and renamed. An old one goes out of the way
 * by the same rename, to a name of its own; it is removed when no process has it as a mount or descriptor, because
 * running jobs hold it by an idmapped clone and would see its files vanish. */
#include "setup/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "elf/elf_file.h"
#include "setup/base_list.h"
#include "setup/base_try.h"
#include "setup/tree.h"

#define NEW_NAME BASE_NAME ".new"
#define OLD_PREFIX BASE_NAME ".old."
#define COMMANDS_MAX 512
#define MANIFEST_SIZE_MAX (8U << 20)

/* Not /usr/local: what an administrator put there is for the host. */
static const char *const command_directories[] = {"/usr/bin", "/usr/sbin", "/bin", "/sbin"};

struct builder {
    struct tree tree;
    struct elf_search search;
    uint32_t command_id;
    struct base_try_command commands[COMMANDS_MAX]; /* paths owned */
    const char *names[COMMANDS_MAX];
    size_t count;
    struct error *error;
};

static void write_header(FILE *manifest, uint32_t disk_id, uint32_t command_id)
{
    (void)fprintf(manifest, "joblet-base 1 lists %016" PRIx64 " owner %" PRIu32 " command %" PRIu32 "\n",
            base_lists_digest(), disk_id, command_id);
}

/* /bin → usr/bin and the like, as the host has them; else plain directories. Before anything is copied through them. */
static int make_top(struct builder *builder)
{
    static const char *const names[] = {"/bin", "/sbin", "/lib", "/lib64"};
    for (const char *const *path = base_empty_directories; *path; path++) {
        int r = tree_make_directory(&builder->tree, *path, builder->error);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        char text[64];
        ssize_t size = readlink(names[i], text, sizeof(text) - 1);
        if (size < 0)
            continue; /* a directory is made when a file in it is copied */
        text[size] = '\0';
        char target[80];
        (void)snprintf(target, sizeof(target), "%s%s", *text == '/' ? "" : "/", text);
        int r = tree_make_directory(&builder->tree, target, builder->error);
        if (r == 0)
            r = tree_link(&builder->tree, names[i], text, builder->error);
        if (r < 0)
            return r;
    }
    return tree_link(&builder->tree, "/var/tmp", "../tmp", builder->error);
}

/* 0; 1 when the host does not have it, or not for everybody; -errno. */
static int find_command(struct builder *builder, const char *name, char ret_path[PATH_MAX])
{
    for (size_t i = 0; i < ELEMENTS(command_directories); i++) {
        (void)snprintf(ret_path, PATH_MAX, "%s/%s", command_directories[i], name);
        int r = tree_add(&builder->tree, ret_path, builder->error);
        if (r == 0 || r < 0)
            return r;
    }
    return 1;
}

static int add_commands(struct builder *builder)
{
    for (const struct base_command *command = base_commands; command->name; command++) {
        char path[PATH_MAX];
        int r = find_command(builder, command->name, path);
        if (r < 0)
            return r;
        if (r == 1) {
            if (command->required)
                return error_text(builder->error, ENOENT,
                        "the command '%s' is not on this host for everybody to read; the base needs it", command->name);
            /* When it comes later, the base is not up to date any more. */
            (void)fprintf(builder->tree.manifest, "- %s\n", command->name);
            continue;
        }
        if (builder->count == COMMANDS_MAX)
            return error_errno(builder->error, E2BIG, "commands of the base");
        char *copy = strdup(path);
        if (!copy)
            return error_errno(builder->error, ENOMEM, "commands of the base");
        builder->names[builder->count] = command->name;
        builder->commands[builder->count++] = (struct base_try_command){copy, command->arguments};
    }
    return 0;
}

static int add_files(struct builder *builder, const char *const *files)
{
    for (; *files; files++) {
        int r = tree_add(&builder->tree, *files, builder->error);
        if (r < 0)
            return r;
    }
    return 0;
}

/* @names below each directory of libraries, when they are for the machine of @shell: a host may have those of another.
 */
static int add_below(struct builder *builder, const struct elf_file *shell, const char *const *names)
{
    for (size_t i = 0; i < builder->search.count; i++) {
        for (const char *const *name = names; *name; name++) {
            char path[PATH_MAX];
            (void)snprintf(path, sizeof(path), "%s/%s", builder->search.directories[i], *name);
            /* The lists beside the modules stand where the C library of the same machine does. */
            char library[PATH_MAX];
            (void)snprintf(library, sizeof(library), "%s/libc.so.6", builder->search.directories[i]);
            if (!elf_fits(AT_FDCWD, strstr(*name, ".so") ? path : library, shell))
                continue;
            int r = tree_add(&builder->tree, path, builder->error);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

/* The libraries that no header names, and what lies beside libraries. */
static int add_libraries(struct builder *builder)
{
    struct elf_file shell;
    _cleanup_close_ int fd = open("/bin/sh", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(builder->error, errno, "/bin/sh");
    int r = elf_read(fd, "/bin/sh", &shell, builder->error);
    if (r != 0)
        return r < 0 ? r : error_text(builder->error, ENOEXEC, "/bin/sh is not a program");
    r = add_below(builder, &shell, base_libraries);
    if (r == 0)
        r = add_below(builder, &shell, base_library_files);
    elf_done(&shell);
    return r;
}

static int add_terminals(struct builder *builder)
{
    static const char *const directories[] = {"/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo"};
    for (size_t i = 0; i < ELEMENTS(directories); i++) {
        for (const char *const *name = base_terminals; *name; name++) {
            char path[PATH_MAX];
            (void)snprintf(path, sizeof(path), "%s/%c/%s", directories[i], **name, *name);
            int r = tree_add(&builder->tree, path, builder->error);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int add_directories(struct builder *builder)
{
    for (const struct base_directory *directory = base_directories; directory->path; directory++) {
        int r = tree_add_directory(&builder->tree, directory->path, directory->but, builder->error);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_texts(struct builder *builder)
{
    for (const struct base_text *text = base_texts; text->path; text++) {
        int r = tree_write(&builder->tree, text->path, text->text, builder->error);
        if (r < 0)
            return r;
    }
    /* Group "tty" has the number that a job's terminals belong to. */
    char users[256];
    char groups[256];
    uint32_t id = builder->command_id;
    (void)snprintf(users, sizeof(users),
            "root:x:0:0:root:/root:/bin/sh\n%s:x:%" PRIu32 ":%" PRIu32 ":job:/work:/bin/sh\n%s", "nobody", id, id,
            id == 65534 ? "" : "overflow:x:65534:65534:overflow:/nonexistent:/bin/false\n");
    (void)snprintf(groups, sizeof(groups), "root:x:0:\ntty:x:5:\nnogroup:x:%" PRIu32 ":\n%s", id,
            id == 65534 ? "" : "overflow:x:65534:\n");
    int r = tree_write(&builder->tree, "/etc/passwd", users, builder->error);
    if (r == 0)
        r = tree_write(&builder->tree, "/etc/group", groups, builder->error);
    if (r == 0)
        r = tree_link(&builder->tree, "/etc/localtime", "/usr/share/zoneinfo/Etc/UTC", builder->error);
    return r;
}

/* The interpreter of a script. */
static int add_interpreter(struct builder *builder, int fd, const char *path)
{
    char line[256];
    ssize_t size = pread(fd, line, sizeof(line) - 1, 0);
    if (size < 3 || strncmp(line, "#!", 2) != 0)
        return 0;
    line[size] = '\0';
    char *start = line + 2 + strspn(line + 2, " \t");
    start[strcspn(start, " \t\r\n")] = '\0';
    if (*start != '/')
        return 0;
    int r = tree_add(&builder->tree, start, builder->error);
    return r > 0 ? error_text(builder->error, ENOENT, "'%s' needs '%s', which is not there", path, start) : r;
}

static int add_needed(struct builder *builder, const char *path, const struct elf_file *file)
{
    int r = file->interpreter ? tree_add(&builder->tree, file->interpreter, builder->error) : 0;
    for (size_t i = 0; r == 0 && i < file->needed_count; i++) {
        char found[PATH_MAX];
        r = elf_find_library(&builder->search, file, path, file->needed[i], found);
        if (r < 0)
            return error_text(
                    builder->error, ENOENT, "'%s' needs the library '%s', which is not there", path, file->needed[i]);
        r = tree_add(&builder->tree, found, builder->error);
    }
    return r > 0 ? error_text(builder->error, ENOENT, "'%s' needs a file that is not for everybody to read", path) : r;
}

/* Walks all files copied so far, and those that come by it, until nothing is missing. */
static int add_needs(struct builder *builder)
{
    for (size_t i = 0; i < builder->tree.count; i++) {
        const char *path = builder->tree.files[i];
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
            return error_errno(builder->error, errno, "read '%s'", path);
        struct elf_file file;
        int r = elf_read(fd, path, &file, builder->error);
        if (r == 1) {
            struct stat status;
            if (fstat(fd, &status) == 0 && (status.st_mode & S_IXOTH))
                r = add_interpreter(builder, fd, path);
            else
                r = 0;
        } else if (r == 0) {
            r = add_needed(builder, path, &file);
            elf_done(&file);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

/* /etc/ld.so.conf and the linker's cache, for the directories beside the built-in ones. */
static int add_linker_cache(struct builder *builder)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    if (!file)
        return error_errno(builder->error, errno, "ld.so.conf");
    for (size_t i = 0; i < builder->search.count; i++) {
        struct stat status;
        if (fstatat(builder->tree.root_fd, builder->search.directories[i] + 1, &status, 0) == 0)
            (void)fprintf(file, "%s\n", builder->search.directories[i]);
    }
    int r = fclose(file) == 0 ? tree_write(&builder->tree, "/etc/ld.so.conf", text, builder->error)
                              : error_errno(builder->error, ENOMEM, "ld.so.conf");
    free(text);
    return r;
}

static int add_all(struct builder *builder)
{
    int r = make_top(builder);
    if (r == 0)
        r = add_texts(builder);
    if (r == 0)
        r = add_commands(builder);
    if (r == 0)
        r = add_files(builder, base_files);
    if (r == 0)
        r = add_libraries(builder);
    if (r == 0)
        r = add_terminals(builder);
    if (r == 0)
        r = add_directories(builder);
    if (r == 0)
        r = add_needs(builder);
    if (r == 0)
        r = add_linker_cache(builder);
    return r;
}

/* Runs ldconfig(8) for the tree, which it takes as its root. A host without one (musl) needs no cache. */
static int run_ldconfig(int root_fd, uint32_t owner, struct error *error)
{
    if (access("/sbin/ldconfig", X_OK) < 0)
        return 0;
    pid_t pid = fork();
    if (pid < 0)
        return error_errno(error, errno, "fork");
    if (pid == 0) {
        char *const arguments[] = {
                (char[]){"ldconfig"}, (char[]){"-X"}, (char[]){"-i"}, (char[]){"-r"}, (char[]){"."}, NULL};
        char *const environment[] = {NULL};
        if (fchdir(root_fd) == 0)
            (void)execve("/sbin/ldconfig", arguments, environment);
        _exit(127);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return error_errno(error, errno, "wait for ldconfig");
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return error_text(error, EIO, "ldconfig failed for the new base");
    /* Its own notes for a faster next run. */
    _cleanup_close_ int cache_fd = openat(root_fd, "var/cache", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (cache_fd >= 0)
        (void)tree_remove(cache_fd, "ldconfig");
    if (fchownat(root_fd, "etc/ld.so.cache", owner, owner, AT_SYMLINK_NOFOLLOW) < 0 ||
            fchmodat(root_fd, "etc/ld.so.cache", 0644, 0) < 0)
        return error_errno(error, errno, "the linker's cache of the new base");
    return 0;
}

static bool has_command(const void *context, const char *name)
{
    const struct builder *builder = context;
    for (size_t i = 0; i < builder->count; i++) {
        if (strcmp(builder->names[i], name) == 0)
            return true;
    }
    return false;
}

static int build(struct builder *builder, int root_fd, uint32_t disk_id, struct error *error)
{
    int r = add_all(builder);
    if (r < 0)
        return r;
    if (builder->tree.bytes > BASE_SIZE_MAX)
        return error_text(error, EFBIG, "the base would have %" PRIu64 " bytes, more than %llu", builder->tree.bytes,
                BASE_SIZE_MAX);
    r = run_ldconfig(root_fd, disk_id, error);
    if (r == 0)
        r = base_try(
                root_fd, disk_id + builder->command_id, builder->commands, builder->count, has_command, builder, error);
    return r;
}

/* Puts base.new in place, the old base aside, and writes the manifest last: without it the base counts as not made. */
static int put_in_place(int prefix_fd, const char *manifest, size_t size, struct error *error)
{
    if (unlinkat(prefix_fd, BASE_MANIFEST, 0) < 0 && errno != ENOENT)
        return error_errno(error, errno, "remove the old '%s'", BASE_MANIFEST);
    if (renameat2(prefix_fd, NEW_NAME, prefix_fd, BASE_NAME, RENAME_NOREPLACE) < 0) {
        uint32_t suffix;
        char old_name[32];
        if (errno != EEXIST || getrandom(&suffix, sizeof(suffix), 0) != (ssize_t)sizeof(suffix))
            return error_errno(error, errno, "put the new base in place");
        (void)snprintf(old_name, sizeof(old_name), OLD_PREFIX "%08" PRIx32, suffix);
        if (renameat2(prefix_fd, NEW_NAME, prefix_fd, BASE_NAME, RENAME_EXCHANGE) < 0 ||
                renameat2(prefix_fd, NEW_NAME, prefix_fd, old_name, RENAME_NOREPLACE) < 0)
            return error_errno(error, errno, "put the new base in place");
    }
    int r = fd_replace_file_at(prefix_fd, BASE_MANIFEST, manifest, size, 0644);
    if (r == 0 && fsync(prefix_fd) < 0)
        r = -errno;
    return r < 0 ? error_errno(error, -r, "write '%s'", BASE_MANIFEST) : 0;
}

static int make_new(int prefix_fd, uint32_t disk_id, int *ret_root_fd, struct error *error)
{
    int r = tree_remove(prefix_fd, NEW_NAME);
    if (r < 0)
        return error_errno(error, -r, "remove the half-made '%s'", NEW_NAME);
    if (mkdirat(prefix_fd, NEW_NAME, 0755) < 0)
        return error_errno(error, errno, "make '%s'", NEW_NAME);
    _cleanup_close_ int root_fd = openat(prefix_fd, NEW_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root_fd < 0 || fchown(root_fd, disk_id, disk_id) < 0 || fchmod(root_fd, 0755) < 0)
        return error_errno(error, errno, "make '%s'", NEW_NAME);
    *ret_root_fd = TAKE_FD(root_fd);
    return 0;
}

static void builder_done(struct builder *builder)
{
    for (size_t i = 0; i < builder->count; i++)
        free((void *)(uintptr_t)builder->commands[i].path);
    tree_done(&builder->tree);
    elf_search_done(&builder->search);
    free(builder);
}

int base_make(
        int prefix_fd, uint32_t disk_id, uint32_t command_id, struct base_summary *ret_summary, struct error *error)
{
    _cleanup_close_ int root_fd = -EBADF;
    int r = make_new(prefix_fd, disk_id, &root_fd, error);
    if (r < 0)
        return r;
    char *manifest = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&manifest, &size);
    struct builder *builder = file ? calloc(1, sizeof(*builder)) : NULL;
    if (!builder) {
        if (file)
            (void)fclose(file);
        free(manifest);
        return error_errno(error, ENOMEM, "make the base");
    }
    builder->command_id = command_id;
    builder->error = error;
    write_header(file, disk_id, command_id);
    tree_init(&builder->tree, root_fd, disk_id, file);
    r = elf_search_init(&builder->search, AT_FDCWD, error);
    if (r == 0)
        r = build(builder, root_fd, disk_id, error);
    const struct base_summary summary = {builder->tree.bytes, (unsigned)builder->tree.count, (unsigned)builder->count};
    builder_done(builder);
    if (fclose(file) != 0 && r == 0)
        r = error_errno(error, ENOMEM, "make the base");
    if (r == 0 && syncfs(root_fd) < 0)
        r = error_errno(error, errno, "flush the new base");
    if (r == 0)
        r = put_in_place(prefix_fd, manifest, size, error);
    free(manifest);
    if (r < 0) {
        (void)tree_remove(prefix_fd, NEW_NAME);
        return r;
    }
    base_sweep(prefix_fd);
    *ret_summary = summary;
    return 0;
}

/* A command that the host did not have must still not be there. */
static bool check_absent(const char *name)
{
    for (size_t i = 0; i < ELEMENTS(command_directories); i++) {
        char path[PATH_MAX];
        struct stat status;
        (void)snprintf(path, sizeof(path), "%s/%s", command_directories[i], name);
        if (stat(path, &status) == 0 && (status.st_mode & S_IROTH))
            return false;
    }
    return true;
}

static int check_lines(char *manifest, const char *header, struct error *reason)
{
    char *rest = NULL;
    const char *line = strtok_r(manifest, "\n", &rest);
    if (!line || strcmp(line, header) != 0) {
        (void)error_text(reason, ESTALE, "the base was made by another version or for other ids");
        return 2;
    }
    while ((line = strtok_r(NULL, "\n", &rest))) {
        if (strncmp(line, "- ", 2) == 0 ? check_absent(line + 2) : tree_check_line(line))
            continue;
        const char *path = strchr(line, '/');
        (void)error_text(reason, ESTALE, "the host has changed since: '%.100s'", path ? path : line + 2);
        return 2;
    }
    return 0;
}

int base_check(int prefix_fd, uint32_t disk_id, uint32_t command_id, struct error *reason)
{
    struct stat status;
    _cleanup_free_ char *manifest = NULL;
    int r = fd_read_file_at(prefix_fd, BASE_MANIFEST, MANIFEST_SIZE_MAX, &manifest, NULL);
    if (r < 0 && r != -ENOENT)
        return error_errno(reason, -r, "read '%s'", BASE_MANIFEST);
    if (r < 0 || fstatat(prefix_fd, BASE_NAME, &status, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(status.st_mode)) {
        (void)error_text(reason, ENOENT, "there is no base root; 'joblet setup' makes it");
        return 1;
    }
    if (status.st_uid != disk_id) {
        (void)error_text(reason, ESTALE, "the base belongs to id %u, not to %" PRIu32, status.st_uid, disk_id);
        return 2;
    }
    char header[128];
    FILE *file = fmemopen(header, sizeof(header), "w");
    if (!file)
        return error_errno(reason, errno, "check the base");
    write_header(file, disk_id, command_id);
    (void)fclose(file);
    header[strcspn(header, "\n")] = '\0';
    return check_lines(manifest, header, reason);
}

/* True when a line of @pid's mountinfo has the root of an old base, or a descriptor is in one. @name is "/base.old.X".
 */
static bool process_uses(int proc_fd, const char *pid, const char *name)
{
    char path[64];
    _cleanup_free_ char *mounts = NULL;
    (void)snprintf(path, sizeof(path), "%s/mountinfo", pid);
    if (fd_read_file_at(proc_fd, path, 16U << 20, &mounts, NULL) == 0 && strstr(mounts, name))
        return true;
    (void)snprintf(path, sizeof(path), "%s/fd", pid);
    int fd = openat(proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory)
        return false;
    bool used = false;
    const struct dirent *entry;
    while (!used && (entry = readdir(directory))) {
        char target[PATH_MAX];
        ssize_t size = readlinkat(fd, entry->d_name, target, sizeof(target) - 1);
        target[size > 0 ? size : 0] = '\0';
        used = strstr(target, name) != NULL;
    }
    (void)closedir(directory);
    return used;
}

bool base_is_used(const char *old_name)
{
    char name[300];
    /* One in the making is setup's, which holds the lock of its prefix; those of other prefixes have the same name. */
    if (strcmp(old_name, NEW_NAME) == 0)
        return false;
    (void)snprintf(name, sizeof(name), "/%s", old_name);
    DIR *directory = opendir("/proc");
    if (!directory)
        return true;
    bool used = false;
    const struct dirent *entry;
    while (!used && (entry = readdir(directory))) {
        if (*entry->d_name >= '0' && *entry->d_name <= '9')
            used = process_uses(dirfd(directory), entry->d_name, name);
    }
    (void)closedir(directory);
    return used;
}

bool base_is_aside(const char *name)
{
    static const char digits[] = "0123456789abcdef";
    const size_t length = strlen(OLD_PREFIX);
    if (strcmp(name, NEW_NAME) == 0)
        return true;
    return strncmp(name, OLD_PREFIX, length) == 0 && strlen(name + length) == 8 && strspn(name + length, digits) == 8;
}

int base_remove_aside(int prefix_fd, const char *name)
{
    if (!base_is_aside(name))
        return -EINVAL;
    return base_is_used(name) ? -EBUSY : tree_remove(prefix_fd, name);
}

void base_sweep(int prefix_fd)
{
    int fd = openat(prefix_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        (void)fd_close(fd);
        return;
    }
    const struct dirent *entry;
    while ((entry = readdir(directory)))
        (void)base_remove_aside(prefix_fd, entry->d_name);
    (void)closedir(directory);
}
