#include "network/resolver.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

#define FILE_MAX 65536U
#define STUB_FIRST 0x7f000035U /* 127.0.0.53, 127.0.0.54 */
#define STUB_LAST 0x7f000036U

static void take_server(struct resolver_file *file, const char *text)
{
    struct in_addr ipv4;
    struct in6_addr ipv6;
    char address[INET6_ADDRSTRLEN];
    size_t length = strcspn(text, "%"); /* a link-local one names its link behind it */
    if (length >= sizeof(address))
        return;
    memcpy(address, text, length);
    address[length] = '\0';
    if (inet_pton(AF_INET6, address, &ipv6) == 1) {
        file->skipped |= IN6_IS_ADDR_LOOPBACK(&ipv6) ? RESOLVER_LOOPBACK : RESOLVER_IPV6;
        return;
    }
    if (inet_pton(AF_INET, address, &ipv4) != 1)
        return;
    uint32_t number = ntohl(ipv4.s_addr);
    if (number == STUB_FIRST || number == STUB_LAST)
        file->skipped |= RESOLVER_STUB;
    else if (number >> 24 == 127 || number == 0) /* 0.0.0.0 is this host, too */
        file->skipped |= RESOLVER_LOOPBACK;
    else if (file->usable.count < PLAN_RESOLVERS_MAX)
        file->usable.addresses[file->usable.count++] = number;
}

/* "search" with its domains; what is no domain, or too much, is left out. */
static void take_search(struct resolver_file *file, char *words)
{
    static const char permitted[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    char *search = file->usable.search;
    size_t used = 0;
    search[0] = '\0';
    char *rest = NULL;
    for (char *word = strtok_r(words, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest)) {
        const char *prefix = used == 0 ? "search " : " ";
        size_t size = strlen(prefix) + strlen(word);
        if (word[strspn(word, permitted)] != '\0' || used + size >= sizeof(file->usable.search))
            continue;
        used = (size_t)(stpcpy(stpcpy(search + used, prefix), word) - search);
    }
}

static void take_line(struct resolver_file *file, char *line)
{
    if (line[0] == '#' || line[0] == ';')
        return;
    size_t length = strcspn(line, " \t");
    if (line[length] == '\0')
        return;
    line[length] = '\0';
    char *value = line + length + 1;
    if (strcmp(line, "nameserver") == 0) {
        value += strspn(value, " \t");
        value[strcspn(value, " \t#;")] = '\0';
        take_server(file, value);
    } else if (strcmp(line, "search") == 0 || strcmp(line, "domain") == 0) {
        value[strcspn(value, "#;")] = '\0';
        take_search(file, value); /* the last one counts: resolv.conf(5) */
    }
}

void resolver_parse(const char *text, struct resolver_file *ret_file)
{
    memset(ret_file, 0, sizeof(*ret_file));
    char line[512];
    while (*text != '\0') {
        size_t length = strcspn(text, "\r\n");
        if (length < sizeof(line)) {
            memcpy(line, text, length);
            line[length] = '\0';
            take_line(ret_file, line);
        }
        text += length;
        text += strspn(text, "\r\n");
    }
    if (ret_file->usable.count == 0 && ret_file->skipped == 0)
        ret_file->skipped = RESOLVER_LOOPBACK;
}

/* The link of the host is followed: the file is root's. */
static int read_file(const char *path, struct resolver_file *ret_file)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    _cleanup_free_ char *text = malloc(FILE_MAX);
    if (!text)
        return -ENOMEM;
    size_t used = 0;
    while (used < FILE_MAX - 1) {
        ssize_t got = read(fd, text + used, FILE_MAX - 1 - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        used += (size_t)got;
    }
    if (used == FILE_MAX - 1)
        return -EFBIG;
    text[used] = '\0';
    resolver_parse(text, ret_file);
    return 0;
}

int resolvers_read(const char *path, const char *resolved, struct resolvers *ret_resolvers, struct error *error)
{
    if (!path)
        path = "/etc/resolv.conf";
    if (!resolved)
        resolved = "/run/systemd/resolve/resolv.conf";
    struct resolver_file file;
    int r = read_file(path, &file);
    if (r < 0)
        return error_errno(error, -r, "read the host's resolvers from '%s'", path);
    if (file.usable.count == 0 && file.skipped & RESOLVER_STUB) {
        path = resolved;
        r = read_file(path, &file);
        if (r < 0)
            return error_errno(error, -r, "read the resolvers behind systemd-resolved from '%s'", path);
    }
    if (file.usable.count == 0)
        return error_text(error, EADDRNOTAVAIL, "the host's resolver %s, which a build cannot reach: '%s'",
                file.skipped == RESOLVER_IPV6 ? "has an IPv6 address only" : "listens on loopback only", path);
    *ret_resolvers = file.usable;
    return 0;
}
