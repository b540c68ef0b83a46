#include "rnx/rnxconfig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

#include "base/fd.h"
#include "rnx/rnx.h"

static void rnxconfig_node_done(struct rnxconfig_node *node)
{
    free(node->name);
    free(node->address);
    free(node->node_id);
    free(node->cert);
    if (node->key)
        explicit_bzero(node->key, strlen(node->key));
    free(node->key);
    free(node->ca);
}

void rnxconfig_done(struct rnxconfig *config)
{
    for (size_t i = 0; i < config->node_count; i++)
        rnxconfig_node_done(&config->nodes[i]);
    free(config->nodes);
    *config = (struct rnxconfig){0};
}

/* A file that cannot be looked at (a directory of root's) counts as one that is not there. */
static bool file_exists(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0;
}

static bool path_fits(char path[RNXCONFIG_PATH_MAX], const char *directory, const char *name)
{
    int size = snprintf(path, RNXCONFIG_PATH_MAX, "%s%s", directory, name);
    return size > 0 && size < RNXCONFIG_PATH_MAX && file_exists(path);
}

int rnxconfig_find(const char *given, char ret_path[RNXCONFIG_PATH_MAX], struct rnx_error *error)
{
    char path[RNXCONFIG_PATH_MAX];
    if (*given) {
        if (!path_fits(path, "", given))
            return rnx_error_set(error, ENOENT, "client configuration file not found: %s", given);
        memcpy(ret_path, path, sizeof(path));
        return 0;
    }
    const char *home = getenv("HOME");
    const char *environment = getenv("RNX_CONFIG");
    const struct {
        const char *directory;
        const char *name;
    } places[] = {
            {environment ? environment : "", ""},
            {"", "./rnx-config.yml"},
            {"", "./config/rnx-config.yml"},
            {home ? home : "", home && *home ? "/.rnx/rnx-config.yml" : ""},
            {"", "/etc/joblet/rnx-config.yml"},
            {"", "/opt/joblet/config/rnx-config.yml"},
    };
    for (size_t i = 0; i < ELEMENTS(places); i++)
        if (path_fits(path, places[i].directory, places[i].name)) {
            memcpy(ret_path, path, sizeof(path));
            return 0;
        }
    return rnx_error_set(error, ENOENT,
            "client configuration file not found. Please create rnx-config.yml or specify path with --config");
}

/* Where in the text a node of the document begins, for errors. */
static size_t line_of(const yaml_node_t *node)
{
    return node->start_mark.line + 1;
}

static const char *scalar_text(const yaml_node_t *node)
{
    return (const char *)node->data.scalar.value;
}

/* "~", "null" and nothing at all, unquoted, mean that a key has no value. */
static bool scalar_is_null(const yaml_node_t *node)
{
    const char *text = scalar_text(node);
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

/* The value of @key in a mapping, or NULL. */
static yaml_node_t *mapping_find(yaml_document_t *document, const yaml_node_t *mapping, const char *key)
{
    for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start; pair < mapping->data.mapping.pairs.top; pair++) {
        const yaml_node_t *name = yaml_document_get_node(document, pair->key);
        if (name && name->type == YAML_SCALAR_NODE && strcmp(scalar_text(name), key) == 0)
            return yaml_document_get_node(document, pair->value);
    }
    return NULL;
}

static int scalar_dup(const yaml_node_t *node, const char *key, char **ret_text, struct rnx_error *error)
{
    if (node && node->type != YAML_SCALAR_NODE)
        return rnx_error_set(
                error, EINVAL, "failed to parse client config: line %zu: %s must be a text", line_of(node), key);
    const char *text = node && !scalar_is_null(node) ? scalar_text(node) : "";
    if (node && *text && strlen(text) != node->data.scalar.length)
        return rnx_error_set(
                error, EINVAL, "failed to parse client config: line %zu: %s has a NUL byte", line_of(node), key);
    *ret_text = strdup(text);
    return *ret_text ? 0 : rnx_error_set(error, ENOMEM, "out of memory");
}

