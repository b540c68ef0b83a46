/* What is a leftover, what belongs to a job or to the service that runs, and what only looks like ours: on a prefix and
 * groups made of plain directories. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "broker/leftover.h"
#include "plan/record.h"

#define PARENT "joblet-0badcafe"
#define JOB "11111111-1111-4111-8111-111111111111"
#define OTHER "22222222-2222-4222-8222-222222222222"

struct fixture {
    char path[64];
    struct config config;
    struct cgroup_host host;
    struct leftover_place place;
    struct leftover_list list;
    unsigned swept;
};

static void make_directory(const struct fixture *fixture, const char *name)
{
    assert_int_equal(mkdirat(fixture->place.prefix_fd, name, 0755), 0);
}

static void make_file(const struct fixture *fixture, const char *name)
{
    int fd = openat(fixture->place.prefix_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
}

static int open_below(const struct fixture *fixture, const char *name)
{
    int fd = openat(fixture->place.prefix_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static int set_up(void **state)
{
    static const char *const directories[] = {"state", "state/jobs", "run", "config", "runtimes", PARENT};
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (!fixture)
        return -1;
    (void)snprintf(fixture->path, sizeof(fixture->path), "/tmp/joblet-leftover-XXXXXX");
    if (!mkdtemp(fixture->path))
        return -1;
    struct leftover_place *place = &fixture->place;
    place->prefix_fd = open(fixture->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < ELEMENTS(directories); i++)
        make_directory(fixture, directories[i]);
    fixture->config.disk_id_start = geteuid();
    place->config = &fixture->config;
    place->run_fd = open_below(fixture, "run");
    place->jobs_fd = open_below(fixture, "state/jobs");
    place->store_fd = open_below(fixture, "runtimes");
    (void)snprintf(place->parent, sizeof(place->parent), PARENT);
    fixture->host.count = 1;
    fixture->host.hierarchies[0].parent_fd = open_below(fixture, PARENT);
    (void)snprintf(fixture->host.hierarchies[0].directory, CGROUP_PATH_MAX, "%s/" PARENT, fixture->path);
    place->hosts[place->host_count++] = &fixture->host;
    place->own_host = &fixture->host;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    char command[96];
    leftovers_done(&fixture->list);
    (void)close(fixture->host.hierarchies[0].parent_fd);
    (void)close(fixture->place.store_fd);
    (void)close(fixture->place.jobs_fd);
    (void)close(fixture->place.run_fd);
    (void)close(fixture->place.prefix_fd);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", fixture->path);
    free(fixture);
    return system(command); /* NOLINT: a path of our own making */
}

static void find(struct fixture *fixture)
{
    struct error error = {0};
    leftovers_done(&fixture->list);
    if (leftovers_find(&fixture->place, &fixture->list, &error) < 0)
        fail_msg("%s", error.text);
}

static const struct leftover *seek(const struct fixture *fixture, const char *name)
{
    for (unsigned i = 0; i < fixture->list.count; i++) {
        const char *is = fixture->list.items[i].name;
        size_t length = strlen(is);
        size_t wanted = strlen(name);
        if (length >= wanted && strcmp(is + length - wanted, name) == 0)
            return &fixture->list.items[i];
    }
    return NULL;
}

/* One of no name when there is none, after the test has failed. */
static const struct leftover *look(const struct fixture *fixture, const char *name)
{
    static const struct leftover none;
    const struct leftover *item = seek(fixture, name);
    if (!item)
        fail_msg("'%s' is not found", name);
    return item ? item : &none;
}

static void check(
        const struct fixture *fixture, const char *name, enum leftover_kind kind, enum leftover_verdict verdict)
{
    const struct leftover *item = look(fixture, name);
    if (item->kind != kind || item->verdict != verdict)
        fail_msg("'%s' is a %s, verdict %d: %s", name, leftover_kind_name(item->kind), (int)item->verdict,
                item->stays ? item->stays : "");
    assert_non_null(item->why);
    assert_int_equal(item->stays != NULL, verdict != LEFTOVER_GOES);
}

