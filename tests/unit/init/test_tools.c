/* The sandboxes of our own tools, and what joblet could hand to them and to builds wrongly. Root only. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "builder_check.h"
#include "kernel/mount.h"

static void test_collect(void **state)
{
    (void)state;
    struct driver_job job;
    builder_shell(&check_builder, "cd host/opt; echo host >was; echo secret >key; chmod 600 key");
    check_script(
            &job, PLAN_TYPE_BUILD, "echo built >/opt/made; rm /opt/was; echo fresh >/root/made; echo x >/usr/bin/x");
    driver_job_done(&job);
    check_script(&job, PLAN_TYPE_COLLECT,
            "cat /merged/opt/made /merged/root/made; ls /merged/opt | tr '\\n' ' '; echo; "
            "n=$(($(grep -n '^opt$' /layers | cut -d: -f1) - 1)); cat /lower/$n/was /upper/$n/made; stat -c %F "
            "/upper/$n/was; "
            "touch /merged/x /merged/usr/x /upper/x /lower/$n/x /base/x /x 2>/dev/null && echo written; "
            "echo out >/stage/out && chown 7:8 /stage/out && chmod 4755 /stage/out; ls /base | head -1; "
            "grep Cap /proc/self/status | tr '\\t' ' '; chroot / true || echo no chroot; id -u");
    check_line(&job, "built");
    check_line(&job, "fresh");
    check_line(&job, "joblet made ");
    check_line(&job, "host");
    check_line(&job, "character special file");
    check_line(&job, "bin");
    check_line(&job, "CapPrm: 000000000000000b");
    check_line(&job, "CapEff: 000000000000000b");
    check_line(&job, "CapBnd: 000000000000000b");
    check_line(&job, "no chroot");
    check_line(&job, "0");
    check_no_text(&job, "written");
    driver_job_done(&job);
    struct stat status;
    assert_int_equal(fstatat(check_builder.stage_fd, "out", &status, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(status.st_uid, DRIVER_DISK_BASE + 7);
    assert_int_equal(status.st_gid, DRIVER_DISK_BASE + 8);
}

static void test_verify_and_sweep(void **state)
{
    (void)state;
    struct driver_job job;
    builder_shell(&check_builder,
            "mkdir -p stage/tree/deep; echo x >stage/tree/deep/file; chown -R %u:%u stage/tree; chmod 0 stage/tree",
            DRIVER_DISK_BASE, DRIVER_DISK_BASE);
    check_script(&job, PLAN_TYPE_VERIFY,
            "cat /stage/tree/deep/file; rm -r /stage/tree 2>/dev/null || echo refused; ls / | tr '\\n' ' '; echo; ip "
            "addr 2>/dev/null | grep -c inet; "
            "grep CapEff /proc/self/status | tr '\\t' ' '; touch /tmp/t && echo temporary");
    check_line(&job, "x");
    check_line(&job, "refused");
    check_line(&job, "dev proc stage tmp ");
    check_line(&job, "CapEff: 000000000000000b");
    check_line(&job, "temporary");
    driver_job_done(&job);
    check_script(&job, PLAN_TYPE_SWEEP, "rm -r /stage/tree && echo gone; ls / | tr '\\n' ' '");
    check_line(&job, "gone");
    assert_non_null(strstr(job.log, "dev proc stage tmp "));
    driver_job_done(&job);
    struct stat status;
    assert_int_equal(fstatat(check_builder.stage_fd, "tree", &status, AT_SYMLINK_NOFOLLOW), -1);
}

/* What a build leaves behind cannot lead a mount of the collect sandbox astray. */
static void test_collect_moved(void **state)
{
    (void)state;
    struct driver_job job;
    check_script(&job, PLAN_TYPE_BUILD,
            "mv /var/lib /var/moved && mkdir -p /tmp/x/apt /tmp/x/dpkg && ln -s /tmp/x /var/lib && echo moved");
    check_line(&job, "moved");
    driver_job_done(&job);
    check_init(&job, PLAN_TYPE_COLLECT, (char[]){"echo ran"});
    check_setup_fails(&job, PLAN_STAGE_ROOT, "merged/var/lib/");
}

static void test_cache(void **state)
{
    (void)state;
    struct driver_job job;
    builder_shell(
            &check_builder, "echo deb >cache/old.deb; chown %u:%u cache/old.deb", DRIVER_DISK_BASE, DRIVER_DISK_BASE);
    check_init(&job, PLAN_TYPE_BUILD,
            (char[]){"cd /var/cache/apt/archives; ls; echo new >new.deb; stat -c %u old.deb; rm old.deb"});
    job.plan.has_cache = 1;
    check_run(&job);
    if (job.failed)
        check_show(&job);
    assert_string_equal(job.log, "old.deb\n0\n");
    driver_job_done(&job);
    check_init(&job, PLAN_TYPE_COLLECT,
            (char[]){"cat /merged/var/cache/apt/archives/new.deb; cp /merged/var/cache/apt/archives/new.deb /cache/; "
                     "ls /cache"});
    job.plan.has_cache = 1;
    check_run(&job);
    if (job.failed)
        check_show(&job);
    assert_string_equal(job.log, "new\nnew.deb\nold.deb\n");
    driver_job_done(&job);
}

static void assert_fd_refused(uint32_t type, int number, int fd, uint32_t stage)
{
    struct driver_job job;
    check_other_number = number;
    check_other_fd = fd;
    check_builder.change_fds = check_put_other;
    check_init(&job, type, (char[]){"echo ran"});
    check_setup_fails(&job, stage, "");
    check_builder.change_fds = NULL;
    (void)fd_close(fd);
}

