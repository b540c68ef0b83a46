#include "api/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"

void durable_sync_now(int jobs_fd, const char *uuid)
{
    static const char *const names[] = {"log", "log.index"};
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        char path[TEXT_UUID_MAX + 16];
        (void)snprintf(path, sizeof(path), "%s/%s", uuid, names[i]);
        _cleanup_close_ int fd = openat(jobs_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd >= 0 ? fdatasync(fd) == 0 : errno == ENOENT)
            continue;
        log_event(LOG_LEVEL_ERROR, "the log of a job may be lost when the power is", "job", uuid, "error",
                strerror(errno), NULL);
    }
}

static void on_run(struct work_item *work)
{
    const struct durable_item *item = (const void *)work;
    durable_sync_now(item->jobs_fd, item->uuid);
}

static void on_done(struct work_item *work)
{
    struct durable_item *item = (void *)work;
    item->done(item);
}

void durable_sync(struct work *work, int jobs_fd, struct durable_item *item)
{
    item->jobs_fd = jobs_fd;
    item->work = (struct work_item){.run = on_run, .done = on_done};
    work_add(work, &item->work);
}
