/* The mounts of a sandbox, as its mountinfo says that the host's kernel makes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/mountinfo.h"
#include "verify/run.h"

#define MOUNTINFO_MAX (1U << 20)
#define NAMES_MAX 200U

/* What there was of each kind; a text holds the first names. */
struct mounts {
    enum sandbox_kind kind;
    struct mountinfo root;
    bool proc_sys_read_only;
    unsigned count;
    unsigned masks;
    char propagating[NAMES_MAX];
    char set_id[NAMES_MAX];
    char foreign[NAMES_MAX];
    char boundless[NAMES_MAX];
    dev_t disk;
};

static const char *const masked[] = {
        "kcore", "keys", "key-users", "timer_list", "sched_debug", "kallsyms", "sysrq-trigger"};

static void add_name(char names[NAMES_MAX], const char *name)
{
    size_t used = strlen(names);
    (void)snprintf(names + used, NAMES_MAX - used, " %s", name);
}

static bool is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static bool is_expected_in_job(const struct mountinfo *line)
{
    static const char *const files[] = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"};
    const char *target = line->target;
    for (size_t i = 0; i < ELEMENTS(files); i++)
        if (strcmp(target, files[i]) == 0)
            return strcmp(line->type, "tmpfs") == 0;
    return strcmp(target, "/") == 0 || strcmp(target, "/work") == 0 ||
           (major(line->device) == 0 &&
                   (strcmp(target, "/tmp") == 0 || is_below(target, "/proc") || is_below(target, "/dev")));
}

/* Its disk is the root's; everything else is the kernel's own or an overlay upon the disk. */
static bool is_expected_in_build(const struct mountinfo *line, dev_t disk)
{
    return line->device == disk ||
           (major(line->device) == 0 && strcmp(line->type, "sysfs") != 0 && strncmp(line->type, "cgroup", 6) != 0);
}

static void take_line(struct mounts *mounts, const struct mountinfo *line)
{
    bool is_job = mounts->kind == SANDBOX_JOB;
    mounts->count++;
    if (strcmp(line->target, "/") == 0) {
        mounts->root = *line;
        mounts->disk = is_job ? mounts->disk : line->device;
    }
    if (is_job && strcmp(line->target, "/work") == 0)
        mounts->disk = line->device;
    if (line->propagates)
        add_name(mounts->propagating, line->target);
    if (!mountinfo_has_option(line->options, "nosuid"))
        add_name(mounts->set_id, line->target);
    if (strcmp(line->target, "/proc/sys") == 0)
        mounts->proc_sys_read_only = mountinfo_has_option(line->options, "ro");
    bool in_memory = strcmp(line->target, "/tmp") == 0 || strcmp(line->target, "/dev/shm") == 0;
    if (in_memory && !strstr(line->super_options, "size="))
        add_name(mounts->boundless, line->target);
    for (size_t i = 0; i < ELEMENTS(masked); i++)
        mounts->masks += strncmp(line->target, "/proc/", 6) == 0 && strcmp(line->target + 6, masked[i]) == 0;
}

static bool is_expected(const struct mounts *mounts, const struct mountinfo *line)
{
    return mounts->kind == SANDBOX_JOB ? is_expected_in_job(line) : is_expected_in_build(line, mounts->disk);
}

/* Twice over the text: what belongs to a build depends on its root. */
static int read_mounts(const char *text, struct mounts *mounts)
{
    struct mountinfo line;
    const char *again = text;
    int r;
    while ((r = mountinfo_next(&text, &line)) == 1)
        take_line(mounts, &line);
    while (r == 0 && (r = mountinfo_next(&again, &line)) == 1) {
        if (!is_expected(mounts, &line))
            add_name(mounts->foreign, line.target);
        r = 0;
    }
    return r;
}

static unsigned count_to_mask(void)
{
    unsigned count = 0;
    for (size_t i = 0; i < ELEMENTS(masked); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/proc/%s", masked[i]);
        count += access(path, F_OK) == 0;
    }
    return count;
}

