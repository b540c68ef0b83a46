/* Disks: their size, what of a job's doings makes one unfit for the next, what is dropped. Root only. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "kernel/loop_device.h"
#include "kernel/mount.h"
#include "scratch/disk.h"

#define OWNER 1000u
#define SIZE (16ULL << 20)
#define INODES 4096ULL

static struct disk_place place;
static struct disk_template model;
static char directory[] = "/var/tmp/joblet-test-XXXXXX";
static int directory_fd;
static int target_fd;
static struct disk disk;
static int job_fd; /* the directory as a job has it */

static void assert_made(int r, const struct error *error)
{
    if (r < 0)
        print_error("%s\n", error->text);
    assert_int_equal(r, 0);
}

static int set_up_all(void **state)
{
    struct error error = {0};
    (void)state;
    if (unshare(CLONE_NEWNS) < 0 || mount_make_private() < 0 || !mkdtemp(directory))
        return -1;
    directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (mkdirat(directory_fd, "target", 0700) < 0)
        return -1;
    target_fd = openat(directory_fd, "target", O_PATH | O_CLOEXEC);
    int r = disk_place_open(directory_fd, &place, &error);
    if (r == 0)
        r = template_make(&place, SIZE, INODES, OWNER, &model, &error);
    assert_made(r, &error);
    return 0;
}

static int tear_down_all(void **state)
{
    (void)state;
    template_done(&model);
    disk_place_close(&place);
    (void)close(target_fd);
    (void)unlinkat(directory_fd, "target", AT_REMOVEDIR);
    (void)close(directory_fd);
    return rmdir(directory);
}

static int set_up(void **state)
{
    struct error error = {0};
    (void)state;
    assert_made(disk_make(&place, &model, &disk, &error), &error);
    assert_int_equal(mount_attach(disk.mount_fd, target_fd), 0);
    _cleanup_close_ int clone = disk_clone(&disk);
    assert_true(clone >= 0);
    job_fd = openat(clone, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(job_fd >= 0);
    return 0;
}

static void let_go(void)
{
    char path[sizeof(directory) + 8];
    (void)snprintf(path, sizeof(path), "%s/target", directory);
    disk_shut(&disk);
    assert_int_equal(umount2(path, MNT_DETACH), 0);
    disk_close(&place, &disk);
}

static int tear_down(void **state)
{
    (void)state;
    (void)close(job_fd);
    let_go();
    return 0;
}

static void write_file(int fd, size_t size)
{
    static char bytes[65536];
    memset(bytes, 'x', sizeof(bytes));
    for (size_t at = 0; at < size; at += sizeof(bytes))
        assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
}

static void test_size(void **state)
{
    (void)state;
    struct statfs space;
    struct stat status;
    assert_int_equal(fstatfs(job_fd, &space), 0);
    assert_int_equal(space.f_bavail * 4096, SIZE);
    assert_int_equal(model.usable_bytes, SIZE);
    assert_int_equal(space.f_blocks * 4096, model.bytes);
    assert_int_equal(space.f_files, model.inodes);
    assert_true(space.f_ffree >= INODES - 64 && space.f_ffree <= INODES + 64);
    assert_int_equal(fstat(job_fd, &status), 0);
    assert_int_equal(status.st_uid, OWNER);
    assert_int_equal(status.st_mode, S_IFDIR | 0755);
    struct statvfs flags;
    assert_int_equal(fstatvfs(job_fd, &flags), 0);
    assert_int_equal(flags.f_flag & (ST_NOSUID | ST_NODEV), ST_NOSUID | ST_NODEV);
    /* A file without a name, of which only the beginning is there. */
    assert_int_equal(fstat(disk.image_fd, &status), 0);
    assert_int_equal(status.st_nlink, 0);
    assert_int_equal(status.st_size, model.image_bytes);
    assert_true(status.st_blocks * 512 < 1 << 20);
}

/* Looking at it, in all ways that leave nothing, does not spoil it. */
static void test_untouched(void **state)
{
    (void)state;
    char path[64];
    (void)snprintf(path, sizeof(path), "ls -la /proc/%d/fd/%d/ >/dev/null", getpid(), job_fd);
    assert_true(disk_is_untouched(&model, &disk));
    assert_int_equal(system(path), 0);
    assert_int_equal(openat(job_fd, "nothing", O_RDONLY), -1);
    assert_int_equal(mkdirat(job_fd, ".", 0700), -1);
    assert_true(disk_is_untouched(&model, &disk));
}

static void make_and_remove(void)
{
    (void)close(openat(job_fd, "file", O_CREAT | O_WRONLY, 0600));
    assert_int_equal(unlinkat(job_fd, "file", 0), 0);
}

static void change_times_back(void)
{
    const struct timespec times[2] = {{model.changed_sec, model.changed_nsec}, {model.changed_sec, model.changed_nsec}};
    make_and_remove();
    assert_int_equal(futimens(job_fd, times), 0);
}

static void change_mode(void)
{
    assert_int_equal(fchmod(job_fd, 0700), 0);
    assert_int_equal(fchmod(job_fd, 0755), 0);
}

/* A file that never had a name, and is gone again. */
static void use_nameless_file(void)
{
    int fd = openat(job_fd, ".", O_TMPFILE | O_RDWR, 0600);
    assert_true(fd >= 0);
    write_file(fd, 1 << 20);
    assert_int_equal(fsync(fd), 0);
    (void)close(fd);
}

static int held_fd = -1;

static void keep_nameless_file(void)
{
    held_fd = openat(job_fd, ".", O_TMPFILE | O_RDWR, 0600);
    assert_true(held_fd >= 0);
}

static void test_touched(void **state)
{
    (void)state;
    static void (*const doings[])(void) = {
            make_and_remove, change_times_back, change_mode, use_nameless_file, keep_nameless_file};
    for (size_t i = 0; i < ELEMENTS(doings); i++) {
        assert_true(disk_is_untouched(&model, &disk));
        doings[i]();
        if (disk_is_untouched(&model, &disk))
            fail_msg("doing %zu is not seen", i);
        held_fd = fd_close(held_fd);
        (void)tear_down(NULL);
        (void)set_up(NULL);
    }
}

/* What a job left is not written out first: its file does not grow. */
static void test_dropped(void **state)
{
    (void)state;
    struct stat before;
    struct stat after;
    int image_fd = fcntl(disk.image_fd, F_DUPFD_CLOEXEC, 0);
    int fd = openat(job_fd, "file", O_CREAT | O_WRONLY, 0600);
    assert_int_equal(fstat(image_fd, &before), 0);
    write_file(fd, 8 << 20);
    (void)close(fd);
    disk_shut(&disk);
    assert_int_equal(openat(job_fd, "other", O_CREAT | O_WRONLY, 0600), -1);
    (void)tear_down(NULL);
    assert_int_equal(fstat(image_fd, &after), 0);
    assert_true(after.st_blocks * 512 < before.st_blocks * 512 + (4 << 20));
    (void)close(image_fd);
    (void)set_up(NULL);
}

static bool has_device(unsigned number)
{
    unsigned numbers[4096];
    int count = loop_device_list(place.dev_fd, numbers, ELEMENTS(numbers));
    for (int i = 0; i < count; i++)
        if (numbers[i] == number)
            return true;
    return false;
}

/* Devices are used again, and all are gone in the end. */
static void test_devices(void **state)
{
    (void)state;
    unsigned first = disk.number;
    (void)tear_down(NULL);
    (void)set_up(NULL);
    assert_int_equal(disk.number, first);
    (void)tear_down(NULL);
    (void)disk_place_sweep(&place);
    assert_false(has_device(first));
    (void)set_up(NULL);
}

/* Whoever had a disk lets go of it a little after the end has begun: its device goes, too. Who keeps it longer keeps
 * its device, and the end does not wait for him. */
static void test_let_go_late(void **state)
{
    static const useconds_t rows[] = {120000, 10000000};
    (void)state;
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        struct disk_place other;
        struct disk late;
        struct error error = {0};
        assert_made(disk_place_open(directory_fd, &other, &error), &error);
        assert_made(disk_make(&other, &model, &late, &error), &error);
        pid_t holder = fork();
        if (holder == 0) {
            (void)usleep(rows[i]);
            _exit(0);
        }
        disk_close(&other, &late);
        disk_place_close(&other);
        assert_int_equal(has_device(late.number), i == 1);
        assert_int_equal(waitpid(holder, NULL, WNOHANG), i == 1 ? 0 : holder);
        if (i == 1) {
            assert_int_equal(kill(holder, SIGKILL), 0);
            assert_int_equal(waitpid(holder, NULL, 0), holder);
        }
        (void)disk_place_sweep(&place);
        assert_false(has_device(late.number));
    }
}