static int scalar_bool(const yaml_node_t *node, const char *key, bool *ret_value, struct rnx_error *error)
{
    static const char *const words[2][7] = {
            {"false", "False", "FALSE", "no", "No", "off", "n"},
            {"true", "True", "TRUE", "yes", "Yes", "on", "y"},
    };
    *ret_value = false;
    if (!node || (node->type == YAML_SCALAR_NODE && scalar_is_null(node)))
        return 0;
    for (size_t value = 0; value < 2 && node->type == YAML_SCALAR_NODE; value++)
        for (size_t i = 0; i < ELEMENTS(words[value]); i++)
            if (strcmp(scalar_text(node), words[value][i]) == 0) {
                *ret_value = value == 1;
                return 0;
            }
    return rnx_error_set(
            error, EINVAL, "failed to parse client config: line %zu: %s must be true or false", line_of(node), key);
}

/* One entry of "nodes". @node is zeroed; what is filled on an error is freed with the configuration. */
static int node_parse(yaml_document_t *document, const yaml_node_t *name, const yaml_node_t *mapping,
        struct rnxconfig_node *node, struct rnx_error *error)
{
    int r = scalar_dup(name, "a node's name", &node->name, error);
    if (r < 0)
        return r;
    if (!mapping || mapping->type != YAML_MAPPING_NODE)
        return rnx_error_set(error, EINVAL, "failed to parse client config: line %zu: node '%s' must be a mapping",
                line_of(name), node->name);
    const struct {
        const char *key;
        char **text;
    } fields[] = {
            {"address", &node->address},
            {"nodeId", &node->node_id},
            {"cert", &node->cert},
            {"key", &node->key},
            {"ca", &node->ca},
    };
    for (size_t i = 0; i < ELEMENTS(fields); i++) {
        r = scalar_dup(mapping_find(document, mapping, fields[i].key), fields[i].key, fields[i].text, error);
        if (r < 0)
            return r;
    }
    return scalar_bool(mapping_find(document, mapping, "isDefault"), "isDefault", &node->is_default, error);
}

static int compare_nodes(const void *a, const void *b)
{
    return strcmp(((const struct rnxconfig_node *)a)->name, ((const struct rnxconfig_node *)b)->name);
}

static int nodes_parse(
        yaml_document_t *document, const yaml_node_t *mapping, struct rnxconfig *config, struct rnx_error *error)
{
    size_t count = (size_t)(mapping->data.mapping.pairs.top - mapping->data.mapping.pairs.start);
    if (count > RNXCONFIG_NODES_MAX)
        return rnx_error_set(error, EINVAL, "failed to parse client config: more than %d nodes", RNXCONFIG_NODES_MAX);
    config->nodes = calloc(count, sizeof(*config->nodes));
    if (!config->nodes)
        return rnx_error_set(error, ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        const yaml_node_pair_t *pair = &mapping->data.mapping.pairs.start[i];
        config->node_count = i + 1;
        int r = node_parse(document, yaml_document_get_node(document, pair->key),
                yaml_document_get_node(document, pair->value), &config->nodes[i], error);
        if (r < 0)
            return r;
    }
    qsort(config->nodes, count, sizeof(*config->nodes), compare_nodes);
    return 0;
}

/* Appends ", NAME" to a list of names in a text; what does not fit is left out. */
static void names_add(char *names, size_t size, const char *name)
{
    size_t used = strlen(names);
    (void)snprintf(names + used, size - used, "%s%s", used > 0 ? ", " : "", name);
}

static int nodes_check(const struct rnxconfig *config, const char *path, struct rnx_error *error)
{
    char names[1024] = "";
    size_t defaults = 0;
    for (size_t i = 0; i < config->node_count; i++) {
        if (i > 0 && strcmp(config->nodes[i].name, config->nodes[i - 1].name) == 0)
            return rnx_error_set(error, EINVAL, "failed to parse client config: node '%s' stands there twice",
                    config->nodes[i].name);
        if (!config->nodes[i].is_default)
            continue;
        defaults++;
        names_add(names, sizeof(names), config->nodes[i].name);
    }
    if (defaults > 1)
        return rnx_error_set(error, EINVAL,
                "multiple nodes marked with isDefault: true in %s: %s (only one node can be the default)", path, names);
    return 0;
}

