#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "state/database.h"
#include "state/state.h"
#include "state/table.h"

struct directory {
    char path[64];
};

static int setup(void **fixture)
{
    struct directory *directory = calloc(1, sizeof(*directory));
    (void)snprintf(directory->path, sizeof(directory->path), "/tmp/test-state-XXXXXX");
    if (!directory || !mkdtemp(directory->path))
        return -1;
    *fixture = directory;
    return 0;
}

static int teardown(void **fixture)
{
    struct directory *directory = *fixture;
    static const char *const names[] = {"joblet.db", "joblet.db-wal", "joblet.db-shm", "joblet.db-journal"};
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "%s/%s", directory->path, names[i]);
        (void)unlink(path);
    }
    int r = rmdir(directory->path);
    free(directory);
    return r;
}

static struct state_job *new_job(const char *command)
{
    struct state_job *job = NULL;
    assert_int_equal(state_job_new(&job), 0);
    assert_int_equal(state_texts_add(&job->arguments, command), 0);
    assert_int_equal(state_texts_add(&job->arguments, ""), 0);
    assert_int_equal(state_texts_add(&job->arguments, "a b"), 0);
    assert_int_equal(state_texts_add_pair(&job->environment, "NAME", "v=1"), 0);
    assert_int_equal(state_texts_add(&job->secret_names, "SECRET"), 0);
    char **texts[] = {
            &job->work_dir, &job->network, &job->runtime, &job->timeout_text, &job->node_id, &job->owner, &job->role};
    static const char *const values[] = {"/work", "none", "python-3.11@1.0.0", "30s", "node", "alice", "admin"};
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        assert_non_null(*texts[i] = strdup(values[i]));
    job->accepted_unix_ns = 1234567890123456789;
    job->memory_bytes = 1 << 30;
    job->timeout_ns = 30000000000;
    job->cpu_percent = 150;
    job->processes = 7;
    job->io_bps = 8;
    job->open_files = 9;
    job->work_bytes = 10;
    job->tmp_bytes = 11;
    job->log_quota_bytes = 12;
    job->cpus.bits[0] = 0x2d;
    return job;
}

struct seen {
    unsigned done;
    unsigned failed;
};

static void on_done(const struct error *error, struct state_job *job, void *user)
{
    struct seen *seen = user;
    assert_non_null(job);
    seen->done++;
    seen->failed += error != NULL;
}

static void wait_for(struct state *state, const unsigned *done, unsigned count)
{
    while (*done < count) {
        struct pollfd poll_fd = {.fd = state_fd(state), .events = POLLIN};
        assert_int_equal(poll(&poll_fd, 1, 10000), 1);
        state_dispatch(state);
    }
}

static struct state *open_started(const char *path)
{
    struct state *state = NULL;
    struct error error = {0};
    int r = state_open(path, &state, &error);
    if (r < 0)
        fail_msg("%s", error.text);
    assert_int_equal(state_start(state, &error), 0);
    return state;
}

static void assert_same_job(const struct state_job *a, const struct state_job *b)
{
    assert_memory_equal(a->id, b->id, 16);
    assert_string_equal(a->uuid, b->uuid);
    assert_int_equal(a->arguments.size, b->arguments.size);
    assert_int_equal(a->arguments.count, b->arguments.count);
    assert_memory_equal(a->arguments.bytes, b->arguments.bytes, a->arguments.size);
    assert_memory_equal(a->environment.bytes, b->environment.bytes, a->environment.size);
    assert_memory_equal(a->secret_names.bytes, b->secret_names.bytes, a->secret_names.size);
    assert_string_equal(a->work_dir, b->work_dir);
    assert_string_equal(a->network, b->network);
    assert_string_equal(a->timeout_text, b->timeout_text);
    assert_string_equal(a->node_id, b->node_id);
    assert_string_equal(a->owner, b->owner);
    assert_string_equal(a->role, b->role);
    assert_true(a->accepted_unix_ns == b->accepted_unix_ns && a->memory_bytes == b->memory_bytes);
    assert_true(a->timeout_ns == b->timeout_ns && a->cpu_percent == b->cpu_percent && a->processes == b->processes);
    assert_true(a->io_bps == b->io_bps && a->open_files == b->open_files && a->work_bytes == b->work_bytes);
    assert_true(a->tmp_bytes == b->tmp_bytes && a->log_quota_bytes == b->log_quota_bytes);
    assert_memory_equal(&a->cpus, &b->cpus, sizeof(a->cpus));
    assert_memory_equal(&a->now, &b->now, sizeof(a->now));
}

