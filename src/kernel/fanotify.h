/* What is made, moved or changed on whole file systems, as fanotify tells it: by handles of directories and files, and
 * names (Linux 5.17). An event is there when the call that it is about returns.
 *
 * A new name, whether of a new file, a link or one that was moved, comes with its directory, itself and what it names.
 * Changed attributes come with the name that they were changed by, or, when the count of links changed or there was no
 * name, with the file alone. Of a directory they come with itself as the directory and "." as the name. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Of a file or directory. Its bytes lie in the buffer that was read. */
struct fanotify_handle {
    const void *bytes; /* struct file_handle; NULL: none */
    size_t size;       /* of all of it */
    uint32_t fsid[2];
};

struct fanotify_event {
    bool is_overflow; /* events were lost; nothing else is set */
    bool is_directory;
    bool is_moved;
    struct fanotify_handle parent;
    const char *name; /* in @parent, or NULL */
    struct fanotify_handle object;
};

/* A group that has no mark yet, not blocking, close-on-exec. A descriptor or -errno. */
int fanotify_new(void);
/* Marks the file system of the directory @fd. Stores how events name it. 0 or -errno. */
int fanotify_add(int group_fd, int fd, uint32_t ret_fsid[2]);

/* Takes the event at @at of the @size bytes that were read, and stores where the next one begins (@size: none). 0, or
 * -EBADMSG when it is not as it should be. No memory is taken; @ret_event points into the buffer, which is aligned. */
int fanotify_parse(const void *buffer, size_t size, size_t at, struct fanotify_event *ret_event, size_t *ret_next);

/* Opens what @handle names, as O_PATH, on the file system of @mount_fd and as seen by its mount. A descriptor; -ESTALE:
 * it is gone; -errno. */
int fanotify_open(int mount_fd, const struct fanotify_handle *handle);
