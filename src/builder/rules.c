#include "builder/rules.h"

#include <fnmatch.h>
#include <stddef.h>
#include <string.h>

#include "base/fd.h"
#include "builder/words.h"

/* The first that fits counts. With a star: a pattern of the whole path; else the path and everything below it. */
static const struct {
    const char *pattern;
    enum rules_class class;
} classes[] = {
        {"/var/cache/fontconfig", RULES_KEEP},
        {"/var/lib/ca-certificates-java", RULES_STATE},
        /* package managers */
        {"/etc/apt", RULES_STATE},
        {"/etc/dpkg", RULES_STATE},
        {"/etc/yum.repos.d", RULES_STATE},
        {"/etc/dnf", RULES_STATE},
        {"/etc/apk", RULES_STATE},
        {"/lib/apk", RULES_STATE},
        {"/usr/lib/sysimage", RULES_STATE},
        {"/var/lib/apt", RULES_STATE},
        {"/var/lib/dpkg", RULES_STATE},
        {"/var/lib/rpm", RULES_STATE},
        {"/var/lib/dnf", RULES_STATE},
        {"/var/lib/ucf", RULES_STATE},
        {"/var/lib/pam", RULES_STATE},
        {"/var/lib/debconf", RULES_STATE},
        {"/var/lib/systemd", RULES_STATE},
        {"/var/lib/emacsen-common", RULES_STATE},
        {"/var/lib/alternatives", RULES_STATE},
        {"/var/cache/apt", RULES_STATE},
        {"/var/cache/debconf", RULES_STATE},
        {"/var/cache/dnf", RULES_STATE},
        {"/var/cache/yum", RULES_STATE},
        {"/var/cache/apk", RULES_STATE},
        {"/var/cache/ldconfig", RULES_STATE},
        {"/var/cache/man", RULES_STATE},
        {"/var/log/apt", RULES_STATE},
        {"/var/log/dpkg.log", RULES_STATE},
        {"/var/log/alternatives.log", RULES_STATE},
        {"/var/log/fontconfig.log", RULES_STATE},
        {"/var/log/bootstrap.log", RULES_STATE},
        /* the machine's, and what only its root may know */
        {"/etc/machine-id", RULES_STATE},
        {"/etc/shadow", RULES_STATE},
        {"/etc/shadow-", RULES_STATE},
        {"/etc/gshadow", RULES_STATE},
        {"/etc/gshadow-", RULES_STATE},
        {"/etc/passwd-", RULES_STATE},
        {"/etc/group-", RULES_STATE},
        {"/etc/subuid", RULES_STATE},
        {"/etc/subuid-", RULES_STATE},
        {"/etc/subgid", RULES_STATE},
        {"/etc/subgid-", RULES_STATE},
        {"/etc/.pwd.lock", RULES_STATE},
        {"/etc/ssh/ssh_host_*", RULES_STATE},
        {"/etc/ssl/private", RULES_STATE},
        {"/etc/mtab", RULES_STATE},
        {"/etc/fstab", RULES_STATE},
        {"/etc/adjtime", RULES_STATE},
        {"/etc/rc[0-6S].d/*", RULES_STATE},
        {"/etc/systemd/system", RULES_STATE},
        {"/etc/systemd/user", RULES_STATE},
        /* synthetic files of a builder root */
        {"/usr/sbin/policy-rc.d", RULES_STATE},
        {"/sbin/policy-rc.d", RULES_STATE},
        /* mounts */
        {"/dev", RULES_STATE},
        {"/proc", RULES_STATE},
        {"/sys", RULES_STATE},
        /* not kept */
        {"/home", RULES_STRAY},
        {"/root", RULES_STRAY},
        {"/tmp", RULES_STRAY},
        {"/run", RULES_STRAY},
        {"/work", RULES_STRAY},
        {"/volumes", RULES_STRAY},
        {"/boot", RULES_STRAY},
        {"/lost+found", RULES_STATE},
        {"/var/cache", RULES_STRAY},
        {"/var/log", RULES_STRAY},
        {"/var/tmp", RULES_STRAY},
        {"/var/run", RULES_STRAY},
        {"/var/lock", RULES_STRAY},
        {"/opt/joblet", RULES_STRAY},
};