static const struct state_progress ended = {.status = STATE_STATUS_FAILED,
        .stop_requested = true,
        .exit_code = 139,
        .end_signal = 11,
        .started_unix_ns = 5,
        .ended_unix_ns = 6,
        .log_bytes = 7,
        .log_left_out_bytes = 8,
        .cpu_ns = 9,
        .memory_peak_bytes = 10,
        .end_reason = "signal",
        .error = "why"};

struct viewed {
    unsigned done;
    char text[16];
};

static void on_viewed(const void *view, size_t size, struct state_job *job, void *user)
{
    struct viewed *viewed = user;
    assert_non_null(job);
    (void)snprintf(
            viewed->text, sizeof(viewed->text), "%.*s", view ? (int)size : 4, view ? (const char *)view : "none");
    viewed->done++;
}

static void expect_view(struct state *state, struct state_job *job, const char *expected)
{
    struct viewed viewed = {0};
    assert_int_equal(state_read_view(state, job, on_viewed, &viewed), 0);
    wait_for(state, &viewed.done, 1);
    assert_string_equal(viewed.text, expected);
}

/* A view is kept with the next change, the first of several, and goes with its job. */
static void test_views(void **fixture)
{
    const struct directory *directory = *fixture;
    struct seen seen = {0};
    struct error error = {0};
    struct state *state = open_started(directory->path);
    struct state_job *first = new_job("first");
    struct state_job *second = new_job("second");
    assert_int_equal(state_insert(state, first, on_done, &seen, &error), 0);
    assert_int_equal(state_insert(state, second, on_done, &seen, &error), 0);
    expect_view(state, first, "none");
    assert_int_equal(state_store_view(state, first, "a\xff", 2), 0);
    assert_int_equal(state_store_view(state, first, "b", 1), 0);
    /* A read sees what was asked for before it. */
    expect_view(state, first, "a\xff");
    assert_int_equal(state_store_view(state, second, "c", 1), 0);
    assert_int_equal(state_update(state, second, &ended, on_done, &seen), 0);
    static const char large[STATE_VIEW_SIZE_MAX + 1];
    assert_int_equal(state_store_view(state, second, large, sizeof(large)), -E2BIG);
    state_close(state);
    assert_int_equal(seen.failed, 0);

    state = open_started(directory->path);
    second = state_newest(state);
    first = second->older;
    expect_view(state, first, "a\xff");
    expect_view(state, second, "c");
    /* Asked for before the deletion, told after it: the job is still there. */
    struct viewed viewed = {0};
    seen.done = 0;
    assert_int_equal(state_read_view(state, second, on_viewed, &viewed), 0);
    assert_int_equal(state_delete(state, second, on_done, &seen), 0);
    wait_for(state, &seen.done, 1);
    assert_string_equal(viewed.text, "c");
    /* The next job of the same number has none. */
    state_close(state);
    state = open_started(directory->path);
    struct state_job *third = new_job("third");
    assert_int_equal(state_insert(state, third, on_done, &seen, &error), 0);
    expect_view(state, third, "none");
    expect_view(state, first = third->older, "a\xff");
    state_close(state);
}

struct built {
    unsigned done;
    unsigned failed;
    char digest[80];
};

static void on_built(const struct error *error, const char *digest, void *user)
{
    struct built *built = user;
    built->done++;
    built->failed += error != NULL;
    (void)snprintf(built->digest, sizeof(built->digest), "%s", digest ? digest : "none");
}

