#include "state/database.h"

#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "state/build_table.h"

/* "JBLT": tells our file from any other SQLite database. */
#define APPLICATION_ID 0x4a424c54

/* Rows are bounded by what RunJob accepts; a larger one was not written by us. */
#define BLOB_MAX (8U << 20)
#define TEXT_MAX 65536

/* One entry for each version of the schema: what brings the version before to it. */
static const char *const migrations[] = {
        "CREATE TABLE jobs ("
        " sequence INTEGER PRIMARY KEY,"
        " id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),"
        " arguments BLOB NOT NULL, environment BLOB NOT NULL, secret_names BLOB NOT NULL,"
        " work_dir TEXT NOT NULL, network TEXT NOT NULL, timeout TEXT NOT NULL, node_id TEXT NOT NULL,"
        " owner TEXT NOT NULL, role TEXT NOT NULL, accepted_ns INTEGER NOT NULL,"
        " memory_bytes INTEGER NOT NULL, timeout_ns INTEGER NOT NULL, cpu_percent INTEGER NOT NULL,"
        " processes INTEGER NOT NULL,"
        " status TEXT NOT NULL, stop_requested INTEGER NOT NULL, exit_code INTEGER NOT NULL,"
        " end_signal INTEGER NOT NULL, started_ns INTEGER NOT NULL, ended_ns INTEGER NOT NULL,"
        " log_bytes INTEGER NOT NULL, log_left_out_bytes INTEGER NOT NULL, cpu_ns INTEGER NOT NULL,"
        " memory_peak_bytes INTEGER NOT NULL, end_reason TEXT NOT NULL, error TEXT NOT NULL"
        ") STRICT",
        /* Jobs of before had none of these. */
        "ALTER TABLE jobs ADD COLUMN cpus TEXT NOT NULL DEFAULT '';"
        "ALTER TABLE jobs ADD COLUMN io_bps INTEGER NOT NULL DEFAULT 0;"
        "ALTER TABLE jobs ADD COLUMN open_files INTEGER NOT NULL DEFAULT 0;"
        "ALTER TABLE jobs ADD COLUMN work_bytes INTEGER NOT NULL DEFAULT 0;"
        "ALTER TABLE jobs ADD COLUMN tmp_bytes INTEGER NOT NULL DEFAULT 0;"
        "ALTER TABLE jobs ADD COLUMN log_quota_bytes INTEGER NOT NULL DEFAULT 0",
        /* What the kernel said of a job, as joblet-api encodes it. By the sequence and not by the id: the rows of jobs
         * that end together lie together, so that a commit writes one page more and not one for each. */
        "CREATE TABLE job_views (sequence INTEGER PRIMARY KEY, view BLOB NOT NULL) STRICT",
        "ALTER TABLE jobs ADD COLUMN runtime TEXT NOT NULL DEFAULT '';" BUILD_TABLE_SCHEMA,
};
#define SCHEMA_VERSION ((int)ELEMENTS(migrations))

/* Progress has the same parameters in insert and update: PARAMETER_PROGRESS + n; the id is always 1. */
enum { PARAMETER_ID = 1, PARAMETER_PROGRESS = 2, PARAMETER_ASKED = 14 };

enum statement {
    STATEMENT_INSERT,
    STATEMENT_UPDATE,
    STATEMENT_DELETE,
    STATEMENT_VIEW_INSERT,
    STATEMENT_VIEW_SELECT,
    STATEMENT_VIEW_DELETE,
    STATEMENT_COUNT
};