static int new_tree(const char *name, uint64_t attributes)
{
    int fd = mount_clone(check_driver.root_fd, name);
    assert_true(fd >= 0);
    assert_int_equal(mount_set_attributes(fd, attributes, check_driver.disk_userns_fd), 0);
    return fd;
}

static void test_fd_lies(void **state)
{
    (void)state;
    const uint64_t right = MOUNT_ATTR_IDMAP | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    const uint64_t mapped = MOUNT_ATTR_IDMAP | MOUNT_ATTR_NOSUID;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    /* One that the type must not have, and each that it must. */
    assert_fd_refused(PLAN_TYPE_BUILD, PLAN_FD_ROOT, open("/", O_PATH | O_CLOEXEC), PLAN_STAGE_START);
    assert_fd_refused(PLAN_TYPE_BUILD, PLAN_FD_STAGE, open("/", O_PATH | O_CLOEXEC), PLAN_STAGE_START);
    assert_fd_refused(PLAN_TYPE_BUILD, PLAN_FD_CACHE, open("/", O_PATH | O_CLOEXEC), PLAN_STAGE_START);
    assert_fd_refused(PLAN_TYPE_BUILD, PLAN_FD_HOST_LINK, null, PLAN_STAGE_START);
    assert_fd_refused(PLAN_TYPE_BUILD, PLAN_FD_LIST, open("/dev/null", O_RDONLY | O_CLOEXEC), PLAN_STAGE_START);
    assert_fd_refused(PLAN_TYPE_BUILD, PLAN_FD_NEW_LIST, open("/dev/null", O_RDWR | O_CLOEXEC), PLAN_STAGE_START);
    assert_fd_refused(PLAN_TYPE_BUILD, PLAN_FD_WORK, -1, PLAN_STAGE_START);
    assert_fd_refused(PLAN_TYPE_BUILD, PLAN_FD_PROGRAM, -1, PLAN_STAGE_START);
    assert_fd_refused(PLAN_TYPE_COLLECT, PLAN_FD_ROOT, -1, PLAN_STAGE_START);
    assert_fd_refused(PLAN_TYPE_VERIFY, PLAN_FD_STAGE, -1, PLAN_STAGE_START);
    assert_fd_refused(PLAN_TYPE_SWEEP, PLAN_FD_WORK, open("/", O_PATH | O_CLOEXEC), PLAN_STAGE_START);
    /* Of another kind. */
    assert_fd_refused(PLAN_TYPE_BUILD, PLAN_FD_PROGRAM, open("/", O_PATH | O_CLOEXEC), PLAN_STAGE_PROOF);
    assert_fd_refused(PLAN_TYPE_BUILD, PLAN_FD_PROGRAM, open("/dev/null", O_PATH | O_CLOEXEC), PLAN_STAGE_PROOF);
    assert_fd_refused(PLAN_TYPE_BUILD, PLAN_FD_WORK, mount_new("tmpfs", NULL, 0), PLAN_STAGE_PROOF);
    assert_fd_refused(PLAN_TYPE_BUILD, PLAN_FD_WORK, new_tree("stage", 0), PLAN_STAGE_PROOF); /* the host's ext4 */
    builder_shell(&check_builder, "rm -rf stage/*");
    assert_fd_refused(PLAN_TYPE_COLLECT, PLAN_FD_WORK, new_tree("stage", right), PLAN_STAGE_ROOT);
    /* With other rights. */
    assert_fd_refused(PLAN_TYPE_VERIFY, PLAN_FD_STAGE, new_tree("stage", right), PLAN_STAGE_PROOF);
    assert_fd_refused(PLAN_TYPE_SWEEP, PLAN_FD_STAGE, new_tree("stage", right | MOUNT_ATTR_RDONLY), PLAN_STAGE_PROOF);
    assert_fd_refused(PLAN_TYPE_SWEEP, PLAN_FD_STAGE, new_tree("stage", mapped), PLAN_STAGE_PROOF);
    assert_fd_refused(
            PLAN_TYPE_SWEEP, PLAN_FD_STAGE, new_tree("stage", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV), PLAN_STAGE_PROOF);
}

static void test_plan_lies(void **state)
{
    (void)state;
    struct driver_job job;
    check_init(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    job.plan.work_bytes += 4096;
    check_setup_fails(&job, PLAN_STAGE_PROOF, "bytes and");
    check_init(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    job.plan.work_inodes++;
    check_setup_fails(&job, PLAN_STAGE_PROOF, "bytes and");
    check_init(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    job.plan.command_id = 1000;
    check_setup_fails(&job, PLAN_STAGE_START, "command id 1000");
    /* The tools' plan says another type than the descriptors are for. */
    check_init(&job, PLAN_TYPE_VERIFY, (char[]){"echo ran"});
    job.plan.type = PLAN_TYPE_SWEEP;
    check_other_number = PLAN_FD_STAGE;
    check_other_fd = new_tree("stage", MOUNT_ATTR_IDMAP | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY);
    check_builder.change_fds = check_put_other;
    check_setup_fails(&job, PLAN_STAGE_PROOF, "'/stage'");
    (void)close(check_other_fd);
}

/* A disk is for one build. */
static void test_used_disk(void **state)
{
    (void)state;
    struct driver_job job;
    check_script(&job, PLAN_TYPE_BUILD, "echo first");
    driver_job_done(&job);
    check_init(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    check_setup_fails(&job, PLAN_STAGE_ROOT, "is to be empty");
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
            SMALL(test_collect),
            SMALL(test_verify_and_sweep),
            SMALL(test_collect_moved),
            SMALL(test_cache),
            SMALL(test_fd_lies),
            SMALL(test_plan_lies),
            SMALL(test_used_disk),
    };
    return check_tests(count, arguments, "init/tools", tests, ELEMENTS(tests));
}
