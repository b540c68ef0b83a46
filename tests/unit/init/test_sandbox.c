/* Jobs in real sandboxes: how they end, and what their log holds. Root only. */
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
#include "driver.h"
#include "joblog/format.h"
#include "kernel/mount.h"
#include "scratch/disk.h"

static struct driver driver;

static char shell_name[] = "sh";
static char shell_flag[] = "-c";

/* One shell script as a job, with the default plan. */
#define SHELL(script)                                                                                                  \
    (char *[])                                                                                                         \
    {                                                                                                                  \
        shell_name, shell_flag, (char[]){script}, NULL                                                                 \
    }

static void run_job(struct driver_job *job)
{
    assert_int_equal(driver_run(&driver, job), 0);
    assert_int_equal(job->leaked_mounts, 0);
}

static void assert_end(const struct driver_job *job, uint32_t reason, int exit_code)
{
    if (job->failed)
        print_error("failed at '%s': %s\n", plan_stage_name(job->error.stage), job->error.text);
    assert_false(job->failed);
    assert_true(job->has_record);
    assert_memory_equal(job->record.job_id, job->plan.job_id, 16);
    assert_string_equal(record_reason_name(job->record.reason), record_reason_name(reason));
    assert_int_equal(job->record.exit_code, exit_code);
    assert_int_equal(job->record.log_bytes, job->log_size);
    assert_true(job->record.ended_unix_ns >= job->record.started_unix_ns);
    assert_int_equal(job->wait_status, 0);
}

/* The entries of the index follow each other without a gap and cover the log. */
static void assert_index(const struct driver_job *job)
{
    uint64_t offset = 0;
    assert_int_equal(job->index_size % sizeof(struct joblog_entry), 0);
    for (size_t at = 0; at < job->index_size; at += sizeof(struct joblog_entry)) {
        struct joblog_entry entry;
        memcpy(&entry, job->index + at, sizeof(entry));
        assert_int_equal(entry.offset, offset);
        assert_true(entry.size > 0 && entry.stream >= JOBLOG_STREAM_STDOUT && entry.stream <= JOBLOG_STREAM_SERVICE);
        offset += entry.size;
    }
    assert_int_equal(offset, job->log_size);
}

static void test_happy(void **state)
{
    (void)state;
    struct driver_job job;
    driver_job_init(&driver, &job, SHELL("echo out; echo err >&2; sleep 0.2; echo out2; exit 7"));
    job.with_cgroups = driver.has_v1;
    run_job(&job);
    assert_true(job.was_ready);
    assert_end(&job, RECORD_REASON_EXITED, 7);
    assert_index(&job);
    assert_non_null(strstr(job.log, "out\n"));
    assert_non_null(strstr(job.log, "err\n"));
    assert_non_null(strstr(job.log, "out2\n"));
    driver_job_done(&job);
}

/* What comes apart in time stays in order, with its stream. */
/* shows: NIST 4.4.3 */
static void test_order(void **state)
{
    (void)state;
    struct driver_job job;
    driver_job_init(&driver, &job, SHELL("for i in 1 2 3; do echo o$i; sleep 0.15; echo e$i >&2; sleep 0.15; done"));
    run_job(&job);
    assert_end(&job, RECORD_REASON_EXITED, 0);
    assert_string_equal(job.log, "o1\ne1\no2\ne2\no3\ne3\n");
    assert_index(&job);
    assert_int_equal(job.index_size / sizeof(struct joblog_entry), 6);
    struct joblog_entry entry;
    memcpy(&entry, job.index + sizeof(entry), sizeof(entry));
    assert_int_equal(entry.stream, JOBLOG_STREAM_STDERR);
    driver_job_done(&job);
}

