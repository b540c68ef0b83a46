#include "base/fd.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

int fd_close(int fd)
{
    if (fd >= 0) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
    }
    return -EBADF;
}

void fd_closep(int *fd)
{
    *fd = fd_close(*fd);
}

void fd_free_memoryp(void *pointer)
{
    void **memory = pointer;
    free(*memory);
    *memory = NULL;
}

int fd_read_exact(int fd, void *buffer, size_t size)
{
    char *next = buffer;
    while (size > 0) {
        ssize_t got = read(fd, next, size);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (got == 0)
            return -ENODATA;
        next += got;
        size -= (size_t)got;
    }
    return 0;
}

int fd_write_all(int fd, const void *buffer, size_t size)
{
    const char *next = buffer;
    while (size > 0) {
        ssize_t put = write(fd, next, size);
        if (put < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        next += put;
        size -= (size_t)put;
    }
    return 0;
}

int fd_pwrite_all(int fd, const void *buffer, size_t size, off_t offset)
{
    const char *next = buffer;
    while (size > 0) {
        ssize_t put = pwrite(fd, next, size, offset);
        if (put < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        next += put;
        offset += put;
        size -= (size_t)put;
    }
    return 0;
}

int fd_read_file_at(int dir_fd, const char *path, size_t max, char **ret_text, size_t *ret_size)
{
    _cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    /* Files of /proc and cgroups say size 0, so the buffer grows by what is read. */
    size_t used = 0;
    size_t room = 4096 < max ? 4096 : max;
    _cleanup_free_ char *text = malloc(room + 1);
    if (!text)
        return -ENOMEM;
    for (;;) {
        ssize_t got = read(fd, text + used, room - used);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (got == 0)
            break;
        used += (size_t)got;
        if (used < room)
            continue;
        if (room == max) {
            char more;
            if (read(fd, &more, 1) > 0)
                return -EFBIG;
            break;
        }
        room = room * 2 < max ? room * 2 : max;
        char *larger = realloc(text, room + 1);
        if (!larger)
            return -ENOMEM;
        text = larger;
    }
    text[used] = '\0';
    *ret_text = TAKE_PTR(text);
    if (ret_size)
        *ret_size = used;
    return 0;
}

int fd_write_file_at(int dir_fd, const char *path, const char *text)
{
    _cleanup_close_ int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    size_t size = strlen(text);
    ssize_t put = write(fd, text, size);
    if (put < 0)
        return -errno;
    return (size_t)put == size ? 0 : -EIO;
}

int fd_replace_file_at(int dir_fd, const char *name, const void *data, size_t size, mode_t mode)
{
    char temporary[280];
    uint32_t suffix;
    if (getrandom(&suffix, sizeof(suffix), 0) != (ssize_t)sizeof(suffix))
        return -EIO;
    int length = snprintf(temporary, sizeof(temporary), ".%s.%08x", name, suffix);
    if (length < 0 || (size_t)length >= sizeof(temporary))
        return -ENAMETOOLONG;
    _cleanup_close_ int fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int r = fd_write_all(fd, data, size);
    if (r == 0 && fchmod(fd, mode) < 0)
        r = -errno;
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
        r = -errno;
    if (r < 0)
        (void)unlinkat(dir_fd, temporary, 0);
    return r;
}

bool fd_is_half_written(const char *name, char ret_target[FD_TARGET_MAX])
{
    static const char digits[] = "0123456789abcdef";
    const char *dot = strrchr(name, '.');
    if (name[0] != '.' || !dot || dot <= name + 1 || strlen(dot + 1) != 8 || strspn(dot + 1, digits) != 8)
        return false;
    size_t length = (size_t)(dot - name - 1);
    if (length >= FD_TARGET_MAX)
        return false;
    memcpy(ret_target, name + 1, length);
    ret_target[length] = '\0';
    return true;
}

int fd_is_forgotten_at(int dir_fd, const char *name)
{
    struct stat status;
    _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ELOOP ? -EPERM : -errno;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode) || status.st_nlink != 1 || status.st_uid != geteuid())
        return -EPERM;
    /* The kernel grants a lease for writing only while nobody else has the file open. */
    if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
        return errno == EAGAIN || errno == EBUSY ? 0 : -errno;
    (void)fcntl(fd, F_SETLEASE, F_UNLCK);
    return 1;
}

int fd_new_sealed(const char *name, const void *data, size_t size)
{
    _cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    int r = fd_write_all(fd, data, size);
    if (r < 0)
        return r;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        return -errno;
    return TAKE_FD(fd);
}

int fd_check_sealed(int fd, size_t max, size_t *ret_size)
{
    const int wanted = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0)
        return -errno;
    if ((seals & wanted) != wanted)
        return -EPERM;
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode) || status.st_size < 0 || (uint64_t)status.st_size > max)
        return -EFBIG;
    *ret_size = (size_t)status.st_size;
    return 0;
}

int fd_move_above(int fd, int minimum)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, minimum);
    if (moved < 0)
        moved = -errno;
    (void)fd_close(fd);
    return moved;
}
