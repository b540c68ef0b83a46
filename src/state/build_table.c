#include "state/build_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"

#define DIGEST_MAX 64U

static int prepare(struct state_database *database, const char *sql, sqlite3_stmt **ret_statement, struct error *error)
{
    if (sqlite3_prepare_v2(state_database_handle(database), sql, -1, ret_statement, NULL) != SQLITE_OK)
        return state_database_error(database, error, "builds");
    return 0;
}

/* Runs and ends the statement. */
static int finish(struct state_database *database, sqlite3_stmt *statement, struct error *error)
{
    int r = sqlite3_step(statement) == SQLITE_DONE ? 0 : state_database_error(database, error, "builds");
    (void)sqlite3_finalize(statement);
    return r;
}

static int prune(struct state_database *database, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    int r = prepare(database, "DELETE FROM builds WHERE sequence <= (SELECT max(sequence) FROM builds) - ?1",
            &statement, error);
    if (r < 0)
        return r;
    (void)sqlite3_bind_int(statement, 1, BUILD_TABLE_MAX);
    return finish(database, statement, error);
}

int build_table_put(struct state_database *database, const struct state_build *build, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    int r = prepare(database,
            "INSERT INTO builds (id, started_ns, ended_ns, name, version, digest, fingerprint, who, role, outcome,"
            " failure, manifest_digest, details) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)"
            " ON CONFLICT (id) DO UPDATE SET ended_ns=?3, fingerprint=?7, outcome=?10, failure=?11,"
            " manifest_digest=?12, details=?13",
            &statement, error);
    if (r < 0)
        return r;
    const char *const texts[] = {build->name, build->version, build->digest, build->fingerprint, build->who,
            build->role, build->outcome, build->failure, build->manifest_digest, build->details};
    (void)sqlite3_bind_blob(statement, 1, build->id, sizeof(build->id), SQLITE_STATIC);
    (void)sqlite3_bind_int64(statement, 2, build->started_unix_ns);
    (void)sqlite3_bind_int64(statement, 3, build->ended_unix_ns);
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        (void)sqlite3_bind_text(statement, 4 + (int)i, texts[i], -1, SQLITE_STATIC);
    r = finish(database, statement, error);
    return r < 0 ? r : prune(database, error);
}

int build_table_read_digest(struct state_database *database, const char *name, const char *version, char **ret_digest)
{
    sqlite3_stmt *statement = NULL;
    int r = prepare(database,
            "SELECT manifest_digest FROM builds WHERE name=?1 AND version=?2 AND manifest_digest<>''"
            " ORDER BY sequence DESC LIMIT 1",
            &statement, NULL);
    if (r < 0)
        return r;
    (void)sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(statement, 2, version, -1, SQLITE_STATIC);
    int step = sqlite3_step(statement);
    const char *text = step == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    char *digest = NULL;
    if (text && strlen(text) == DIGEST_MAX && text_is_utf8(text, DIGEST_MAX))
        r = (digest = strdup(text)) ? 0 : -ENOMEM;
    else if (step != SQLITE_ROW && step != SQLITE_DONE)
        r = -EIO;
    (void)sqlite3_finalize(statement);
    if (r == 0)
        *ret_digest = digest;
    return r;
}

int build_table_each_open(struct state_database *database, int (*each)(const struct state_build *build, void *user),
        void *user, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    int r = prepare(database,
            "SELECT id, name, version, digest, who, role, details FROM builds WHERE outcome='' ORDER BY sequence",
            &statement, error);
    int step = SQLITE_DONE;
    while (r == 0 && (step = sqlite3_step(statement)) == SQLITE_ROW) {
        struct state_build build = {.outcome = ""};
        char **const texts[] = {&build.name, &build.version, &build.digest, &build.who, &build.role, &build.details};
        const void *id = sqlite3_column_blob(statement, 0);
        if (id && sqlite3_column_bytes(statement, 0) == (int)sizeof(build.id))
            memcpy(build.id, id, sizeof(build.id));
        for (size_t i = 0; i < ELEMENTS(texts); i++)
            *texts[i] = (char *)(uintptr_t)sqlite3_column_text(statement, 1 + (int)i);
        r = each(&build, user);
    }
    if (r == 0 && step != SQLITE_DONE)
        r = state_database_error(database, error, "builds");
    (void)sqlite3_finalize(statement);
    return r;
}

int build_table_end_all(
        struct state_database *database, const char *failure, int64_t ended_unix_ns, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    int r = prepare(database, "UPDATE builds SET outcome='failed', failure=?1, ended_ns=?2 WHERE outcome=''",
            &statement, error);
    if (r < 0)
        return r;
    (void)sqlite3_bind_text(statement, 1, failure, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(statement, 2, ended_unix_ns);
    return finish(database, statement, error);
}
