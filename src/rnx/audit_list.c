/* rnx audit list */
#include <inttypes.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"
#include "rnx/audit.h"
#include "rnx/output.h"
#include "rnx/rpc.h"

#define LIMIT_MAX 1000

static struct audit_list_options {
    const char *since;
    const char *until;
    const char *job;
    const char *user;
    const char *action;
    const char *result;
    int32_t limit;
} list_options = {.since = "", .until = "", .job = "", .user = "", .action = "", .result = ""};

#define LIST_OPTION(NAME, KIND, FIELD, MAX, VALUE, HELP)                                                               \
    {                                                                                                                  \
        .name = NAME, .kind = KIND, .offset = offsetof(struct audit_list_options, FIELD), .max = MAX, .value = VALUE,  \
        .help = HELP                                                                                                   \
    }

static const struct rnx_option list_option_table[] = {
        LIST_OPTION("since", RNX_OPTION_TEXT, since, 0, "TIME",
                "not older: 2026-01-31, '2026-01-31 15:00', RFC 3339, or 2h ago"),
        LIST_OPTION("until", RNX_OPTION_TEXT, until, 0, "TIME", "not newer, in the same forms"),
        LIST_OPTION("job", RNX_OPTION_TEXT, job, 0, "UUID", "of this job or build; its beginning is enough"),
        LIST_OPTION("user", RNX_OPTION_TEXT, user, 0, "NAME", "of this client's certificate"),
        LIST_OPTION(
                "action", RNX_OPTION_TEXT, action, 0, "ACTION", "job.run, runtime.build; 'job.*' for all of a kind"),
        LIST_OPTION("result", RNX_OPTION_TEXT, result, 0, "RESULT", "intent, ok, failed, refused, cancelled"),
        LIST_OPTION("limit", RNX_OPTION_NUMBER, limit, LIMIT_MAX, "N", "the newest so many (default: 100)"),
};

static int read_when(const char *flag, const char *text, int64_t *ret_unix_ns)
{
    if (!*text || text_parse_when(text, ret_unix_ns) == 0)
        return RNX_EXIT_OK;
    return rnx_fail_usage(&audit_list_verb,
            "invalid value \"%s\" for --%s: want a time such as 2026-01-31, '2026-01-31 15:00', "
            "2026-01-31T15:00:00Z, or 2h for two hours ago",
            text, flag);
}

#define COLUMN_COUNT 6
/* A column grows with its texts up to here. */
#define WIDTH_MAX 40

static const char *const titles[COLUMN_COUNT] = {"SEQUENCE", "TIME", "ACTION", "RESULT", "USER", "JOB"};

struct row {
    const char *cells[COLUMN_COUNT];
    char sequence[24];
    char when[OUTPUT_TIME_MAX];
};

static void row_fill(struct row *row, const Joblet__Ext__AuditRecord *record)
{
    char when[TEXT_TIME_MAX];
    text_format_time(record->time, when);
    output_format_time(when, /* zone= */ false, "", row->when);
    (void)snprintf(row->sequence, sizeof(row->sequence), "%" PRId64, record->sequence);
    const char *const cells[COLUMN_COUNT] = {row->sequence, row->when, audit_field(record, "action"),
            audit_field(record, "result"), audit_field(record, "user"), audit_field(record, "job")};
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        row->cells[i] = *cells[i] ? cells[i] : "-";
}

static void widen(int widths[COLUMN_COUNT], const char *const cells[COLUMN_COUNT])
{
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        size_t size = strlen(cells[i]);
        if (size > (size_t)widths[i])
            widths[i] = size < WIDTH_MAX ? (int)size : WIDTH_MAX;
    }
}

static void print_row(const int widths[COLUMN_COUNT], const char *const cells[COLUMN_COUNT], const char *last)
{
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        size_t size = strlen(cells[i]);
        output_text(stdout, cells[i]);
        (void)printf("%*s", (size < (size_t)widths[i] ? widths[i] - (int)size : 0) + 2, "");
    }
    output_text(stdout, last);
    (void)putchar('\n');
}

/* Why it failed, or what was run. */
static const char *row_detail(const Joblet__Ext__AuditRecord *record)
{
    static const char *const names[] = {"error", "command", "runtime"};
    const char *value = "";
    for (size_t i = 0; i < ELEMENTS(names) && !*value; i++)
        value = audit_field(record, names[i]);
    return *value ? value : "-";
}

static void print_table(const Joblet__Ext__ListRecordsResponse *answer)
{
    if (answer->n_records == 0) {
        (void)puts("No records found");
        return;
    }
    int widths[COLUMN_COUNT] = {0};
    struct row row;
    widen(widths, titles);
    for (size_t i = 0; i < answer->n_records; i++) {
        row_fill(&row, answer->records[i]);
        widen(widths, row.cells);
    }
    print_row(widths, titles, "DETAIL");
    for (size_t i = 0; i < answer->n_records; i++) {
        row_fill(&row, answer->records[i]);
        print_row(widths, row.cells, row_detail(answer->records[i]));
    }
    if (answer->truncated)
        (void)fputs("\nOlder records match too: --limit shows more.\n", stdout);
}

/* Each record as it stands in the log. */
static void print_json(const Joblet__Ext__ListRecordsResponse *answer)
{
    (void)fputs("[", stdout);
    for (size_t i = 0; i < answer->n_records; i++)
        (void)printf("%s\n  %s", i > 0 ? "," : "", answer->records[i]->line);
    (void)puts(answer->n_records > 0 ? "\n]" : "]");
}

static void print_answer(const struct rnx *rnx, const ProtobufCMessage *answer)
{
    if (rnx->global.json)
        print_json((const Joblet__Ext__ListRecordsResponse *)answer);
    else
        print_table((const Joblet__Ext__ListRecordsResponse *)answer);
}

static int audit_list_run(const struct rnx *rnx, char **words, size_t count)
{
    (void)words;
    (void)count;
    Joblet__Ext__ListRecordsRequest request;
    joblet__ext__list_records_request__init(&request);
    int status = read_when("since", list_options.since, &request.since);
    if (status == RNX_EXIT_OK)
        status = read_when("until", list_options.until, &request.until);
    if (status != RNX_EXIT_OK)
        return status;
    request.job = rpc_borrow(list_options.job);
    request.user = rpc_borrow(list_options.user);
    request.action = rpc_borrow(list_options.action);
    request.result = rpc_borrow(list_options.result);
    request.limit = list_options.limit;
    const struct rpc_question question = {"/joblet.ext.AuditService/ListRecords", &request.base,
            &joblet__ext__list_records_response__descriptor, RPC_LONG_NS, "failed to list the audit log"};
    return rpc_ask(rnx, &question, print_answer);
}

const struct rnx_verb audit_list_verb = {
        .group = "audit",
        .name = "list",
        .arguments = "[flags]",
        .summary = "List records of the audit log",
        .help = "One line for each record, the newest last. What a client asked for has a record before it is done "
                "(intent)\n"
                "and one when it is (its result); what is refused has one. With --json each record is printed as it\n"
                "stands in the log. For administrators.\n"
                "\n"
                "Examples:\n"
                "  rnx audit list --since=24h --result=refused\n"
                "  rnx audit list --action=runtime.build --limit=5\n"
                "  rnx audit list --job=1b4e28ba --json | jq -r '.[] | .action'\n",
        .options = list_option_table,
        .option_count = ELEMENTS(list_option_table),
        .target = &list_options,
        .run = audit_list_run,
};
