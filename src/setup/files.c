#include "setup/files.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

bool files_is_ours(const char *name)
{
    static const char *const names[] = {"ca.key", "ca.crt", "joblet-config.yml"};
    for (size_t i = 0; i < ELEMENTS(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    size_t length = strlen(name);
    return strncmp(name, "rnx-config", 10) == 0 && strcmp(name + length - 4, ".yml") == 0;
}

/* A PEM text as the lines of a literal block. */
static void write_block(FILE *file, const char *key, int indent, const char *text)
{
    (void)fprintf(file, "%*s%s: |\n", indent, "", key);
    while (*text) {
        size_t length = strcspn(text, "\n");
        (void)fprintf(file, "%*s%.*s\n", indent + 2, "", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

static int close_text(FILE *file, char **text)
{
    bool failed = ferror(file) != 0;
    if (fclose(file) == 0 && !failed)
        return 0;
    free(*text);
    *text = NULL;
    return -ENOMEM;
}

int files_format_client(const char *address, const char *node_id, const char *ca_cert, const struct files_node *nodes,
        size_t count, char **ret_text, size_t *ret_size)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    if (!file)
        return -errno;
    (void)fputs("version: \"3.0\"\nnodes:\n", file);
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(file, "  %s:\n    address: \"%s\"\n    nodeId: \"%s\"\n", nodes[i].name, address, node_id);
        if (i == 0)
            (void)fputs("    isDefault: true\n", file);
        write_block(file, "cert", 4, nodes[i].certificate->cert);
        write_block(file, "key", 4, nodes[i].certificate->key);
        write_block(file, "ca", 4, ca_cert);
    }
    int r = close_text(file, &text);
    if (r < 0)
        return r;
    *ret_text = text;
    *ret_size = size;
    return 0;
}

char *files_find_address(const char *text)
{
    static const char key[] = "\n    address: \"";
    const char *start = strstr(text, key);
    if (!start)
        return NULL;
    start += sizeof(key) - 1;
    return strndup(start, strcspn(start, "\"\n"));
}

static size_t line_indent(const char *line)
{
    return strspn(line, " ");
}

static bool line_is_blank(const char *line)
{
    return line[strspn(line, " \r")] == '\n' || line[strspn(line, " \r")] == '\0';
}

static const char *next_line(const char *line)
{
    line += strcspn(line, "\n");
    return *line ? line + 1 : line;
}

/* The PEM text that belongs to the key of @line, or NULL. */
static const char *replacement(
        const char *line, const struct certificate *server, const char *ca_cert, const char **ret_key)
{
    const struct {
        const char *key;
        const char *text;
    } rows[] = {{"serverCert", server->cert}, {"serverKey", server->key}, {"caCert", ca_cert}};
    const char *start = line + line_indent(line);
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        size_t length = strlen(rows[i].key);
        if (start > line && strncmp(start, rows[i].key, length) == 0 && start[length] == ':') {
            *ret_key = rows[i].key;
            return rows[i].text;
        }
    }
    return NULL;
}

/* Behind the value of the key at @line: the deeper lines below it, without blank ones at their end. */
static const char *value_end(const char *line)
{
    size_t indent = line_indent(line);
    const char *end = next_line(line);
    for (const char *next = end; *next; next = next_line(next)) {
        if (line_is_blank(next))
            continue;
        if (line_indent(next) <= indent)
            break;
        end = next_line(next);
    }
    return end;
}

static bool same_text(const char *first, const char *second)
{
    return strcmp(first, second) == 0;
}

/* Everything but the three texts must be as it was: compared as the file that config_format makes of both. */
static int check_replaced(const char *old_text, const char *new_text, const struct certificate *server,
        const char *ca_cert, struct error *error)
{
    _cleanup_(config_freep) struct config *before = NULL;
    _cleanup_(config_freep) struct config *after = NULL;
    int r = config_parse(old_text, strlen(old_text), "joblet-config.yml", &before, error);
    if (r == 0)
        r = config_parse(new_text, strlen(new_text), "new joblet-config.yml", &after, error);
    if (r < 0)
        return r;
    if (!same_text(after->server_cert, server->cert) || !same_text(after->server_key, server->key) ||
            !same_text(after->ca_cert, ca_cert))
        return error_text(error, EINVAL, "joblet-config.yml: the certificates must stand as blocks below 'security:'");
    char *const texts[] = {after->server_cert, after->server_key, after->ca_cert};
    after->server_cert = before->server_cert;
    after->server_key = before->server_key;
    after->ca_cert = before->ca_cert;
    _cleanup_free_ char *first = NULL;
    _cleanup_free_ char *second = NULL;
    size_t size;
    r = config_format(before, &first, &size);
    if (r == 0)
        r = config_format(after, &second, &size);
    after->server_cert = texts[0];
    after->server_key = texts[1];
    after->ca_cert = texts[2];
    bool same = r == 0 && same_text(first, second);
    if (first)
        explicit_bzero(first, strlen(first));
    if (second)
        explicit_bzero(second, strlen(second));
    if (r < 0)
        return error_errno(error, -r, "compare configurations");
    return same ? 0 : error_text(error, EINVAL, "joblet-config.yml: cannot change its certificates and nothing else");
}

int files_replace_certificates(const char *text, const struct certificate *server, const char *ca_cert, char **ret_text,
        size_t *ret_size, struct error *error)
{
    char *made = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&made, &size);
    if (!file)
        return error_errno(error, errno, "joblet-config.yml");
    for (const char *line = text; *line;) {
        const char *key = NULL;
        const char *pem = replacement(line, server, ca_cert, &key);
        const char *end = pem ? value_end(line) : next_line(line);
        if (pem)
            write_block(file, key, (int)line_indent(line), pem);
        else
            (void)fwrite(line, 1, (size_t)(end - line), file);
        line = end;
    }
    int r = close_text(file, &made);
    if (r < 0)
        return error_errno(error, -r, "joblet-config.yml");
    r = check_replaced(text, made, server, ca_cert, error);
    if (r < 0) {
        explicit_bzero(made, size);
        free(made);
        return r;
    }
    *ret_text = made;
    *ret_size = size;
    return 0;
}
