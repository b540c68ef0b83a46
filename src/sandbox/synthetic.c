#include "sandbox/synthetic.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "sandbox/masks.h"
#include "sandbox/root_files.h"
#include "sandbox/sandbox.h"

/* Of the host's passwd and group: more is no host that we know. */
#define ACCOUNTS_SIZE_MAX (16U << 20)
#define NETWORK_FILE_MAX 1024U

/* No service is started by an installation: there is nothing that could keep it running. */
static const char policy[] = "#!/bin/sh\n# A build starts no services.\nexit 101\n";
static const char apt_settings[] = "APT::Keep-Downloaded-Packages \"true\";\n"
                                   "Binary::apt::APT::Keep-Downloaded-Packages \"true\";\n"
                                   "Acquire::Retries \"3\";\n"
                                   "Dpkg::Use-Pty \"0\";\n"
                                   "Dpkg::Options { \"--force-confold\"; \"--force-unsafe-io\"; };\n";

/* Replaces @path of the layer, whatever is there; not when its directory is not there. */
static int put(const struct masks *masks, const char *path, const char *text, mode_t mode, gid_t gid)
{
    const char *name;
    uid_t base = masks->sandbox->plan.id_base;
    _cleanup_close_ int parent = masks_open_parent(masks, path, &name);
    if (parent < 0)
        return parent == -ENOENT ? 0 : parent;
    if (unlinkat(parent, name, 0) < 0 && errno != ENOENT)
        return -errno;
    _cleanup_close_ int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int r = fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
    if (r == 0 && (fchown(fd, base, base + gid) < 0 || fchmod(fd, mode) < 0))
        r = -errno;
    if (r == 0) {
        masks_restore_times(masks, path, parent);
        masks_forget(masks, path);
    }
    return r;
}

