#include "broker/host_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fd.h"

#define OS_RELEASE_MAX 16384U
/* Entries of a directory that are looked at. */
#define ENTRIES_MAX 4096U

/* One package manager. What ends with a slash is a directory whose entries count too. */
struct manager {
    const char *name;
    const char *database;    /* it is there when this is */
    const char *locks[3];    /* held by fcntl while packages are changed */
    const char *pending;     /* a directory that is empty unless a change was cut short; NULL: it has none */
    const char *remedy;      /* for that */
    const char *sources[13]; /* packages, package sources and their lists */
};

static const struct manager managers[] = {
        {"dpkg", "/var/lib/dpkg/status",
                {"/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock"},
                "/var/lib/dpkg/updates", "dpkg --configure -a",
                {"/var/lib/dpkg/status", "/var/lib/dpkg/arch", "/var/lib/dpkg/diversions", "/var/lib/dpkg/statoverride",
                        "/etc/apt/sources.list", "/etc/apt/sources.list.d/", "/etc/apt/preferences.d/",
                        "/etc/apt/apt.conf", "/etc/apt/apt.conf.d/", "/var/lib/apt/lists/", NULL}},
        {"rpm", "/var/lib/rpm", {"/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock", NULL}, NULL, NULL,
                {"/var/lib/rpm/rpmdb.sqlite", "/var/lib/rpm/Packages", "/usr/lib/sysimage/rpm/rpmdb.sqlite",
                        "/etc/dnf/dnf.conf", "/etc/yum.repos.d/", "/var/cache/dnf/", NULL}},
        {"apk", "/lib/apk/db/installed", {"/lib/apk/db/lock", NULL}, NULL, NULL,
                {"/lib/apk/db/installed", "/lib/apk/db/triggers", "/etc/apk/world", "/etc/apk/repositories",
                        "/var/cache/apk/", NULL}},
};

/* Of every host: where pip and npm take packages from. */
static const char *const other_sources[] = {"/etc/pip.conf", "/etc/npmrc"};

/* --- the fingerprint --- */

/* FNV-1a over 64 bits, four times from different beginnings: it tells one state of a host from the next one, and nobody
 * gains anything by two that look alike. */
struct fingerprint {
    uint64_t lanes[4];
};

static void fingerprint_init(struct fingerprint *print)
{
    for (unsigned i = 0; i < ELEMENTS(print->lanes); i++)
        print->lanes[i] = (14695981039346656037ULL ^ i) * 1099511628211ULL;
}

static void fingerprint_add(struct fingerprint *print, const void *content, size_t size)
{
    const uint8_t *bytes = content;
    for (unsigned i = 0; i < ELEMENTS(print->lanes); i++)
        for (size_t at = 0; at < size; at++)
            print->lanes[i] = (print->lanes[i] ^ bytes[at] ^ i << 4) * 1099511628211ULL;
}

static void add_status(struct fingerprint *print, const char *path, const struct stat *status)
{
    const int64_t values[] = {(int64_t)status->st_dev, (int64_t)status->st_ino, (int64_t)status->st_mode,
            (int64_t)status->st_size, status->st_mtim.tv_sec, status->st_mtim.tv_nsec, status->st_ctim.tv_sec,
            status->st_ctim.tv_nsec};
    fingerprint_add(print, path, strlen(path) + 1);
    fingerprint_add(print, values, sizeof(values));
}

/* The order of a directory's entries is not ours to rely on, so that each is added by itself and the sums are. */
static void add_entries(struct fingerprint *print, const char *path)
{
    struct fingerprint sum = {0};
    DIR *directory = opendir(path);
    unsigned count = 0;
    if (!directory)
        return;
    for (struct dirent *entry; count < ENTRIES_MAX && (entry = readdir(directory)); count++) {
        struct fingerprint one;
        struct stat status;
        /* Locks and partial downloads change without a change of what is installed. */
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, "lock") == 0 || strcmp(entry->d_name, "partial") == 0 ||
                fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        fingerprint_init(&one);
        add_status(&one, entry->d_name, &status);
        for (unsigned i = 0; i < ELEMENTS(sum.lanes); i++)
            sum.lanes[i] += one.lanes[i];
    }
    (void)closedir(directory);
    fingerprint_add(print, path, strlen(path) + 1);
    fingerprint_add(print, &sum, sizeof(sum));
}

static void add_source(struct fingerprint *print, const char *path)
{
    struct stat status;
    if (path[strlen(path) - 1] == '/')
        add_entries(print, path);
    else if (stat(path, &status) == 0)
        add_status(print, path, &status);
    else
        fingerprint_add(print, path, strlen(path) + 1);
}

/* --- whether it can be built on --- */

/* Whether somebody holds the lock; without taking it. */
static bool is_locked(const char *path)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    _cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static bool is_empty(const char *path)
{
    DIR *directory = opendir(path);
    bool found = false;
    if (!directory)
        return true;
    for (struct dirent *entry; !found && (entry = readdir(directory));)
        found = entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
    (void)closedir(directory);
    return !found;
}

/* What dpkg leaves on purpose: "ok installed" and the like. */
static bool is_whole(const char *flag_and_state)
{
    static const char *const whole[] = {"ok installed", "ok config-files", "ok not-installed"};
    for (unsigned i = 0; i < ELEMENTS(whole); i++)
        if (strcmp(flag_and_state, whole[i]) == 0)
            return true;
    return false;
}

