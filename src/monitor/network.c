/* Network interfaces from /proc/net/dev, with their addresses. Left out are loopback and those that belong to
 * containers and virtual machines. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "monitor/message.h"
#include "monitor/sample.h"

struct interface {
    char name[SAMPLE_NAME_MAX];
    uint64_t received, received_packets, received_errors, received_drops;
    uint64_t sent, sent_packets, sent_errors, sent_drops;
};

static bool is_hidden(const char *name)
{
    static const char *const hidden[] = {"veth", "br-", "virbr", "tap", "tun"};
    for (size_t i = 0; i < ELEMENTS(hidden); i++)
        if (strncmp(name, hidden[i], strlen(hidden[i])) == 0)
            return true;
    return strcmp(name, "lo") == 0;
}

/* "  eth0: 1 2 3 4 5 6 7 8  1 2 3 4 ..."; the two lines of headings have no colon behind a name. */
static bool parse_line(const char *line, struct interface *ret_interface)
{
    *ret_interface = (struct interface){0};
    const char *colon = strrchr(line, ':');
    line += strspn(line, " ");
    if (!colon || colon <= line || (size_t)(colon - line) >= sizeof(ret_interface->name))
        return false;
    memcpy(ret_interface->name, line, (size_t)(colon - line));
    return sscanf(colon + 1,
                   "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %*u %*u %*u %*u %" SCNu64 " %" SCNu64 " %" SCNu64
                   " %" SCNu64,
                   &ret_interface->received, &ret_interface->received_packets, &ret_interface->received_errors,
                   &ret_interface->received_drops, &ret_interface->sent, &ret_interface->sent_packets,
                   &ret_interface->sent_errors, &ret_interface->sent_drops) == 8;
}

static int fill_mac(const struct monitor *monitor, const char *name, Joblet__NetworkMetrics *network)
{
    char path[SAMPLE_NAME_MAX + 16];
    _cleanup_free_ char *text = NULL;
    size_t size;
    (void)snprintf(path, sizeof(path), "%s/address", name);
    if (monitor->sys_net_fd < 0 || fd_read_file_at(monitor->sys_net_fd, path, 4096, &text, &size) < 0)
        return 0;
    text[strcspn(text, "\n")] = '\0';
    /* Interfaces without a link layer (tunnels) have an address of zeros or none. */
    if (text[strspn(text, "0:")] == '\0')
        return 0;
    return message_set_text(&network->mac_address, text);
}

static void fill_flow(struct monitor *monitor, const struct interface *interface, Joblet__NetworkMetrics *network)
{
    struct flow *flow = &monitor->now->interfaces[monitor->now->interface_count++];
    *flow = (struct flow){.in = interface->received, .out = interface->sent};
    memcpy(flow->name, interface->name, sizeof(flow->name));
    static const struct flow none;
    const struct flow *before =
            sample_find_flow(monitor->before->interfaces, monitor->before->interface_count, interface->name);
    before = before ? before : &none;
    network->receive_rate = sample_rate(monitor, flow->in, before->in);
    network->transmit_rate = sample_rate(monitor, flow->out, before->out);
}

static int add_interface(struct monitor *monitor, const struct interface *interface, const struct address addresses[],
        int address_count, Joblet__SystemStatusResponse *status)
{
    Joblet__NetworkMetrics *network =
            MESSAGE_ADD(status, networks, Joblet__NetworkMetrics, joblet__network_metrics__init);
    if (!network)
        return -ENOMEM;
    network->bytes_received = (int64_t)interface->received;
    network->bytes_sent = (int64_t)interface->sent;
    network->packets_received = (int64_t)interface->received_packets;
    network->packets_sent = (int64_t)interface->sent_packets;
    network->errors_in = (int64_t)interface->received_errors;
    network->errors_out = (int64_t)interface->sent_errors;
    network->drops_in = (int64_t)interface->received_drops;
    network->drops_out = (int64_t)interface->sent_drops;
    fill_flow(monitor, interface, network);
    int r = message_set_text(&network->interface, interface->name);
    if (r == 0)
        r = fill_mac(monitor, interface->name, network);
    for (int i = 0; r == 0 && i < address_count; i++)
        if (strcmp(addresses[i].interface, interface->name) == 0)
            r = message_add_text(&network->ip_addresses, &network->n_ip_addresses, addresses[i].text);
    return r;
}

int network_read(struct monitor *monitor, Joblet__SystemStatusResponse *status, struct error *error)
{
    _cleanup_free_ char *text = NULL;
    _cleanup_free_ struct address *addresses = calloc(MONITOR_ADDRESSES_MAX, sizeof(*addresses));
    size_t size;
    int r = addresses ? fd_read_file_at(monitor->proc_fd, "net/dev", 4U << 20, &text, &size) : -ENOMEM;
    if (r < 0)
        return error_errno(error, -r, "read network figures");
    int address_count = address_list(monitor, addresses, MONITOR_ADDRESSES_MAX);
    monitor->now->interface_count = 0;
    char *rest = NULL;
    for (const char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        struct interface interface;
        if (!parse_line(line, &interface) || is_hidden(interface.name) ||
                monitor->now->interface_count == MONITOR_INTERFACES_MAX)
            continue;
        r = add_interface(monitor, &interface, addresses, address_count, status);
        if (r < 0)
            return error_errno(error, -r, "read network figures");
    }
    return 0;
}