/* True when the host has it, of whatever kind. */
static bool has(const struct masks *masks, const char *path)
{
    struct stat status;
    return fstatat(masks->lower_fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static gid_t find_group(const char *groups, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = groups; line && *line; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        if (strncmp(line, name, length) == 0 && line[length] == ':') {
            const char *number = strchr(line + length + 1, ':');
            unsigned long gid = number ? strtoul(number + 1, NULL, 10) : 0;
            return gid < PLAN_SUPERVISOR_ID ? (gid_t)gid : 0;
        }
    }
    return 0;
}

/* Each name of @accounts with a password that nothing matches, as @rest has it. NULL: no memory. */
static char *lock_accounts(const char *accounts, const char *rest)
{
    size_t lines = 1;
    for (const char *at = accounts; (at = strchr(at, '\n')); at++)
        lines++;
    size_t size = strlen(accounts) + lines * (strlen(rest) + 2) + 1;
    char *text = malloc(size);
    if (!text)
        return NULL;
    size_t used = 0;
    text[0] = '\0';
    for (const char *line = accounts; *line;) {
        size_t whole = strcspn(line, "\n");
        size_t length = strcspn(line, ":\n");
        if (length > 0 && length < whole && line[0] != '#' && line[0] != '+' && line[0] != '-')
            used += (size_t)snprintf(text + used, size - used, "%.*s:%s\n", (int)length, line, rest);
        line += whole + (line[whole] == '\n');
    }
    return text;
}

/* The accounts without their hashes: the masks have hidden the real files, and adduser needs some (A10). */
static int put_accounts(const struct masks *masks)
{
    _cleanup_free_ char *users = NULL;
    _cleanup_free_ char *groups = NULL;
    int r = fd_read_file_at(masks->lower_fd, "passwd", ACCOUNTS_SIZE_MAX, &users, NULL);
    if (r == 0)
        r = fd_read_file_at(masks->lower_fd, "group", ACCOUNTS_SIZE_MAX, &groups, NULL);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    gid_t gid = find_group(groups, "shadow");
    _cleanup_free_ char *shadow = lock_accounts(users, "!*:::::::");
    _cleanup_free_ char *gshadow = lock_accounts(groups, "!*::");
    if (!shadow || !gshadow)
        return -ENOMEM;
    r = has(masks, "shadow") ? put(masks, "shadow", shadow, 0640, gid) : 0;
    return r == 0 && has(masks, "gshadow") ? put(masks, "gshadow", gshadow, 0640, gid) : r;
}

/* What tools of accounts make for a moment, or at their next run, with the hashes in it. A layer shows what comes to
 * lie below it while the build runs: so these are hidden also where the host has none yet. */
static const char *const hashes[] = {"shadow-", "shadow+", "shadow.edit", "nshadow", "gshadow-", "gshadow+",
        "gshadow.edit", "ngshadow", "security/opasswd", "security/nopasswd"};

/* Hides @path of the layer, whether the host has it or not; not when its directory is not there. */
static int hide(const struct masks *masks, const char *path)
{
    const char *name;
    _cleanup_close_ int parent = masks_open_parent(masks, path, &name);
    if (parent < 0)
        return parent == -ENOENT ? 0 : parent;
    int r = masks_hide(parent, name);
    if (r == 0)
        masks_restore_times(masks, path, parent);
    return r == -EEXIST ? 0 : r;
}

/* It would delete what the build downloads before it is collected. */
static const char docker_clean[] = "apt/apt.conf.d/docker-clean";

int synthetic_hide_names(const struct masks *masks)
{
    int r = has(masks, docker_clean) ? hide(masks, docker_clean) : 0;
    for (size_t i = 0; r == 0 && i < ELEMENTS(hashes); i++)
        r = hide(masks, hashes[i]);
    return r;
}

static int fill_etc(const struct masks *masks)
{
    char text[NETWORK_FILE_MAX];
    const struct sandbox *sandbox = masks->sandbox;
    root_files_hosts(sandbox, text, sizeof(text));
    int r = put(masks, "hosts", text, 0644, 0);
    root_files_hostname(sandbox, text, sizeof(text));
    if (r == 0)
        r = put(masks, "hostname", text, 0644, 0);
    root_files_resolvers(sandbox, text, sizeof(text));
    if (r == 0)
        r = put(masks, "resolv.conf", text, 0644, 0);
    if (r == 0 && masks->base_upper_fd < 0)
        r = put_accounts(masks);
    return r == 0 && masks->base_upper_fd < 0 ? put(masks, "apt/apt.conf.d/99joblet", apt_settings, 0644, 0) : r;
}

/* A chain of directories of the job's. The last one's descriptor or -errno. */
static int make_directories(int dir_fd, const char *const names[], uid_t base)
{
    int at = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    for (size_t i = 0; at >= 0 && names[i]; i++) {
        bool is_made = mkdirat(at, names[i], 0755) == 0 || errno == EEXIST;
        int next = is_made ? openat(at, names[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
        int code = errno;
        (void)close(at);
        if (next < 0)
            return -code;
        at = next;
        if (fchown(at, base, base) < 0) {
            code = errno;
            (void)close(at);
            return -code;
        }
    }
    return at < 0 ? -errno : at;
}

/* "runtimes/python/NAME" leads to the runtime too: scripts compute that path for themselves. */
static int link_language(const struct sandbox *sandbox, int prefix_fd)
{
    const struct plan_build *build = &sandbox->plan.build;
    char target[PLAN_NAME_MAX + PLAN_VERSION_TEXT_MAX + 8];
    uid_t base = sandbox->plan.id_base;
    _cleanup_close_ int fd =
            make_directories(prefix_fd, (const char *const[]){"runtimes", build->language, NULL}, base);
    if (fd < 0)
        return fd;
    (void)snprintf(target, sizeof(target), "../%s/%s", build->name, build->version);
    /* There already: a runtime with the language for a name, and its own for a version. */
    if (symlinkat(target, fd, build->name) < 0)
        return errno == EEXIST ? 0 : -errno;
    return fchownat(fd, build->name, base, base, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int synthetic_make_prefix(const struct sandbox *sandbox, int opt_fd, struct error *error)
{
    const struct plan_build *build = &sandbox->plan.build;
    uid_t base = sandbox->plan.id_base;
    int r = masks_cover(opt_fd, "joblet", 0755, base, base);
    _cleanup_close_ int prefix_fd = -EBADF;
    if (r == 0) {
        prefix_fd = openat(opt_fd, "joblet", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        r = prefix_fd < 0 ? -errno : 0;
    }
    if (r == 0) {
        _cleanup_close_ int fd = make_directories(
                prefix_fd, (const char *const[]){"runtimes", build->name, build->version, "isolated", NULL}, base);
        r = fd < 0 ? fd : link_language(sandbox, prefix_fd);
    }
    return r < 0 ? error_errno(error, -r, "make the build's '/opt/joblet'") : 0;
}

int synthetic_fill(const struct masks *masks, struct error *error)
{
    int r = 0;
    if (strcmp(masks->path, "opt") == 0) {
        r = synthetic_make_prefix(masks->sandbox, masks->upper_fd, error);
        masks_restore_times(masks, "joblet", masks->upper_fd);
        return r;
    }
    if (strcmp(masks->path, "etc") == 0)
        r = fill_etc(masks);
    else if (strcmp(masks->path, "usr") == 0 && masks->base_upper_fd < 0)
        r = put(masks, "sbin/policy-rc.d", policy, 0755, 0);
    return r < 0 ? error_errno(error, -r, "make the build's own files in '/%s'", masks->path) : 0;
}
