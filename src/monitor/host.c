/* What the host is: names, system, addresses. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "monitor/message.h"
#include "monitor/sample.h"

const char *host_architecture(const char *machine)
{
    static const struct {
        const char *kernel;
        const char *go;
    } names[] = {
            {"x86_64", "amd64"},
            {"aarch64", "arm64"},
            {"i686", "386"},
            {"armv7l", "arm"},
            {"loongarch64", "loong64"},
    };
    for (size_t i = 0; i < ELEMENTS(names); i++)
        if (strcmp(names[i].kernel, machine) == 0)
            return names[i].go;
    return machine; /* riscv64, ppc64le, s390x are the same in both */
}

/* PRETTY_NAME="..." of os-release(5). */
static void parse_pretty_name(char *text, char *ret_os, size_t size)
{
    static const char key[] = "PRETTY_NAME=";
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, key, sizeof(key) - 1) != 0)
            continue;
        char *value = line + sizeof(key) - 1;
        size_t length = strlen(value);
        if (length >= 2 && (value[0] == '"' || value[0] == '\'') && value[length - 1] == value[0]) {
            value[length - 1] = '\0';
            value++;
        }
        ret_os[0] = '\0';
        (void)strncat(ret_os, value, size - 1);
    }
}

void host_read_os(const struct monitor_source *source, char *ret_os, size_t size)
{
    (void)strncpy(ret_os, "Linux", size);
    for (size_t i = 0; i < ELEMENTS(source->os_release); i++) {
        _cleanup_close_ int fd = open(source->os_release[i], O_RDONLY | O_CLOEXEC);
        char text[8192] = "";
        if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
            continue;
        parse_pretty_name(text, ret_os, size);
        return;
    }
}

/* A host behind the addresses of its interfaces: each once. */
static int gather_addresses(const Joblet__SystemStatusResponse *status, Joblet__HostInfo *host)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < status->n_networks; i++) {
        const Joblet__NetworkMetrics *network = status->networks[i];
        for (size_t j = 0; r == 0 && j < network->n_ip_addresses; j++)
            r = message_add_text(&host->server_ips, &host->n_server_ips, network->ip_addresses[j]);
        if (r == 0 && network->mac_address[0] != '\0')
            r = message_add_text(&host->mac_addresses, &host->n_mac_addresses, network->mac_address);
    }
    return r;
}

static int fill_texts(const struct monitor *monitor, Joblet__HostInfo *host)
{
    struct utsname names;
    char boot[TEXT_TIME_MAX];
    if (uname(&names) < 0)
        return -errno;
    text_format_time((int64_t)monitor->boot_unix_s * 1000000000LL, boot);
    int r = message_set_text(&host->hostname, names.nodename);
    if (r == 0)
        r = message_set_text(&host->os, monitor->os);
    if (r == 0)
        r = message_set_text(&host->kernel_version, names.release);
    if (r == 0)
        r = message_set_text(&host->architecture, host_architecture(names.machine));
    if (r == 0)
        r = message_set_text(&host->boot_time, boot);
    return r == 0 ? message_set_text(&host->node_id, monitor->node_id) : r;
}

int host_read(const struct monitor *monitor, Joblet__SystemStatusResponse *status, struct error *error)
{
    _cleanup_free_ char *uptime = NULL;
    size_t size;
    int r = fd_read_file_at(monitor->proc_fd, "uptime", 4096, &uptime, &size);
    if (r == 0) {
        status->host->uptime = strtoll(uptime, NULL, 10);
        r = fill_texts(monitor, status->host);
    }
    if (r == 0)
        r = gather_addresses(status, status->host);
    return r == 0 ? 0 : error_errno(error, -r, "read what the host is");
}
