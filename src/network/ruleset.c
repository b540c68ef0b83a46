#include "network/ruleset.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <nftables/libnftables.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "kernel/nftables.h"

/* The parameters of the texts: @N name, @I identity, @B bridge, @P a port's name before its number, @S subnet, and the
 * elements of the sets. */

/* Before the address is translated by anybody, and before connections are tracked: what a build may not ask for. */
static const char inet_text[] = "add table inet @N\n"
                                "delete table inet @N\n"
                                "table inet @N {\n"
                                "  comment \"@I\"\n"
                                "  set uplinks {\n    type ifname\n@U  }\n"
                                "  set switched {\n    type ifname\n@F  }\n"
                                "  set resolvers {\n    type ipv4_addr\n@R  }\n"
                                "  set nowhere {\n    type ipv4_addr\n    flags interval\n"
                                "    elements = { 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3, @S }\n  }\n"
                                "  chain arriving {\n"
                                "    type filter hook prerouting priority -310; policy accept;\n"
                                "    iifname != \"@B\" accept\n"
                                "    meta nfproto != ipv4 drop\n"
                                "    ip saddr != @S drop\n"
                                "    ip daddr @resolvers meta l4proto { tcp, udp } th dport 53 accept\n"
                                "    ip daddr @nowhere drop\n"
                                "    fib daddr type { local, broadcast, anycast, multicast } drop\n"
                                "  }\n"
                                "  chain to_host {\n"
                                "    type filter hook input priority -10; policy accept;\n"
                                "    iifname != \"@B\" accept\n"
                                "    ip daddr @resolvers meta l4proto { tcp, udp } th dport 53 accept\n"
                                "    drop\n"
                                "  }\n"
                                "  chain from_build {\n"
                                "    meta nfproto != ipv4 drop\n"
                                "    oifname \"@B\" drop\n"
                                "    ip daddr @resolvers meta l4proto { tcp, udp } th dport 53 accept\n"
                                "    meta oifkind { \"bridge\", \"veth\" } oifname != @uplinks drop\n"
                                "    ip daddr @nowhere drop\n"
                                "    accept\n"
                                "  }\n"
                                "  chain to_build {\n"
                                "    meta nfproto ipv4 ct state established,related accept\n"
                                "    drop\n"
                                "  }\n"
                                "  chain forwarded {\n"
                                "    type filter hook forward priority -10; policy accept;\n"
                                "    iifname \"@B\" goto from_build\n"
                                "    oifname \"@B\" goto to_build\n"
                                "    iifname @switched oifname != \"jb*\" drop\n"
                                "  }\n"
                                "  chain leaving {\n"
                                "    type nat hook postrouting priority 100; policy accept;\n"
                                "    ip saddr @S oifname != \"@B\" masquerade\n"
                                "  }\n"
                                "}\n";

/* Each port has one address, and speaks nothing but IPv4 and ARP. */
static const char bridge_text[] = "add table bridge @N\n"
                                  "delete table bridge @N\n"
                                  "table bridge @N {\n"
                                  "  comment \"@I\"\n"
                                  "  set ports {\n    type ifname . ipv4_addr\n    elements = { @E }\n  }\n"
                                  "  chain of_build {\n"
                                  "    ether type ip iifname . ip saddr @ports accept\n"
                                  "    ether type arp iifname . arp saddr ip @ports accept\n"
                                  "    drop\n"
                                  "  }\n"
                                  "  chain arriving {\n"
                                  "    type filter hook prerouting priority -300; policy accept;\n"
                                  "    iifname \"@P*\" jump of_build\n"
                                  "  }\n"
                                  "}\n";

struct writer {
    char *text;
    size_t used;
    size_t size;
    bool is_full;
};

static void __attribute__((format(printf, 2, 3))) put(struct writer *writer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(writer->text + writer->used, writer->size - writer->used, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= writer->size - writer->used)
        writer->is_full = true;
    else
        writer->used += (size_t)length;
}

