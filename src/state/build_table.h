/* The records of builds in the database; for this folder only. They are few and never read as a whole, so their
 * statements are made when they are needed. */
#pragma once

#include <sqlite3.h>

#include "base/error.h"
#include "state/build.h"
#include "state/database.h"

/* The newest are kept. */
#define BUILD_TABLE_MAX 10000

#define BUILD_TABLE_SCHEMA                                                                                             \
    "CREATE TABLE builds ("                                                                                            \
    " sequence INTEGER PRIMARY KEY AUTOINCREMENT,"                                                                     \
    " id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),"                                                                \
    " name TEXT NOT NULL, version TEXT NOT NULL, digest TEXT NOT NULL, fingerprint TEXT NOT NULL,"                     \
    " who TEXT NOT NULL, role TEXT NOT NULL, started_ns INTEGER NOT NULL, ended_ns INTEGER NOT NULL,"                  \
    " outcome TEXT NOT NULL, failure TEXT NOT NULL, manifest_digest TEXT NOT NULL, details TEXT NOT NULL"              \
    ") STRICT"

/* In database.c. */
sqlite3 *state_database_handle(const struct state_database *database);
int state_database_error(const struct state_database *database, struct error *error, const char *what);

/* Inserts the record, or replaces what it says when it is there. 0 or -errno with @error. */
int build_table_put(struct state_database *database, const struct state_build *build, struct error *error);
/* The manifest's digest of the newest published build of the runtime, the caller's; NULL when there is none. 0; -EIO;
 * -ENOMEM. */
int build_table_read_digest(struct state_database *database, const char *name, const char *version, char **ret_digest);
/* Calls @each with those that have no end; the texts are borrowed. 0; what @each returned; -errno with @error. */
int build_table_each_open(struct state_database *database, int (*each)(const struct state_build *build, void *user),
        void *user, struct error *error);
/* Those that have no end have failed. 0 or -errno with @error. */
int build_table_end_all(
        struct state_database *database, const char *failure, int64_t ended_unix_ns, struct error *error);
