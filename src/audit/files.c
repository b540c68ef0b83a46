#include "audit/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"

#define FILES_MAX 100000

void audit_format_name(uint64_t first, char ret_name[AUDIT_NAME_MAX])
{
    (void)snprintf(ret_name, AUDIT_NAME_MAX, "%020" PRIu64 ".jsonl", first);
}

/* 0: it is the name of none. */
static uint64_t parse_name(const char *name)
{
    char again[AUDIT_NAME_MAX];
    char digits[21] = "";
    uint64_t first;
    if (strlen(name) != strlen("00000000000000000001.jsonl"))
        return 0;
    memcpy(digits, name, 20);
    const char *number = digits + strspn(digits, "0");
    if (text_parse_u64(number, UINT64_MAX, &first) < 0)
        return 0;
    audit_format_name(first, again);
    return strcmp(name, again) == 0 ? first : 0;
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static int add(uint64_t **firsts, int *count, uint64_t first)
{
    if (*count == FILES_MAX)
        return -E2BIG;
    if ((*count & (*count - 1)) == 0) {
        uint64_t *more = realloc(*firsts, sizeof(**firsts) * (size_t)(*count ? 2 * *count : 1));
        if (!more)
            return -ENOMEM;
        *firsts = more;
    }
    (*firsts)[(*count)++] = first;
    return 0;
}

int audit_list_files(int dir_fd, uint64_t **ret_firsts)
{
    int own_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = own_fd < 0 ? NULL : fdopendir(own_fd);
    if (!directory) {
        int code = errno;
        (void)fd_close(own_fd);
        return -code;
    }
    _cleanup_free_ uint64_t *firsts = NULL;
    int count = 0;
    int r = 0;
    const struct dirent *entry;
    while (r == 0 && (errno = 0, entry = readdir(directory))) {
        uint64_t first = parse_name(entry->d_name);
        r = first ? add(&firsts, &count, first) : 0;
    }
    if (r == 0 && errno != 0)
        r = -errno;
    (void)closedir(directory);
    if (r < 0)
        return r;
    if (count > 0)
        qsort(firsts, (size_t)count, sizeof(*firsts), compare);
    *ret_firsts = TAKE_PTR(firsts);
    return count;
}