/* A build's: nothing is on it, and two mounts show the same. */
static void test_whole(void **state)
{
    (void)state;
    struct disk_template other;
    struct disk build;
    struct error error = {0};
    struct statfs space;
    char path[sizeof(directory) + 8];
    (void)tear_down(NULL);
    assert_made(template_make(&place, SIZE, INODES, DISK_NO_OWNER, &other, &error), &error);
    assert_made(disk_make(&place, &other, &build, &error), &error);
    assert_int_equal(mount_attach(build.mount_fd, target_fd), 0);
    int first = disk_clone_whole(&build);
    int second = disk_clone_whole(&build);
    assert_true(first >= 0 && second >= 0);
    assert_int_equal(faccessat(first, DISK_DIRECTORY, F_OK, 0), -1);
    assert_int_equal(faccessat(first, "lost+found", F_OK, 0), -1);
    assert_int_equal(fstatfs(first, &space), 0);
    assert_int_equal(space.f_bavail * 4096, SIZE);
    assert_int_equal(mkdirat(first, "made", 0700), 0);
    assert_int_equal(faccessat(second, "made", F_OK, 0), 0);
    /* Nobody but us has it in a directory of his own: both go with the last descriptor. */
    (void)close(first);
    (void)close(second);
    (void)snprintf(path, sizeof(path), "%s/target", directory);
    assert_int_equal(umount2(path, MNT_DETACH), 0);
    disk_close(&place, &build);
    template_done(&other);
    (void)set_up(NULL);
}

static void test_other_sizes(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1ULL << 20, 3ULL << 20, 100ULL << 20, 256ULL << 20, 1000ULL << 20, 20ULL << 30};
    for (size_t i = 0; i < ELEMENTS(sizes); i++) {
        struct disk_template other;
        struct error error = {0};
        assert_made(template_make(&place, sizes[i], sizes[i] / 16384 + 1024, OWNER, &other, &error), &error);
        if (other.usable_bytes < sizes[i] || other.usable_bytes > sizes[i] + (2 << 20))
            fail_msg("%llu became %llu", (unsigned long long)sizes[i], (unsigned long long)other.usable_bytes);
        template_done(&other);
    }
}

int main(void)
{
    if (geteuid() != 0) {
        (void)printf("skipped: needs root\n");
        return 77;
    }
    if (access("/dev/loop-control", R_OK | W_OK) < 0) {
        (void)printf("skipped: no loop devices on this host\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(test_size, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_untouched, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_touched, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_dropped, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_devices, set_up, tear_down),
            cmocka_unit_test(test_let_go_late),
            cmocka_unit_test_setup_teardown(test_whole, set_up, tear_down),
            cmocka_unit_test(test_other_sizes),
    };
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