static void test_environment(void **state)
{
    (void)state;
    struct driver_job job;
    char *const environment[] = {(char[]){"PATH=/nowhere:/bin"}, (char[]){"JOB_ID=forged"}, (char[]){"JOB_COMMAND=x"},
            (char[]){"TMPDIR=/"}, (char[]){"MINE=yes"}, NULL};
    driver_job_init(&driver, &job, (char *[]){(char[]){"env"}, NULL});
    job.environment = environment;
    run_job(&job);
    assert_end(&job, RECORD_REASON_EXITED, 0);
    char id[64] = "JOB_ID=";
    text_format_uuid(job.plan.job_id, id + 7);
    char temporary[80];
    (void)snprintf(temporary, sizeof(temporary), "TMPDIR=/tmp/job-%s\n", id + 7);
    assert_non_null(strstr(job.log, id));
    assert_non_null(strstr(job.log, temporary));
    assert_null(strstr(job.log, "forged"));
    static const char *const wanted[] = {"JOB_TYPE=standard\n", "JOBLET_CHROOT=true\n", "JOB_COMMAND=env\n",
            "JOB_MAX_CPU=150\n", "JOB_MAX_MEMORY=64\n", "MINE=yes\n", "PATH=/nowhere:/bin\n"};
    for (size_t i = 0; i < ELEMENTS(wanted); i++)
        assert_non_null(strstr(job.log, wanted[i]));
    driver_job_done(&job);
}

static void test_cannot_start(void **state)
{
    (void)state;
    static const struct {
        const char *command;
        const char *work_dir;
        int exit_code;
        const char *text;
    } cases[] = {
            {"nosuch", "/work", 127, "joblet: command 'nosuch' was not found in PATH\n"},
            {"/bin/nosuch", "/work", 127, "joblet: command '/bin/nosuch' was not found\n"},
            {"", "/work", 127, "was not found"},
            {"noexec", "/work", 126, "joblet: command 'noexec' cannot be executed: Permission denied\n"},
            {"/bin", "/work", 126, "Permission denied\n"},
            {"orphan", "/work", 126, "interpreter or loader was not found\n"},
            {"true", "/nowhere", 126, "joblet: working directory '/nowhere': No such file or directory\n"},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        struct driver_job job;
        char command[32];
        (void)snprintf(command, sizeof(command), "%s", cases[i].command);
        driver_job_init(&driver, &job, (char *[]){command, NULL});
        job.work_dir = cases[i].work_dir;
        run_job(&job);
        assert_end(&job, RECORD_REASON_EXITED, cases[i].exit_code);
        assert_non_null(strstr(job.log, cases[i].text));
        assert_index(&job);
        assert_true(job.record.error.text[0] != '\0');
        driver_job_done(&job);
    }
}

static void test_signal(void **state)
{
    (void)state;
    struct driver_job job;
    driver_job_init(&driver, &job, SHELL("kill -SEGV $$"));
    run_job(&job);
    assert_end(&job, RECORD_REASON_SIGNAL, 128 + 11);
    assert_int_equal(job.record.signal, 11);
    driver_job_done(&job);
}

/* The time limit holds against a job that ignores what it can ignore, and its children go with it. */
static void test_timeout(void **state)
{
    (void)state;
    struct driver_job job;
    driver_job_init(&driver, &job, SHELL("trap '' TERM INT; echo before; sleep 50 & sleep 50"));
    job.plan.timeout_ns = 300 * 1000000ULL;
    run_job(&job);
    assert_end(&job, RECORD_REASON_TIMEOUT, 124);
    assert_string_equal(job.log, "before\n");
    assert_true(job.duration_ns > 250 * 1000000LL && job.duration_ns < 5000 * 1000000LL);
    driver_job_done(&job);
}

static void test_stop(void **state)
{
    (void)state;
    struct driver_job job;
    driver_job_init(&driver, &job, SHELL("trap '' TERM; echo before; sleep 50"));
    job.stop_after_ms = 300;
    run_job(&job);
    assert_end(&job, RECORD_REASON_STOPPED, 137);
    assert_string_equal(job.log, "before\n");
    driver_job_done(&job);
}

