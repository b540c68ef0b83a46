/* What is left of a sandbox that has ended: processes, control groups, its disk. The promise is a second; a host in use
 * may be late, so it is waited for longer and the time is told. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "verify/run.h"

/* The last build's bridge is removed after ten seconds, and everything below it: that is no end of the build's own. */
#define LINK_WITHIN_MS 8000

static bool no_process(void *user)
{
    const struct seen_sandbox *sandbox = user;
    return !find_any_process(sandbox->job);
}

static bool no_group(void *user)
{
    const struct seen_sandbox *sandbox = user;
    return find_groups(sandbox->job, NULL, NULL) == 0;
}

/* The file alone is not enough: it has no name, and the next one may get the number of its inode. */
void look_read_backing(const char *disk, char ret_text[PATH_MAX])
{
    static const char *const files[] = {"loop/backing_file", "diskseq"};
    size_t used = 0;
    ret_text[0] = '\0';
    for (size_t i = 0; i < ELEMENTS(files); i++) {
        char path[128];
        _cleanup_free_ char *text = NULL;
        (void)snprintf(path, sizeof(path), "%s/%s", disk, files[i]);
        if (fd_read_file_at(AT_FDCWD, path, PATH_MAX, &text, NULL) == 0)
            used += (size_t)snprintf(ret_text + used, PATH_MAX - used, "%.2000s", text);
        else if (i == 0)
            return;
    }
}

/* Another file on the same device is another sandbox's. */
static bool no_disk(void *user)
{
    const struct seen_sandbox *sandbox = user;
    char text[PATH_MAX];
    look_read_backing(sandbox->disk, text);
    return strcmp(text, sandbox->backing) != 0;
}

static bool no_link(void *user)
{
    const struct seen_sandbox *sandbox = user;
    char path[64];
    (void)snprintf(path, sizeof(path), "/sys/class/net/%s", sandbox->link);
    return access(path, F_OK) < 0;
}

void look_at_leftovers(struct run *run, const struct seen_sandbox *sandbox)
{
    struct seen_sandbox copy = *sandbox;
    bool is_job = sandbox->kind == SANDBOX_JOB;
    const struct {
        bool (*check)(void *user);
        const char *of_job;
        const char *of_build;
    } rows[] = {
            {no_process, "a job that was stopped: no process is left",
                    "a build that was cancelled: no process is left"},
            {no_group, "a job that was stopped: no control group is left",
                    "a build that was cancelled: no control group is left"},
            {no_disk, "a job that was stopped: its disk is gone", "a build that was cancelled: its disk is gone"},
            {no_link, "", "a build that was cancelled: its link is gone"},
    };
    for (size_t i = 0; i < ELEMENTS(rows) - is_job; i++) {
        long ms = 0;
        bool has_none = rows[i].check == no_disk ? !sandbox->backing[0] : rows[i].check == no_link && !sandbox->link[0];
        int within_ms = rows[i].check == no_link ? LINK_WITHIN_MS : RUN_PATIENCE_MS;
        enum report_verdict gone = has_none ? REPORT_KEPT : run_until(run, rows[i].check, &copy, within_ms, &ms);
        report_add(&run->report, 7, REPORT_OUTSIDE, gone, is_job ? rows[i].of_job : rows[i].of_build,
                gone == REPORT_KEPT ? "gone after %ld ms" : "still there after %ld ms", ms);
    }
}
