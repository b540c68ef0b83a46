/* The host before and after: mounts, links, rules of the packet filter, settings of the kernel, and every file of /etc,
 * /usr and the package database by the time of its last change, which nobody can set. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/nftables.h"
#include "verify/run.h"

#define TEXT_MAX (4U << 20)
#define SETTINGS_MAX 16U
/* Rules that change while they are read. */
#define TRIES_MAX 10U

static const char *const settings[] = {"kernel/core_pattern", "kernel/modprobe", "kernel/hostname", "kernel/sysrq",
        "kernel/pid_max", "fs/suid_dumpable", "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding",
        "user/max_user_namespaces", "user/max_mnt_namespaces", "vm/swappiness"};
_Static_assert(ELEMENTS(settings) <= SETTINGS_MAX, "there is room for all");

/* What could not be read is NULL. */
struct host {
    char *mounts;
    char *links; /* names, each in a line */
    char *rules; /* of nftables, each in a line: "TABLE CHAIN HANDLE FAMILY DIGEST" */
    char *values[SETTINGS_MAX];
    struct timespec start;
};

static char *read_text(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    return fd_read_file_at(AT_FDCWD, path, TEXT_MAX, &text, &size) == 0 ? text : strdup("");
}

/* A host without a mount or a link is one that was not read. */
static char *none_if_empty(char *text)
{
    if (text && *text)
        return text;
    free(text);
    return NULL;
}

static char *read_links(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    DIR *directory = opendir("/sys/class/net");
    for (struct dirent *entry; file && directory && (entry = readdir(directory)) != NULL;)
        if (entry->d_name[0] != '.')
            (void)fprintf(file, "%s\n", entry->d_name);
    if (directory)
        (void)closedir(directory);
    if (file)
        (void)fclose(file);
    return text;
}

/* Those of a service's own tables (network/life.c) come with a build, and stay for ten seconds after the last one. */
#define OWN_TABLES "joblet_"

static int put_rule(const struct nftables_rule *rule, void *user)
{
    char line[2 * NFTABLES_NAME_MAX + 64];
    char plain[sizeof(line)];
    if (strncmp(rule->table, OWN_TABLES, strlen(OWN_TABLES)) == 0)
        return 0;
    (void)snprintf(line, sizeof(line), "%s %s %" PRIu64 " %u %016" PRIx64, rule->table, rule->chain, rule->handle,
            rule->family, rule->digest);
    report_make_plain(line, plain, sizeof(plain));
    return fprintf(user, "%s\n", plain) < 0 ? -EIO : 0;
}

/* A question would load the module where the kernel has none yet: there are no rules then. NULL: they could not be
 * read.
 */
static char *read_rules(void)
{
    char *text = NULL;
    size_t size = 0;
    int r = -EINTR;
    if (access("/sys/module/nf_tables", F_OK) < 0 && access("/proc/modules", F_OK) == 0)
        return strdup("");
    for (unsigned tries = 0; r == -EINTR && tries < TRIES_MAX; tries++) {
        _cleanup_close_ int socket = nftables_open();
        free(text);
        text = NULL;
        FILE *file = open_memstream(&text, &size);
        if (!file)
            return NULL;
        r = socket < 0 ? socket : nftables_each_rule(socket, put_rule, file);
        if (fclose(file) != 0 && r == 0)
            r = -ENOMEM;
    }
    if (r == 0)
        return text;
    free(text);
    return NULL;
}

static char *read_setting(size_t number)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "/proc/sys/%s", settings[number]);
    return read_text(path);
}

struct host *host_take(void)
{
    struct host *host = calloc(1, sizeof(*host));
    if (!host)
        return NULL;
    /* The kernel's clock for files may be a tick behind. */
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &host->start);
    host->mounts = none_if_empty(read_text("/proc/self/mountinfo"));
    host->links = none_if_empty(read_links());
    host->rules = read_rules();
    for (size_t i = 0; i < ELEMENTS(settings); i++)
        host->values[i] = read_setting(i);
    return host;
}

void host_free(struct host *host)
{
    if (!host)
        return;
    free(host->mounts);
    free(host->links);
    free(host->rules);
    for (size_t i = 0; i < ELEMENTS(settings); i++)
        free(host->values[i]);
    free(host);
}

static const char *next_line(const char *line)
{
    line += strcspn(line, "\n");
    return line + (*line == '\n');
}

/* Where @text, from its line @from on, has the line of @length bytes at @line; NULL. */
static const char *find_line(const char *from, const char *line, size_t length)
{
    for (; *from; from = next_line(from))
        if (strcspn(from, "\n") == length && strncmp(from, line, length) == 0)
            return from;
    return NULL;
}