/* "Status: WANT FLAG STATE" of each package of dpkg's. On what is half there no build may stand; apt would mend it
 * first, or refuse everything. 0; -EUCLEAN or -errno with @error. */
static int check_states(const char *path, const char *remedy, struct error *error)
{
    char *line = NULL;
    size_t size = 0;
    char package[128] = "";
    unsigned packages = 0;
    int r = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return error_errno(error, errno, "read '%s'", path);
    while (r == 0 && getline(&line, &size, file) > 0) {
        char state[64] = "";
        if (strncmp(line, "Package: ", 9) == 0)
            (void)snprintf(package, sizeof(package), "%.*s", (int)strcspn(line + 9, "\n"), line + 9);
        if (strncmp(line, "Status: ", 8) != 0)
            continue;
        packages++;
        (void)sscanf(line + 8, "%*s %63[^\n]", state);
        if (!is_whole(state))
            r = error_text(error, EUCLEAN, "the host's package '%s' is '%s': run '%s'", package, state, remedy);
    }
    if (r == 0 && (ferror(file) || packages == 0))
        r = error_text(error, EUCLEAN, "the host's package database '%s' cannot be read, or is empty", path);
    free(line);
    (void)fclose(file);
    return r;
}

static int check_manager(const struct manager *manager, struct error *error)
{
    for (unsigned i = 0; i < ELEMENTS(manager->locks) && manager->locks[i]; i++)
        if (is_locked(manager->locks[i]))
            return error_text(error, EAGAIN, "the host's packages are being changed: '%s' is held; try again later",
                    manager->locks[i]);
    if (manager->pending && !is_empty(manager->pending))
        return error_text(error, EUCLEAN, "a change of the host's packages was cut short: run '%s'", manager->remedy);
    if (manager->pending)
        return check_states(manager->database, manager->remedy, error);
    return 0;
}

static bool is_here(const struct manager *manager)
{
    return access(manager->database, F_OK) == 0;
}

static void check_packages(struct error *error)
{
    bool found = false;
    for (unsigned i = 0; i < ELEMENTS(managers); i++) {
        if (!is_here(&managers[i]))
            continue;
        found = true;
        if (error->code == 0)
            (void)check_manager(&managers[i], error);
    }
    if (!found)
        (void)error_text(error, ENOENT, "this host has no package manager that builds know: dpkg, rpm or apk");
}

void host_state_fingerprint(uint8_t ret_fingerprint[HOST_FINGERPRINT_SIZE])
{
    _Static_assert(sizeof(struct fingerprint) == HOST_FINGERPRINT_SIZE, "they fit");
    struct fingerprint print;
    fingerprint_init(&print);
    for (unsigned i = 0; i < ELEMENTS(managers); i++)
        for (unsigned at = 0; is_here(&managers[i]) && at < ELEMENTS(managers[i].sources) && managers[i].sources[at];
                at++)
            add_source(&print, managers[i].sources[at]);
    for (unsigned i = 0; i < ELEMENTS(other_sources); i++)
        add_source(&print, other_sources[i]);
    memcpy(ret_fingerprint, print.lanes, HOST_FINGERPRINT_SIZE);
}

/* --- which distribution --- */

/* The value of @name= at the beginning of a line of @text, without its quotes; "" when it is not there or too long. */
static void find_value(const char *text, const char *name, char *ret_value, size_t size)
{
    size_t name_length = strlen(name);
    ret_value[0] = '\0';
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        if (strncmp(line, name, name_length) != 0 || line[name_length] != '=')
            continue;
        const char *value = line + name_length + 1;
        size_t length = strcspn(value, "\n");
        if (length >= 2 && (value[0] == '"' || value[0] == '\'') && value[length - 1] == value[0]) {
            value++;
            length -= 2;
        }
        if (length < size)
            (void)snprintf(ret_value, size, "%.*s", (int)length, value);
        return;
    }
}

static void look_at_distribution(struct channel_host_reply *reply)
{
    static const char *const paths[] = {"/etc/os-release", "/usr/lib/os-release"};
    struct utsname names;
    if (uname(&names) == 0)
        (void)snprintf(reply->architecture, sizeof(reply->architecture), "%.15s", names.machine);
    for (unsigned i = 0; i < ELEMENTS(paths); i++) {
        char text[OS_RELEASE_MAX];
        _cleanup_close_ int fd = open(paths[i], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        if (got <= 0)
            continue;
        text[got] = '\0';
        find_value(text, "ID", reply->distribution, sizeof(reply->distribution));
        find_value(text, "ID_LIKE", reply->distribution_like, sizeof(reply->distribution_like));
        find_value(text, "VERSION_ID", reply->distribution_version, sizeof(reply->distribution_version));
        return;
    }
}

void host_state_read(int prefix_fd, struct channel_host_reply *ret_reply)
{
    struct statvfs space;
    memset(ret_reply, 0, sizeof(*ret_reply));
    if (fstatvfs(prefix_fd, &space) == 0)
        ret_reply->free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
    look_at_distribution(ret_reply);
    check_packages(&ret_reply->error);
    host_state_fingerprint(ret_reply->fingerprint);
}
