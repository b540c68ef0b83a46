#include "builder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/mount.h"

/* The driver hands its jobs no pointer of ours, and there is one builder. */
static struct builder *the_builder;

static int new_directory(const struct driver *driver, const char *name)
{
    if (mkdirat(driver->root_fd, name, 0755) < 0 ||
            fchownat(driver->root_fd, name, DRIVER_DISK_BASE, DRIVER_DISK_BASE, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    return openat(driver->root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void drop_disk(struct builder *builder)
{
    if (!builder->has_disk)
        return;
    builder->has_disk = false;
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/disk", builder->driver->directory);
    (void)umount2(path, MNT_DETACH);
    disk_close(&builder->place, &builder->disk);
}

int builder_renew_disk(struct builder *builder)
{
    struct error error = {0};
    drop_disk(builder);
    int r = disk_make(&builder->place, &builder->model, &builder->disk, &error);
    if (r == 0)
        r = mount_attach(builder->disk.mount_fd, builder->target_fd);
    if (r < 0) {
        (void)fprintf(stderr, "builder: a disk: %d %s\n", r, error.text);
        return -1;
    }
    builder->has_disk = true;
    return 0;
}

int builder_keep_base(struct builder *builder)
{
    char path[96];
    _cleanup_close_ int place = new_directory(builder->driver, "kept");
    _cleanup_close_ int copy = mount_clone(builder->disk.mount_fd, "");
    int r = place < 0 || copy < 0 ? -ENOENT : mount_end_writing(builder->disk.mount_fd);
    if (r == 0)
        r = mount_attach(copy, place);
    (void)snprintf(path, sizeof(path), "%s/disk", builder->driver->directory);
    (void)umount2(path, MNT_DETACH);
    if (r < 0) {
        (void)fprintf(stderr, "builder: keep a base: %s\n", strerror(-r));
        return -1;
    }
    builder->base = builder->disk;
    builder->has_base = true;
    builder->has_disk = false;
    return builder_renew_disk(builder);
}

void builder_rest_on_base(struct builder *builder, struct driver_job *job)
{
    builder->gives_base = true;
    job->plan.has_base = 1;
    job->plan.id_base += PLAN_RANGE_SIZE;
}

void builder_drop_base(struct builder *builder)
{
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/kept", builder->driver->directory);
    builder->gives_base = false;
    if (!builder->has_base)
        return;
    builder->has_base = false;
    (void)umount2(path, MNT_DETACH);
    disk_close(&builder->place, &builder->base);
    (void)rmdir(path);
}

static void put_base(const struct builder *builder, const struct driver_job *job, int fds[])
{
    char path[96];
    const uint32_t base = job->plan.id_base;
    (void)snprintf(path, sizeof(path), "%s/kept", builder->driver->directory);
    _cleanup_close_ int map = driver_new_userns(builder->driver->id_base, base, PLAN_RANGE_SIZE);
    fds[PLAN_FD_BASE_DISK] = mount_clone(AT_FDCWD, path);
    if (mount_set_attributes(fds[PLAN_FD_BASE_DISK], MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY, map) < 0)
        abort();
    (void)fd_close(fds[PLAN_FD_USERNS]);
    fds[PLAN_FD_USERNS] = driver_new_userns(0, base, PLAN_RANGE_SIZE);
}

int builder_open(struct builder *builder, const struct driver *driver)
{
    struct error error = {0};
    *builder = (struct builder){.driver = driver};
    the_builder = builder;
    builder->program_fd = open("/bin/busybox", O_PATH | O_CLOEXEC);
    builder->stage_fd = new_directory(driver, "stage");
    builder->cache_fd = new_directory(driver, "cache");
    builder->target_fd = new_directory(driver, "disk");
    if (builder->program_fd < 0 || builder->stage_fd < 0 || builder->cache_fd < 0 || builder->target_fd < 0) {
        perror("builder");
        return -1;
    }
    int r = disk_place_open(driver->root_fd, &builder->place, &error);
    if (r == 0)
        r = template_make(&builder->place, BUILDER_DISK_BYTES, BUILDER_DISK_INODES, 0, &builder->model, &error);
    if (r < 0) {
        (void)fprintf(stderr, "builder: %s\n", error.text);
        return -1;
    }
    return builder_renew_disk(builder);
}

static const char *const covered[] = {"usr", "etc", "opt"};

void builder_shell(const struct builder *builder, const char *format, ...)
{
    char script[4096];
    char *command = NULL;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(script, sizeof(script), format, arguments);
    va_end(arguments);
    /* By busybox, which needs nothing of the host's that may be covered. */
    if (asprintf(&command, "cd %s && %s", builder->driver->directory, script) < 0)
        abort();
    pid_t pid = fork();
    if (pid == 0) {
        (void)fexecve(builder->program_fd, (char *[]){(char[]){"sh"}, (char[]){"-ec"}, command, NULL},
                (char *[]){(char[]){"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, NULL});
        _exit(127);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        (void)fprintf(stderr, "builder: '%s' failed: %d\n", script, status);
        abort();
    }
    free(command);
}

int builder_cover_host(struct builder *builder)
{
    builder_shell(builder, "mkdir -p host/usr/bin host/usr/sbin host/etc host/opt; chown -R 0:0 host; "
                           "printf 'root:x:0:0::/root:/bin/sh\\nmore:x:1000:1000::/home:/bin/sh\\n' >host/etc/passwd; "
                           "printf 'root:x:0:\\nshadow:x:42:\\n' >host/etc/group; "
                           "echo 'root:$6$hash:1::::::' >host/etc/shadow; chmod 640 host/etc/shadow");
    for (size_t i = 0; i < ELEMENTS(covered); i++) {
        char from[32];
        char to[16];
        (void)snprintf(from, sizeof(from), "host/%s", covered[i]);
        (void)snprintf(to, sizeof(to), "/%s", covered[i]);
        _cleanup_close_ int cover = mount_clone(builder->driver->root_fd, from);
        _cleanup_close_ int place = open(to, O_PATH | O_CLOEXEC);
        if (cover < 0 || place < 0 || mount_make_private_one(cover) < 0 || mount_attach(cover, place) < 0)
            return -1;
    }
    builder->is_covered = true;
    return 0;
}

void builder_uncover_host(struct builder *builder)
{
    for (size_t i = ELEMENTS(covered); builder->is_covered && i-- > 0;) {
        char to[16];
        (void)snprintf(to, sizeof(to), "/%s", covered[i]);
        (void)umount2(to, MNT_DETACH);
    }
    builder->is_covered = false;
}

void builder_close(struct builder *builder)
{
    builder_uncover_host(builder);
    builder_drop_base(builder);
    drop_disk(builder);
    template_done(&builder->model);
    disk_place_close(&builder->place);
    const int fds[] = {builder->program_fd, builder->stage_fd, builder->cache_fd, builder->target_fd};
    for (size_t i = 0; i < ELEMENTS(fds); i++)
        (void)fd_close(fds[i]);
}

/* A detached tree with the job's owners. */
static int new_tree(const struct driver *driver, const char *name, bool is_read_only)
{
    const uint64_t attributes = MOUNT_ATTR_IDMAP | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    int fd = mount_clone(driver->root_fd, name);
    if (fd >= 0)
        (void)mount_set_attributes(fd, attributes | (is_read_only ? MOUNT_ATTR_RDONLY : 0U), driver->disk_userns_fd);
    return fd;
}

/* As joblet hands it over. */
static int seal_copy(int list_fd)
{
    struct stat status;
    if (fstat(list_fd, &status) < 0)
        return -errno;
    size_t size = (size_t)status.st_size;
    _cleanup_free_ char *text = malloc(size + 1);
    if (!text || pread(list_fd, text, size, 0) != (ssize_t)size)
        return -EIO;
    return fd_new_sealed("test", text, size);
}

static void put_fds(const struct driver *driver, struct driver_job *job, int fds[])
{
    const struct builder *builder = the_builder;
    char disk[96];
    const struct plan *plan = &job->plan;
    /* By its path: the caller may have a mount namespace of its own by now. */
    (void)snprintf(disk, sizeof(disk), "%s/disk", driver->directory);
    if (plan->type != PLAN_TYPE_COLLECT)
        fds[PLAN_FD_ROOT] = fd_close(fds[PLAN_FD_ROOT]);
    fds[PLAN_FD_PROGRAM] = fcntl(builder->program_fd, F_DUPFD_CLOEXEC, 0);
    if (plan->work_on_disk)
        fds[PLAN_FD_WORK] = mount_clone(AT_FDCWD, disk);
    if (plan->type != PLAN_TYPE_BUILD)
        fds[PLAN_FD_STAGE] = new_tree(driver, "stage", plan->type == PLAN_TYPE_VERIFY);
    if (plan->has_cache)
        fds[PLAN_FD_CACHE] = new_tree(driver, "cache", plan->type == PLAN_TYPE_BUILD);
    if (plan->has_list)
        fds[PLAN_FD_LIST] =
                builder->gives_open_list ? fcntl(builder->list_fd, F_DUPFD_CLOEXEC, 0) : seal_copy(builder->list_fd);
    if (plan->wants_list)
        fds[PLAN_FD_NEW_LIST] = fcntl(builder->new_list_fd, F_DUPFD_CLOEXEC, 0);
    if (builder->gives_base)
        put_base(builder, job, fds);
    if (builder->change_fds)
        builder->change_fds(driver, job, fds);
}

void builder_job_init(struct builder *builder, struct driver_job *job, uint32_t type, char *const arguments[])
{
    driver_job_init(builder->driver, job, arguments);
    struct plan *plan = &job->plan;
    bool has_disk = type == PLAN_TYPE_BUILD || type == PLAN_TYPE_COLLECT;
    job->work_dir = "/";
    job->change_fds = put_fds;
    job->with_cgroups = builder->driver->has_v1;
    plan->type = type;
    plan->command_id = 0;
    plan->work_on_disk = has_disk;
    plan->work_bytes = builder->model.bytes;
    plan->work_inodes = builder->model.inodes;
    if (!has_disk)
        return;
    (void)strcpy(plan->build.name, "ml");
    (void)strcpy(plan->build.version, "1.0.0");
    (void)strcpy(plan->build.language, "python");
}
