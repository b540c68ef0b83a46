/* Reaching into a tree that somebody hostile wrote: always below a descriptor of its root, by a path without links, and
 * what is opened for reading is a regular file or a directory. Paths are "/a/b", "/" being the root. */
#pragma once

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* Opens @path with O_PATH. Fails with -ELOOP when a component above the last is a link. A descriptor or -errno. */
int root_open_path(int root_fd, const char *path);
/* Opens the directory. A descriptor or -errno. */
int root_open_directory(int root_fd, const char *path);
/* Opens the regular file for reading; -EINVAL for anything else, without opening it. A descriptor or -errno. */
int root_open_file(int root_fd, const char *path);
/* The state of what stands at @path, itself when it is a link. 0 or -errno. */
int root_stat(int root_fd, const char *path, struct stat *ret_status);
/* The target of a link, ended by NUL. 0 or -errno. */
int root_read_link(int root_fd, const char *path, char ret_target[PATH_MAX]);
/* Reads a regular file of at most @max bytes into a new, NUL-terminated text. 0; -EFBIG; -errno. */
int root_read_file(int root_fd, const char *path, size_t max, char **ret_text, size_t *ret_size);
/* How many components @path has. */
unsigned root_depth(const char *path);

#define ROOT_DEPTH_MAX 128U
/* Called for what stands below a directory, a directory before what is in it. 0: go on; 1: do not go into this
 * directory; -errno: end. */
typedef int root_visit(void *context, const char *path, const struct stat *status);
/* Walks everything below @path (itself not), on its file system alone when @one_device. Paths are given from the root
 * on. Directories that may not be read (of ids that the sandbox does not have) and what goes away meanwhile (on the
 * host) are passed over. 0; -ELOOP when it is deeper than ROOT_DEPTH_MAX; -ENAMETOOLONG; -errno. */
int root_walk(int root_fd, const char *path, int one_device, root_visit *visit, void *context);
