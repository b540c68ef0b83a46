/* The roots of collect, verify and sweep: our own program is all that runs there, so they hold nothing but /proc, /dev,
 * /tmp and what the program works on. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/mount.h"
#include "plan/recipe.h"
#include "sandbox/builder_root.h"
#include "sandbox/layers.h"
#include "sandbox/root_table.h"
#include "sandbox/sandbox.h"

/* A directory for each mount that lies in the root itself, with those above it. */
static int make_mount_points(const struct sandbox *sandbox)
{
    const struct root_list *list = &sandbox->root;
    for (size_t i = 1; i < list->count; i++) {
        char part[ROOT_PATH_MAX];
        const char *path = list->mounts[i].path;
        if (root_list_parent(list, i) != 0)
            continue;
        for (const char *end = path; *end;) {
            end += strcspn(end + 1, "/") + 1;
            (void)snprintf(part, sizeof(part), "%.*s", (int)(end - path), path);
            if (mkdirat(sandbox->root_fd, part, 0755) < 0 && errno != EEXIST)
                return -errno;
        }
    }
    return 0;
}

static int write_layers(const struct sandbox *sandbox)
{
    _cleanup_close_ int fd = openat(sandbox->root_fd, &RECIPE_LAYERS[1], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    int r = fd < 0 ? -errno : 0;
    for (unsigned i = 0; r == 0 && i < sandbox->layer_count; i++) {
        char line[ROOT_PATH_MAX + 1];
        int length = snprintf(line, sizeof(line), "%s\n", sandbox->layers[i]);
        r = fd_write_all(fd, line, (size_t)length);
    }
    return r;
}

/* The finished build's disk, read-only, and what was below its layers. */
static int attach_build(struct sandbox *sandbox, struct error *error)
{
    int r = layers_attach_disk(sandbox, error);
    if (r == 0)
        r = layers_load(sandbox, error);
    if (r == 0)
        r = layers_load_base(sandbox, error);
    for (unsigned i = 0; r == 0 && i < sandbox->layer_count; i++)
        r = layers_attach_lower(sandbox, i, error);
    return r;
}

int tool_root_make(struct sandbox *sandbox, struct error *error)
{
    static const struct mount_option options[] = {
            {"size", "1048576"}, {"nr_inodes", "256"}, {"mode", "0755"}, {NULL, NULL}};
    const unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    bool is_collect = sandbox->plan.type == PLAN_TYPE_COLLECT;
    int r = is_collect ? attach_build(sandbox, error) : 0;
    if (r == 0)
        r = root_list_make(sandbox, error);
    if (r < 0)
        return r;
    sandbox->root_fd = mount_new("tmpfs", options, attributes);
    if (sandbox->root_fd < 0)
        return error_errno(error, -sandbox->root_fd, "make the root");
    r = make_mount_points(sandbox);
    if (r == 0 && is_collect)
        r = write_layers(sandbox);
    if (r == 0)
        r = mount_set_attributes(sandbox->root_fd, MOUNT_ATTR_RDONLY, -EBADF);
    return r < 0 ? error_errno(error, -r, "fill the root") : 0;
}
