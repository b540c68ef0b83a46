/* rnx nodes: the nodes of the configuration. Makes no connection; shows neither certificates nor keys. */
#include <stdio.h>
#include <string.h>

#include "rnx/json.h"
#include "rnx/output.h"
#include "rnx/rnx.h"
#include "rnx/rnxconfig.h"
#include "rnx/rpc.h"

static void print_json(const struct rnxconfig *config, const struct rnxconfig_node *chosen)
{
    struct json json;
    json_init(&json, stdout, /* compact= */ false);
    json_begin_list(&json);
    for (size_t i = 0; i < config->node_count; i++) {
        const struct rnxconfig_node *node = &config->nodes[i];
        json_begin_object(&json);
        json_put_text(&json, "name", node->name);
        json_put_text(&json, "address", node->address);
        json_put_text_set(&json, "nodeId", node->node_id);
        json_put_text(&json, "status", "active");
        json_put_bool(&json, "default", node == chosen);
        json_end_object(&json);
    }
    json_end_list(&json);
    json_done(&json);
}

static void print_line(const char *label, const char *value)
{
    (void)printf("   %-9s", label);
    output_text(stdout, *value ? value : "-");
    (void)putchar('\n');
}

static void print_text(const struct rnxconfig *config, const struct rnxconfig_node *chosen)
{
    const struct rnxconfig_node *other = NULL;
    (void)puts("Available nodes from configuration:\n");
    for (size_t i = 0; i < config->node_count; i++) {
        const struct rnxconfig_node *node = &config->nodes[i];
        (void)fputs(node == chosen ? "* " : "  ", stdout);
        output_text(stdout, node->name);
        (void)putchar('\n');
        print_line("Address:", node->address);
        print_line("Node ID:", node->node_id);
        print_line("Cert:", *node->cert ? "***" : "");
        print_line("Key:", *node->key ? "***" : "");
        print_line("CA:", *node->ca ? "***" : "");
        (void)putchar('\n');
        if (node != chosen && !other)
            other = node;
    }
    (void)puts("Usage examples:");
    if (chosen)
        (void)printf("  rnx job list                    # uses '%s' node (default)\n", chosen->name);
    if (other)
        (void)printf("  rnx --node=%s job list         # uses '%s' node\n", other->name, other->name);
}

static int nodes_run(const struct rnx *rnx, char **words, size_t count)
{
    (void)words;
    (void)count;
    struct rnxconfig config;
    if (!rpc_load_config(rnx, &config))
        return RNX_EXIT_FAILED;
    /* A configuration without a default is a valid one: each call then names its node. */
    const struct rnxconfig_node *chosen = NULL;
    struct rnx_error error = {0};
    (void)rnxconfig_select(&config, "", &chosen, &error);
    if (rnx->global.json)
        print_json(&config, chosen);
    else
        print_text(&config, chosen);
    rnxconfig_done(&config);
    return RNX_EXIT_OK;
}

const struct rnx_verb nodes_verb = {
        .name = "nodes",
        .arguments = "",
        .summary = "List the nodes of the client configuration",
        .help = "The node with the asterisk is used when --node is not given. No connection is made.\n",
        .run = nodes_run,
};