/* The first line of @after that @before has not, and that is not one of the service's own links; "" when there is none.
 * Lines are looked for in their order first: a host can have many thousands. */
static void find_new_line(const char *before, const char *after, const char *own, char ret_line[REPORT_TEXT_MAX])
{
    const char *expected = before;
    ret_line[0] = '\0';
    for (const char *line = after; *line; line = next_line(line)) {
        size_t length = strcspn(line, "\n");
        const char *found = strcspn(expected, "\n") == length && strncmp(expected, line, length) == 0
                                    ? expected
                                    : find_line(before, line, length);
        if (found)
            expected = next_line(found);
        if (found || (own && strncmp(line, own, strlen(own)) == 0))
            continue;
        (void)snprintf(ret_line, REPORT_TEXT_MAX, "%.*s", (int)length, line);
        return;
    }
}

/* @before and @after: NULL when they could not be read. */
static void compare_lines(struct run *run, const char *before, const char *after, const char *own, const char *tried)
{
    char added[REPORT_TEXT_MAX];
    char gone[REPORT_TEXT_MAX];
    if (!before || !after) {
        report_add(&run->report, 2, REPORT_OUTSIDE, REPORT_UNABLE, tried, "they could not be read");
        return;
    }
    find_new_line(before, after, own, added);
    find_new_line(after, before, own, gone);
    report_fact(&run->report, 2, REPORT_OUTSIDE, !added[0] && !gone[0], tried, "%s%s%s%s%s",
            !added[0] && !gone[0] ? "as before" : "", added[0] ? "new: " : "", added, gone[0] ? " gone: " : "", gone);
}

static void compare_settings(struct run *run, const struct host *before)
{
    char changed[REPORT_TEXT_MAX] = "";
    for (size_t i = 0; i < ELEMENTS(settings); i++) {
        char *now = read_setting(i);
        if (now && before->values[i] && strcmp(now, before->values[i]) != 0)
            (void)snprintf(changed, sizeof(changed), "%s", settings[i]);
        free(now);
    }
    report_fact(&run->report, 2, REPORT_OUTSIDE, !changed[0], "settings of the kernel before and after", "%s%s",
            changed[0] ? "changed: " : "as before", changed);
}

/* nftw has no argument of its own; this program has one thread. */
static struct {
    struct timespec start;
    size_t count;
    size_t changed;
    char first[REPORT_TEXT_MAX];
} files;

static int meet_file(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)place;
    if (kind == FTW_NS)
        return 0;
    files.count++;
    bool is_new = status->st_ctim.tv_sec > files.start.tv_sec ||
                  (status->st_ctim.tv_sec == files.start.tv_sec && status->st_ctim.tv_nsec > files.start.tv_nsec);
    if (is_new && files.changed++ == 0)
        (void)snprintf(files.first, sizeof(files.first), "%s", path);
    return 0;
}

static void compare_files(struct run *run, const struct host *before)
{
    static const char *const trees[] = {"/etc", "/usr", "/var/lib/dpkg", "/var/lib/rpm", "/lib/apk/db"};
    files.start = before->start;
    files.count = files.changed = 0;
    files.first[0] = '\0';
    for (size_t i = 0; i < ELEMENTS(trees); i++)
        (void)nftw(trees[i], meet_file, 32, FTW_PHYS | FTW_MOUNT);
    report_fact(&run->report, 2, REPORT_OUTSIDE, files.changed == 0 && files.count > 0,
            "files of /etc, /usr and the package database", "%zu files, %zu changed meanwhile%s%s", files.count,
            files.changed, files.changed ? ", by us or by somebody at work on this host: " : "", files.first);
}

void host_compare(struct run *run, const struct host *before)
{
    char *mounts = none_if_empty(read_text("/proc/self/mountinfo"));
    char *links = none_if_empty(read_links());
    char *rules = read_rules();
    if (before) {
        compare_lines(run, before->mounts, mounts, NULL, "mounts of the host before and after");
        /* The bridge of builds, which stays for ten seconds after the last one: named in docs/SECURITY.md. */
        compare_lines(run, before->links, links, "jb", "links of the network before and after");
        compare_lines(run, before->rules, rules, NULL, "rules of nftables before and after");
        compare_settings(run, before);
        compare_files(run, before);
    } else {
        report_add(&run->report, 2, REPORT_OUTSIDE, REPORT_UNABLE, "the host before and after", "no memory");
    }
    free(mounts);
    free(links);
    free(rules);
}
