/* How the host is kept: settings of the kernel, the clock. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timex.h>

#include "base/fd.h"
#include "base/text.h"
#include "doctor/row.h"
#include "doctor/setting.h"

static const struct {
    const char *path; /* below /proc/sys */
    uint64_t least;
    uint64_t most;
    const char *otherwise; /* what follows from another value */
} settings[SETTING_COUNT] = {
        [SETTING_KPTR] = {"kernel/kptr_restrict", 1, 2, "users learn where the kernel lies"},
        [SETTING_DMESG] = {"kernel/dmesg_restrict", 1, 1, "users read the kernel's log"},
        [SETTING_BPF] = {"kernel/unprivileged_bpf_disabled", 1, 2, "users load programs into the kernel"},
        [SETTING_HARDLINKS] = {"fs/protected_hardlinks", 1, 1, "users link files that are not theirs"},
        [SETTING_SYMLINKS] = {"fs/protected_symlinks", 1, 1, "links in /tmp lead root where users want"},
        [SETTING_DUMPABLE] = {"fs/suid_dumpable", 0, 0, "programs with other rights leave core files"},
        [SETTING_ASLR] = {"kernel/randomize_va_space", 2, 2, "addresses of programs can be foretold"},
        [SETTING_FORWARD] = {"net/ipv4/ip_forward", 0, 0, "the host is a router for others"},
        [SETTING_REDIRECTS] = {"net/ipv4/conf/all/send_redirects", 0, 0, "the host tells others to take other ways"},
};

void try_setting(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    char path[128];
    uint64_t value;
    _cleanup_free_ char *text = NULL;
    if (row->argument >= SETTING_COUNT)
        return;
    (void)snprintf(path, sizeof(path), "/proc/sys/%s", settings[row->argument].path);
    int r = fd_read_file_at(AT_FDCWD, path, 64, &text, NULL);
    if (r == 0) {
        text[strcspn(text, "\n")] = '\0';
        r = text_parse_u64(text, UINT64_MAX, &value);
    }
    if (r == -ENOENT || r == -EACCES || r == -EPERM)
        finding_untested(finding, "this kernel does not say");
    else if (r < 0)
        finding_errno(finding, -r, "read '%s'", path);
    else if (value < settings[row->argument].least || value > settings[row->argument].most)
        finding_fails(finding, "%s: %s", text, settings[row->argument].otherwise);
    else
        finding_holds(finding, "%s", text);
}

/* Certificates and the audit log need the true time. */
void try_clock(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)doctor;
    (void)row;
    struct timex clock = {0};
    int state = adjtimex(&clock);
    if (state < 0)
        finding_untested(finding, "the kernel does not say whether its clock is set by another");
    else if (state == TIME_ERROR || clock.status & STA_UNSYNC)
        finding_fails(finding, "the kernel's clock is not synchronized with another");
    else
        finding_holds(finding, "synchronized, within %ld ms", clock.maxerror / 1000);
}

void try_file_system(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    struct stat prefix;
    struct stat root;
    if (stat(doctor->prefix, &prefix) < 0 || stat("/", &root) < 0)
        finding_errno(finding, errno, "'%.100s'", doctor->prefix);
    else if (prefix.st_dev == root.st_dev)
        finding_fails(finding, "the prefix lies on the host's root: jobs that fill it fill that");
    else
        finding_holds(finding, "the prefix does not lie on the host's root");
}
