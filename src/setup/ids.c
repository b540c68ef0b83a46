#include "setup/ids.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

#define WINDOW_START 0x70000000U
#define WINDOW_END 0x7fff0000U
#define RANGE_SIZE 65536U
/* Behind the ranges of jobs: that of the files on disk, that of joblet-api. */
#define RANGES_MORE 2U
#define TRIES_MAX 1000
#define SUBID_FILE_MAX (16U << 20)
#define API_USER "joblet"

struct taken {
    char *subuid;
    char *subgid;
};

static bool meets(uint64_t first, uint64_t first_count, uint64_t second, uint64_t second_count)
{
    return first < second + second_count && second < first + first_count;
}

static bool line_overlaps(char *line, uint64_t start, uint64_t count)
{
    char *first = strchr(line, ':');
    char *second = first ? strchr(first + 1, ':') : NULL;
    if (!second)
        return false;
    *second = '\0';
    uint64_t line_start;
    uint64_t line_count;
    if (text_parse_u64(first + 1, UINT32_MAX, &line_start) < 0 ||
            text_parse_u64(second + 1, UINT32_MAX, &line_count) < 0)
        return false;
    return meets(start, count, line_start, line_count);
}

bool ids_overlap_subids(const char *text, uint64_t start, uint64_t count)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        char line[256];
        (void)snprintf(line, sizeof(line), "%.*s", (int)(length < sizeof(line) ? length : sizeof(line) - 1), text);
        if (line_overlaps(line, start, count))
            return true;
        text += length + (text[length] == '\n');
    }
    return false;
}

bool ids_overlap_accounts(uint64_t start, uint64_t count)
{
    bool found = false;
    FILE *file = fopen("/etc/passwd", "re");
    const struct passwd *user;
    while (file && !found && (user = fgetpwent(file)))
        found = meets(start, count, user->pw_uid, 1) || meets(start, count, user->pw_gid, 1);
    if (file)
        (void)fclose(file);
    file = fopen("/etc/group", "re");
    const struct group *group;
    while (file && !found && (group = fgetgrent(file)))
        found = meets(start, count, group->gr_gid, 1);
    if (file)
        (void)fclose(file);
    return found;
}

static int read_taken(const char *path, char **ret_text, struct error *error)
{
    int r = fd_read_file_at(AT_FDCWD, path, SUBID_FILE_MAX, ret_text, NULL);
    if (r == -ENOENT) {
        *ret_text = strdup("");
        return *ret_text ? 0 : error_errno(error, ENOMEM, "%s", path);
    }
    return r < 0 ? error_errno(error, -r, "%s", path) : 0;
}

/* A random place, so that two prefixes on one host seldom meet, and hosts that share files neither. */
static int choose_start(const struct taken *taken, uint32_t ranges, uint32_t *ret_start, struct error *error)
{
    const uint32_t all = (WINDOW_END - WINDOW_START) / RANGE_SIZE;
    uint32_t places = ranges <= all ? all - ranges + 1 : 0;
    uint64_t count = (uint64_t)ranges * RANGE_SIZE;
    for (unsigned i = 0; places > 0 && i < TRIES_MAX; i++) {
        uint32_t random;
        if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
            return error_errno(error, errno, "random number");
        uint32_t start = WINDOW_START + (random % places) * RANGE_SIZE;
        if (ids_overlap_subids(taken->subuid, start, count) || ids_overlap_subids(taken->subgid, start, count) ||
                ids_overlap_accounts(start, count))
            continue;
        *ret_start = start;
        return 0;
    }
    return error_text(error, EADDRINUSE, "no %u id ranges are free from %u to %u: see /etc/subuid and /etc/subgid",
            ranges, WINDOW_START, WINDOW_END);
}

static int make_user(struct error *error)
{
    static const char *const arguments[] = {"useradd", "--system", "--user-group", "--no-create-home", "--home-dir",
            "/nonexistent", "--shell", "/usr/sbin/nologin", API_USER, NULL};
    pid_t pid = fork();
    if (pid < 0)
        return error_errno(error, errno, "fork");
    if (pid == 0) {
        static char *const environment[] = {NULL};
        char *copy[ELEMENTS(arguments)];
        memcpy(copy, arguments, sizeof(copy));
        (void)execve("/usr/sbin/useradd", copy, environment);
        _exit(127);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return error_errno(error, errno, "wait for useradd");
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return error_text(error, EIO, "useradd could not make the user '%s'; make it, or give --user", API_USER);
    return 0;
}

/* 0; 1 when there is no such user; -errno. */
static int take_user(const char *name, struct config *config, struct error *error)
{
    errno = 0;
    const struct passwd *user = getpwnam(name);
    if (!user)
        return errno == 0 || errno == ENOENT ? 1 : error_errno(error, errno, "look up user '%.32s'", name);
    if (user->pw_uid == 0 || user->pw_gid == 0)
        return error_text(error, EPERM, "user '%.32s' is root's; joblet-api needs one without rights", name);
    config->api_uid = user->pw_uid;
    config->api_gid = user->pw_gid;
    return 0;
}

static int choose_api_user(const char *user, bool make, struct config *config, struct error *error)
{
    int r = take_user(user ? user : API_USER, config, error);
    if (r <= 0)
        return r;
    if (user)
        return error_text(error, ENOENT, "there is no user '%.32s'", user);
    if (!make)
        return 0; /* the number stays */
    r = make_user(error);
    if (r < 0)
        return r;
    r = take_user(API_USER, config, error);
    return r > 0 ? error_text(error, ENOENT, "user '%s' was made but is not there", API_USER) : r;
}

int ids_choose(const char *user, bool make, struct config *config, struct error *error)
{
    _cleanup_free_ char *subuid = NULL;
    _cleanup_free_ char *subgid = NULL;
    int r = read_taken("/etc/subuid", &subuid, error);
    if (r == 0)
        r = read_taken("/etc/subgid", &subgid, error);
    if (r < 0)
        return r;
    const struct taken taken = {.subuid = subuid, .subgid = subgid};
    uint32_t start = 0;
    r = choose_start(&taken, config->id_range_count + RANGES_MORE, &start, error);
    if (r < 0)
        return r;
    config->id_range_start = start;
    config->disk_id_start = start + config->id_range_count * RANGE_SIZE;
    config->api_uid = config->disk_id_start + RANGE_SIZE;
    config->api_gid = config->api_uid;
    return choose_api_user(user, make, config, error);
}