/* A job can neither signal joblet-init nor change it, nor look into it. */
static void test_init_out_of_reach(void **state)
{
    (void)state;
    struct driver_job job;
    driver_job_init(&driver, &job,
            SHELL("kill -TERM 1 && echo BAD; kill -KILL 1 && echo BAD; cat /proc/1/environ && echo BAD;"
                  "ls /proc/1/fd/ && echo BAD; ls /proc/1/root/ && echo BAD; cat /proc/1/maps && echo BAD;"
                  "head -c1 /proc/1/exe && echo BAD; sleep 0.1; echo end"));
    run_job(&job);
    assert_end(&job, RECORD_REASON_EXITED, 0);
    assert_null(strstr(job.log, "BAD"));
    assert_non_null(strstr(job.log, "end\n"));
    driver_job_done(&job);
}

/* shows: Checklist 3, CIS-Docker 5.13 */
static void test_writable(void **state)
{
    (void)state;
    struct driver_job job;
    driver_job_init(&driver, &job,
            SHELL("for d in /work /tmp $TMPDIR /dev/shm; do touch $d/x || echo BAD $d; done;"
                  "for d in / /etc /bin /dev /run /proc /proc/sys /sys /volumes; do touch $d/x 2>/dev/null && echo BAD "
                  "$d; done;"
                  "echo x >/dev/null || echo BAD null;"
                  "for f in /etc/hosts /proc/sys/kernel/hostname /proc/self/oom_score_adj "
                  "/proc/sys/user/max_user_namespaces;"
                  "do echo 1 2>/dev/null >$f && echo BAD $f; done; mkdir /work/a /work/b; touch /work/a/f;"
                  "echo done"));
    run_job(&job);
    assert_end(&job, RECORD_REASON_EXITED, 0);
    assert_null(strstr(job.log, "BAD"));
    assert_non_null(strstr(job.log, "done\n"));
    driver_job_done(&job);
}

static void test_big_output(void **state)
{
    (void)state;
    struct driver_job job;
    driver_job_init(&driver, &job, SHELL("seq 1 400000"));
    run_job(&job);
    assert_end(&job, RECORD_REASON_EXITED, 0);
    assert_index(&job);
    const char *at = job.log;
    for (unsigned i = 1; i <= 400000; i++) {
        char *end;
        assert_int_equal(strtoul(at, &end, 10), i);
        assert_true(*end == '\n');
        at = end + 1;
    }
    assert_true(*at == '\0');
    driver_job_done(&job);
}

/* Past its quota the job goes on, and the log says how much is missing. */
static void test_quota(void **state)
{
    (void)state;
    struct driver_job job;
    driver_job_init(&driver, &job, SHELL("head -c 300000 /dev/zero | tr '\\0' x; echo last >&2"));
    job.plan.log_quota_bytes = 100000;
    run_job(&job);
    assert_end(&job, RECORD_REASON_EXITED, 0);
    assert_int_equal(job.record.log_left_out_bytes, 200005);
    assert_index(&job);
    assert_true(strspn(job.log, "x") == 100000);
    assert_string_equal(job.log + 100000, "joblet: 200005 bytes of output were left out: the log is at its limit\n");
    driver_job_done(&job);
}

/* A process left behind that keeps writing does not keep the job from ending. */
static void test_endless_child(void **state)
{
    (void)state;
    struct driver_job job;
    driver_job_init(&driver, &job, SHELL("yes & sleep 0.1; exit 5"));
    job.plan.log_quota_bytes = 1000;
    run_job(&job);
    assert_end(&job, RECORD_REASON_EXITED, 5);
    driver_job_done(&job);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    if (!driver.has_v1) {
        print_message("skipped: no cgroup v1 memory controller; on v2 joblet reads memory.events\n");
        skip();
    }
    struct driver_job job;
    driver_job_init(&driver, &job, SHELL("head -c 120000000 /dev/zero >/dev/shm/x; echo alive"));
    job.plan.shm_bytes = 128U << 20;
    job.with_cgroups = true;
    job.memory_limit_bytes = 64U << 20;
    run_job(&job);
    /* The kernel may choose joblet-init, which then leaves no record: joblet writes it. Only a sanitizer makes it that
     * large. */
    if (job.has_record)
        assert_end(&job, RECORD_REASON_OUT_OF_MEMORY, 137);
    else
        assert_int_equal(job.wait_status, -9);
    assert_null(strstr(job.log, "alive"));
    driver_job_done(&job);
}