static void put_uplinks(struct writer *writer, const struct survey *survey)
{
    const char *before = "    elements = { ";
    for (uint32_t i = 0; i < survey->link_count; i++)
        if (survey_is_way_out(&survey->links[i])) {
            put(writer, "%s\"%s\"", before, survey->links[i].name);
            before = ", ";
        }
    if (before[0] == ',')
        put(writer, " }\n");
}

static void put_switched(struct writer *writer, const char *names)
{
    const char *before = "    elements = { ";
    while (*names != '\0') {
        size_t length = strcspn(names, " ");
        put(writer, "%s\"%.*s\"", before, (int)length, names);
        before = ", ";
        names += length;
        names += strspn(names, " ");
    }
    if (before[0] == ',')
        put(writer, " }\n");
}

static void put_resolvers(struct writer *writer, const struct resolvers *resolvers)
{
    put(writer, "    elements = { ");
    for (uint32_t i = 0; i < resolvers->count; i++) {
        char text[RANGE_TEXT_MAX];
        range_format_address(resolvers->addresses[i], text);
        bool is_again = false;
        for (uint32_t j = 0; j < i; j++)
            is_again |= resolvers->addresses[j] == resolvers->addresses[i];
        if (!is_again)
            put(writer, "%s%s", i == 0 ? "" : ", ", text);
    }
    put(writer, " }\n");
}

static void put_ports(struct writer *writer, const struct ruleset *ruleset, const struct ruleset_values *values)
{
    for (uint32_t i = 0; i < values->port_count; i++) {
        char text[RANGE_TEXT_MAX];
        range_format_address(values->network.address + 2 + i, text);
        put(writer, "%s\"%sp%u\" . %s", i == 0 ? "" : ", ", ruleset->bridge, i, text);
    }
}

/* @text with its parameters; "@" and a small letter is a set's name and stays. */
static void put_text(
        struct writer *writer, const char *text, const struct ruleset *ruleset, const struct ruleset_values *values)
{
    char subnet[RANGE_TEXT_MAX];
    range_format(&values->network, subnet);
    while (*text != '\0') {
        size_t length = strcspn(text, "@");
        put(writer, "%.*s", (int)length, text);
        text += length;
        if (*text == '\0')
            break;
        switch (text[1]) {
        case 'N':
            put(writer, "%s", ruleset->name);
            break;
        case 'I':
            put(writer, "%s", ruleset->identity);
            break;
        case 'B':
            put(writer, "%s", ruleset->bridge);
            break;
        case 'P':
            put(writer, "%sp", ruleset->bridge);
            break;
        case 'S':
            put(writer, "%s", subnet);
            break;
        case 'U':
            put_uplinks(writer, values->survey);
            break;
        case 'F':
            put_switched(writer, values->switched);
            break;
        case 'R':
            put_resolvers(writer, values->resolvers);
            break;
        case 'E':
            put_ports(writer, ruleset, values);
            break;
        default:
            put(writer, "@%c", text[1]);
            break;
        }
        text += 2;
    }
}

/* libnftables takes memory and milliseconds: only once there is something to do. */
static int open_library(struct ruleset *ruleset, struct error *error)
{
    if (ruleset->nft)
        return 0;
    struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!nft || nft_ctx_buffer_output(nft) != 0 || nft_ctx_buffer_error(nft) != 0) {
        if (nft)
            nft_ctx_free(nft);
        return error_text(error, ENOMEM, "libnftables cannot be started");
    }
    ruleset->nft = nft;
    return 0;
}

void ruleset_done(struct ruleset *ruleset)
{
    if (ruleset->nft)
        nft_ctx_free(ruleset->nft);
    free(ruleset->loaded);
    ruleset->nft = NULL;
    ruleset->loaded = NULL;
}

/* Runs @command; what nftables says against it goes into @error, its first line. */
static int run(struct ruleset *ruleset, const char *command, const char *what, struct error *error)
{
    int r = open_library(ruleset, error);
    if (r < 0 || nft_run_cmd_from_buffer(ruleset->nft, command) == 0)
        return r;
    const char *said = nft_ctx_get_error_buffer(ruleset->nft);
    if (!said)
        said = "";
    return error_text(error, EIO, "%s: nftables says '%.*s'", what, (int)strcspn(said, "\n"), said);
}