/* The root of a job without a runtime is PREFIX/base, by device and inode. */
static void check_root(struct run *run, const struct seen_sandbox *sandbox)
{
    char path[PATH_MAX];
    char base[PATH_MAX];
    struct stat seen;
    struct stat promised;
    bool is_job = sandbox->kind == SANDBOX_JOB;
    (void)snprintf(path, sizeof(path), "/proc/%d/root/", sandbox->command);
    (void)snprintf(base, sizeof(base), "%s%s", is_job ? run->prefix : "", is_job ? "/base" : "/");
    const char *tried = is_job ? "a job: its root is the base root" : "a build: its root is not the host's";
    if (stat(path, &seen) < 0 || stat(base, &promised) < 0)
        return report_add(&run->report, 3, REPORT_OUTSIDE, REPORT_UNABLE, tried, "%s", strerror(errno));
    bool same = seen.st_dev == promised.st_dev && seen.st_ino == promised.st_ino;
    report_fact(&run->report, 3, REPORT_OUTSIDE, same == is_job, tried, "inode %llu of device %u:%u",
            (unsigned long long)seen.st_ino, major(seen.st_dev), minor(seen.st_dev));
}

static void report_mounts(struct run *run, const struct mounts *mounts)
{
    struct report *report = &run->report;
    bool is_job = mounts->kind == SANDBOX_JOB;
    const char *options = mounts->root.options;
    if (is_job)
        report_fact(report, 4, REPORT_OUTSIDE, mountinfo_has_option(options, "ro"), "a job: its root is read-only",
                "%s", options);
    report_fact(report, 2, REPORT_OUTSIDE,
            mountinfo_has_option(options, "nosuid") && mountinfo_has_option(options, "nodev") && !mounts->set_id[0],
            is_job ? "a job: set-id bits and devices count nowhere" : "a build: set-id bits and devices count nowhere",
            "root %s; not nosuid:%s", options, mounts->set_id[0] ? mounts->set_id : " none");
    report_fact(report, 2, REPORT_OUTSIDE, !mounts->propagating[0],
            is_job ? "a job: no mount propagates" : "a build: no mount propagates", "of %u:%s", mounts->count,
            mounts->propagating[0] ? mounts->propagating : " none");
    report_fact(report, 2, REPORT_OUTSIDE, mounts->proc_sys_read_only,
            is_job ? "a job: settings of the kernel are read-only" : "a build: settings of the kernel are read-only",
            "/proc/sys is %s", mounts->proc_sys_read_only ? "read-only" : "writable or not mounted");
    report_fact(report, 3, REPORT_OUTSIDE, !mounts->foreign[0],
            is_job ? "a job: no mount but the promised ones" : "a build: no mount of a file system of the host",
            "%u mounts, not expected:%s", mounts->count, mounts->foreign[0] ? mounts->foreign : " none");
    report_fact(report, 3, REPORT_OUTSIDE, mounts->masks >= count_to_mask(),
            is_job ? "a job: /proc is masked" : "a build: /proc is masked", "%u of %u files that this host has",
            mounts->masks, count_to_mask());
    report_fact(report, 8, REPORT_OUTSIDE, !mounts->boundless[0],
            is_job ? "a job: file systems in memory have a size" : "a build: file systems in memory have a size",
            "without:%s", mounts->boundless[0] ? mounts->boundless : " none");
}

static void find_disk(const struct mounts *mounts, struct seen_sandbox *sandbox)
{
    (void)snprintf(
            sandbox->disk, sizeof(sandbox->disk), "/sys/dev/block/%u:%u", major(mounts->disk), minor(mounts->disk));
    look_read_backing(sandbox->disk, sandbox->backing);
}

void look_at_mounts(struct run *run, struct seen_sandbox *sandbox)
{
    char path[64];
    char *text = NULL;
    size_t size = 0;
    struct mounts *mounts = calloc(1, sizeof(*mounts));
    (void)snprintf(path, sizeof(path), "/proc/%d/mountinfo", sandbox->command);
    int r = mounts ? fd_read_file_at(AT_FDCWD, path, MOUNTINFO_MAX, &text, &size) : -ENOMEM;
    if (r == 0) {
        mounts->kind = sandbox->kind;
        r = read_mounts(text, mounts);
    }
    if (r == 0) {
        report_mounts(run, mounts);
        find_disk(mounts, sandbox);
        check_root(run, sandbox);
    } else {
        for (unsigned promise = 2; promise <= 4; promise++)
            report_add(&run->report, promise, REPORT_OUTSIDE, REPORT_UNABLE, "the mounts of a sandbox", "%s",
                    strerror(-r));
    }
    free(text);
    free(mounts);
}
