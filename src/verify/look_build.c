/* What a build must not see of the host, looked for from outside through the root of its command: files that others may
 * not read, what runs on the host, the service's own directory. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "config/config.h"
#include "kernel/mount.h"
#include "verify/run.h"

#define COMPARED_MAX 65536U

/* nftw has no argument of its own; this program has one thread. */
static struct {
    int root_fd;
    const char *shown; /* lines of the configuration */
    unsigned count;
    unsigned seen;
    char first[REPORT_TEXT_MAX];
} walk;

/* The first bytes of what @fd, opened as a path, stands for. The number or -errno. */
static ssize_t read_beginning(int fd, char bytes[COMPARED_MAX])
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    _cleanup_close_ int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? -1 : read(file, bytes, COMPARED_MAX);
    return size < 0 ? -errno : size;
}

static bool is_same(int one_fd, int other_fd)
{
    static char bytes[2][COMPARED_MAX];
    ssize_t one = read_beginning(one_fd, bytes[0]);
    ssize_t other = read_beginning(other_fd, bytes[1]);
    return one > 0 && one == other && memcmp(bytes[0], bytes[1], (size_t)one) == 0;
}

/* True for what the configuration shows to builds. */
static bool is_shown(const char *path)
{
    for (const char *line = walk.shown; line && *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t length = strcspn(line, "\n");
        if (length > 0 && strncmp(path, line, length) == 0 && (path[length] == '\0' || path[length] == '/'))
            return true;
    }
    return false;
}

static int meet_file(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    struct stat of_build;
    (void)place;
    if (kind != FTW_F || !S_ISREG(status->st_mode) || status->st_mode & S_IROTH || status->st_size == 0 ||
            is_shown(path))
        return 0;
    walk.count++;
    _cleanup_close_ int own = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_close_ int found = mount_open_beneath(walk.root_fd, path + 1);
    /* A file of that name that was made for the build is none of the host's. */
    if (own < 0 || found < 0 || fstat(found, &of_build) < 0 || !S_ISREG(of_build.st_mode) || !is_same(own, found))
        return 0;
    if (walk.seen++ == 0)
        (void)snprintf(walk.first, sizeof(walk.first), "%s", path);
    return 0;
}

static void check_files(struct run *run, int root_fd)
{
    static const char tried[] = "a build: files of /etc that others may not read";
    _cleanup_(config_freep) struct config *config = NULL;
    struct error error = {0};
    if (config_load(run->prefix, &config, &error) < 0)
        return report_add(&run->report, 3, REPORT_OUTSIDE, REPORT_UNABLE, tried, "%s", error.text);
    walk.root_fd = root_fd;
    walk.shown = config->build_shown;
    walk.count = walk.seen = 0;
    walk.first[0] = '\0';
    (void)nftw("/etc", meet_file, 32, FTW_PHYS | FTW_MOUNT);
    report_fact(&run->report, 3, REPORT_OUTSIDE, walk.seen == 0, tried, "%u of the host's %u are in the build%s%s",
            walk.seen, walk.count, walk.seen ? ": " : "", walk.first);
}

/* The locks' directory is the build's own, and programs that mount make theirs, as the suite does that tries to. */
static bool is_expected_in_run(const char *name)
{
    return name[0] == '.' || strcmp(name, "lock") == 0 || strcmp(name, "mount") == 0;
}

/* Services have their sockets there. */
static void check_run(struct run *run, const struct seen_sandbox *sandbox)
{
    char path[64];
    char found[128] = "";
    (void)snprintf(path, sizeof(path), "/proc/%d/root/run", sandbox->command);
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory)) != NULL;)
        if (!is_expected_in_run(entry->d_name)) {
            size_t used = strlen(found);
            (void)snprintf(found + used, sizeof(found) - used, " %.32s", entry->d_name);
        }
    report_fact(&run->report, 3, REPORT_OUTSIDE, directory && !found[0], "a build: nothing of the host's /run",
            "there:%s",
            !directory ? " it cannot be read"
            : found[0] ? found
                       : " nothing");
    if (directory)
        (void)closedir(directory);
}

static void check_prefix(struct run *run, int root_fd)
{
    static const char *const parts[] = {"config", "state", "base"};
    char prefix[PATH_MAX];
    char found[64] = "";
    if (!realpath(run->prefix, prefix))
        return report_add(&run->report, 3, REPORT_OUTSIDE, REPORT_UNABLE, "a build: nothing of the service's directory",
                "%s", strerror(errno));
    for (size_t i = 0; i < ELEMENTS(parts); i++) {
        char path[PATH_MAX + 16];
        (void)snprintf(path, sizeof(path), "%s/%s", prefix + 1, parts[i]);
        _cleanup_close_ int fd = mount_open_beneath(root_fd, path);
        size_t used = strlen(found);
        if (fd >= 0)
            (void)snprintf(found + used, sizeof(found) - used, " %s", parts[i]);
    }
    report_fact(&run->report, 3, REPORT_OUTSIDE, !found[0], "a build: nothing of the service's directory", "there:%s",
            found[0] ? found : " nothing");
}

void look_at_build(struct run *run, struct seen_sandbox *sandbox)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/root", sandbox->command);
    _cleanup_close_ int root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0)
        return report_add(&run->report, 3, REPORT_OUTSIDE, REPORT_UNABLE, "a build: its root", "%s", strerror(errno));
    check_files(run, root_fd);
    check_run(run, sandbox);
    check_prefix(run, root_fd);
    look_at_network(run, sandbox);
}
