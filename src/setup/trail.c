#include "setup/trail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "audit/syslog.h"
#include "base/fd.h"

#define OPEN_TRIES 40
#define OPEN_PAUSE_NS 50000000L
/* As the configuration's own defaults. */
#define FILE_BYTES_DEFAULT (16ULL << 20)
#define KEEP_FILES_DEFAULT 16U
#define FACTS_MAX ((SETUP_CHANGE_COUNT + 1) * SETUP_TRAIL_NAMES_MAX + ERROR_TEXT_MAX + 512U)

struct facts {
    char bytes[FACTS_MAX];
    size_t size;
};

static void add(struct facts *facts, const char *name, const char *value)
{
    size_t room = sizeof(facts->bytes) - facts->size;
    size_t need = strlen(name) + strlen(value) + 2;
    if (!*value || need > room)
        return;
    (void)snprintf(facts->bytes + facts->size, room, "%s%c%s", name, '\0', value);
    facts->size += need;
}

static void begin(struct facts *facts, const char *action, const char *result)
{
    facts->size = 0;
    add(facts, "action", action);
    add(facts, "result", result);
}

static int write_record(struct setup_trail *trail, const struct facts *facts, struct error *error)
{
    int r = audit_log_append(trail->log, "setup", facts->bytes, facts->size, error);
    return r < 0 ? r : audit_log_flush(trail->log, error);
}

/* A run writes two or three records: no socket is kept for them. */
static void copy_record(void *context, const char *line)
{
    (void)context;
    int fd = -EBADF;
    if (audit_syslog_send(&fd, line) < 0)
        (void)fputs("joblet setup: warning: a record of the audit log was not copied to syslog\n", stderr);
    (void)fd_close(fd);
}

/* Owner and group stay those of the directory: setup itself sets them. */
static int open_log(struct setup_trail *trail, int prefix_fd, const struct stat *status, const struct config *config,
        struct error *error)
{
    const struct timespec pause = {.tv_nsec = OPEN_PAUSE_NS};
    const struct audit_options options = {.file_bytes = config ? config->audit_file_bytes : FILE_BYTES_DEFAULT,
            .keep_files = config ? config->audit_keep_files : KEEP_FILES_DEFAULT,
            .owner = status->st_uid,
            .readers = status->st_gid,
            .on_record = config && config->audit_syslog ? copy_record : NULL};
    struct audit_opened opened;
    int r = -EBUSY;
    for (unsigned i = 0; r == -EBUSY && i < OPEN_TRIES; i++) {
        if (i > 0)
            (void)nanosleep(&pause, NULL);
        r = audit_log_open(prefix_fd, &options, &trail->log, &opened, error);
    }
    if (r == -EBUSY)
        return error_text(error, EBUSY,
                "the service runs and has the audit log, in which this change is to be recorded: stop the service, run "
                "'joblet setup' again, start the service");
    return r < 0 ? r : audit_log_tell(trail->log, "setup", &opened, error);
}

int setup_trail_begin(struct setup_trail *trail, int prefix_fd, const struct config *config, struct error *error)
{
    struct stat status;
    struct facts facts;
    if (trail->log || fstatat(prefix_fd, AUDIT_DIRECTORY, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    int r = open_log(trail, prefix_fd, &status, config, error);
    if (r < 0)
        return r;
    begin(&facts, "setup", "intent");
    add(&facts, "asked", trail->asked ? trail->asked : "");
    return write_record(trail, &facts, error);
}

void setup_trail_note(struct setup_trail *trail, enum setup_change change, const char *name)
{
    char *names = trail->names[change];
    size_t size = strlen(names);
    (void)snprintf(names + size, SETUP_TRAIL_NAMES_MAX - size, "%s%s", size > 0 ? " " : "", name);
}

void setup_trail_note_serial(struct setup_trail *trail, const char *owner, const char *serial)
{
    size_t size = strlen(trail->serials);
    (void)snprintf(trail->serials + size, sizeof(trail->serials) - size, "%s%s=%s", size > 0 ? " " : "", owner, serial);
}

int setup_trail_end(struct setup_trail *trail, int prefix_fd, const struct config *config, const struct error *failure,
        struct error *error)
{
    static const char *const titles[SETUP_CHANGE_COUNT] = {
            [SETUP_MADE] = "made", [SETUP_RENEWED] = "renewed", [SETUP_MENDED] = "mended"};
    struct facts facts;
    int r = 0;
    bool is_changed = false;
    for (size_t i = 0; i < SETUP_CHANGE_COUNT; i++)
        is_changed = is_changed || trail->names[i][0];
    if (is_changed)
        r = setup_trail_begin(trail, prefix_fd, config, error);
    if (r == 0 && trail->log) {
        begin(&facts, "setup", failure ? "failed" : "ok");
        add(&facts, "error", failure ? failure->text : "");
        for (size_t i = 0; i < SETUP_CHANGE_COUNT; i++)
            add(&facts, titles[i], trail->names[i]);
        add(&facts, "serials", trail->serials);
        r = write_record(trail, &facts, error);
    }
    audit_log_close(trail->log);
    trail->log = NULL;
    return r;
}
