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

#define WITHIN_NS (58LL * 1000 * 1000 * 1000)
#define STEP_NS (20L * 1000 * 1000)

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
        "  --no-build    leave the build out\n\n"
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

/* Also after the deadline: nothing is to be left. */
bool run_delete_job(const struct run *run, const char *job)
{
    struct run later = *run;
    struct client client;
    struct error error = {0};
    const char *const stop[] = {"job", "stop", job, NULL};
    const char *const delete[] = {"job", "delete", job, NULL};
    later.deadline_ns = text_now_monotonic_ns() + 10000000000;
    int status = run_rnx(&later, delete, &client, &error);
    client_done(&client);
    if (status == 0)
        return true;
    (void)run_rnx(&later, stop, &client, &error);
    client_done(&client);
    status = run_rnx(&later, delete, &client, &error);
    client_done(&client);
    return status == 0;
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

bool run_until(bool (*check)(void *user), void *user, int within_ms, long *ret_ms)
{
    int64_t start = text_now_monotonic_ns();
    for (;;) {
        bool is_true = check(user);
        *ret_ms = (long)((text_now_monotonic_ns() - start) / 1000000);
        if (is_true || *ret_ms > within_ms)
            return is_true;
        (void)nanosleep(&(struct timespec){.tv_nsec = STEP_NS}, NULL);
    }
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
    run->deadline_ns = text_now_monotonic_ns() + WITHIN_NS;
    (void)uname(&names);
    text_format_time(text_now_unix_ns(), time);
    report_make_plain(prefix, run->report.prefix, sizeof(run->report.prefix));
    report_make_plain(names.release, run->report.kernel, sizeof(run->report.kernel));
    report_make_plain(time, run->report.time, sizeof(run->report.time));

    const char *const words[] = {"job", "list", NULL};
    int status = run_rnx(run, words, &client, &error);
    if (status != 0)
        (void)fprintf(stderr, "joblet verify: the service of '%s' does not answer\n%s\n", prefix,
                status < CLIENT_ENDED ? error.text : client.output);
    client_done(&client);
    return status == 0 ? 0 : -ENOTCONN;
}

static void try_everything(struct run *run, const struct options *options)
{
    struct host *before = host_take();
    verify_job(run);
    if (!options->no_build)
        verify_build(run);
    verify_escapes(run);
    verify_limits(run);
    verify_records(run);
    verify_audit(run);
    verify_doctor(run);
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