/* The columns that change, of one row, as a text. */
static const char *read_build(const char *directory, unsigned id)
{
    static char text[512];
    char path[128];
    sqlite3 *handle = NULL;
    sqlite3_stmt *statement = NULL;
    (void)snprintf(path, sizeof(path), "%s/joblet.db", directory);
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    assert_int_equal(
            sqlite3_prepare_v2(handle,
                    "SELECT name || '|' || digest || '|' || who || '|' || started_ns || '|' || (ended_ns > 0) || '|' "
                    "|| "
                    "outcome || '|' || failure || '|' || manifest_digest || '|' || details FROM builds WHERE id=?1",
                    -1, &statement, NULL),
            SQLITE_OK);
    uint8_t bytes[16] = {(uint8_t)id};
    assert_int_equal(sqlite3_bind_blob(statement, 1, bytes, 16, SQLITE_STATIC), SQLITE_OK);
    bool found = sqlite3_step(statement) == SQLITE_ROW;
    (void)snprintf(text, sizeof(text), "%s", found ? (const char *)sqlite3_column_text(statement, 0) : "no row");
    sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(handle), SQLITE_OK);
    return text;
}

#define DIGEST "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void test_builds(void **fixture)
{
    const struct directory *directory = *fixture;
    struct built built = {0};
    static char texts[][80] = {"python", "1.0.0", "spec", "alice", "why", DIGEST, "{}"};
    struct state_build build = {.id = {1},
            .name = texts[0],
            .version = texts[1],
            .digest = texts[2],
            .who = texts[3],
            .started_unix_ns = 7};
    struct state *state = open_started(directory->path);
    assert_int_equal(state_put_build(state, &build, on_built, &built), 0);
    build.ended_unix_ns = 9;
    build.outcome = "success";
    build.manifest_digest = texts[5];
    build.details = texts[6];
    assert_int_equal(state_put_build(state, &build, on_built, &built), 0);
    build.id[0] = 2;
    build.outcome = "failed";
    build.failure = texts[4];
    build.manifest_digest = NULL;
    assert_int_equal(state_put_build(state, &build, on_built, &built), 0);
    /* Of the newest that was published. */
    assert_int_equal(state_read_build_digest(state, "python", "1.0.0", on_built, &built), 0);
    wait_for(state, &built.done, 4);
    assert_string_equal(built.digest, DIGEST);
    assert_int_equal(state_read_build_digest(state, "python", "1.0.1", on_built, &built), 0);
    wait_for(state, &built.done, 5);
    assert_string_equal(built.digest, "none");
    build.id[0] = 3;
    build.ended_unix_ns = 0;
    build.outcome = NULL;
    assert_int_equal(state_put_build(state, &build, NULL, NULL), 0);
    state_close(state);
    assert_int_equal(built.failed, 0);
    assert_string_equal(read_build(directory->path, 1), "python|spec|alice|7|1|success||" DIGEST "|{}");
    assert_string_equal(read_build(directory->path, 2), "python|spec|alice|7|1|failed|why||{}");
    assert_string_equal(read_build(directory->path, 3), "python|spec|alice|7|0||why||{}");
    /* What had no end has it with the next start. */
    size_t count;
    state = open_started(directory->path);
    struct state_build *const *lost = state_lost_builds(state, &count);
    assert_int_equal(count, 1);
    assert_int_equal(lost[0]->id[0], 3);
    assert_string_equal(lost[0]->name, "python");
    assert_string_equal(lost[0]->digest, "spec");
    assert_string_equal(lost[0]->who, "alice");
    state_close(state);
    assert_string_equal(read_build(directory->path, 3), "python|spec|alice|7|1|failed|joblet-api was restarted||{}");
    state = open_started(directory->path);
    (void)state_lost_builds(state, &count);
    assert_int_equal(count, 0);
    state_close(state);
    assert_string_equal(read_build(directory->path, 1), "python|spec|alice|7|1|success||" DIGEST "|{}");
}

