/* rnx config-help: what the configuration looks like and where it is searched. Works without one. */
#include <stdio.h>

#include "rnx/rnx.h"

static const char text[] =
        "rnx reads rnx-config.yml: the servers (nodes) that it may talk to, each with the certificates for it.\n"
        "\n"
        "Example:\n"
        "\n"
        "  version: \"3.0\"\n"
        "  nodes:\n"
        "    production:\n"
        "      address: \"192.0.2.10:50051\"\n"
        "      isDefault: true\n"
        "      cert: |\n"
        "        -----BEGIN CERTIFICATE-----\n"
        "        (your client certificate)\n"
        "        -----END CERTIFICATE-----\n"
        "      key: |\n"
        "        -----BEGIN PRIVATE KEY-----\n"
        "        (its private key)\n"
        "        -----END PRIVATE KEY-----\n"
        "      ca: |\n"
        "        -----BEGIN CERTIFICATE-----\n"
        "        (the certificate authority of the server)\n"
        "        -----END CERTIFICATE-----\n"
        "    test:\n"
        "      address: \"127.0.0.1:50051\"\n"
        "      cert: ...\n"
        "\n"
        "  address     host and port of the server; required\n"
        "  cert, key   client certificate and its key, PEM; the certificate says which role you have\n"
        "  ca          certificate authority of the server, PEM\n"
        "  isDefault   true for the node that is used without --node; at most one\n"
        "  nodeId      id of the server, only shown; optional\n"
        "\n"
        "Without isDefault the node called 'default' is used, or the only one.\n"
        "\n"
        "The first of these that exists is read, unless --config PATH is given:\n"
        "\n"
        "  1. $RNX_CONFIG\n"
        "  2. ./rnx-config.yml\n"
        "  3. ./config/rnx-config.yml\n"
        "  4. $HOME/.rnx/rnx-config.yml\n"
        "  5. /etc/joblet/rnx-config.yml\n"
        "  6. /opt/joblet/config/rnx-config.yml\n"
        "\n"
        "'joblet setup' on the server writes such a file: rnx-config.yml with a node for every role, and one\n"
        "rnx-config-ROLE.yml for each of admin, maintainer, developer and reader. Give each user only the file of\n"
        "the own role, over a safe channel:\n"
        "\n"
        "  mkdir -p ~/.rnx\n"
        "  scp root@server:/opt/joblet/config/rnx-config-developer.yml ~/.rnx/rnx-config.yml\n"
        "  chmod 600 ~/.rnx/rnx-config.yml\n"
        "  rnx nodes\n"
        "\n"
        "The file holds a private key: whoever can read it has your role. Keep it at mode 600 and out of version\n"
        "control.\n";

static int config_help_run(const struct rnx *rnx, char **words, size_t count)
{
    (void)rnx;
    (void)words;
    (void)count;
    (void)fputs(text, stdout);
    return RNX_EXIT_OK;
}

const struct rnx_verb config_help_verb = {
        .name = "config-help",
        .arguments = "",
        .summary = "Show what the client configuration looks like",
        .help = "",
        .run = config_help_run,
};