#define TABLES 2U
static const struct {
    const char *name;
    uint8_t number;
    int rules; /* of its text above. Not counted after loading: somebody may have flushed them by then */
} families[TABLES] = {{"inet", NFPROTO_INET, 21}, {"bridge", NFPROTO_BRIDGE, 4}};

/* Which of the tables are there and ours. 0; -EEXIST with @error: one has the name and is not ours, the others are
 * told; -errno with @error. */
static int find_tables(struct ruleset *ruleset, bool ret_found[TABLES], struct error *error)
{
    int result = 0;
    _cleanup_close_ int socket = nftables_open();
    if (socket < 0)
        return error_errno(error, -socket, "open a netfilter socket");
    for (size_t i = 0; i < TABLES; i++) {
        int r = nftables_find_table(socket, families[i].number, ruleset->name, ruleset->identity);
        ret_found[i] = r == 1;
        if (r == -EEXIST)
            result = error_text(error, EEXIST, "the table '%s %s' of nftables is not of this service", families[i].name,
                    ruleset->name);
        else if (r < 0)
            return error_errno(error, -r, "look for the table '%s %s' of nftables", families[i].name, ruleset->name);
    }
    return result;
}

int ruleset_is_intact(struct ruleset *ruleset)
{
    uint32_t generation;
    bool found[TABLES];
    _cleanup_close_ int socket = nftables_open();
    int r = socket < 0 ? socket : nftables_get_generation(socket, &generation);
    if (r < 0 || !ruleset->loaded)
        return r;
    if (generation == ruleset->generation)
        return 1;
    r = find_tables(ruleset, found, NULL);
    if (r < 0)
        return r == -EEXIST ? 0 : r;
    for (size_t i = 0; i < TABLES; i++)
        if (!found[i] || nftables_count_rules(socket, families[i].number, ruleset->name) != families[i].rules)
            return 0;
    ruleset->generation = generation;
    return 1;
}

int ruleset_load(struct ruleset *ruleset, const struct ruleset_values *values, struct error *error)
{
    bool found[TABLES];
    _cleanup_free_ char *text = malloc(RULESET_TEXT_MAX);
    if (!text)
        return error_errno(error, ENOMEM, "write the rules");
    struct writer writer = {.text = text, .size = RULESET_TEXT_MAX};
    put_text(&writer, inet_text, ruleset, values);
    put_text(&writer, bridge_text, ruleset, values);
    if (writer.is_full)
        return error_text(error, E2BIG, "the host has too many links for the rules of a build's network");
    int r = ruleset_is_intact(ruleset);
    if (r < 0)
        return error_errno(error, -r, "look at the rules");
    if (r == 1 && strcmp(ruleset->loaded, text) == 0)
        return 0;
    r = find_tables(ruleset, found, error);
    if (r == 0)
        r = run(ruleset, text, "load the rules", error);
    if (r < 0)
        return r;
    free(ruleset->loaded);
    ruleset->loaded = TAKE_PTR(text);
    ruleset->generation = RULESET_GENERATION_NONE; /* the next look counts, and knows it then */
    return 0;
}

int ruleset_unload(struct ruleset *ruleset, struct error *error)
{
    bool found[TABLES];
    char text[TABLES * 64] = "";
    size_t used = 0;
    int r = find_tables(ruleset, found, error);
    if (r < 0 && r != -EEXIST)
        return r;
    for (size_t i = 0; i < TABLES; i++)
        if (found[i])
            used += (size_t)snprintf(
                    text + used, sizeof(text) - used, "delete table %s %s\n", families[i].name, ruleset->name);
    r = used == 0 ? 0 : run(ruleset, text, "remove the tables", error);
    if (r == 0)
        ruleset_done(ruleset); /* its memory is not wanted while no build runs */
    return r;
}
