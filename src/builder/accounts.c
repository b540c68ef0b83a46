/* Users and groups of the runtime: the base's, those that the build added, and those of the host that something in the
 * runtime belongs to. Only well-formed lines; passwords never. Then the places that a sandbox mounts over. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"
#include "builder/collect.h"
#include "builder/root.h"

#define ACCOUNTS_SIZE_MAX (1U << 20)
#define IDS_MAX 65536U
#define FIELDS_MAX 7U

struct accounts {
    const char *path;
    size_t fields;        /* of a line */
    const char *fallback; /* when the base has none */
    bool used[IDS_MAX];   /* by something in the tree */
};

struct account {
    char *fields[FIELDS_MAX];
    uint64_t id;
};

/* Cuts @line. True for a line of @count fields with a name and an id. */
static bool read_account(char *line, size_t count, struct account *ret_account)
{
    struct account account = {0};
    for (size_t i = 0; i < count; i++) {
        account.fields[i] = strsep(&line, ":");
        if (!account.fields[i])
            return false;
        for (const char *c = account.fields[i]; *c; c++)
            if ((unsigned char)*c < 0x20 || *c == 0x7f)
                return false;
    }
    if (line ||
            !dpkg_name_is_valid(account.fields[0] + (*account.fields[0] == '_'),
                    strlen(account.fields[0] + (*account.fields[0] == '_'))) ||
            text_parse_u64(account.fields[2], IDS_MAX - 1, &account.id) < 0)
        return false;
    *ret_account = account;
    return true;
}

/* The names in a file of accounts. */
static int read_names(int root_fd, const char *path, struct map *names)
{
    _cleanup_free_ char *text = NULL;
    size_t size;
    if (root_fd < 0 || root_read_file(root_fd, path, ACCOUNTS_SIZE_MAX, &text, &size) < 0)
        return 0;
    int r = 0;
    char *next = text;
    while (r == 0 && next) {
        const char *line = strsep(&next, "\n");
        uint32_t number;
        if (*line)
            r = map_add(names, line, strcspn(line, ":"), &number);
    }
    return r;
}

static int etc_lower(const struct collect *collect)
{
    for (size_t i = 0; i < collect->layer_count; i++)
        if (strcmp(collect->layers[i].path, "/etc") == 0)
            return collect->layers[i].lower_fd;
    return -EBADF;
}

/* Adds to @file the lines of the builder root that the runtime needs. */
static int add_lines(
        struct collect *collect, const struct accounts *accounts, struct map *base, const struct map *host, FILE *file)
{
    _cleanup_free_ char *text = NULL;
    size_t size;
    if (root_read_file(collect->merged_fd, accounts->path, ACCOUNTS_SIZE_MAX, &text, &size) < 0)
        return 0;
    int r = 0;
    char *next = text;
    while (r == 0 && next) {
        struct account account;
        uint32_t number;
        char *line = strsep(&next, "\n");
        if (!read_account(line, accounts->fields, &account))
            continue;
        size_t length = strlen(account.fields[0]);
        if (map_find(base, account.fields[0], length) != MAP_NONE ||
                (map_find(host, account.fields[0], length) != MAP_NONE && !accounts->used[account.id]))
            continue;
        (void)fprintf(file, "%s:x", account.fields[0]);
        for (size_t i = 2; i < accounts->fields; i++)
            (void)fprintf(file, ":%s", account.fields[i]);
        (void)fputc('\n', file);
        r = map_add(base, account.fields[0], length, &number);
    }
    return r;
}

static int merge(struct collect *collect, const struct accounts *accounts)
{
    struct map base = {0};
    struct map host = {0};
    char *base_text = NULL;
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    int r = file && map_init(&base, IDS_MAX) == 0 && map_init(&host, IDS_MAX) == 0 ? 0 : -ENOMEM;
    if (r == 0)
        r = read_names(collect->base_fd, accounts->path, &base);
    if (r == 0)
        r = read_names(etc_lower(collect), strrchr(accounts->path, '/'), &host);
    if (r == 0) {
        bool has = root_read_file(collect->base_fd, accounts->path, ACCOUNTS_SIZE_MAX, &base_text, &size) == 0;
        (void)fputs(has ? base_text : accounts->fallback, file);
        r = add_lines(collect, accounts, &base, &host, file);
    }
    if (file && fclose(file) != 0)
        r = -ENOMEM;
    if (r == 0)
        r = tree_write(&collect->tree, accounts->path, S_IFREG | 0644, text);
    else
        r = error_errno(collect->error, -r, "merge '%s'", accounts->path);
    free(text);
    free(base_text);
    map_done(&base);
    map_done(&host);
    return r;
}

static int merge_all(struct collect *collect)
{
    struct accounts *users = calloc(2, sizeof(*users));
    if (!users)
        return error_errno(collect->error, ENOMEM, "accounts");
    struct accounts *groups = users + 1;
    users->path = "/etc/passwd";
    users->fields = 7;
    users->fallback = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:job:/work:/bin/sh\n";
    groups->path = "/etc/group";
    groups->fields = 4;
    groups->fallback = "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n";
    for (uint32_t i = 0; i < collect->tree.paths.count; i++) {
        const struct tree_entry *entry = &collect->tree.entries[i];
        if (entry->is_dropped)
            continue;
        users->used[entry->uid % IDS_MAX] = true;
        groups->used[entry->gid % IDS_MAX] = true;
    }
    int r = merge(collect, users);
    if (r == 0)
        r = merge(collect, groups);
    free(users);
    return r;
}

static const struct {
    const char *path;
    mode_t mode;
    const char *text;
} places[] = {
        {"/proc", S_IFDIR | 0755, NULL},
        {"/sys", S_IFDIR | 0755, NULL},
        {"/dev", S_IFDIR | 0755, NULL},
        {"/work", S_IFDIR | 0755, NULL},
        {"/run", S_IFDIR | 0755, NULL},
        {"/volumes", S_IFDIR | 0755, NULL},
        {"/root", S_IFDIR | 0700, NULL},
        {"/tmp", S_IFDIR | 01777, NULL},
        {"/etc/hosts", S_IFREG | 0644, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"},
        {"/etc/hostname", S_IFREG | 0644, "job\n"},
        {"/etc/resolv.conf", S_IFREG | 0644, "# A job has a loopback interface only.\n"},
};

/* A sandbox mounts there: each must be what it expects, whatever the build made of it. */
static int add_places(struct collect *collect)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < ELEMENTS(places); i++) {
        struct tree_entry *entry = tree_find(&collect->tree, places[i].path);
        if (!entry || (entry->mode & S_IFMT) != (places[i].mode & S_IFMT))
            r = tree_write(&collect->tree, places[i].path, places[i].mode, places[i].text);
        else if (S_ISDIR(entry->mode))
            entry->is_implied = false;
        if (entry && strcmp(places[i].path, "/tmp") == 0)
            entry->mode = places[i].mode;
    }
    return r;
}

int accounts_add(struct collect *collect)
{
    int r = merge_all(collect);
    return r == 0 ? add_places(collect) : r;
}