static bool is_there(const struct fixture *fixture, const char *name)
{
    return faccessat(fixture->place.prefix_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void make_job(const struct fixture *fixture, const char *uuid)
{
    struct files files;
    struct error error = {0};
    assert_int_equal(files_make(fixture->place.jobs_fd, uuid, getegid(), &files, &error), 0);
    files_close(&files);
}

static void write_record(const struct fixture *fixture, const char *uuid)
{
    struct files files;
    struct record record = {.reason = RECORD_REASON_EXITED};
    assert_int_equal(text_parse_uuid(uuid, record.job_id), 0);
    assert_int_equal(files_open(fixture->place.jobs_fd, uuid, &files), 0);
    assert_int_equal(record_write(files.record_fd, &record), 0);
    files_close(&files);
}

static void test_nothing(void **state)
{
    struct fixture *fixture = *state;
    make_job(fixture, JOB);
    write_record(fixture, JOB);
    make_directory(fixture, "runtimes/python");
    make_directory(fixture, "runtimes/python/1.0");
    make_file(fixture, "run/address");
    make_file(fixture, "run/lock");
    make_file(fixture, "config/ca.key");
    find(fixture);
    for (unsigned i = 0; i < fixture->list.count; i++)
        fail_msg("'%s' is no leftover", fixture->list.items[i].name);
}

/* shows: Checklist 5 */
static void test_jobs(void **state)
{
    struct fixture *fixture = *state;
    struct record record;
    make_job(fixture, JOB);
    make_file(fixture, "state/jobs/" JOB "/run.new");
    make_job(fixture, OTHER);
    write_record(fixture, OTHER);
    make_file(fixture, "state/jobs/" OTHER "/run");
    make_directory(fixture, "state/jobs/" JOB ".new");
    make_file(fixture, "state/jobs/" JOB ".new/log");
    make_directory(fixture, "state/jobs/" OTHER ".old");
    make_file(fixture, "state/jobs/" OTHER ".old/mine");
    make_directory(fixture, "state/jobs/33333333-3333-4333-8333-333333333333");
    make_file(fixture, "state/jobs/" JOB ".old");
    make_directory(fixture, "state/jobs/mine.new");
    find(fixture);
    check(fixture, "jobs/" JOB, LEFTOVER_JOB, LEFTOVER_GOES);
    assert_string_equal(look(fixture, "jobs/" JOB)->owner, "job " JOB);
    check(fixture, JOB "/run.new", LEFTOVER_NOTE, LEFTOVER_GOES);
    check(fixture, OTHER "/run", LEFTOVER_NOTE, LEFTOVER_GOES);
    check(fixture, JOB ".new", LEFTOVER_JOB_FILES, LEFTOVER_GOES);
    check(fixture, OTHER ".old", LEFTOVER_JOB_FILES, LEFTOVER_GOES);
    check(fixture, "jobs/33333333-3333-4333-8333-333333333333", LEFTOVER_JOB, LEFTOVER_NOT_OURS);
    check(fixture, JOB ".old", LEFTOVER_JOB_FILES, LEFTOVER_NOT_OURS);
    check(fixture, "mine.new", LEFTOVER_JOB_FILES, LEFTOVER_NOT_OURS);
    assert_null(seek(fixture, "jobs/" OTHER));
    /* What else lies in a job's directory keeps it. */
    assert_int_equal(leftovers_remove(&fixture->place, &fixture->list), 1);
    assert_int_not_equal(look(fixture, OTHER ".old")->failure.code, 0);
    assert_true(is_there(fixture, "state/jobs/" OTHER ".old/mine") && is_there(fixture, "state/jobs/mine.new"));
    assert_false(is_there(fixture, "state/jobs/" JOB ".new") || is_there(fixture, "state/jobs/" JOB "/run.new"));
    struct files files;
    assert_int_equal(files_open(fixture->place.jobs_fd, JOB, &files), 0);
    assert_int_equal(record_read(files.record_fd, &record), 0);
    assert_int_equal(record.reason, RECORD_REASON_SETUP_FAILURE);
    files_close(&files);
}

static void test_a_job_that_ended_alone(void **state)
{
    struct fixture *fixture = *state;
    struct run_note note = {.pid = 1, .group = "job-" JOB}; /* of another boot */
    assert_int_equal(text_parse_uuid(JOB, note.job_id), 0);
    memset(note.boot_id, 7, sizeof(note.boot_id));
    make_job(fixture, JOB);
    assert_int_equal(files_write_run(fixture->place.jobs_fd, JOB, &note), 0);
    make_directory(fixture, PARENT "/job-" JOB);
    find(fixture);
    check(fixture, "jobs/" JOB, LEFTOVER_ENDED_JOB, LEFTOVER_WAITS);
    assert_null(seek(fixture, "/job-" JOB)); /* the start reads its counters */
    fixture->place.is_start = true;          /* it was adopted */
    find(fixture);
    assert_int_equal(fixture->list.count, 0);
}

static void test_groups(void **state)
{
    struct fixture *fixture = *state;
    make_directory(fixture, PARENT "/job-" JOB);
    make_directory(fixture, PARENT "/job-mine");
    find(fixture);
    check(fixture, "/job-" JOB, LEFTOVER_GROUP, LEFTOVER_GOES);
    check(fixture, "/job-mine", LEFTOVER_GROUP, LEFTOVER_NOT_OURS);
    assert_int_equal(fixture->list.count, 2);
    /* Another service's, whatever the notes say. */
    (void)snprintf(fixture->place.parent, sizeof(fixture->place.parent), "joblet-00000001");
    find(fixture);
    assert_int_equal(fixture->list.count, 0);
    /* A parent without a service: only when nothing of others is in it. */
    (void)snprintf(fixture->place.parent, sizeof(fixture->place.parent), PARENT);
    fixture->place.own_host = NULL;
    find(fixture);
    assert_null(seek(fixture, PARENT));
    assert_int_equal(unlinkat(fixture->place.prefix_fd, PARENT "/job-mine", AT_REMOVEDIR), 0);
    find(fixture);
    check(fixture, PARENT, LEFTOVER_PARENT, LEFTOVER_GOES);
}

static void sweep(void *user, const char *name)
{
    ((struct fixture *)user)->swept += strcmp(name, ".staging-" JOB) == 0;
}

static void test_store(void **state)
{
    struct fixture *fixture = *state;
    make_directory(fixture, "runtimes/.staging-" JOB);
    make_directory(fixture, "runtimes/.trash-mine");
    make_file(fixture, "runtimes/.trash-" JOB);
    make_directory(fixture, "runtimes/empty");
    find(fixture);
    check(fixture, ".staging-" JOB, LEFTOVER_TREE, LEFTOVER_WAITS);
    check(fixture, ".trash-mine", LEFTOVER_TREE, LEFTOVER_NOT_OURS);
    check(fixture, ".trash-" JOB, LEFTOVER_TREE, LEFTOVER_NOT_OURS);
    check(fixture, "runtimes/empty", LEFTOVER_NAME, LEFTOVER_GOES);
    fixture->place.is_start = true;
    fixture->place.sweep = sweep;
    fixture->place.user = fixture;
    find(fixture);
    check(fixture, ".staging-" JOB, LEFTOVER_TREE, LEFTOVER_GOES);
    assert_int_equal(leftovers_remove(&fixture->place, &fixture->list), 0);
    assert_int_equal(fixture->swept, 1);
    assert_true(is_there(fixture, "runtimes/.trash-mine") && !is_there(fixture, "runtimes/empty"));
    fixture->config.disk_id_start = geteuid() + 1;
    find(fixture);
    check(fixture, ".staging-" JOB, LEFTOVER_TREE, LEFTOVER_NOT_OURS);
}

static void test_files(void **state)
{
    struct fixture *fixture = *state;
    static const char *const ours[] = {
            "run/.groups.0123abcd", "config/.rnx-config.yml.0123abcd", ".base.manifest.0123abcd"};
    static const char *const strangers[] = {"run/.groups.mine", "config/.ca.key.0123ABCD", ".base.manifest.0123abcd0"};
    for (size_t i = 0; i < ELEMENTS(ours); i++) {
        make_file(fixture, ours[i]);
        make_file(fixture, strangers[i]);
    }
    make_file(fixture, "config/.mine.0123abcd");
    make_file(fixture, "run/joblet.pid");
    make_directory(fixture, "base.new");
    make_directory(fixture, "base.old.mine");
    assert_int_equal(
            linkat(fixture->place.prefix_fd, "run/joblet.pid", fixture->place.run_fd, ".address.00000000", 0), 0);
    assert_int_equal(symlinkat("/etc/hostname", fixture->place.run_fd, ".network.00000000"), 0);
    int writer = openat(fixture->place.prefix_fd, "run/.address.11111111", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    find(fixture);
    for (size_t i = 0; i < ELEMENTS(ours); i++) {
        check(fixture, ours[i], LEFTOVER_HALF_FILE, LEFTOVER_GOES);
        check(fixture, strangers[i], LEFTOVER_HALF_FILE, LEFTOVER_NOT_OURS);
    }
    check(fixture, "run/.address.00000000", LEFTOVER_HALF_FILE, LEFTOVER_NOT_OURS); /* it has another name */
    check(fixture, "run/.network.00000000", LEFTOVER_HALF_FILE, LEFTOVER_NOT_OURS);
    check(fixture, "base.new", LEFTOVER_BASE, LEFTOVER_GOES);
    check(fixture, "base.old.mine", LEFTOVER_BASE, LEFTOVER_NOT_OURS);
    check(fixture, "run/joblet.pid", LEFTOVER_RUN_FILE, LEFTOVER_GOES);
    assert_null(seek(fixture, "config/.mine.0123abcd"));
    assert_null(seek(fixture, "run/.address.11111111")); /* somebody writes it */
    (void)close(writer);
    /* One that is opened between finding and removing stays. */
    writer = openat(fixture->place.prefix_fd, ours[0], O_WRONLY | O_CLOEXEC);
    assert_int_equal(leftovers_remove(&fixture->place, &fixture->list), 1);
    (void)close(writer);
    assert_true(is_there(fixture, ours[0]) && !is_there(fixture, ours[1]) && !is_there(fixture, ours[2]));
    assert_true(is_there(fixture, "base.old.mine") && !is_there(fixture, "base.new"));
    for (size_t i = 0; i < ELEMENTS(strangers); i++)
        assert_true(is_there(fixture, strangers[i]));
    find(fixture);
    check(fixture, "run/.address.11111111", LEFTOVER_HALF_FILE, LEFTOVER_GOES);
}

/* Whatever came to be since the service has started is its own. */
static void test_beside_a_service(void **state)
{
    struct fixture *fixture = *state;
    make_job(fixture, JOB);
    make_directory(fixture, "state/jobs/" OTHER ".new");
    make_directory(fixture, PARENT "/job-" JOB);
    make_directory(fixture, "runtimes/.staging-" JOB);
    make_directory(fixture, "runtimes/empty");
    make_file(fixture, "run/.groups.0123abcd");
    make_file(fixture, "run/joblet.pid");
    fixture->place.served_since_ns = 1;
    find(fixture);
    assert_int_equal(fixture->list.count, 0);
    fixture->place.served_since_ns = INT64_MAX; /* all of it is older */
    find(fixture);
    check(fixture, "jobs/" JOB, LEFTOVER_JOB, LEFTOVER_GOES);
    check(fixture, "/job-" JOB, LEFTOVER_GROUP, LEFTOVER_GOES);
    check(fixture, ".staging-" JOB, LEFTOVER_TREE, LEFTOVER_WAITS);
    check(fixture, "run/.groups.0123abcd", LEFTOVER_HALF_FILE, LEFTOVER_GOES);
    assert_null(seek(fixture, "run/joblet.pid"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(test_nothing, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_jobs, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_a_job_that_ended_alone, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_groups, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_store, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_files, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_beside_a_service, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