static const char *const statements[STATEMENT_COUNT] = {
        [STATEMENT_INSERT] =
                "INSERT INTO jobs (id, status, stop_requested, exit_code, end_signal, started_ns, ended_ns, log_bytes,"
                " log_left_out_bytes, cpu_ns, memory_peak_bytes, end_reason, error,"
                " arguments, environment, secret_names, work_dir, network, timeout, node_id, owner, role, accepted_ns,"
                " memory_bytes, timeout_ns, cpu_percent, processes, sequence, io_bps, open_files, work_bytes, "
                "tmp_bytes,"
                " log_quota_bytes, cpus, runtime)"
                " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23,?24,?25,"
                "?26,?27,?28,?29,?30,?31,?32,?33,?34,?35)",
        [STATEMENT_UPDATE] =
                "UPDATE jobs SET status=?2, stop_requested=?3, exit_code=?4, end_signal=?5, started_ns=?6, ended_ns=?7,"
                " log_bytes=?8, log_left_out_bytes=?9, cpu_ns=?10, memory_peak_bytes=?11, end_reason=?12, error=?13"
                " WHERE id=?1",
        [STATEMENT_DELETE] = "DELETE FROM jobs WHERE id=?1",
        /* The first stays: it is asked for again when an end could not be stored at once. */
        [STATEMENT_VIEW_INSERT] = "INSERT INTO job_views (sequence, view) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        [STATEMENT_VIEW_SELECT] = "SELECT view FROM job_views WHERE sequence=?1",
        [STATEMENT_VIEW_DELETE] = "DELETE FROM job_views WHERE sequence=?1",
};

struct state_database {
    sqlite3 *handle;
    sqlite3_stmt *statements[STATEMENT_COUNT];
};

static int sqlite_errno(int code)
{
    switch (code & 0xff) {
    case SQLITE_NOTADB:
        return EMEDIUMTYPE;
    case SQLITE_CORRUPT:
        return EUCLEAN;
    case SQLITE_FULL:
        return ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return EBUSY;
    case SQLITE_NOMEM:
        return ENOMEM;
    case SQLITE_READONLY:
        return EROFS;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
        return EACCES;
    default:
        return EIO;
    }
}

int state_database_error(const struct state_database *database, struct error *error, const char *what)
{
    int code = sqlite3_extended_errcode(database->handle);
    return error_text(error, sqlite_errno(code), "job table: %s: %s", what, sqlite3_errmsg(database->handle));
}