static void test_round_trip(void **fixture)
{
    const struct directory *directory = *fixture;
    struct seen seen = {0};
    struct error error = {0};
    struct state *state = open_started(directory->path);
    struct state_job *job = new_job("true");
    assert_int_equal(state_insert(state, job, on_done, &seen, &error), 0);
    assert_int_equal(state_insert(state, new_job("second"), on_done, &seen, &error), 0);
    /* Visible at once, and not counted on before it is durable. */
    assert_ptr_equal(state_find(state, job->id), job);
    wait_for(state, &seen.done, 2);
    assert_int_equal(state_update(state, job, &ended, on_done, &seen), 0);
    assert_int_equal(job->now.status, STATE_STATUS_INITIALIZING);
    assert_int_equal(state_job_latest(job)->status, STATE_STATUS_FAILED);
    wait_for(state, &seen.done, 3);
    assert_int_equal(job->now.status, STATE_STATUS_FAILED);
    assert_int_equal(seen.failed, 0);
    struct state_job *copy = new_job("true");
    memcpy(copy->id, job->id, 16);
    memcpy(copy->uuid, job->uuid, sizeof(copy->uuid));
    copy->now = job->now;
    assert_same_job(copy, job);
    state_close(state);

    state = open_started(directory->path);
    assert_int_equal(state_count(state), 2);
    struct state_job *again = NULL;
    assert_int_equal(state_lookup(state, copy->uuid, &again, &error), 0);
    assert_same_job(copy, again);
    /* The order of acceptance is kept. */
    assert_string_equal(state_texts_next(&state_newest(state)->arguments, NULL), "second");
    assert_ptr_equal(state_newest(state)->older, again);
    seen.done = 0;
    assert_int_equal(state_delete(state, again, on_done, &seen), 0);
    wait_for(state, &seen.done, 1);
    assert_int_equal(state_count(state), 1);
    state_close(state);

    state = open_started(directory->path);
    assert_int_equal(state_count(state), 1);
    assert_null(state_find(state, copy->id));
    state_close(state);
    state_job_free(copy);
}

/* A change that is not waited for is shown at once and not overtaken by an older one that comes back from the disk. */
static void test_lazy(void **fixture)
{
    const struct directory *directory = *fixture;
    struct seen seen = {0};
    struct error error = {0};
    struct state *state = open_started(directory->path);
    struct state_job *job = new_job("true");
    assert_int_equal(state_insert(state, job, on_done, &seen, &error), 0);
    struct state_progress progress = *state_job_latest(job);
    progress.stop_requested = true;
    assert_int_equal(state_update(state, job, &progress, on_done, &seen), 0);
    progress = *state_job_latest(job);
    assert_true(progress.stop_requested);
    progress.status = STATE_STATUS_RUNNING;
    assert_int_equal(state_update_lazy(state, job, &progress), 0);
    assert_int_equal(job->now.status, STATE_STATUS_RUNNING);
    wait_for(state, &seen.done, 2);
    assert_int_equal(job->now.status, STATE_STATUS_RUNNING);
    assert_true(job->now.stop_requested);
    state_close(state); /* writes it */

    state = open_started(directory->path);
    assert_int_equal(state_newest(state)->now.status, STATE_STATUS_RUNNING);
    assert_true(state_newest(state)->now.stop_requested);
    state_close(state);
}

static void test_many(void **fixture)
{
    const struct directory *directory = *fixture;
    struct seen seen = {0};
    struct error error = {0};
    struct state *state = open_started(directory->path);
    for (unsigned i = 0; i < 2000; i++)
        assert_int_equal(state_insert(state, new_job("true"), on_done, &seen, &error), 0);
    wait_for(state, &seen.done, 2000);
    struct state_job *job = state_newest(state);
    unsigned count = 0;
    for (; job; job = job->older, count++) {
        struct state_job *found = NULL;
        assert_int_equal(state_lookup(state, job->uuid, &found, &error), 0);
        assert_ptr_equal(found, job);
    }
    assert_int_equal(count, 2000);
    assert_int_equal(seen.failed, 0);
    state_close(state);
}

