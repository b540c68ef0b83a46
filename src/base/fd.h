/* File descriptors with an owner, and whole reads and writes. -EBADF is "no descriptor". */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

#define _cleanup_(function) __attribute__((cleanup(function)))
#define _cleanup_close_ _cleanup_(fd_closep)
#define _cleanup_free_ _cleanup_(fd_free_memoryp)

/* Hands the descriptor over: the variable no longer owns it. */
#define TAKE_FD(fd)                                                                                                    \
    ({                                                                                                                 \
        int _taken = (fd);                                                                                             \
        (fd) = -EBADF;                                                                                                 \
        _taken;                                                                                                        \
    })

#define TAKE_PTR(pointer)                                                                                              \
    ({                                                                                                                 \
        __typeof__(pointer) _taken = (pointer);                                                                        \
        (pointer) = NULL;                                                                                              \
        _taken;                                                                                                        \
    })

#define ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

/* Closes @fd when it is one, keeps errno. Returns -EBADF, for "fd = fd_close(fd)". */
int fd_close(int fd);
void fd_closep(int *fd);
void fd_free_memoryp(void *pointer);

/* Reads exactly @size bytes, from the descriptor's own position. 0; -ENODATA when the end came first; -errno. */
int fd_read_exact(int fd, void *buffer, size_t size);
/* Writes all of @size bytes. 0 or -errno. */
int fd_write_all(int fd, const void *buffer, size_t size);
/* As fd_write_all, at @offset, without moving the position. */
int fd_pwrite_all(int fd, const void *buffer, size_t size, off_t offset);

/* Reads the whole of a small file (at most @max bytes) below @dir_fd (AT_FDCWD permitted) into a new, NUL-terminated
 * buffer owned by the caller. No link is followed at the last component. 0; -EFBIG when it is larger; -errno. */
int fd_read_file_at(int dir_fd, const char *path, size_t max, char **ret_text, size_t *ret_size);
/* Writes @text to an existing file such as one of /proc or a cgroup, in one write. 0 or -errno. */
int fd_write_file_at(int dir_fd, const char *path, const char *text);
/* Replaces @name below @dir_fd as a whole: a temporary file, fsync, rename. Mode exactly @mode. 0 or -errno. */
int fd_replace_file_at(int dir_fd, const char *name, const void *data, size_t size, mode_t mode);
/* True when @name is what fd_replace_file_at calls a file until it is whole; @ret_target: the name that it would get.
 */
#define FD_TARGET_MAX 264U
bool fd_is_half_written(const char *name, char ret_target[FD_TARGET_MAX]);
/* Whether the file @name of @dir_fd is a plain one of ours alone: regular, with one name, our user's, open nowhere. 1;
 * 0: somebody has it open; -EPERM: it is another kind of thing or another's; -errno. */
int fd_is_forgotten_at(int dir_fd, const char *name);

/* A sealed memfd (write, grow, shrink and seal sealed, close-on-exec) that holds @data. A descriptor or -errno. */
int fd_new_sealed(const char *name, const void *data, size_t size);
/* True when @fd is a memfd with all four seals and a size of at most @max; its size is stored. */
int fd_check_sealed(int fd, size_t max, size_t *ret_size);

/* Moves @fd to a number of at least @minimum with close-on-exec kept. The new number or -errno; @fd is closed. */
int fd_move_above(int fd, int minimum);