static int document_parse(
        yaml_document_t *document, const char *path, struct rnxconfig *config, struct rnx_error *error)
{
    const yaml_node_t *root = yaml_document_get_root_node(document);
    if (root && root->type != YAML_MAPPING_NODE)
        return rnx_error_set(error, EINVAL, "failed to parse client config: line %zu: not a mapping", line_of(root));
    const yaml_node_t *nodes = root ? mapping_find(document, root, "nodes") : NULL;
    bool none = !nodes || (nodes->type == YAML_SCALAR_NODE && scalar_is_null(nodes)) ||
                (nodes->type == YAML_MAPPING_NODE && nodes->data.mapping.pairs.start == nodes->data.mapping.pairs.top);
    if (none)
        return rnx_error_set(error, EINVAL, "no nodes configured in %s", path);
    if (nodes->type != YAML_MAPPING_NODE)
        return rnx_error_set(
                error, EINVAL, "failed to parse client config: line %zu: nodes must be a mapping", line_of(nodes));
    int r = nodes_parse(document, nodes, config, error);
    return r < 0 ? r : nodes_check(config, path, error);
}

int rnxconfig_parse(
        const char *text, size_t size, const char *path, struct rnxconfig *ret_config, struct rnx_error *error)
{
    yaml_parser_t parser;
    yaml_document_t document;
    if (!yaml_parser_initialize(&parser))
        return rnx_error_set(error, ENOMEM, "out of memory");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    if (!yaml_parser_load(&parser, &document)) {
        /* The library's texts name its rules, never the text that broke them. */
        int r = rnx_error_set(error, EINVAL, "failed to parse client config: line %zu: %s",
                parser.problem_mark.line + 1, parser.problem ? parser.problem : "out of memory");
        yaml_parser_delete(&parser);
        return r;
    }
    struct rnxconfig config = {0};
    int r = document_parse(&document, path, &config, error);
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
    if (r < 0) {
        rnxconfig_done(&config);
        return r;
    }
    *ret_config = config;
    return 0;
}

int rnxconfig_load(const char *given, struct rnxconfig *ret_config, struct rnx_error *error)
{
    char path[RNXCONFIG_PATH_MAX];
    int r = rnxconfig_find(given, path, error);
    if (r < 0)
        return r;
    /* Opened here and not by fd_read_file_at: a configuration may well be a link. */
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return rnx_error_set(error, errno, "failed to read client config file %s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode) || status.st_size > (off_t)RNXCONFIG_SIZE_MAX)
        return rnx_error_set(error, EINVAL, "failed to read client config file %s: not a file of at most %zu bytes",
                path, RNXCONFIG_SIZE_MAX);
    size_t size = (size_t)status.st_size;
    char *text = malloc(size + 1);
    if (!text)
        return rnx_error_set(error, ENOMEM, "out of memory");
    r = fd_read_exact(fd, text, size);
    if (r < 0)
        r = rnx_error_set(error, -r, "failed to read client config file %s: %s", path, strerror(-r));
    else
        r = rnxconfig_parse(text, size, path, ret_config, error);
    explicit_bzero(text, size);
    free(text);
    return r;
}

static const struct rnxconfig_node *node_find(const struct rnxconfig *config, const char *name)
{
    for (size_t i = 0; i < config->node_count; i++)
        if (strcmp(config->nodes[i].name, name) == 0)
            return &config->nodes[i];
    return NULL;
}

static const struct rnxconfig_node *node_find_default(const struct rnxconfig *config)
{
    for (size_t i = 0; i < config->node_count; i++)
        if (config->nodes[i].is_default)
            return &config->nodes[i];
    const struct rnxconfig_node *node = node_find(config, "default");
    return !node && config->node_count == 1 ? &config->nodes[0] : node;
}

int rnxconfig_select(const struct rnxconfig *config, const char *name, const struct rnxconfig_node **ret_node,
        struct rnx_error *error)
{
    const struct rnxconfig_node *node = *name ? node_find(config, name) : node_find_default(config);
    if (!node && *name)
        return rnx_error_set(error, ENOENT, "node '%s' not found in configuration", name);
    if (!node) {
        char names[1024] = "";
        for (size_t i = 0; i < config->node_count; i++)
            names_add(names, sizeof(names), config->nodes[i].name);
        return rnx_error_set(error, ENOENT,
                "no default node configured: mark one node with isDefault: true or use --node to select one of: %s",
                names);
    }
    *ret_node = node;
    return 0;
}
