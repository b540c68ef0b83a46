/* rnx runtime list */
#include <string.h>

#include "base/fd.h"
#include "joblet.pb-c.h"
#include "rnx/json.h"
#include "rnx/output.h"
#include "rnx/rpc.h"

#define COLUMN_COUNT 5
/* A column grows with its texts up to here: more than the longest version is not meant. */
#define WIDTH_MAX 256
#define DESCRIPTION_MAX 50

static const char *const titles[COLUMN_COUNT] = {"RUNTIME", "VERSION", "LANGUAGE", "SIZE", "DESCRIPTION"};

/* One row's texts; the last one is not padded. */
struct row {
    const char *cells[COLUMN_COUNT];
    char size[OUTPUT_SIZE_MAX];
};

static void row_fill(struct row *row, const Joblet__RuntimeInfo *runtime)
{
    output_format_size_tight(runtime->size_bytes, row->size);
    row->cells[0] = runtime->name;
    row->cells[1] = runtime->version;
    row->cells[2] = *runtime->language ? runtime->language : "-";
    row->cells[3] = row->size;
    row->cells[4] = runtime->description;
}

static void widen(int widths[COLUMN_COUNT], const char *const cells[COLUMN_COUNT])
{
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        size_t size = strlen(cells[i]);
        if (size > (size_t)widths[i])
            widths[i] = size < WIDTH_MAX ? (int)size : WIDTH_MAX;
    }
}

static void print_description(const char *text)
{
    size_t size = strlen(text);
    bool cut = size > DESCRIPTION_MAX;
    output_bytes(stdout, text, cut ? output_cut_size(text, DESCRIPTION_MAX - 3) : size);
    (void)puts(cut ? "..." : "");
}

static void print_row(const int widths[COLUMN_COUNT], const char *const cells[COLUMN_COUNT])
{
    for (size_t i = 0; i < COLUMN_COUNT - 1; i++) {
        size_t size = strlen(cells[i]);
        int blanks = (size < (size_t)widths[i] ? widths[i] - (int)size : 0) + 2;
        output_text(stdout, cells[i]);
        (void)printf("%*s", blanks, "");
    }
    print_description(cells[COLUMN_COUNT - 1]);
}

static void print_dashes(const int widths[COLUMN_COUNT])
{
    static const char *const dashes[COLUMN_COUNT] = {"-------", "-------", "--------", "----", "-----------"};
    print_row(widths, dashes);
}

static void print_table(const Joblet__ListRuntimesResponse *answer)
{
    if (answer->n_runtimes == 0) {
        (void)puts("No runtimes available.\n\nTo build runtimes, use: rnx runtime build <path-to-runtime.yaml>");
        return;
    }
    int widths[COLUMN_COUNT] = {0};
    struct row row;
    widen(widths, titles);
    for (size_t i = 0; i < answer->n_runtimes; i++) {
        row_fill(&row, answer->runtimes[i]);
        widen(widths, row.cells);
    }
    print_row(widths, titles);
    print_dashes(widths);
    for (size_t i = 0; i < answer->n_runtimes; i++) {
        row_fill(&row, answer->runtimes[i]);
        print_row(widths, row.cells);
    }
    (void)puts("\nUse 'rnx runtime info <runtime>' for detailed information about a specific runtime.");
}

static void print_json_runtime(struct json *json, const Joblet__RuntimeInfo *runtime)
{
    char size[OUTPUT_SIZE_MAX];
    output_format_size_tight(runtime->size_bytes, size);
    json_begin_object(json);
    json_put_text(json, "id", runtime->name);
    json_put_text(json, "language", runtime->language);
    json_put_text(json, "version", runtime->version);
    json_put_text(json, "name", runtime->name);
    json_put_text(json, "description", runtime->description);
    json_put_integer(json, "size_bytes", runtime->size_bytes);
    json_put_text(json, "size", size);
    json_put_texts_set(json, "packages", runtime->packages, runtime->n_packages);
    json_put_bool(json, "available", runtime->available);
    json_end_object(json);
}

static void print_json(const Joblet__ListRuntimesResponse *answer)
{
    struct json json;
    json_init(&json, stdout, /* compact= */ false);
    json_begin_list(&json);
    for (size_t i = 0; i < answer->n_runtimes; i++)
        print_json_runtime(&json, answer->runtimes[i]);
    json_end_list(&json);
    json_done(&json);
}

static void print_answer(const struct rnx *rnx, const ProtobufCMessage *answer)
{
    if (rnx->global.json)
        print_json((const Joblet__ListRuntimesResponse *)answer);
    else
        print_table((const Joblet__ListRuntimesResponse *)answer);
}

static int runtime_list_run(const struct rnx *rnx, char **words, size_t count)
{
    (void)words;
    (void)count;
    Joblet__EmptyRequest request;
    joblet__empty_request__init(&request);
    const struct rpc_question question = {"/joblet.RuntimeService/ListRuntimes", &request.base,
            &joblet__list_runtimes_response__descriptor, RPC_LONG_NS, "failed to list runtimes"};
    return rpc_ask(rnx, &question, print_answer);
}

const struct rnx_verb runtime_list_verb = {
        .group = "runtime",
        .name = "list",
        .arguments = "",
        .summary = "List the runtimes that jobs can use",
        .help = "One line for each version of a runtime.\n"
                "\n"
                "Examples:\n"
                "  rnx runtime list\n"
                "  rnx runtime list --json | jq -r '.[] | .name + \"@\" + .version'\n",
        .run = runtime_list_run,
};
