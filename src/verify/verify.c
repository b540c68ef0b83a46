#include "verify/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "config/config.h"
#include "verify/run.h"

/* "Under a minute": for what is tried, then for what is removed and waited for, then for the last look at the host. */
#define TRYING_MS 46000
#define WITHIN_MS 55000
#define STEP_NS (20L * 1000 * 1000)
#define NS_PER_MS 1000000LL

struct options {
    bool json;
    bool no_build;
    const char *html;
};

static const char usage[] =
        "usage: joblet [--prefix DIR] verify [--json] [--html FILE] [--no-build]\n\n"
        "Runs the host-protection suite in a job and in a build of the running service, looks at both from outside, "
        "tries\n"
        "to get out, and prints promise by promise what was tried and what was seen. Under a minute, safe beside "
        "running\n"
        "jobs, leaves nothing.\n\n"
        "  --json        one JSON object instead of the table\n"
        "  --html FILE   write a page, too\n"
        "  --no-build    leave the build out; the report says of which promises\n\n"
        "Exit status: 0 every promise that was tried is kept, 1 one is broken, 2 something could not be tried.\n";

/* --- what the parts share --- */

int run_start_rnx(const struct run *run, const char *const words[], struct client *client, struct error *error)
{
    const char *all[CLIENT_WORDS_MAX] = {run->rnx, "--config", run->config};
    size_t count = 3;
    *client = (struct client){.output_fd = -EBADF};
    for (size_t i = 0; words[i]; i++) {
        if (count + 1 == CLIENT_WORDS_MAX)
            return error_text(error, E2BIG, "too many words for rnx");
        all[count++] = words[i];
    }
    return client_start(all, client, error);
}

int run_rnx(const struct run *run, const char *const words[], struct client *client, struct error *error)
{
    int r = run_start_rnx(run, words, client, error);
    return r < 0 ? r - 1 : client_end(client, run->deadline_ns);
}

bool run_is_over(const struct run *run)
{
    return text_now_monotonic_ns() >= run->deadline_ns;
}

int64_t run_end_ns(const struct run *run, int within_ms)
{
    int64_t end_ns = text_now_monotonic_ns() + within_ms * NS_PER_MS;
    return end_ns < run->end_ns ? end_ns : run->end_ns;
}

static bool clean_up(const struct run *run, const char *verb, const char *job, int64_t end_ns)
{
    struct run later = *run;
    struct client client;
    struct error error = {0};
    const char *const words[] = {"job", verb, job, NULL};
    later.deadline_ns = end_ns;
    int status = run_rnx(&later, words, &client, &error);
    client_done(&client);
    return status == 0;
}

/* Also after the deadline: nothing is to be left. */
bool run_delete_job(struct run *run, const char *job)
{
    int64_t end_ns = run_end_ns(run, RUN_PATIENCE_MS);
    if (clean_up(run, "delete", job, end_ns))
        return true;
    (void)clean_up(run, "stop", job, end_ns);
    if (clean_up(run, "delete", job, end_ns))
        return true;
    if (run->left_count++ == 0)
        (void)snprintf(run->left, sizeof(run->left), "%s", job);
    return false;
}

bool run_find_id(const char *output, char ret_job[RUN_JOB_MAX])
{
    uint8_t id[16];
    const char *at = strncmp(output, "ID: ", 4) == 0 ? output : strstr(output, "\nID: ");
    if (!at)
        return false;
    (void)snprintf(ret_job, RUN_JOB_MAX, "%.36s", at + (*at == '\n') + 4);
    return text_parse_uuid(ret_job, id) == 0;
}

enum report_verdict run_until(const struct run *run, bool (*check)(void *user), void *user, int within_ms, long *ret_ms)
{
    int64_t start = text_now_monotonic_ns();
    for (;;) {
        bool is_true = check(user);
        int64_t now = text_now_monotonic_ns();
        *ret_ms = (long)((now - start) / NS_PER_MS);
        if (is_true || *ret_ms >= within_ms)
            return is_true ? REPORT_KEPT : REPORT_BROKEN;
        if (now >= run->end_ns)
            return REPORT_UNABLE;
        (void)nanosleep(&(struct timespec){.tv_nsec = STEP_NS}, NULL);
    }
}

void run_report_left(struct run *run)
{
    if (run->left_count > 0)
        report_add(&run->report, 7, REPORT_CLIENT, REPORT_UNABLE, "what was tried is removed again",
                "%u jobs of ours could not be deleted within the time, first %s", run->left_count, run->left);
}

/* --- the run --- */

