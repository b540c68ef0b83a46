/* The session keyring of a sandbox. The kernel does not say whose a keyring is, only which there are: one that has one
 * of its own has made one. Somebody else's that comes at the same moment is taken for it; nobody's is missed. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "verify/run.h"

#define KEYS_MAX (1U << 20)
#define SERIAL_SIZE 8U

char *look_take_keyrings(void)
{
    char *text = NULL;
    return fd_read_file_at(AT_FDCWD, "/proc/keys", KEYS_MAX, &text, NULL) < 0 ? NULL : text;
}

/* "SERIAL FLAGS ... keyring   _ses: 1": the serial begins the line. */
static bool is_session(const char *line, size_t length)
{
    const char *name = memmem(line, length, " _ses", strlen(" _ses"));
    return length > SERIAL_SIZE && name && (name[5] == ':' || name[5] == '.');
}

static bool has_serial(const char *text, const char *serial)
{
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
        if (strncmp(line, serial, SERIAL_SIZE) == 0)
            return true;
    return false;
}

void look_at_keyrings(struct run *run, enum sandbox_kind kind, const char *before)
{
    const char *tried =
            kind == SANDBOX_JOB ? "a job: a session keyring of its own" : "a build: a session keyring of its own";
    char *now = look_take_keyrings();
    unsigned made = 0;
    for (const char *line = now; line && before && *line; line += strcspn(line, "\n"), line += *line == '\n')
        made += is_session(line, strcspn(line, "\n")) && !has_serial(before, line);
    if (!now || !before)
        report_add(&run->report, 3, REPORT_OUTSIDE, REPORT_LEFT_OUT, tried, "this kernel does not list its keyrings");
    else
        report_fact(&run->report, 3, REPORT_OUTSIDE, made > 0, tried, "%u made since it was asked for", made);
    free(now);
}