/* joblet goes away between READY and GO: nothing runs. */
static void test_no_go(void **state)
{
    (void)state;
    struct driver_job job;
    driver_job_init(&driver, &job, SHELL("echo ran"));
    job.never_go = true;
    run_job(&job);
    assert_int_equal(job.wait_status, 1);
    assert_true(job.has_record);
    assert_int_equal(job.record.reason, RECORD_REASON_SETUP_FAILURE);
    assert_int_equal(job.log_size, 0);
    driver_job_done(&job);
}

/* Nothing may have been executed, and the error must say where it stopped. */
static void assert_refused(struct driver_job *job, uint32_t stage)
{
    run_job(job);
    assert_true(job->failed);
    assert_false(job->was_ready);
    if (job->error.stage != stage)
        print_error("refused at '%s': %s\n", plan_stage_name(job->error.stage), job->error.text);
    assert_int_equal(job->error.stage, stage);
    assert_true(job->error.code > 0 && job->error.text[0] != '\0');
    assert_int_equal(job->wait_status, 1);
    assert_true(job->has_record);
    assert_int_equal(job->record.reason, RECORD_REASON_SETUP_FAILURE);
    assert_int_equal(job->record.exit_code, -1);
    assert_int_equal(job->log_size, 0);
    driver_job_done(job);
}

/* --- /work on disk --- */

static struct disk_place place;
static struct disk_template model;
static struct disk disk;

/* Attached where the job's root has a directory: what is mounted below is not part of the root. */
static void make_disk(void)
{
    struct error error = {0};
    int r = disk_place_open(driver.root_fd, &place, &error);
    if (r == 0)
        r = template_make(&place, 16U << 20, 1000, DRIVER_DISK_BASE + PLAN_COMMAND_ID_DEFAULT, &model, &error);
    if (r == 0)
        r = disk_make(&place, &model, &disk, &error);
    if (r < 0)
        print_error("%s\n", error.text);
    assert_int_equal(r, 0);
    _cleanup_close_ int target = openat(driver.root_fd, "volumes", O_PATH | O_CLOEXEC);
    assert_int_equal(mount_attach(disk.mount_fd, target), 0);
    assert_int_equal(mkdirat(disk.mount_fd, "other", 0755), 0);
}

static void drop_disk(void)
{
    char path[80];
    (void)snprintf(path, sizeof(path), "%s/volumes", driver.directory);
    disk_shut(&disk);
    assert_int_equal(umount2(path, MNT_DETACH), 0);
    disk_close(&place, &disk);
    template_done(&model);
    disk_place_close(&place);
}

static void disk_job(struct driver_job *job, char **script, const char *name, uint64_t attributes)
{
    driver_job_init(&driver, job, script);
    job->work_fd = mount_clone(disk.mount_fd, name);
    assert_true(job->work_fd >= 0);
    /* The driver shares its mounts on purpose; joblet-scratch does not. */
    assert_int_equal(mount_make_private_one(job->work_fd), 0);
    assert_int_equal(mount_set_attributes(job->work_fd, attributes, driver.disk_userns_fd), 0);
    job->plan.work_on_disk = 1;
    job->plan.work_bytes = model.bytes;
    job->plan.work_inodes = model.inodes;
}

