/* The suite in a build that is cancelled afterwards: nothing is installed, and nothing may be left. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "verify/run.h"
#include "verify/tap.h"

/* rnx puts this before a line of the build's, where standard output is no terminal. */
#define LOG_PREFIX "[INFO] "

/* A row for each promise that a build is looked at for. */
static void report_none(struct run *run, enum report_verdict verdict, const char *why)
{
    static const unsigned promises[] = {1, 2, 3, 4, 5, 7, 8};
    for (size_t i = 0; i < ELEMENTS(promises); i++)
        report_add(
                &run->report, promises[i], REPORT_CLIENT, verdict, "a build with the host-protection suite", "%s", why);
}

static void give_up(struct run *run, const char *why)
{
    report_none(run, REPORT_UNABLE, why);
}

/* The specification with the suite as the hook before the packages, in a subshell of its own; then the build stays. The
 * language is not installed, but its packages are looked for first: no name of one of these has a version, so that any
 * supported host has them. */
static int write_specification(const struct run *run, const char *suite, int fd)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    if (!file)
        return -ENOMEM;
    (void)fprintf(file,
            "schema_version: \"1.0\"\nname: %s\nversion: 1.0.0\ndescription: joblet verify\n"
            "base:\n  language: go\n  version: any\nhooks:\n  timeout: 2m\n  pre_install: |\n    (\n",
            run->runtime);
    for (const char *line = suite; *line; line += strcspn(line, "\n"), line += *line == '\n')
        (void)fprintf(file, "    %.*s\n", (int)strcspn(line, "\n"), line);
    (void)fputs("    )\n    echo '" RUN_HELD "'\n    sleep 50\n    exit 3\n", file);
    bool failed = ferror(file);
    int r = fclose(file) != 0 || failed ? -ENOMEM : fd_write_all(fd, text, size);
    free(text);
    return r;
}

/* The lines of the build's log as they were. */
static void strip_prefix(struct client *client)
{
    static const size_t length = sizeof(LOG_PREFIX) - 1;
    char *to = client->output;
    for (char *line = client->output; *line;) {
        char *from = strncmp(line, LOG_PREFIX, length) == 0 ? line + length : line;
        size_t size = strcspn(from, "\n");
        size += from[size] == '\n';
        memmove(to, from, size);
        to += size;
        line = from + size;
    }
    *to = '\0';
    client->size = (size_t)(to - client->output);
}

static void look(struct run *run, struct client *client, struct seen_sandbox *sandbox, const char *keyrings)
{
    struct tap *tap = calloc(1, sizeof(*tap));
    strip_prefix(client);
    if (tap) {
        tap_parse(client->output, client->size, tap);
        tap_report(tap, REPORT_INSIDE_BUILD, &run->report);
    } else {
        report_add(&run->report, 2, REPORT_INSIDE_BUILD, REPORT_UNABLE, "the host-protection suite", "no memory");
    }
    free(tap);
    look_at_keyrings(run, SANDBOX_BUILD, keyrings);
    look_at_sandbox(run, sandbox);
    look_at_mounts(run, sandbox);
    look_at_build(run, sandbox);
    look_at_build_limits(run, sandbox);
}

static bool no_runtime(void *user)
{
    return access(user, F_OK) < 0;
}

/* The call is cancelled as Ctrl-C does it: the service ends the build. */
static void cancel(struct run *run, struct client *client, const struct seen_sandbox *sandbox)
{
    char path[PATH_MAX];
    char staging[PATH_MAX];
    long ms = 0;
    (void)kill(client->pid, SIGINT);
    (void)client_end(client, run_end_ns(run, RUN_PATIENCE_MS));
    look_at_leftovers(run, sandbox);
    (void)snprintf(path, sizeof(path), "%s/runtimes/%s", run->prefix, run->runtime);
    (void)snprintf(staging, sizeof(staging), "%s/runtimes/.staging-%s", run->prefix, sandbox->job);
    enum report_verdict gone = run_until(run, no_runtime, path, RUN_PATIENCE_MS, &ms);
    if (gone == REPORT_KEPT)
        gone = run_until(run, no_runtime, staging, RUN_PATIENCE_MS, &ms);
    report_add(&run->report, 4, REPORT_OUTSIDE, gone, "a build that was cancelled: nothing of it is published", "%s",
            gone == REPORT_KEPT ? "no directory of it is in the store" : "the store has a directory of it");
}

static void run_build(struct run *run, const char *path)
{
    struct client client;
    struct seen_sandbox sandbox;
    struct error error = {0};
    const char *const words[] = {"runtime", "build", path, NULL};
    _cleanup_free_ char *keyrings = look_take_keyrings();
    int r = run_start_rnx(run, words, &client, &error);
    bool held = r == 0 && client_read_until(&client, LOG_PREFIX RUN_HELD, run->deadline_ns);
    if (held && find_build(run, run->runtime, &sandbox) == 0) {
        look(run, &client, &sandbox, keyrings);
        cancel(run, &client, &sandbox);
    } else {
        size_t from = client.output && client.size > 160 ? client.size - 160 : 0;
        if (client.pid > 0)
            (void)kill(client.pid, SIGINT);
        int status = client_end(&client, run_end_ns(run, RUN_PATIENCE_MS / 2));
        give_up(run, held        ? "no joblet-init of the build is found on this host"
                     : from == 0 ? client_why(&client, r < 0 ? r - 1 : status, &error)
                                 : client.output + from);
    }
    client_done(&client);
}

void verify_no_build(struct run *run)
{
    report_none(run, REPORT_LEFT_OUT, "--no-build: half of what is promised was not looked at");
}

void verify_build(struct run *run)
{
    char *suite = NULL;
    size_t size = 0;
    char path[64];
    _cleanup_close_ int fd = (int)memfd_create("runtime.yaml", 0);
    (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), fd);
    if (fd < 0 || fd_read_file_at(AT_FDCWD, run->suite, 100000, &suite, &size) < 0 ||
            write_specification(run, suite, fd) < 0)
        give_up(run, "the specification cannot be made");
    else
        run_build(run, path);
    free(suite);
}