static int database_execute(struct state_database *database, const char *sql, struct error *error)
{
    if (sqlite3_exec(database->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
        return state_database_error(database, error, sql);
    return 0;
}

static int database_number(struct state_database *database, const char *sql, int *ret_number, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    int r = 0;
    if (sqlite3_prepare_v2(database->handle, sql, -1, &statement, NULL) != SQLITE_OK ||
            sqlite3_step(statement) != SQLITE_ROW)
        r = state_database_error(database, error, sql);
    else
        *ret_number = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return r;
}

/* Exclusive locking: one process, no shared-memory file, and a second joblet-api is refused. FULL: a commit is on disk
 * when it returns. The file may be anything: SQLite is told to trust neither its schema nor its cells. */
static int database_configure(struct state_database *database, struct error *error)
{
    static const char *const pragmas[] = {
            "PRAGMA locking_mode=EXCLUSIVE",
            "PRAGMA trusted_schema=OFF",
            "PRAGMA cell_size_check=ON",
            "PRAGMA mmap_size=0",
            "PRAGMA temp_store=MEMORY",
            "PRAGMA cache_size=-1024",
            "PRAGMA journal_mode=WAL",
            "PRAGMA journal_size_limit=4194304",
            "PRAGMA synchronous=FULL",
    };
    (void)sqlite3_db_config(database->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
    (void)sqlite3_db_config(database->handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, (int *)NULL);
    (void)sqlite3_db_config(database->handle, SQLITE_DBCONFIG_ENABLE_VIEW, 0, (int *)NULL);
    (void)sqlite3_busy_timeout(database->handle, 3000);
    for (size_t i = 0; i < ELEMENTS(pragmas); i++) {
        int r = database_execute(database, pragmas[i], error);
        if (r < 0)
            return r;
    }
    return 0;
}

static int database_check(struct state_database *database, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    int r = 0;
    if (sqlite3_prepare_v2(database->handle, "PRAGMA quick_check(1)", -1, &statement, NULL) != SQLITE_OK ||
            sqlite3_step(statement) != SQLITE_ROW) {
        r = state_database_error(database, error, "check");
    } else {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        if (!text || strcmp(text, "ok") != 0)
            r = error_text(error, EUCLEAN, "job table: damaged: %.100s", text ? text : "?");
    }
    sqlite3_finalize(statement);
    return r;
}

static int database_migrate(struct state_database *database, struct error *error)
{
    int application = 0;
    int version = 0;
    int objects = 0;
    int r = database_number(database, "PRAGMA application_id", &application, error);
    if (r == 0)
        r = database_number(database, "PRAGMA user_version", &version, error);
    if (r == 0)
        r = database_number(database, "SELECT count(*) FROM sqlite_schema", &objects, error);
    if (r < 0)
        return r;
    bool fresh = application == 0 && version == 0 && objects == 0;
    if (!fresh && application != APPLICATION_ID)
        return error_text(
                error, EMEDIUMTYPE, "job table: %s is a database, but not one of joblet's", STATE_DATABASE_FILE);
    if (version > SCHEMA_VERSION)
        return error_text(error, EPROTONOSUPPORT, "job table: made by a newer version (schema %d, this one knows %d)",
                version, SCHEMA_VERSION);
    if (version < 0 || (!fresh && version == 0))
        return error_text(error, EUCLEAN, "job table: damaged: schema version %d", version);
    if (version == SCHEMA_VERSION)
        return 0;
    r = database_execute(database, "BEGIN IMMEDIATE", error);
    for (int i = version; r == 0 && i < SCHEMA_VERSION; i++)
        r = database_execute(database, migrations[i], error);
    char stamp[96];
    (void)snprintf(
            stamp, sizeof(stamp), "PRAGMA application_id=%d; PRAGMA user_version=%d", APPLICATION_ID, SCHEMA_VERSION);
    if (r == 0)
        r = database_execute(database, stamp, error);
    if (r == 0)
        r = database_execute(database, "COMMIT", error);
    if (r < 0)
        state_database_rollback(database);
    return r;
}

static void databasep_close(struct state_database **database)
{
    state_database_close(*database);
}

int state_database_open(const char *directory, struct state_database **ret_database, struct error *error)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s/%s", directory, STATE_DATABASE_FILE);
    if (length < 0 || (size_t)length >= sizeof(path))
        return error_text(error, ENAMETOOLONG, "job table: path too long");
    _cleanup_(databasep_close) struct state_database *database = calloc(1, sizeof(*database));
    if (!database)
        return error_text(error, ENOMEM, "job table: no memory");
    /* NOMUTEX: one thread at a time is our caller's promise. NOFOLLOW: the directory is written by an unprivileged
     * process, and nobody else's file is to be opened through it. */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
    if (sqlite3_open_v2(path, &database->handle, flags, NULL) != SQLITE_OK)
        return database->handle ? state_database_error(database, error, "open")
                                : error_text(error, ENOMEM, "no memory");
    int r = database_configure(database, error);
    if (r == 0)
        r = database_check(database, error);
    if (r == 0)
        r = database_migrate(database, error);
    for (unsigned i = 0; r == 0 && i < STATEMENT_COUNT; i++)
        if (sqlite3_prepare_v3(database->handle, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &database->statements[i],
                    NULL) != SQLITE_OK)
            r = state_database_error(database, error, "prepare");
    if (r < 0)
        return r;
    *ret_database = TAKE_PTR(database);
    return 0;
}

void state_database_close(struct state_database *database)
{
    if (!database)
        return;
    for (unsigned i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(database->statements[i]);
    (void)sqlite3_close(database->handle);
    free(database);
}

/* Reading one row. Any column may hold anything; the first that is wrong is remembered. */
struct row {
    sqlite3_stmt *statement;
    int column;
    int result;
};

static int64_t row_number(struct row *row, int64_t lowest, int64_t highest)
{
    int column = row->column++;
    int64_t value = sqlite3_column_int64(row->statement, column);
    if (sqlite3_column_type(row->statement, column) != SQLITE_INTEGER || value < lowest || value > highest) {
        row->result = -EUCLEAN;
        return lowest;
    }
    return value;
}

/* NUL-terminated text without a NUL inside; valid until the next step. */
static const char *row_text(struct row *row, size_t max)
{
    int column = row->column++;
    const char *text = (const char *)sqlite3_column_text(row->statement, column);
    size_t size = (size_t)sqlite3_column_bytes(row->statement, column);
    if (!text || sqlite3_column_type(row->statement, column) != SQLITE_TEXT || size > max || strlen(text) != size ||
            !text_is_utf8(text, size)) {
        row->result = -EUCLEAN;
        return "";
    }
    return text;
}

static void row_string(struct row *row, char **ret_text)
{
    *ret_text = strdup(row_text(row, TEXT_MAX));
    if (!*ret_text)
        row->result = -ENOMEM;
}

static void row_texts(struct row *row, struct state_texts *ret_texts)
{
    int column = row->column++;
    const void *bytes = sqlite3_column_blob(row->statement, column);
    size_t size = (size_t)sqlite3_column_bytes(row->statement, column);
    if (sqlite3_column_type(row->statement, column) != SQLITE_BLOB || size > BLOB_MAX) {
        row->result = -EUCLEAN;
        return;
    }
    int r = state_texts_parse(ret_texts, bytes, size);
    if (r < 0)
        row->result = r == -EINVAL ? -EUCLEAN : r;
}

static void row_progress(struct row *row, struct state_progress *ret_progress)
{
    struct state_progress progress = {0};
    progress.status = state_status_from_name(row_text(row, 32));
    if (progress.status == STATE_STATUS_COUNT)
        row->result = -EUCLEAN;
    progress.stop_requested = row_number(row, 0, 1) == 1;
    progress.exit_code = (int32_t)row_number(row, INT32_MIN, INT32_MAX);
    progress.end_signal = (int32_t)row_number(row, INT32_MIN, INT32_MAX);
    progress.started_unix_ns = row_number(row, INT64_MIN, INT64_MAX);
    progress.ended_unix_ns = row_number(row, INT64_MIN, INT64_MAX);
    progress.log_bytes = (uint64_t)row_number(row, 0, INT64_MAX);
    progress.log_left_out_bytes = (uint64_t)row_number(row, 0, INT64_MAX);
    progress.cpu_ns = (uint64_t)row_number(row, 0, INT64_MAX);
    progress.memory_peak_bytes = (uint64_t)row_number(row, 0, INT64_MAX);
    (void)snprintf(progress.end_reason, sizeof(progress.end_reason), "%s", row_text(row, STATE_REASON_MAX - 1));
    (void)snprintf(progress.error, sizeof(progress.error), "%s", row_text(row, ERROR_TEXT_MAX - 1));
    *ret_progress = progress;
}

static int row_job(sqlite3_stmt *statement, struct state_job **ret_job)
{
    _cleanup_(state_job_freep) struct state_job *job = calloc(1, sizeof(*job));
    if (!job)
        return -ENOMEM;
    struct row row = {.statement = statement};
    job->sequence = (uint64_t)row_number(&row, 1, INT64_MAX);
    int column = row.column++;
    const void *id = sqlite3_column_blob(statement, column);
    if (sqlite3_column_type(statement, column) != SQLITE_BLOB || sqlite3_column_bytes(statement, column) != 16 || !id)
        return -EUCLEAN;
    memcpy(job->id, id, sizeof(job->id));
    text_format_uuid(job->id, job->uuid);
    row_texts(&row, &job->arguments);
    row_texts(&row, &job->environment);
    row_texts(&row, &job->secret_names);
    char **strings[] = {&job->work_dir, &job->network, &job->timeout_text, &job->node_id, &job->owner, &job->role};
    for (size_t i = 0; i < ELEMENTS(strings); i++)
        row_string(&row, strings[i]);
    job->accepted_unix_ns = row_number(&row, INT64_MIN, INT64_MAX);
    job->memory_bytes = (uint64_t)row_number(&row, 0, INT64_MAX);
    job->timeout_ns = (uint64_t)row_number(&row, 0, INT64_MAX);
    job->cpu_percent = (uint32_t)row_number(&row, 0, INT32_MAX);
    job->processes = (uint32_t)row_number(&row, 0, INT32_MAX);
    row_progress(&row, &job->now);
    job->io_bps = (uint32_t)row_number(&row, 0, INT32_MAX);
    job->open_files = (uint32_t)row_number(&row, 0, INT32_MAX);
    job->work_bytes = (uint64_t)row_number(&row, 0, INT64_MAX);
    job->tmp_bytes = (uint64_t)row_number(&row, 0, INT64_MAX);
    job->log_quota_bytes = (uint64_t)row_number(&row, 0, INT64_MAX);
    if (cpulist_parse(row_text(&row, CPULIST_TEXT_MAX), &job->cpus, NULL) < 0)
        row.result = -EUCLEAN;
    row_string(&row, &job->runtime);
    if (row.result == 0 && job->arguments.count == 0)
        row.result = -EUCLEAN;
    if (row.result == 0)
        *ret_job = TAKE_PTR(job);
    return row.result;
}

int state_database_load(struct state_database *database, int (*each)(struct state_job *job_take, void *user),
        void *user, struct error *error)
{
    static const char sql[] =
            "SELECT sequence, id, arguments, environment, secret_names, work_dir, network, timeout, node_id, owner,"
            " role, accepted_ns, memory_bytes, timeout_ns, cpu_percent, processes, status, stop_requested, exit_code,"
            " end_signal, started_ns, ended_ns, log_bytes, log_left_out_bytes, cpu_ns, memory_peak_bytes, end_reason,"
            " error, io_bps, open_files, work_bytes, tmp_bytes, log_quota_bytes, cpus, runtime FROM jobs ORDER BY "
            "sequence";
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(database->handle, sql, -1, &statement, NULL) != SQLITE_OK)
        return state_database_error(database, error, "read");
    int step;
    int r = 0;
    while (r == 0 && (step = sqlite3_step(statement)) == SQLITE_ROW) {
        _cleanup_(state_job_freep) struct state_job *job = NULL;
        r = row_job(statement, &job);
        if (r < 0)
            (void)error_text(error, -r, "job table: damaged: row %lld is not a job",
                    (long long)sqlite3_column_int64(statement, 0));
        if (r == 0)
            r = each(job, user);
        if (r == 0)
            job = NULL;
        else if (error && error->code == 0)
            (void)error_text(error, -r, "job table: the same job twice, or no memory");
    }
    if (r == 0 && step != SQLITE_DONE)
        r = state_database_error(database, error, "read");
    sqlite3_finalize(statement);
    return r;
}

int state_database_begin(struct state_database *database, struct error *error)
{
    return database_execute(database, "BEGIN IMMEDIATE", error);
}

int state_database_commit(struct state_database *database, struct error *error)
{
    return database_execute(database, "COMMIT", error);
}

void state_database_rollback(struct state_database *database)
{
    if (!sqlite3_get_autocommit(database->handle))
        (void)sqlite3_exec(database->handle, "ROLLBACK", NULL, NULL, NULL);
}

sqlite3 *state_database_handle(const struct state_database *database)
{
    return database->handle;
}

/* The values are borrowed until the statement is reset, which database_run does. */
static void bind_text(sqlite3_stmt *statement, int parameter, const char *text)
{
    (void)sqlite3_bind_text(statement, parameter, text ? text : "", -1, SQLITE_STATIC);
}

static void bind_texts(sqlite3_stmt *statement, int parameter, const struct state_texts *texts)
{
    if (texts->size == 0)
        (void)sqlite3_bind_zeroblob(statement, parameter, 0);
    else
        (void)sqlite3_bind_blob64(statement, parameter, texts->bytes, texts->size, SQLITE_STATIC);
}

static void bind_progress(sqlite3_stmt *statement, const struct state_progress *progress)
{
    const int64_t numbers[] = {progress->stop_requested, progress->exit_code, progress->end_signal,
            progress->started_unix_ns, progress->ended_unix_ns, (int64_t)progress->log_bytes,
            (int64_t)progress->log_left_out_bytes, (int64_t)progress->cpu_ns, (int64_t)progress->memory_peak_bytes};
    int parameter = PARAMETER_PROGRESS;
    bind_text(statement, parameter++, state_status_name(progress->status));
    for (size_t i = 0; i < ELEMENTS(numbers); i++)
        (void)sqlite3_bind_int64(statement, parameter++, numbers[i]);
    bind_text(statement, parameter++, progress->end_reason);
    bind_text(statement, parameter++, progress->error);
}

static void bind_asked(sqlite3_stmt *statement, const struct state_job *job, const char *cpus)
{
    const char *const strings[] = {job->work_dir, job->network, job->timeout_text, job->node_id, job->owner, job->role};
    const int64_t numbers[] = {job->accepted_unix_ns, (int64_t)job->memory_bytes, (int64_t)job->timeout_ns,
            job->cpu_percent, job->processes, (int64_t)job->sequence, job->io_bps, job->open_files,
            (int64_t)job->work_bytes, (int64_t)job->tmp_bytes, (int64_t)job->log_quota_bytes};
    int parameter = PARAMETER_ASKED;
    bind_texts(statement, parameter++, &job->arguments);
    bind_texts(statement, parameter++, &job->environment);
    bind_texts(statement, parameter++, &job->secret_names);
    for (size_t i = 0; i < ELEMENTS(strings); i++)
        bind_text(statement, parameter++, strings[i]);
    for (size_t i = 0; i < ELEMENTS(numbers); i++)
        (void)sqlite3_bind_int64(statement, parameter++, numbers[i]);
    bind_text(statement, parameter++, cpus);
    bind_text(statement, parameter, job->runtime);
}

static int database_run(struct state_database *database, sqlite3_stmt *statement, const char *what, struct error *error)
{
    int r = sqlite3_step(statement) == SQLITE_DONE ? 0 : state_database_error(database, error, what);
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
    return r;
}

int state_database_insert(struct state_database *database, const struct state_job *job,
        const struct state_progress *progress, struct error *error)
{
    char cpus[CPULIST_TEXT_MAX];
    sqlite3_stmt *statement = database->statements[STATEMENT_INSERT];
    cpulist_format(&job->cpus, cpus);
    (void)sqlite3_bind_blob(statement, PARAMETER_ID, job->id, sizeof(job->id), SQLITE_STATIC);
    bind_progress(statement, progress);
    bind_asked(statement, job, cpus);
    return database_run(database, statement, "insert", error);
}

int state_database_update(struct state_database *database, const struct state_job *job,
        const struct state_progress *progress, struct error *error)
{
    sqlite3_stmt *statement = database->statements[STATEMENT_UPDATE];
    (void)sqlite3_bind_blob(statement, PARAMETER_ID, job->id, sizeof(job->id), SQLITE_STATIC);
    bind_progress(statement, progress);
    return database_run(database, statement, "update", error);
}

int state_database_delete(struct state_database *database, const struct state_job *job, struct error *error)
{
    sqlite3_stmt *statement = database->statements[STATEMENT_DELETE];
    sqlite3_stmt *of_view = database->statements[STATEMENT_VIEW_DELETE];
    (void)sqlite3_bind_blob(statement, PARAMETER_ID, job->id, sizeof(job->id), SQLITE_STATIC);
    int r = database_run(database, statement, "delete", error);
    (void)sqlite3_bind_int64(of_view, 1, (int64_t)job->sequence);
    return r < 0 ? r : database_run(database, of_view, "delete view", error);
}

int state_database_insert_view(struct state_database *database, const struct state_job *job, const void *bytes,
        size_t size, struct error *error)
{
    sqlite3_stmt *statement = database->statements[STATEMENT_VIEW_INSERT];
    (void)sqlite3_bind_int64(statement, 1, (int64_t)job->sequence);
    (void)sqlite3_bind_blob64(statement, 2, bytes, size, SQLITE_STATIC);
    return database_run(database, statement, "insert view", error);
}

int state_database_read_view(
        struct state_database *database, const struct state_job *job, void **ret_bytes, size_t *ret_size)
{
    sqlite3_stmt *statement = database->statements[STATEMENT_VIEW_SELECT];
    (void)sqlite3_bind_int64(statement, 1, (int64_t)job->sequence);
    int step = sqlite3_step(statement);
    int r = step == SQLITE_ROW ? 0 : step == SQLITE_DONE ? -ENOENT : -EIO;
    const void *bytes = r == 0 ? sqlite3_column_blob(statement, 0) : NULL;
    size_t size = r == 0 ? (size_t)sqlite3_column_bytes(statement, 0) : 0;
    if (r == 0 && (!bytes || size > STATE_VIEW_SIZE_MAX || sqlite3_column_type(statement, 0) != SQLITE_BLOB))
        r = -EUCLEAN;
    void *copy = r == 0 ? malloc(size) : NULL;
    if (r == 0 && !copy)
        r = -ENOMEM;
    if (r == 0) {
        memcpy(copy, bytes, size);
        *ret_bytes = copy;
        *ret_size = size;
    }
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
    return r;
}