/* A full disk: the insert fails, the job is not there, and later ones succeed. */
static void test_disk_full(void **fixture)
{
    const struct directory *directory = *fixture;
    struct seen seen = {0};
    struct error error = {0};
    struct state *state = open_started(directory->path);
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    struct rlimit small = {.rlim_cur = 64, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct state_job *job = new_job("true");
    uint8_t id[16];
    memcpy(id, job->id, sizeof(id));
    assert_int_equal(state_insert(state, job, on_done, &seen, &error), 0);
    wait_for(state, &seen.done, 1);
    assert_int_equal(seen.failed, 1);
    assert_null(state_find(state, id));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(state_insert(state, new_job("true"), on_done, &seen, &error), 0);
    wait_for(state, &seen.done, 2);
    assert_int_equal(seen.failed, 1);
    assert_int_equal(state_count(state), 1);
    state_close(state);
}

static void execute(const char *directory, const char *sql)
{
    char path[128];
    sqlite3 *handle = NULL;
    (void)snprintf(path, sizeof(path), "%s/joblet.db", directory);
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    char *message = NULL;
    if (sqlite3_exec(handle, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s", message);
    assert_int_equal(sqlite3_close(handle), SQLITE_OK);
}

static int schema_version(const char *directory)
{
    char path[128];
    sqlite3 *handle = NULL;
    sqlite3_stmt *statement = NULL;
    (void)snprintf(path, sizeof(path), "%s/joblet.db", directory);
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(handle, "PRAGMA user_version", -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int version = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(handle), SQLITE_OK);
    return version;
}

/* A table of the first version is brought to this one's, and what it held is there. */
static void test_older_file(void **fixture)
{
    const struct directory *directory = *fixture;
    struct seen seen = {0};
    struct error error = {0};
    struct state *state = open_started(directory->path);
    assert_int_equal(state_insert(state, new_job("true"), on_done, &seen, &error), 0);
    state_close(state);
    int version = schema_version(directory->path);
    execute(directory->path, "DROP TABLE job_views; DROP TABLE builds; ALTER TABLE jobs DROP COLUMN runtime; PRAGMA "
                             "user_version=2"); /* the version before views */
    state = open_started(directory->path);
    assert_int_equal(state_count(state), 1);
    struct state_job *job = state_newest(state);
    assert_int_equal(state_store_view(state, job, "abc", 3), 0);
    assert_int_equal(state_update(state, job, &ended, on_done, &seen), 0);
    wait_for(state, &seen.done, 2);
    assert_int_equal(seen.failed, 0);
    state_close(state);
    assert_int_equal(schema_version(directory->path), version);
}

static void test_refused_files(void **fixture)
{
    const struct directory *directory = *fixture;
    static const struct {
        const char *sql;
        int result;
        const char *text;
    } cases[] = {
            {"UPDATE jobs SET status='DANCING'", -EUCLEAN, "damaged"},
            {"UPDATE jobs SET status='FAILED', arguments=x'6162'", -EUCLEAN, "damaged"},
            {"UPDATE jobs SET arguments=x''", -EUCLEAN, "damaged"},
            {"UPDATE jobs SET arguments=x'6100', exit_code=99999999999", -EUCLEAN, "damaged"},
            {"UPDATE jobs SET exit_code=0, error=CAST(x'ff' AS TEXT)", -EUCLEAN, "damaged"},
            {"UPDATE jobs SET error='', stop_requested=7", -EUCLEAN, "damaged"},
            {"UPDATE jobs SET stop_requested=0, cpus='0-'", -EUCLEAN, "damaged"},
            {"UPDATE jobs SET cpus='', open_files=-1", -EUCLEAN, "damaged"},
            {"ALTER TABLE jobs RENAME TO work", -EIO, "no such table"},
            {"ALTER TABLE work RENAME TO jobs; PRAGMA user_version=99", -EPROTONOSUPPORT, "newer"},
            {"PRAGMA user_version=0", -EUCLEAN, "damaged"},
            {"PRAGMA application_id=7", -EMEDIUMTYPE, "not one of joblet's"},
    };
    struct seen seen = {0};
    struct error error = {0};
    struct state *state = open_started(directory->path);
    assert_int_equal(state_insert(state, new_job("true"), on_done, &seen, &error), 0);
    state_close(state);
    assert_int_equal(seen.done, 1);
    char version[64];
    (void)snprintf(version, sizeof(version), "PRAGMA user_version=%d", schema_version(directory->path));
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        execute(directory->path, version);
        execute(directory->path, cases[i].sql);
        memset(&error, 0, sizeof(error));
        struct state *none = NULL;
        int r = state_open(directory->path, &none, &error);
        if (r != cases[i].result || !strstr(error.text, cases[i].text))
            fail_msg("%s: %d %s", cases[i].sql, r, error.text);
        assert_null(none);
    }
    /* Nothing was made anew. */
#define COLUMNS                                                                                                        \
    "arguments, environment, secret_names, work_dir, network, timeout, node_id, owner, role, accepted_ns,"             \
    " memory_bytes, timeout_ns, cpu_percent, processes, status, stop_requested, exit_code, end_signal, started_ns,"    \
    " ended_ns, log_bytes, log_left_out_bytes, cpu_ns, memory_peak_bytes, end_reason, error"
    execute(directory->path, "INSERT INTO jobs (sequence, id, " COLUMNS ")"
                             " SELECT 2, x'00112233445566778899aabbccddeeff', " COLUMNS " FROM jobs");
}

/* The first schema, with one job: an upgrade keeps it. */
static void test_first_schema(void **fixture)
{
    const struct directory *directory = *fixture;
    execute(directory->path,
            "CREATE TABLE jobs (sequence INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, arguments BLOB NOT NULL,"
            " environment BLOB NOT NULL, secret_names BLOB NOT NULL, work_dir TEXT NOT NULL, network TEXT NOT NULL,"
            " timeout TEXT NOT NULL, node_id TEXT NOT NULL, owner TEXT NOT NULL, role TEXT NOT NULL,"
            " accepted_ns INTEGER NOT NULL, memory_bytes INTEGER NOT NULL, timeout_ns INTEGER NOT NULL,"
            " cpu_percent INTEGER NOT NULL, processes INTEGER NOT NULL, status TEXT NOT NULL,"
            " stop_requested INTEGER NOT NULL, exit_code INTEGER NOT NULL, end_signal INTEGER NOT NULL,"
            " started_ns INTEGER NOT NULL, ended_ns INTEGER NOT NULL, log_bytes INTEGER NOT NULL,"
            " log_left_out_bytes INTEGER NOT NULL, cpu_ns INTEGER NOT NULL, memory_peak_bytes INTEGER NOT NULL,"
            " end_reason TEXT NOT NULL, error TEXT NOT NULL) STRICT;"
            "INSERT INTO jobs VALUES (1, x'00112233445566778899aabbccddeeff', x'7472756500', x'', x'', '/work', '', "
            "'', '',"
            " 'alice', 'admin', 1, 2, 3, 4, 5, 'COMPLETED', 0, 0, 0, 6, 7, 8, 0, 9, 10, 'exited', '');"
            "PRAGMA application_id=1245858900; PRAGMA user_version=1");
    struct state *state = open_started(directory->path);
    const struct state_job *job = state_newest(state);
    assert_non_null(job);
    assert_string_equal(job->uuid, "00112233-4455-6677-8899-aabbccddeeff");
    assert_true(job->processes == 5 && job->open_files == 0 && cpulist_is_empty(&job->cpus));
    assert_int_equal(job->now.status, STATE_STATUS_COMPLETED);
    state_close(state);
}

static void test_not_a_database(void **fixture)
{
    const struct directory *directory = *fixture;
    struct error error = {0};
    struct state *state = NULL;
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/joblet.db", directory->path);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(fd_write_all(fd, "this is a text and no database\n", 31), 0);
    assert_int_equal(state_open(directory->path, &state, &error), -EMEDIUMTYPE);
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_size, 200 * 31);
    /* Nor somebody else's file through a link. */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/tmp/joblet-test-not-there", path), 0);
    assert_true(state_open(directory->path, &state, &error) < 0);
    assert_int_equal(access("/tmp/joblet-test-not-there", F_OK), -1);
}

static void test_one_at_a_time(void **fixture)
{
    const struct directory *directory = *fixture;
    struct error error = {0};
    struct state_database *first = NULL;
    struct state_database *second = NULL;
    assert_int_equal(state_database_open(directory->path, &first, &error), 0);
    assert_int_equal(state_database_begin(first, &error), 0);
    assert_int_equal(state_database_commit(first, &error), 0);
    assert_int_equal(state_database_open(directory->path, &second, &error), -EBUSY);
    state_database_close(first);
}

static struct state_job *job_with_id(const char *uuid)
{
    struct state_job *job = new_job("x");
    assert_int_equal(text_parse_uuid(uuid, job->id), 0);
    text_format_uuid(job->id, job->uuid);
    return job;
}

static void test_lookup(void **fixture)
{
    (void)fixture;
    static const char *const uuids[] = {"12345678-1111-4111-8111-111111111111", "12345678-2222-4111-8111-111111111111",
            "12349999-1111-4111-8111-111111111111", "00000000-1111-4111-8111-111111111111",
            "ffffffff-ffff-4fff-8fff-ffffffffffff", "12345678-2222-4111-8111-111111111112"};
    struct table table = {0};
    struct state_job *jobs[ELEMENTS(uuids)];
    for (size_t i = 0; i < ELEMENTS(uuids); i++)
        assert_int_equal(table_add(&table, jobs[i] = job_with_id(uuids[i])), 0);
    struct state_job *twice = job_with_id(uuids[0]);
    assert_int_equal(table_add(&table, twice), -EEXIST);
    state_job_free(twice);
    static const struct {
        const char *text;
        int result;
        int job;
        const char *error;
    } cases[] = {
            {"12345678-1111-4111-8111-111111111111", 0, 0, ""},
            {"12345678-1", 0, 0, ""},
            {"12349", 0, 2, ""},
            {"0000", 0, 3, ""},
            {"ffff", 0, 4, ""},
            {"12345678-2222-4111-8111-11111111111", -ENOENT, 0, "ambiguous"},
            {"12345678", -ENOENT, 0, "12345678-1111-4111-8111-111111111111, 12345678-2222-4111"},
            {"1234", -ENOENT, 0, ", ..."},
            {"123", -ENOENT, 0, "4 characters"},
            {"", -EINVAL, 0, "required"},
            {"FFFF", -ENOENT, 0, "not found"},
            {"zzzz", -ENOENT, 0, "not found"},
            {"ffffffff-ffff-4fff-8fff-ffffffffffff0", -ENOENT, 0, "not found"},
            {"5555", -ENOENT, 0, "not found"},
            {"../../../../etc/passwd", -ENOENT, 0, "not found"},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        struct state_job *found = NULL;
        struct error error = {0};
        int r = table_lookup(&table, cases[i].text, &found, &error);
        if (r != cases[i].result || (r == 0 && found != jobs[cases[i].job]) || !strstr(error.text, cases[i].error))
            fail_msg("'%s': %d %s", cases[i].text, r, error.text);
    }
    /* Out of the middle, the ends, and until nothing is left. */
    static const size_t order[] = {2, 0, 5, 3, 4, 1};
    for (size_t i = 0; i < ELEMENTS(order); i++) {
        table_remove(&table, jobs[order[i]]);
        assert_null(table_find(&table, jobs[order[i]]->id));
        state_job_free(jobs[order[i]]);
        size_t chained = 0;
        for (const struct state_job *job = table.newest; job; job = job->older)
            chained++;
        assert_int_equal(chained, table.count);
    }
    assert_null(table.oldest);
    assert_true(table.memory_bytes == 0);
    table_done(&table);
}

static void test_texts(void **fixture)
{
    (void)fixture;
    struct state_texts texts = {0};
    assert_null(state_texts_next(&texts, NULL));
    assert_int_equal(state_texts_parse(&texts, "a\0\0b", 4), -EINVAL);
    assert_int_equal(state_texts_parse(&texts, "a\0\0b\0", 5), 0);
    assert_int_equal(texts.count, 3);
    const char *text = state_texts_next(&texts, NULL);
    assert_string_equal(text, "a");
    assert_string_equal(text = state_texts_next(&texts, text), "");
    assert_string_equal(text = state_texts_next(&texts, text), "b");
    assert_null(state_texts_next(&texts, text));
    state_texts_done(&texts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
            cmocka_unit_test_setup_teardown(test_views, setup, teardown),
            cmocka_unit_test_setup_teardown(test_builds, setup, teardown),
            cmocka_unit_test_setup_teardown(test_lazy, setup, teardown),
            cmocka_unit_test_setup_teardown(test_many, setup, teardown),
            cmocka_unit_test_setup_teardown(test_disk_full, setup, teardown),
            cmocka_unit_test_setup_teardown(test_refused_files, setup, teardown),
            cmocka_unit_test_setup_teardown(test_first_schema, setup, teardown),
            cmocka_unit_test_setup_teardown(test_older_file, setup, teardown),
            cmocka_unit_test_setup_teardown(test_not_a_database, setup, teardown),
            cmocka_unit_test_setup_teardown(test_one_at_a_time, setup, teardown),
            cmocka_unit_test(test_lookup),
            cmocka_unit_test(test_texts),
    };
    /* A write beyond RLIMIT_FSIZE is to fail, not to end us. */
    (void)signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