static void test_disk(void **state)
{
    (void)state;
    static const uint64_t right = MOUNT_ATTR_IDMAP | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    static const struct {
        const char *name;
        uint64_t attributes;
        uint64_t more_bytes;
        uint64_t more_inodes;
    } lies[] = {
            {DISK_DIRECTORY, right, 4096, 0},
            {DISK_DIRECTORY, right, 0, 1},
            {DISK_DIRECTORY, right | MOUNT_ATTR_RDONLY, 0, 0},
            {DISK_DIRECTORY, right | MOUNT_ATTR_NOEXEC, 0, 0},
            {DISK_DIRECTORY, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, 0, 0},
            {"other", right, 0, 0}, /* and of another owner */
            {"", right, 0, 0},
    };
    struct driver_job job;
    make_disk();
    disk_job(&job,
            SHELL("echo kept >/work/file && cat /work/file && head -c 17000000 /dev/zero >/work/big || echo full"),
            DISK_DIRECTORY, right);
    run_job(&job);
    assert_end(&job, RECORD_REASON_EXITED, 0);
    assert_non_null(strstr(job.log, "kept\n"));
    assert_non_null(strstr(job.log, "full\n"));
    (void)close(job.work_fd);
    driver_job_done(&job);
    for (size_t i = 0; i < ELEMENTS(lies); i++) {
        disk_job(&job, SHELL("echo ran"), lies[i].name, lies[i].attributes);
        job.plan.work_bytes += lies[i].more_bytes;
        job.plan.work_inodes += lies[i].more_inodes;
        assert_refused(&job, PLAN_STAGE_PROOF);
        (void)close(job.work_fd);
    }
    /* Promised and not handed over; handed over and not promised; not a disk. */
    disk_job(&job, SHELL("echo ran"), DISK_DIRECTORY, right);
    int work_fd = job.work_fd;
    job.work_fd = -1;
    assert_refused(&job, PLAN_STAGE_START);
    (void)close(work_fd);
    disk_job(&job, SHELL("echo ran"), DISK_DIRECTORY, right);
    job.plan.work_on_disk = 0;
    assert_refused(&job, PLAN_STAGE_START);
    (void)close(job.work_fd);
    driver_job_init(&driver, &job, SHELL("echo ran"));
    job.plan.work_on_disk = 1;
    job.work_fd = mount_new("tmpfs", NULL, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    assert_refused(&job, PLAN_STAGE_PROOF);
    (void)close(job.work_fd);
    drop_disk();
}

/* A descriptor too many does not survive. */
static void test_extra_fd(void **state)
{
    (void)state;
    struct driver_job job;
    driver_job_init(&driver, &job, SHELL("ls /proc/self/fd | wc -l"));
    job.with_extra_fd = true;
    run_job(&job);
    assert_end(&job, RECORD_REASON_EXITED, 0);
    assert_int_equal(atoi(job.log), 4); /* 0, 1, 2 and the directory itself */
    driver_job_done(&job);
}

int main(int count, char **arguments)
{
    if (geteuid() != 0) {
        (void)printf("skipped: needs root\n");
        return 77;
    }
    if (count != 2 || driver_open(&driver, arguments[1], /* has_hooks= */ false) < 0)
        return 1;
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_happy),
            cmocka_unit_test(test_order),
            cmocka_unit_test(test_environment),
            cmocka_unit_test(test_cannot_start),
            cmocka_unit_test(test_signal),
            cmocka_unit_test(test_timeout),
            cmocka_unit_test(test_stop),
            cmocka_unit_test(test_init_out_of_reach),
            cmocka_unit_test(test_writable),
            cmocka_unit_test(test_big_output),
            cmocka_unit_test(test_quota),
            cmocka_unit_test(test_endless_child),
            cmocka_unit_test(test_out_of_memory),
            cmocka_unit_test(test_no_go),
            cmocka_unit_test(test_disk),
            cmocka_unit_test(test_extra_fd),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    driver_close(&driver);
    return failed;
}
