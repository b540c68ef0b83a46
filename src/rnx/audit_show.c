/* rnx audit show */
#include <stdint.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"
#include "rnx/audit.h"
#include "rnx/output.h"
#include "rnx/rpc.h"

const char *audit_field(const Joblet__Ext__AuditRecord *record, const char *name)
{
    for (size_t i = 0; i < record->n_fields; i++)
        if (strcmp(record->fields[i]->name, name) == 0)
            return record->fields[i]->value;
    return "";
}

static void print_record(const Joblet__Ext__AuditRecord *record)
{
    for (size_t i = 0; i < record->n_fields; i++) {
        const Joblet__Ext__AuditField *field = record->fields[i];
        output_text(stdout, field->name);
        (void)fputs(": ", stdout);
        output_lines(stdout, field->value);
        (void)putchar('\n');
    }
}

static void print_answer(const struct rnx *rnx, const ProtobufCMessage *answer)
{
    const Joblet__Ext__AuditRecord *record = (const Joblet__Ext__AuditRecord *)answer;
    /* The line is what the chain of digests is made of: it stays as it is. */
    if (rnx->global.json)
        (void)puts(record->line);
    else
        print_record(record);
}

static int audit_show_run(const struct rnx *rnx, char **words, size_t count)
{
    (void)count;
    uint64_t sequence;
    if (text_parse_u64(words[0], INT64_MAX, &sequence) < 0)
        return rnx_fail_usage(&audit_show_verb,
                "invalid SEQUENCE \"%s\": want the number of a record, as 'rnx audit list' shows it", words[0]);
    Joblet__Ext__GetRecordRequest request;
    joblet__ext__get_record_request__init(&request);
    request.sequence = (int64_t)sequence;
    const struct rpc_question question = {"/joblet.ext.AuditService/GetRecord", &request.base,
            &joblet__ext__audit_record__descriptor, RPC_LONG_NS, "failed to show the record"};
    return rpc_ask(rnx, &question, print_answer);
}

const struct rnx_verb audit_show_verb = {
        .group = "audit",
        .name = "show",
        .arguments = "SEQUENCE",
        .summary = "Show a record of the audit log whole",
        .help = "SEQUENCE is the number of the record, as 'rnx audit list' shows it. With --json the record is printed "
                "as\n"
                "it stands in the log. Whether the log is as it was written says 'joblet audit verify' on the server.\n"
                "For administrators.\n"
                "\n"
                "Examples:\n"
                "  rnx audit show 1042\n"
                "  rnx audit show --json 1042 | jq .\n",
        .word_count = 1,
        .run = audit_show_run,
};