/* Finds @name beside this program, else in @installed. */
static int find_file(const char *name, const char *installed, char ret_path[PATH_MAX])
{
    char own[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", own, sizeof(own) - 1);
    if (size < 0)
        return -errno;
    own[size] = '\0';
    *strrchr(own, '/') = '\0';
    const char *const directories[] = {own, installed};
    for (size_t i = 0; i < ELEMENTS(directories); i++)
        if (snprintf(ret_path, PATH_MAX, "%s/%s", directories[i], name) < PATH_MAX && access(ret_path, R_OK) == 0)
            return 0;
    return -ENOENT;
}

static int prepare(struct run *run, const char *prefix)
{
    struct utsname names = {0};
    char time[TEXT_TIME_MAX];
    struct client client;
    struct error error = {0};
    run->prefix = prefix;
    run->cpu = -1;
    if (geteuid() != 0)
        return fprintf(stderr, "joblet verify: needs root\n"), -EPERM;
    if (find_file("rnx", VERIFY_BINDIR, run->rnx) < 0 ||
            find_file("test_host_protection.sh", VERIFY_LIBEXECDIR, run->suite) < 0)
        return fprintf(stderr, "joblet verify: rnx or test_host_protection.sh is not installed\n"), -ENOENT;
    if (find_file("escapes.packed", VERIFY_LIBEXECDIR, run->escapes) < 0)
        run->escapes[0] = '\0';
    if (snprintf(run->config, sizeof(run->config), "%s/config/rnx-config-admin.yml", prefix) >=
            (int)sizeof(run->config))
        return fprintf(stderr, "joblet verify: the prefix is too long\n"), -ENAMETOOLONG;
    (void)snprintf(run->runtime, sizeof(run->runtime), "joblet-verify-%d", getpid());
    run->deadline_ns = text_now_monotonic_ns() + TRYING_MS * NS_PER_MS;
    run->end_ns = text_now_monotonic_ns() + WITHIN_MS * NS_PER_MS;
    (void)uname(&names);
    text_format_time(text_now_unix_ns(), time);
    report_make_plain(prefix, run->report.prefix, sizeof(run->report.prefix));
    report_make_plain(names.release, run->report.kernel, sizeof(run->report.kernel));
    report_make_plain(time, run->report.time, sizeof(run->report.time));

    const char *const words[] = {"job", "list", NULL};
    int status = run_rnx(run, words, &client, &error);
    if (status != 0)
        (void)fprintf(stderr, "joblet verify: the service of '%s' does not answer\n%s\n", prefix,
                client_why(&client, status, &error));
    client_done(&client);
    return status == 0 ? 0 : -ENOTCONN;
}

static void try_everything(struct run *run, const struct options *options)
{
    struct host *before = host_take();
    verify_job(run);
    if (options->no_build)
        verify_no_build(run);
    else
        verify_build(run);
    verify_escapes(run);
    verify_limits(run);
    verify_records(run);
    verify_audit(run);
    verify_doctor(run);
    run_report_left(run);
    host_compare(run, before);
    host_free(before);
}

static int write_page(const struct report *report, const char *path)
{
    FILE *file = fopen(path, "we");
    if (!file)
        return -errno;
    int r = report_write_html(report, file);
    return fclose(file) == 0 ? r : -EIO;
}

static int print(const struct report *report, const struct options *options)
{
    int r = options->json ? report_write_json(report, stdout)
                          : report_write_text(report, stdout, isatty(STDOUT_FILENO) == 1);
    if (r < 0)
        (void)fprintf(stderr, "joblet verify: the report could not be written\n");
    if (r == 0 && options->html) {
        r = write_page(report, options->html);
        if (r < 0)
            (void)fprintf(stderr, "joblet verify: '%s' could not be written: %s\n", options->html, strerror(-r));
    }
    return r < 0 ? 2 : report_status(report);
}

static int verify(const char *prefix, const struct options *options)
{
    struct run *run = calloc(1, sizeof(*run));
    int64_t start = text_now_monotonic_ns();
    int status = 2;
    if (run && prepare(run, prefix) == 0) {
        try_everything(run, options);
        run->report.duration_ms = (long)((text_now_monotonic_ns() - start) / 1000000);
        status = print(&run->report, options);
    }
    if (run)
        report_done(&run->report);
    free(run);
    return status;
}

int verify_main(const char *prefix, int count, char **arguments)
{
    struct options options = {0};
    for (int i = 0; i < count; i++) {
        if (strcmp(arguments[i], "--json") == 0) {
            options.json = true;
        } else if (strcmp(arguments[i], "--no-build") == 0) {
            options.no_build = true;
        } else if (strcmp(arguments[i], "--html") == 0 && i + 1 < count) {
            options.html = arguments[++i];
        } else if (strncmp(arguments[i], "--html=", 7) == 0 && arguments[i][7]) {
            options.html = arguments[i] + 7;
        } else if (strcmp(arguments[i], "--help") == 0) {
            (void)fputs(usage, stdout);
            return fflush(stdout) == 0 ? 0 : 2;
        } else {
            (void)fprintf(stderr, "joblet verify: unknown argument '%s' (see 'joblet verify --help')\n", arguments[i]);
            return 2;
        }
    }
    return verify(prefix, &options);
}
