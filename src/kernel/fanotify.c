#include "kernel/fanotify.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/statfs.h>
#include <unistd.h>

#ifndef FAN_REPORT_TARGET_FID
#define FAN_REPORT_TARGET_FID 0x00001000
#endif
#define REPORTS (FAN_REPORT_DIR_FID | FAN_REPORT_NAME | FAN_REPORT_FID | FAN_REPORT_TARGET_FID)

int fanotify_new(void)
{
    int fd = fanotify_init(FAN_CLASS_NOTIF | REPORTS | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int fanotify_add(int group_fd, int fd, uint32_t ret_fsid[2])
{
    struct statfs space;
    if (fanotify_mark(group_fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_CREATE | FAN_MOVED_TO | FAN_ATTRIB | FAN_ONDIR,
                fd, NULL) < 0 ||
            fstatfs(fd, &space) < 0)
        return -errno;
    memcpy(ret_fsid, &space.f_fsid, sizeof(space.f_fsid));
    return 0;
}

/* One part of an event, of @size bytes. */
static int parse_part(const char *part, size_t size, struct fanotify_event *event)
{
    struct fanotify_event_info_fid head;
    struct file_handle handle;
    if (size < sizeof(head) + sizeof(handle))
        return -EBADMSG;
    memcpy(&head, part, sizeof(head));
    memcpy(&handle, part + sizeof(head), sizeof(handle));
    size_t handle_size = sizeof(handle) + handle.handle_bytes;
    if (handle.handle_bytes == 0 || handle.handle_bytes > MAX_HANDLE_SZ || handle_size > size - sizeof(head))
        return -EBADMSG;
    const char *name = part + sizeof(head) + handle_size;
    bool is_name = head.hdr.info_type == FAN_EVENT_INFO_TYPE_DFID_NAME;
    if (is_name && strnlen(name, size - sizeof(head) - handle_size) == size - sizeof(head) - handle_size)
        return -EBADMSG;
    struct fanotify_handle *to = is_name || head.hdr.info_type == FAN_EVENT_INFO_TYPE_DFID ? &event->parent
                                 : head.hdr.info_type == FAN_EVENT_INFO_TYPE_FID           ? &event->object
                                                                                           : NULL;
    if (!to)
        return -EBADMSG;
    to->bytes = part + sizeof(head);
    to->size = handle_size;
    memcpy(to->fsid, &head.fsid, sizeof(head.fsid));
    event->name = is_name ? name : event->name;
    return 0;
}

int fanotify_parse(const void *buffer, size_t size, size_t at, struct fanotify_event *ret_event, size_t *ret_next)
{
    struct fanotify_event event = {0};
    struct fanotify_event_metadata head;
    const char *from = (const char *)buffer + at;
    if (size - at < sizeof(head))
        return -EBADMSG;
    memcpy(&head, from, sizeof(head));
    if (head.vers != FANOTIFY_METADATA_VERSION || head.event_len < sizeof(head) || head.event_len > size - at ||
            head.metadata_len < sizeof(head) || head.metadata_len > head.event_len)
        return -EBADMSG;
    event.is_overflow = (head.mask & FAN_Q_OVERFLOW) != 0;
    event.is_directory = (head.mask & FAN_ONDIR) != 0;
    event.is_moved = (head.mask & FAN_MOVED_TO) != 0;
    for (size_t part = head.metadata_len; !event.is_overflow && part < head.event_len;) {
        struct fanotify_event_info_header info;
        if (head.event_len - part < sizeof(info))
            return -EBADMSG;
        memcpy(&info, from + part, sizeof(info));
        if (info.len < sizeof(info) || info.len > head.event_len - part ||
                parse_part(from + part, info.len, &event) < 0)
            return -EBADMSG;
        part += info.len;
    }
    if (!event.is_overflow && !event.parent.bytes && !event.object.bytes)
        return -EBADMSG;
    *ret_event = event;
    *ret_next = at + head.event_len;
    return 0;
}

int fanotify_open(int mount_fd, const struct fanotify_handle *handle)
{
    union {
        struct file_handle handle;
        char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } copy;
    memcpy(copy.bytes, handle->bytes, handle->size);
    int fd = open_by_handle_at(mount_fd, &copy.handle, O_PATH | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}
