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

/* The file that @path means. When @path is a directory, *ret_directory is a descriptor of it, the caller's also on
 * failure. A descriptor or -errno. */
static int open_file(const char *path, int *ret_directory)
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
    *ret_directory = TAKE_FD(fd);
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

/* Reads @fd, which may be a negative errno of opening it; errors name @what and @path. */
static int read_text(int fd, const char *what, const char *path, char **ret_text, struct rnx_error *error)
{
    if (fd < 0)
        return rnx_error_set(error, -fd, "failed to read %s: %s: %s", what, path, strerror(-fd));
    _cleanup_free_ char *text = malloc(RUNTIME_FILE_SIZE_MAX + 2);
    size_t size = 0;
    int r = text ? read_all(fd, text, &size) : -ENOMEM;
    if (r == -EFBIG)
        return rnx_error_set(
                error, EFBIG, "failed to read %s: %s: larger than %u bytes", what, path, RUNTIME_FILE_SIZE_MAX);
    if (r < 0)
        return rnx_error_set(error, -r, "failed to read %s: %s: %s", what, path, strerror(-r));
    text[size] = '\0';
    if (strlen(text) != size)
        return rnx_error_set(
                error, EINVAL, "failed to read %s: %s: byte %zu is a NUL character", what, path, strlen(text) + 1);
    if (!text_is_utf8(text, size))
        return rnx_error_set(error, EINVAL, "failed to read %s: %s: not UTF-8", what, path);
    *ret_text = TAKE_PTR(text);
    return 0;
}

int runtime_file_read(const char *path, char **ret_text, struct rnx_error *error)
{
    _cleanup_close_ int directory = -EBADF;
    _cleanup_close_ int fd = open_file(path, &directory);
    return read_text(fd, "runtime.yaml", path, ret_text, error);
}

int runtime_file_read_both(const char *path, char **ret_text, char **ret_script, struct rnx_error *error)
{
    _cleanup_close_ int directory = -EBADF;
    _cleanup_close_ int fd = open_file(path, &directory);
    _cleanup_free_ char *text = NULL;
    int r = read_text(fd, "runtime.yaml", path, &text, error);
    if (r < 0)
        return r;
    char *script = NULL;
    if (directory >= 0) {
        _cleanup_close_ int script_fd = openat(directory, "setup.sh", O_RDONLY | O_CLOEXEC);
        int code = script_fd < 0 ? -errno : script_fd;
        r = code == -ENOENT ? 0 : read_text(code, "setup.sh", path, &script, error);
    }
    if (r < 0)
        return r;
    *ret_text = TAKE_PTR(text);
    *ret_script = script;
    return 0;
}
