/* The client's configuration file: which nodes there are, and with which certificates to talk to them.
 *
 *     version: "3.0"
 *     nodes:
 *       NAME:
 *         address: "HOST:PORT"
 *         nodeId: "UUID"
 *         isDefault: true
 *         cert: | ...
 *         key: | ...
 *         ca: | ...
 *
 * Keys that are not known are ignored, because the same file is read by other clients. A file is read as a YAML
 * document of bounded size; aliases are not expanded, so that a small file cannot become a large one. The key is a
 * secret: no error text quotes a value. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct rnx_error;

#define RNXCONFIG_SIZE_MAX ((size_t)1 << 20)
#define RNXCONFIG_NODES_MAX 1024
#define RNXCONFIG_PATH_MAX 4096

/* All texts are owned; those that the file does not have are "". */
struct rnxconfig_node {
    char *name;
    char *address;
    char *node_id;
    char *cert;
    char *key;
    char *ca;
    bool is_default;
};

struct rnxconfig {
    struct rnxconfig_node *nodes; /* in the order of their names */
    size_t node_count;
};

void rnxconfig_done(struct rnxconfig *config);

/* The path to read: @given when it is not "", else the first that exists of $RNX_CONFIG, ./rnx-config.yml,
 * ./config/rnx-config.yml, $HOME/.rnx/rnx-config.yml, /etc/joblet/rnx-config.yml, /opt/joblet/config/rnx-config.yml.
 * 0, or -ENOENT with @error. */
int rnxconfig_find(const char *given, char ret_path[RNXCONFIG_PATH_MAX], struct rnx_error *error);

/* Reads @text; @path is only for error texts. 0, or -EINVAL or -ENOMEM with @error. */
int rnxconfig_parse(
        const char *text, size_t size, const char *path, struct rnxconfig *ret_config, struct rnx_error *error);

/* Finds, reads and parses. 0, or -errno with @error. */
int rnxconfig_load(const char *given, struct rnxconfig *ret_config, struct rnx_error *error);

/* The node called @name; with "" the default: the one marked isDefault, else the one called "default", else the only
 * one. Borrowed from @config. 0, or -ENOENT with @error. */
int rnxconfig_select(const struct rnxconfig *config, const char *name, const struct rnxconfig_node **ret_node,
        struct rnx_error *error);
