/* Attempts to get out of a job, of the program of docs/ESCAPES.md: those that are safe on a host in use. The rule: an
 * attempt is made here when its success would show, and would change nothing that outlives the job. So not: what loads
 * a module, sets a clock, ends the host, takes what the whole machine shares, or changes a file.
 *
 * There are no uploads: the program travels as arguments, packed, and is unpacked by the job. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"
#include "verify/escapes.h"
#include "verify/run.h"

#define PACKED_MAX (1U << 20)
#define PIECE 120000U
#define PIECES_MAX (PACKED_MAX / PIECE + 1)

const struct escape escapes[] = {
        {"F01", 4},
        {"F02", 2},
        {"F05", 3},
        {"F06", 3},
        {"F07", 3},
        {"F08", 3},
        {"F09", 3},
        {"F10", 3},
        {"F11", 3},
        {"F12", 3},
        {"F13", 2},
        {"F14", 3},
        {"F22", 2},
        {"F23", 2},
        {"F24", 2},
        {"F25", 2},
        {"F26", 3},
        {"K01", 2},
        {"K02", 2},
        {"K03", 2},
        {"K04", 2},
        {"K05", 2},
        {"K10", 2},
        {"K11", 2},
        {"K12", 2},
        {"K13", 2},
        {"K18", 2},
        {"K20", 2},
        {"K21", 2},
        {"K22", 2},
        {"K26", 2},
        {"K29", 2},
        {"K30", 2},
        {"K31", 3},
        {"P01", 3},
        {"P04", 3},
        {"P05", 3},
        {"P06", 3},
        {"P07", 3},
        {"P11", 3},
        {"P12", 3},
        {"P13", 3},
        {"N01", 2},
        {"N03", 2},
        {"N04", 2},
        {"N05", 2},
        {"N06", 3},
        {"N08", 3},
        {"N10", 3},
        {"N11", 3},
        {"N13", 2},
        {"R01", 2},
        {"R02", 3},
        {"R03", 3},
        {"R04", 3},
        {"R05", 2},
        {"R09", 2},
        {"R10", 3},
        {"R12", 2},
        {"R13", 2},
        {"R14", 2},
        {"R16", 3},
};
const size_t escape_count = ELEMENTS(escapes);

/* "ok P3 NAME: SEEN" or "ESCAPED P3 NAME: SEEN" at @line. */
bool escape_parse(const char *line, const char *name, bool *ret_refused, char ret_seen[REPORT_TEXT_MAX])
{
    static const char *const words[] = {"ok ", "ESCAPED "};
    for (unsigned i = 0; i < ELEMENTS(words); i++) {
        size_t length = strlen(words[i]);
        if (strncmp(line, words[i], length) != 0)
            continue;
        const char *rest = line + length + strcspn(line + length, " \n");
        if (*rest++ != ' ' || strncmp(rest, name, strlen(name)) != 0 || strncmp(rest + strlen(name), ": ", 2) != 0)
            return false;
        rest += strlen(name) + 2;
        (void)snprintf(ret_seen, REPORT_TEXT_MAX, "%.*s", (int)strcspn(rest, "\n"), rest);
        *ret_refused = i == 0;
        return true;
    }
    return false;
}

/* What the program's list says of @number, "NUMBER<tab>PROMISE<tab>NAME<tab>MECHANISM". */
static bool find_listed(const char *list, const char *number, char ret_name[64], char ret_mechanism[REPORT_TEXT_MAX])
{
    for (const char *line = list; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        if (strncmp(line, number, strlen(number)) != 0 || line[strlen(number)] != '\t')
            continue;
        return sscanf(line, "%*[^\t]\t%*[^\t]\t%63[^\t\n]\t%239[^\n]", ret_name, ret_mechanism) == 2;
    }
    return false;
}

static void report_escape(struct run *run, const struct escape *escape, const char *output)
{
    char name[64];
    char mechanism[REPORT_TEXT_MAX] = "";
    char tried[REPORT_TEXT_MAX];
    char seen[REPORT_TEXT_MAX] = "";
    bool refused = false;
    bool found = false;
    (void)snprintf(tried, sizeof(tried), "%.3s", escape->number);
    if (find_listed(output, escape->number, name, mechanism)) {
        (void)snprintf(tried, sizeof(tried), "%.3s %.200s", escape->number, mechanism);
        /* The first answer counts: what a sandbox adds behind it does not. */
        for (const char *line = output; *line && !found; line += strcspn(line, "\n"), line += *line == '\n')
            found = escape_parse(line, name, &refused, seen);
    }
    report_add(&run->report, escape->promise, REPORT_ESCAPE,
            !found    ? REPORT_UNABLE
            : refused ? REPORT_KEPT
                      : REPORT_BROKEN,
            tried, "%s", found ? seen : "the attempt gave no answer");
}

static void give_up(struct run *run, const char *why)
{
    for (unsigned promise = 2; promise <= 3; promise++)
        report_add(&run->report, promise, REPORT_ESCAPE, REPORT_UNABLE, "attempts to get out of a job", "%.200s", why);
}

/* The last pieces are the packed program. */
static void try_all(struct run *run, const char *packed, size_t size)
{
    char script[1024] = "echo joblet-verify-id $JOB_ID; printf %s \"$@\" | base64 -d | gzip -dc >/tmp/escapes && "
                        "chmod 755 /tmp/escapes && cd /tmp && ./escapes --list && ./escapes";
    static char pieces[PIECES_MAX][PIECE + 1];
    const char *words[16 + PIECES_MAX] = {"job", "run", "--follow", "--timeout", "50s", "sh", "-c", script, "sh"};
    size_t count = 9;
    struct client client;
    struct error error = {0};
    char job[RUN_JOB_MAX];
    for (size_t i = 0; i < escape_count; i++) {
        size_t used = strlen(script);
        (void)snprintf(script + used, sizeof(script) - used, " %.3s", escapes[i].number);
    }
    for (size_t i = 0; i * PIECE < size; i++) {
        (void)snprintf(pieces[i], sizeof(pieces[i]), "%.*s", (int)PIECE, packed + i * PIECE);
        words[count++] = pieces[i];
    }
    int status = run_rnx(run, words, &client, &error);
    if (status < CLIENT_ENDED || !client.output || !strstr(client.output, "F01\t"))
        give_up(run, client_why(&client, status, &error));
    else
        for (size_t i = 0; i < escape_count; i++)
            report_escape(run, &escapes[i], client.output);
    const char *at = client.output ? strstr(client.output, "joblet-verify-id ") : NULL;
    if (at && snprintf(job, sizeof(job), "%.36s", at + strlen("joblet-verify-id ")) > 0)
        (void)run_delete_job(run, job);
    client_done(&client);
}

void verify_escapes(struct run *run)
{
    char *packed = NULL;
    size_t size = 0;
    if (fd_read_file_at(AT_FDCWD, run->escapes, PACKED_MAX, &packed, &size) < 0)
        give_up(run, "the program of attempts is not installed");
    else
        try_all(run, packed, size);
    free(packed);
}