bool rules_is_below(const char *path, const char *directory)
{
    size_t size = strlen(directory);
    if (size == 1 && *directory == '/')
        return true;
    return strncmp(path, directory, size) == 0 && (path[size] == '\0' || path[size] == '/');
}

static bool fits(const char *path, const char *pattern)
{
    if (strpbrk(pattern, "*["))
        return fnmatch(pattern, path, FNM_PATHNAME) == 0;
    return rules_is_below(path, pattern);
}

enum rules_class rules_classify(const char *path)
{
    for (size_t i = 0; i < ELEMENTS(classes); i++)
        if (fits(path, classes[i].pattern))
            return classes[i].class;
    return RULES_KEEP;
}

static const struct {
    const char *name;
    unsigned keep;
} left_out[] = {
        {"doc", KEEP_DOC},
        {"doc-base", KEEP_DOC},
        {"gtk-doc", KEEP_DOC},
        {"bug", KEEP_DOC},
        {"lintian", KEEP_DOC},
        {"linda", KEEP_DOC},
        {"info", KEEP_MAN},
        {"man", KEEP_MAN},
        {"locale", KEEP_LOCALE},
};

bool rules_is_left_out(const char *path, unsigned keep)
{
    static const char *const shares[] = {"/usr/share/", "/usr/local/share/"};
    for (size_t i = 0; i < ELEMENTS(shares); i++) {
        size_t size = strlen(shares[i]);
        if (strncmp(path, shares[i], size) != 0)
            continue;
        for (size_t j = 0; j < ELEMENTS(left_out); j++)
            if (!(keep & left_out[j].keep) && rules_is_below(path + size, left_out[j].name))
                return true;
    }
    return false;
}

static bool is_listed(const char *path, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fnmatch(list[i], path, FNM_PATHNAME) == 0)
            return true;
    return false;
}

/* What a sandbox mounts over, and what accounts.c makes. */
bool rules_is_ours(const char *path)
{
    static const char *const list[] = {
            "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/passwd", "/etc/group", "/etc/mtab"};
    return is_listed(path, list, ELEMENTS(list));
}

bool rules_base_stays(const char *path)
{
    static const char *const list[] = {"/etc/nsswitch.conf", "/etc/localtime", "/etc/timezone"};
    return rules_is_ours(path) || is_listed(path, list, ELEMENTS(list));
}

bool rules_is_shared(const char *path)
{
    static const char *const list[] = {"/", "/*", "/etc/*.d", "/etc/alternatives", "/etc/default",
            "/etc/bash_completion.d", "/etc/X11", "/etc/ssh", "/etc/systemd", "/etc/security", "/usr/bin", "/usr/sbin",
            "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32", "/usr/libexec", "/usr/local", "/usr/local/*",
            "/usr/share", "/usr/src", "/usr/games", "/usr/include", "/usr/lib/*-linux-*", "/usr/include/*-linux-*",
            "/usr/lib/jvm", "/usr/lib/python3", "/usr/lib/python3/dist-packages", "/usr/lib/python3.*/site-packages",
            "/usr/lib/locale", "/usr/lib/systemd", "/usr/lib/systemd/*", "/usr/share/applications", "/usr/share/icons",
            "/usr/share/pixmaps", "/usr/share/fonts", "/var/lib", "/var/cache", "/var/log", "/var/spool"};
    return is_listed(path, list, ELEMENTS(list));
}

bool rules_is_generated(const char *path)
{
    static const char *const list[] = {"/etc/ssl/certs", "/etc/pki/*", "/usr/share/mime"};
    return is_listed(path, list, ELEMENTS(list));
}
