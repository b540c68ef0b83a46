/* rnx job list */
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "joblet.pb-c.h"
#include "rnx/json.h"
#include "rnx/output.h"
#include "rnx/rpc.h"

/* Dashes up to here; a status or id of a later server may be longer than ours, but not the whole line. */
#define WIDTH_MAX 64
static const char dashes[] = "----------------------------------------------------------------";

struct widths {
    int id;
    int node;
    int status;
};

static int wider(int width, const char *text)
{
    size_t size = strlen(text);
    if (size > WIDTH_MAX)
        size = WIDTH_MAX;
    return (int)size > width ? (int)size : width;
}

static int capped(int width, int cap)
{
    return width > cap ? cap : width;
}

static const char *node_id(const Joblet__Job *job)
{
    return *job->node_id ? job->node_id : "-";
}

static struct widths table_widths(const Joblet__Jobs *jobs)
{
    struct widths widths = {(int)strlen("ID"), (int)strlen("NODE ID"), (int)strlen("STATUS")};
    for (size_t i = 0; i < jobs->n_jobs; i++) {
        widths.id = wider(widths.id, jobs->jobs[i]->uuid);
        widths.node = wider(widths.node, node_id(jobs->jobs[i]));
        widths.status = wider(widths.status, jobs->jobs[i]->status);
    }
    widths.id = capped(widths.id + 2, 38);
    widths.node = capped(widths.node + 2, 38);
    widths.status = capped(widths.status + 2, WIDTH_MAX);
    return widths;
}

static void print_cell(const char *text, int width)
{
    output_text(stdout, text);
    int blanks = width - (int)strlen(text);
    (void)printf("%*s", blanks > 0 ? blanks + 1 : 1, "");
}

static void print_row(const Joblet__Job *job, const struct widths *widths, bool colour)
{
    char start[OUTPUT_TIME_MAX];
    bool scheduled = strcmp(job->status, "SCHEDULED") == 0 && *job->scheduled_time;
    output_format_time(scheduled ? job->scheduled_time : job->start_time, /* zone= */ false, "N/A", start);
    _cleanup_free_ char *joined = output_join_command(job->command, job->args, job->n_args);
    _cleanup_free_ char *command = joined ? output_shorten_command(joined) : NULL;
    print_cell(job->uuid, widths->id);
    print_cell(node_id(job), widths->node);
    output_status(stdout, job->status, colour, widths->status);
    (void)putchar(' ');
    print_cell(start, 19);
    output_text(stdout, command ? command : job->command);
    (void)putchar('\n');
}

static void print_table(const Joblet__Jobs *jobs, bool colour)
{
    if (jobs->n_jobs == 0) {
        (void)puts("No jobs found");
        return;
    }
    struct widths widths = table_widths(jobs);
    (void)printf("%-*s %-*s %-*s %-19s %s\n", widths.id, "ID", widths.node, "NODE ID", widths.status, "STATUS",
            "START TIME", "COMMAND");
    (void)printf("%.*s %.*s %.*s %.19s %.7s\n", widths.id, dashes, widths.node, dashes, widths.status, dashes, dashes,
            dashes);
    for (size_t i = 0; i < jobs->n_jobs; i++)
        print_row(jobs->jobs[i], &widths, colour);
}

static void print_json_job(struct json *json, const Joblet__Job *job)
{
    json_begin_object(json);
    json_put_text(json, "id", job->uuid);
    json_put_text_set(json, "node_id", job->node_id);
    json_put_text(json, "status", job->status);
    json_put_text(json, "start_time", job->start_time);
    json_put_text_set(json, "end_time", job->end_time);
    json_put_text(json, "command", job->command);
    json_put_texts_set(json, "args", job->args, job->n_args);
    json_put_integer_set(json, "exit_code", job->exit_code);
    json_put_integer_set(json, "max_cpu", job->max_cpu);
    json_put_integer_set(json, "max_memory", job->max_memory);
    json_put_integer_set(json, "max_iobps", job->max_io_bps);
    json_put_text_set(json, "cpu_cores", job->cpu_cores);
    json_put_text_set(json, "scheduled_time", job->scheduled_time);
    json_put_integer_set(json, "max_processes", job->max_processes);
    json_put_text_set(json, "timeout", job->timeout);
    json_put_text_set(json, "end_reason", job->end_reason);
    json_put_integer_set(json, "end_signal", job->end_signal);
    json_put_text_set(json, "error", job->error);
    json_end_object(json);
}

static void print_json(const Joblet__Jobs *jobs)
{
    struct json json;
    json_init(&json, stdout, /* compact= */ false);
    json_begin_list(&json);
    for (size_t i = 0; i < jobs->n_jobs; i++)
        print_json_job(&json, jobs->jobs[i]);
    json_end_list(&json);
    json_done(&json);
}

static void print_answer(const struct rnx *rnx, const ProtobufCMessage *answer)
{
    if (rnx->global.json)
        print_json((const Joblet__Jobs *)answer);
    else
        print_table((const Joblet__Jobs *)answer, rnx->colour);
}

static int job_list_run(const struct rnx *rnx, char **words, size_t count)
{
    (void)words;
    (void)count;
    Joblet__EmptyRequest request;
    joblet__empty_request__init(&request);
    const struct rpc_question question = {"/joblet.JobService/ListJobs", &request.base, &joblet__jobs__descriptor,
            RPC_SHORT_NS, "failed to list jobs"};
    return rpc_ask(rnx, &question, print_answer);
}

const struct rnx_verb job_list_verb = {
        .group = "job",
        .name = "list",
        .arguments = "",
        .summary = "List jobs",
        .help = "Examples:\n"
                "  rnx job list\n"
                "  rnx job list --json | jq -r '.[] | select(.status == \"RUNNING\") | .id'\n",
        .run = job_list_run,
};
