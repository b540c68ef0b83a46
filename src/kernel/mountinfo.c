#include "kernel/mountinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"

static bool is_octal(const char *at)
{
    return at[0] >= '0' && at[0] <= '3' && at[1] >= '0' && at[1] <= '7' && at[2] >= '0' && at[2] <= '7';
}

/* The next blank-separated field, its escapes undone. False when there is none or it is too long. */
static bool next_field(const char **at, char *field, size_t size)
{
    const char *from = *at;
    while (*from == ' ')
        from++;
    size_t used = 0;
    while (*from && *from != ' ' && *from != '\n') {
        char byte = *from++;
        if (byte == '\\' && is_octal(from)) {
            byte = (char)((from[0] - '0') << 6 | (from[1] - '0') << 3 | (from[2] - '0'));
            from += 3;
        }
        if (used + 1 == size)
            return false;
        field[used++] = byte;
    }
    field[used] = '\0';
    *at = from;
    return used > 0;
}

static bool next_number(const char **at, uint64_t *number)
{
    char field[24];
    char *end;
    if (!next_field(at, field, sizeof(field)))
        return false;
    *number = strtoull(field, &end, 10);
    return *end == '\0';
}

/* "254:0" */
static bool next_device(const char **at, dev_t *device)
{
    char field[32];
    char *end;
    if (!next_field(at, field, sizeof(field)))
        return false;
    unsigned long major_number = strtoul(field, &end, 10);
    if (*end != ':')
        return false;
    unsigned long minor_number = strtoul(end + 1, &end, 10);
    *device = makedev((unsigned)major_number, (unsigned)minor_number);
    return *end == '\0';
}

int mountinfo_next(const char **text, struct mountinfo *ret_line)
{
    const char *at = *text;
    if (!*at)
        return 0;
    char field[MOUNTINFO_FIELD_MAX];
    struct mountinfo *line = ret_line;
    if (!next_number(&at, &line->id) || !next_number(&at, &line->parent_id) || !next_device(&at, &line->device) ||
            !next_field(&at, line->root, sizeof(line->root)) || !next_field(&at, line->target, sizeof(line->target)) ||
            !next_field(&at, line->options, sizeof(line->options)))
        return -EBADMSG;
    line->propagates = false;
    for (;;) {
        if (!next_field(&at, field, sizeof(field)))
            return -EBADMSG;
        if (strcmp(field, "-") == 0)
            break;
        line->propagates = true;
    }
    if (!next_field(&at, line->type, sizeof(line->type)) || !next_field(&at, line->source, sizeof(line->source)) ||
            !next_field(&at, line->super_options, sizeof(line->super_options)) || *at != '\n')
        return -EBADMSG;
    *text = at + 1;
    return 1;
}

bool mountinfo_has_option(const char *options, const char *token)
{
    size_t length = strlen(token);
    for (const char *at = options; at; at = strchr(at, ',')) {
        if (*at == ',')
            at++;
        if (strncmp(at, token, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return false;
}

/* In a line, the optional fields stand between the sixth field and " - ". */
static bool line_is_shared(const char *line)
{
    const char *at = line;
    for (unsigned field = 0; field < 6 && at; field++) {
        at = strchr(at, ' ');
        if (at)
            at++;
    }
    return !at || strncmp(at, "- ", 2) != 0;
}

int mountinfo_is_shared(uint64_t id)
{
    _cleanup_close_ int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    char buffer[16384];
    size_t used = 0;
    for (;;) {
        ssize_t got = read(fd, buffer + used, sizeof(buffer) - 1 - used);
        if (got <= 0)
            return got < 0 ? -errno : -ENOENT;
        used += (size_t)got;
        buffer[used] = '\0';
        char *line = buffer;
        for (char *end; (end = strchr(line, '\n')); line = end + 1) {
            *end = '\0';
            if (strtoull(line, NULL, 10) == id)
                return line_is_shared(line);
        }
        used -= (size_t)(line - buffer);
        if (used == sizeof(buffer) - 1)
            return -EFBIG;
        memmove(buffer, line, used);
    }
}
