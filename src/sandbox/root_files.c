#include "sandbox/root_files.h"

#include <stdio.h>

#include "sandbox/sandbox.h"

void root_files_hosts(const struct sandbox *sandbox, char *ret_text, size_t size)
{
    (void)snprintf(ret_text, size, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.0.1 %s\n",
            sandbox->host_name);
}

void root_files_hostname(const struct sandbox *sandbox, char *ret_text, size_t size)
{
    (void)snprintf(ret_text, size, "%s\n", sandbox->host_name);
}

void root_files_resolvers(const struct sandbox *sandbox, char *ret_text, size_t size)
{
    const struct plan_network *network = &sandbox->plan.network;
    size_t used = 0;
    if (!network->is_set) {
        (void)snprintf(ret_text, size, "# This job has no network but its loopback.\n");
        return;
    }
    ret_text[0] = '\0';
    if (network->search[0])
        used = (size_t)snprintf(ret_text, size, "%s\n", network->search);
    for (unsigned i = 0; i < network->resolver_count && used < size; i++)
        used += (size_t)snprintf(ret_text + used, size - used, "nameserver %s\n", network->resolvers[i]);
}
