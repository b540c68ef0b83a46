#include "rnx/runtime_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

/* A descriptor of the file that @path means, or -errno. */
static int open_file(const char *path)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISDIR(status.st_mode))
        return TAKE_FD(fd);
    static const char *const names[] = {"runtime.yaml", "runtime.yml"};
    int found = -ENOENT;
    for (size_t i = 0; i < ELEMENTS(names) && found == -ENOENT; i++) {
        found = openat(fd, names[i], O_RDONLY | O_CLOEXEC);
        found = found < 0 ? -errno : found;
    }
    return found;
}

/* All of @fd up to one byte more than is permitted. 0 or -errno. */
static int read_all(int fd, char *text, size_t *ret_size)
{
    *ret_size = 0;
    while (*ret_size <= RUNTIME_FILE_SIZE_MAX) {
        ssize_t got = read(fd, text + *ret_size, RUNTIME_FILE_SIZE_MAX + 1 - *ret_size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : 0;
        *ret_size += (size_t)got;
    }
    return -EFBIG;
}

int runtime_file_read(const char *path, char **ret_text, struct rnx_error *error)
{
    _cleanup_close_ int fd = open_file(path);
    if (fd < 0)
        return rnx_error_set(error, -fd, "failed to read runtime.yaml: %s: %s", path, strerror(-fd));
    _cleanup_free_ char *text = malloc(RUNTIME_FILE_SIZE_MAX + 2);
    size_t size = 0;
    int r = text ? read_all(fd, text, &size) : -ENOMEM;
    if (r == -EFBIG)
        return rnx_error_set(
                error, EFBIG, "failed to read runtime.yaml: %s: larger than %u bytes", path, RUNTIME_FILE_SIZE_MAX);
    if (r < 0)
        return rnx_error_set(error, -r, "failed to read runtime.yaml: %s: %s", path, strerror(-r));
    text[size] = '\0';
    if (strlen(text) != size)
        return rnx_error_set(
                error, EINVAL, "failed to read runtime.yaml: %s: byte %zu is a NUL character", path, strlen(text) + 1);
    if (!text_is_utf8(text, size))
        return rnx_error_set(error, EINVAL, "failed to read runtime.yaml: %s: not UTF-8", path);
    *ret_text = TAKE_PTR(text);
    return 0;
}
