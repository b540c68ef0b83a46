/* Sandboxes of builds and of our own tools, made for real: what is in them, what they may do, what stays outside. The
 * masks are tried over a small host that the test makes up, the package manager over the real one. Root only. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "builder.h"
#include "kernel/mount.h"
#include "kernel/netlink.h"

static struct driver driver;
static struct builder builder;

static char shell_name[] = "sh";
static char shell_flag[] = "-c";

static void show(const struct driver_job *job)
{
    if (job->failed)
        print_error("failed at '%s': %s\n", plan_stage_name(job->error.stage), job->error.text);
    print_error("the log is:\n%s\n", job->log ? job->log : "(none)");
}

/* As the type's command, over the disk as it is. The log stays in @job. */
static void run(struct driver_job *job)
{
    assert_int_equal(driver_run(&driver, job), 0);
    assert_int_equal(job->leaked_mounts, 0);
}

static void init_script(struct driver_job *job, uint32_t type, char *script)
{
    static char *arguments[4];
    arguments[0] = shell_name;
    arguments[1] = shell_flag;
    arguments[2] = script;
    builder_job_init(&builder, job, type, arguments);
}

static void run_script(struct driver_job *job, uint32_t type, const char *script)
{
    init_script(job, type, (char *)(uintptr_t)script);
    run(job);
    if (!job->has_record || job->record.reason != RECORD_REASON_EXITED || job->record.exit_code != 0)
        show(job);
    assert_int_equal(job->record.exit_code, 0);
    assert_int_equal(job->record.reason, RECORD_REASON_EXITED);
}

static void assert_line(const struct driver_job *job, const char *line)
{
    char text[512];
    (void)snprintf(text, sizeof(text), "%s\n", line);
    const char *found = job->log;
    size_t length = strlen(text);
    while ((found = strstr(found, text)) && found != job->log && found[-1] != '\n')
        found += length;
    if (!found) {
        print_error("no line '%s'\n", line);
        show(job);
    }
    assert_non_null(found);
}

static void assert_no_text(const struct driver_job *job, const char *text)
{
    if (strstr(job->log, text))
        show(job);
    assert_null(strstr(job->log, text));
}

/* --- the small host --- */

static int set_up_small(void **state)
{
    (void)state;
    if (builder_cover_host(&builder) < 0)
        return -1;
    return builder_renew_disk(&builder);
}

static int tear_down_small(void **state)
{
    (void)state;
    builder_uncover_host(&builder);
    builder_shell(&builder, "rm -rf host");
    builder.change_fds = NULL;
    return builder_renew_disk(&builder);
}

static void test_rights(void **state)
{
    (void)state;
    struct driver_job job;
    run_script(&job, PLAN_TYPE_BUILD,
            "id -u; grep -E '^(Uid|Gid|Groups|Cap|NoNew|Seccomp)' /proc/self/status | tr '\\t' ' '; cat "
            "/proc/self/uid_map; "
            "grep -E '^(Uid|Cap|Seccomp:)' /proc/1/status | sed 's/^/one: /' | tr '\\t' ' '");
    assert_line(&job, "0");
    assert_line(&job, "Uid: 0 0 0 0");
    assert_line(&job, "Gid: 0 0 0 0");
    assert_line(&job, "Groups:  ");
    assert_line(&job, "CapInh: 0000000000000000");
    assert_line(&job, "CapPrm: 00000000800400fb");
    assert_line(&job, "CapEff: 00000000800400fb");
    assert_line(&job, "CapBnd: 00000000800400fb");
    assert_line(&job, "CapAmb: 0000000000000000");
    assert_line(&job, "NoNewPrivs: 1");
    assert_line(&job, "Seccomp: 2");
    assert_line(&job, "one: Uid: 65535 65535 65535 65535");
    assert_line(&job, "one: CapPrm: 0000000000000000");
    assert_line(&job, "one: CapEff: 0000000000000000");
    assert_line(&job, "one: Seccomp: 2");
    driver_job_done(&job);
}

/* Each attempt prints its name when it comes through. */
static void test_refused(void **state)
{
    (void)state;
    struct driver_job job;
    run_script(&job, PLAN_TYPE_BUILD,
            "try() { \"$@\" 2>/dev/null && echo \"came through: $*\"; true; }; "
            "try mount -t tmpfs none /mnt; try mount --bind / /mnt; try umount /usr; try mount -o remount,rw "
            "/proc/sys; "
            "try mknod /tmp/c c 1 3; try mknod /tmp/b b 7 0; try mknod /dev/x c 1 1; try mknod /tmp/w c 0 0; "
            "try unshare -m true; try unshare -U true; try hostname x; try cat /proc/1/environ; try ls /proc/1/root/; "
            "try cat /proc/kcore; try grep . /proc/keys /proc/timer_list; "
            "try sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'; try sh -c 'echo 1 "
            ">/proc/sys/user/max_user_namespaces'; "
            "try sh -c 'echo x >/proc/self/exe'; try sh -c 'echo x >/proc/sysrq-trigger'; "
            "kill -9 1; kill -TERM 1; touch /dev/made && echo touched; chroot / true && echo rooted; "
            "mkfifo /tmp/fifo && echo piped");
    assert_no_text(&job, "came through");
    assert_line(&job, "touched");
    assert_line(&job, "rooted");
    assert_line(&job, "piped");
    driver_job_done(&job);
}

static void test_environment(void **state)
{
    (void)state;
    struct driver_job job;
    char id[TEXT_UUID_MAX];
    char line[128];
    char *const environment[] = {(char[]){"RUNTIME_NAME=forged"}, (char[]){"BUILD_ID=forged"}, (char[]){"MINE=yes"},
            (char[]){"HOME=/home"}, NULL};
    init_script(&job, PLAN_TYPE_BUILD,
            (char[]){"env; ls -d $RUNTIME_DIR $ISOLATED_DIR $TMPDIR; cd /opt/joblet/runtimes; "
                     "readlink python/ml; cd python/ml && pwd -P; ls -A $HOME"});
    job.environment = environment;
    run(&job);
    assert_int_equal(job.record.exit_code, 0);
    text_format_uuid(job.plan.job_id, id);
    static const char *const lines[] = {"JOB_TYPE=runtime-build", "JOBLET_CHROOT=true", "RUNTIME_TYPE=python",
            "RUNTIME_NAME=ml", "RUNTIME_VERSION=1.0.0", "RUNTIME_DIR=/opt/joblet/runtimes/ml/1.0.0",
            "ISOLATED_DIR=/opt/joblet/runtimes/ml/1.0.0/isolated", "MINE=yes", "HOME=/home",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "../ml/1.0.0",
            "/opt/joblet/runtimes/ml/1.0.0"};
    for (size_t i = 0; i < ELEMENTS(lines); i++)
        assert_line(&job, lines[i]);
    static const char *const with_id[] = {"JOB_ID=%s", "BUILD_ID=%s", "TMPDIR=/tmp/job-%s"};
    for (size_t i = 0; i < ELEMENTS(with_id); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(line, sizeof(line), with_id[i], id);
#pragma GCC diagnostic pop
        assert_line(&job, line);
    }
    assert_no_text(&job, "forged");
    assert_no_text(&job, "JOB_COMMAND");
    driver_job_done(&job);
}

/* What others may not read is not there; what they may not enter is empty; and nothing of it changes what is shown. */
static void test_masks(void **state)
{
    (void)state;
    struct driver_job job;
    builder_shell(&builder,
            "cd host/opt; mkdir -p app/deep/er closed/in half; echo open >app/deep/er/open; echo key >app/deep/er/key; "
            "echo secret >closed/in/secret; echo named >half/named; chmod 600 app/deep/er/key; chmod 750 closed; "
            "chmod 711 half; ln -s /etc/shadow app/link; mkfifo -m 600 app/pipe; chown 5:6 app/deep; "
            "chmod 2775 app/deep; touch -d '2001-02-03 04:05:06' app/deep/er app/deep app .");
    run_script(&job, PLAN_TYPE_BUILD,
            "cd /opt; cat app/deep/er/open half/named; ls -A closed app/deep/er | tr '\\n' ' '; echo; "
            "cat closed/in/secret app/deep/er/key 2>&1; stat -c '%n %a %u %g %Y' app/deep app/deep/er closed half; "
            "ls app; cat app/link; date -u -r app +%Y; date -u -r . +%Y; "
            "echo mine >app/deep/er/key && cat app/deep/er/key; mkdir -p closed/in && touch closed/in/new && ls -A "
            "closed/in");
    assert_line(&job, "open");
    assert_line(&job, "named");
    assert_line(&job, "app/deep/er: open  closed: ");
    assert_line(&job, "cat: can't open 'closed/in/secret': No such file or directory");
    assert_line(&job, "cat: can't open 'app/deep/er/key': No such file or directory");
    assert_line(&job, "app/deep 2775 5 6 981173106");
    assert_line(&job, "app/deep/er 755 0 0 981173106");
    assert_non_null(strstr(job.log, "closed 750 0 0"));
    assert_non_null(strstr(job.log, "half 711 0 0"));
    assert_line(&job, "2001");
    assert_line(&job, "mine");
    assert_line(&job, "new");
    assert_line(&job, "root:!*:::::::");
    assert_no_text(&job, "pipe");
    assert_no_text(&job, "secret\n\n");
    driver_job_done(&job);
    /* The host's are as they were. */
    builder_shell(
            &builder, "cd host/opt; test \"$(cat app/deep/er/key)\" = key; test ! -e closed/in/new; test ! -e joblet");
}

/* The masks of /usr as a later sandbox sees them, whatever made them. The caller frees it. */
static char *list_masks(uint32_t cpu_percent)
{
    struct driver_job job;
    assert_int_equal(builder_renew_disk(&builder), 0);
    init_script(&job, PLAN_TYPE_BUILD, (char[]){"true"});
    job.plan.cpu_percent = cpu_percent;
    run(&job);
    assert_int_equal(job.record.exit_code, 0);
    driver_job_done(&job);
    run_script(&job, PLAN_TYPE_COLLECT,
            "cd /upper/0; find . -type d -exec stat -c '%n %f %u %g %Y' {} + | sort; find . ! -type d | sort");
    char *list = strdup(job.log);
    driver_job_done(&job);
    return list;
}

/* Several processes find what one finds, and leave the same. */
static void test_crew(void **state)
{
    (void)state;
    builder_shell(&builder,
            "cd host/usr; for a in 1 2 3 4 5 6; do for b in 1 2 3 4 5 6; do for c in 1 2 3 4 5 6; do "
            "d=lib/a$a/b$b/c$c; "
            "mkdir -p $d/deep/er; touch $d/open $d/deep/er/key$a$b; chmod 600 $d/deep/er/key*; done; done; done; "
            "touch lib/key lib/a1/key lib/a1/b1/key; chmod 600 lib/key lib/a1/key lib/a1/b1/key; chmod 700 lib/a2/b2 "
            "lib/a3/b3/c3; "
            "find . -type d -exec touch -d '2001-02-03 04:05:06' {} +");
    char *alone = list_masks(100);
    assert_non_null(strstr(alone, "./lib/a1/b1/c1/deep/er/key11\n"));
    assert_non_null(strstr(alone, "./lib/a1/key\n"));
    assert_null(strstr(alone, "open"));
    for (unsigned i = 0; i < 10; i++) {
        char *together = list_masks(800);
        size_t at = 0;
        while (alone[at] && alone[at] == together[at])
            at++;
        if (alone[at] != together[at])
            print_error("alone: %.80s\ntogether: %.80s\n", alone + at, together + at);
        assert_int_equal(alone[at], together[at]);
        free(together);
    }
    free(alone);
}

/* What the configuration hides and shows, whatever name leads there. */
static void test_configured(void **state)
{
    (void)state;
    struct driver_job job;
    builder_shell(&builder,
            "cd host/opt; mkdir -p a/b kept/deep other; echo x >a/file; echo y >a/b/file; ln a/file other/hard; "
            "echo z >kept/deep/shown; echo w >kept/deep/not; echo v >kept/alone; chmod 700 kept; "
            "chmod 600 kept/deep/* kept/alone; ln -s /opt/kept/alone other/alias");
    init_script(&job, PLAN_TYPE_BUILD,
            (char[]){
                    "cd /opt; find . ! -path './joblet*' | sort | tr '\\n' ' '; echo; cat kept/deep/shown kept/alone"});
    (void)strcpy(job.plan.build.hidden[0], "/opt/a/file");
    (void)strcpy(job.plan.build.hidden[1], "/opt/a/b");
    (void)strcpy(job.plan.build.hidden[2], "/opt/nothing");
    (void)strcpy(job.plan.build.shown[0], "/opt/kept/deep/shown");
    (void)strcpy(job.plan.build.shown[1], "/opt/other/alias");
    run(&job);
    assert_int_equal(job.record.exit_code, 0);
    assert_line(&job, ". ./a ./a/b ./kept ./kept/alone ./kept/deep ./kept/deep/shown ./other ./other/alias ");
    assert_line(&job, "z");
    assert_line(&job, "v");
    driver_job_done(&job);
}

static void set_absent(struct plan *plan, unsigned index, const char *path)
{
    struct stat status;
    char host[128];
    (void)snprintf(host, sizeof(host), "%s/%s", driver.directory, path);
    assert_int_equal(stat(host, &status), 0);
    plan->build.absent_device[index] = status.st_dev;
    plan->build.absent_inode[index] = status.st_ino;
}

/* The prefix is not there under its own name, nor under another. */
static void test_prefix(void **state)
{
    (void)state;
    struct driver_job job;
    builder_shell(&builder, "cd host; mkdir -p opt/joblet/config opt/joblet/runtimes/other usr/lib/elsewhere/config; "
                            "echo key >opt/joblet/config/key; echo key >usr/lib/elsewhere/config/key; "
                            "echo near >usr/lib/near");
    init_script(&job, PLAN_TYPE_BUILD,
            (char[]){"find /opt /usr/lib | sort | tr '\\n' ' '; echo; cat /usr/lib/near; "
                     "mkdir /usr/lib/elsewhere && ls -A /usr/lib/elsewhere && echo empty"});
    set_absent(&job.plan, 0, "host/usr/lib/elsewhere");
    set_absent(&job.plan, 1, "host/opt/joblet");
    run(&job);
    assert_int_equal(job.record.exit_code, 0);
    assert_line(&job, "/opt /opt/joblet /opt/joblet/runtimes /opt/joblet/runtimes/ml /opt/joblet/runtimes/ml/1.0.0 "
                      "/opt/joblet/runtimes/ml/1.0.0/isolated /opt/joblet/runtimes/python "
                      "/opt/joblet/runtimes/python/ml /usr/lib /usr/lib/near ");
    assert_line(&job, "empty");
    driver_job_done(&job);
}

static void assert_setup_fails(struct driver_job *job, uint32_t stage, const char *text)
{
    run(job);
    if (!job->failed || job->error.stage != stage || !strstr(job->error.text, text))
        show(job);
    assert_true(job->failed);
    assert_false(job->was_ready);
    assert_int_equal(job->log_size, 0);
    assert_string_equal(plan_stage_name(job->error.stage), plan_stage_name(stage));
    assert_non_null(strstr(job->error.text, text));
    driver_job_done(job);
    assert_int_equal(builder_renew_disk(&builder), 0);
}

static void test_owners(void **state)
{
    (void)state;
    struct driver_job job;
    builder_shell(&builder, "cd host/opt; mkdir -p a/b; touch a/b/c; chown 70000 a/b/c");
    init_script(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    assert_setup_fails(&job, PLAN_STAGE_ROOT, "'/opt/a/b/c' is above 65535");
    builder_shell(&builder, "cd host/opt; chown 0:65536 a/b/c");
    init_script(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    assert_setup_fails(&job, PLAN_STAGE_ROOT, "'/opt/a/b/c' is above 65535");
    /* Found by whichever process of several comes there. */
    builder_shell(&builder,
            "chown 0:0 host/opt/a/b/c; cd host/usr; for i in 1 2 3 4 5 6 7 8; do mkdir -p lib/x/y$i/z$i; done; "
            "touch lib/x/y7/z7/file; chown 70000 lib/x/y7/z7/file");
    for (unsigned i = 0; i < 4; i++) {
        init_script(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
        assert_setup_fails(&job, PLAN_STAGE_ROOT, "'/usr/lib/x/y7/z7/file' is above 65535");
    }
    builder_shell(&builder, "chown 0:0 host/usr/lib/x/y7/z7/file");
    /* The last id of the range is joblet-init's, and is the host's nobody's: it is no error. */
    builder_shell(&builder, "cd host/opt; chown 65534:65535 a/b/c");
    run_script(&job, PLAN_TYPE_BUILD, "stat -c %u:%g /opt/a/b/c");
    assert_line(&job, "65534:65535");
    driver_job_done(&job);
}

/* A file system that does not know idmapped mounts is named. */
static void test_file_system(void **state)
{
    (void)state;
    struct driver_job job;
    char options[256];
    builder_shell(&builder, "mkdir -p host/low");
    (void)snprintf(options, sizeof(options), "lowerdir=%s/host/opt:%s/host/low", driver.directory, driver.directory);
    assert_int_equal(mount("overlay", "/opt", "overlay", 0, options), 0);
    init_script(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    assert_setup_fails(&job, PLAN_STAGE_ROOT, "the host's '/opt' lies on a file system");
    assert_int_equal(umount2("/opt", MNT_DETACH), 0);
}

static void test_files(void **state)
{
    (void)state;
    struct driver_job job;
    builder_shell(&builder, "cd host; mkdir -p etc/apt/apt.conf.d; echo x >etc/apt/apt.conf.d/docker-clean; ln -s "
                            "/nowhere/at/all etc/resolv.conf; "
                            "echo 'shadow:!::' >etc/gshadow; chmod 640 etc/gshadow; echo '1.2.3.4 host' >etc/hosts");
    run_script(&job, PLAN_TYPE_BUILD,
            "cat /etc/shadow /etc/gshadow /etc/resolv.conf /etc/hostname; stat -c '%n %a %U:%G' /etc/shadow "
            "/etc/gshadow; "
            "/usr/sbin/policy-rc.d; echo policy $?; ls -A /etc/apt/apt.conf.d; cat /etc/hosts; "
            "stat -c '%n %a %u' /root /tmp /var/tmp /run/lock /work /home /srv /var/lib; readlink /var/run; readlink "
            "/var/lock; "
            "ls -A /home /root /run /srv /mnt /boot | tr '\\n' ' '");
    assert_line(&job, "root:!*:::::::");
    assert_line(&job, "more:!*:::::::");
    assert_line(&job, "shadow:!*::");
    assert_line(&job, "# This job has no network but its loopback.");
    assert_line(&job, "/etc/shadow 640 root:shadow");
    assert_line(&job, "/etc/gshadow 640 root:shadow");
    assert_line(&job, "policy 127"); /* there is no /bin/sh on this host */
    assert_line(&job, "99joblet");
    assert_line(&job, "127.0.0.1 localhost");
    static const char *const stats[] = {"/root 700 0", "/tmp 1777 0", "/var/tmp 1777 0", "/run/lock 1777 0",
            "/work 755 0", "/home 755 0", "/srv 755 0", "/var/lib 755 0", "/run", "/run/lock"};
    for (size_t i = 0; i < ELEMENTS(stats); i++)
        assert_line(&job, stats[i]);
    assert_non_null(strstr(job.log, "/boot:  /home:  /mnt:  /root:  /run: lock  /srv: "));
    assert_no_text(&job, "hash");
    assert_no_text(&job, "docker-clean");
    assert_no_text(&job, "1.2.3.4");
    driver_job_done(&job);
}

static void test_disk_is_the_limit(void **state)
{
    (void)state;
    struct driver_job job;
    run_script(&job, PLAN_TYPE_BUILD,
            "for at in /usr /etc /tmp /root; do fallocate -l 100000 $at/big || echo none; fallocate -l 300000000 "
            "$at/big 2>/dev/null && echo fits; rm $at/big; "
            "done; touch /root/a && echo rest");
    assert_no_text(&job, "fits");
    assert_no_text(&job, "none");
    assert_line(&job, "rest");
    driver_job_done(&job);
}

/* --- the tools --- */

static void test_collect(void **state)
{
    (void)state;
    struct driver_job job;
    builder_shell(&builder, "cd host/opt; echo host >was; echo secret >key; chmod 600 key");
    run_script(&job, PLAN_TYPE_BUILD, "echo built >/opt/made; rm /opt/was; echo fresh >/root/made; echo x >/usr/bin/x");
    driver_job_done(&job);
    run_script(&job, PLAN_TYPE_COLLECT,
            "cat /merged/opt/made /merged/root/made; ls /merged/opt | tr '\\n' ' '; echo; "
            "n=$(($(grep -n '^opt$' /layers | cut -d: -f1) - 1)); cat /lower/$n/was /upper/$n/made; stat -c %F "
            "/upper/$n/was; "
            "touch /merged/x /merged/usr/x /upper/x /lower/$n/x /base/x /x 2>/dev/null && echo written; "
            "echo out >/stage/out && chown 7:8 /stage/out && chmod 4755 /stage/out; ls /base | head -1; "
            "grep Cap /proc/self/status | tr '\\t' ' '; chroot / true || echo no chroot; id -u");
    assert_line(&job, "built");
    assert_line(&job, "fresh");
    assert_line(&job, "joblet made ");
    assert_line(&job, "host");
    assert_line(&job, "character special file");
    assert_line(&job, "bin");
    assert_line(&job, "CapPrm: 000000000000000b");
    assert_line(&job, "CapEff: 000000000000000b");
    assert_line(&job, "CapBnd: 000000000000000b");
    assert_line(&job, "no chroot");
    assert_line(&job, "0");
    assert_no_text(&job, "written");
    driver_job_done(&job);
    struct stat status;
    assert_int_equal(fstatat(builder.stage_fd, "out", &status, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(status.st_uid, DRIVER_DISK_BASE + 7);
    assert_int_equal(status.st_gid, DRIVER_DISK_BASE + 8);
}

static void test_verify_and_sweep(void **state)
{
    (void)state;
    struct driver_job job;
    builder_shell(&builder,
            "mkdir -p stage/tree/deep; echo x >stage/tree/deep/file; chown -R %u:%u stage/tree; chmod 0 stage/tree",
            DRIVER_DISK_BASE, DRIVER_DISK_BASE);
    run_script(&job, PLAN_TYPE_VERIFY,
            "cat /stage/tree/deep/file; rm -r /stage/tree 2>/dev/null || echo refused; ls / | tr '\\n' ' '; echo; ip "
            "addr 2>/dev/null | grep -c inet; "
            "grep CapEff /proc/self/status | tr '\\t' ' '; touch /tmp/t && echo temporary");
    assert_line(&job, "x");
    assert_line(&job, "refused");
    assert_line(&job, "dev proc stage tmp ");
    assert_line(&job, "CapEff: 000000000000000b");
    assert_line(&job, "temporary");
    driver_job_done(&job);
    run_script(&job, PLAN_TYPE_SWEEP, "rm -r /stage/tree && echo gone; ls / | tr '\\n' ' '");
    assert_line(&job, "gone");
    assert_non_null(strstr(job.log, "dev proc stage tmp "));
    driver_job_done(&job);
    struct stat status;
    assert_int_equal(fstatat(builder.stage_fd, "tree", &status, AT_SYMLINK_NOFOLLOW), -1);
}

/* What a build leaves behind cannot lead a mount of the collect sandbox astray. */
static void test_collect_moved(void **state)
{
    (void)state;
    struct driver_job job;
    run_script(&job, PLAN_TYPE_BUILD,
            "mv /var/lib /var/moved && mkdir -p /tmp/x/apt /tmp/x/dpkg && ln -s /tmp/x /var/lib && echo moved");
    assert_line(&job, "moved");
    driver_job_done(&job);
    init_script(&job, PLAN_TYPE_COLLECT, (char[]){"echo ran"});
    assert_setup_fails(&job, PLAN_STAGE_ROOT, "merged/var/lib/");
}

static void test_cache(void **state)
{
    (void)state;
    struct driver_job job;
    builder_shell(&builder, "echo deb >cache/old.deb; chown %u:%u cache/old.deb", DRIVER_DISK_BASE, DRIVER_DISK_BASE);
    init_script(&job, PLAN_TYPE_BUILD,
            (char[]){"cd /var/cache/apt/archives; ls; echo new >new.deb; stat -c %u old.deb; rm old.deb"});
    job.plan.has_cache = 1;
    run(&job);
    if (job.failed)
        show(&job);
    assert_string_equal(job.log, "old.deb\n0\n");
    driver_job_done(&job);
    init_script(&job, PLAN_TYPE_COLLECT,
            (char[]){"cat /merged/var/cache/apt/archives/new.deb; cp /merged/var/cache/apt/archives/new.deb /cache/; "
                     "ls /cache"});
    job.plan.has_cache = 1;
    run(&job);
    if (job.failed)
        show(&job);
    assert_string_equal(job.log, "new\nnew.deb\nold.deb\n");
    driver_job_done(&job);
}

/* --- the network --- */

#define BRIDGE "jbtest0"
#define GATEWAY 0x0ad50701U /* 10.213.7.1 */

/* In the test's own network namespace, which is the "host's" here. */
static void make_bridge(struct plan_network *network, int *ret_socket)
{
    struct netlink_link link;
    static const uint8_t address[6] = {2, 0, 0, 0, 0, 1};
    int fd = netlink_open();
    assert_true(fd >= 0);
    int r = netlink_find_link(fd, BRIDGE, &link);
    if (r == -ENODEV) {
        assert_int_equal(netlink_add_bridge(fd, BRIDGE, address, 1500), 0);
        assert_int_equal(netlink_find_link(fd, BRIDGE, &link), 0);
        assert_int_equal(netlink_add_address(fd, link.index, GATEWAY, 24), 0);
        assert_int_equal(netlink_set_up(fd, link.index), 0);
    }
    *network = (struct plan_network){
            .is_set = 1,
            .bridge = link.index,
            .address = GATEWAY + 1,
            .prefix_length = 24,
            .gateway = GATEWAY,
            .mtu = 1400,
            .host_link = "jbtest0p1",
            .refused_count = 1,
            .refused = {{0xa9fe0000, 16}},
            .resolver_count = 2,
            .resolvers = {"192.0.2.1", "192.0.2.2"},
            .search = "search example.org",
    };
    *ret_socket = fd;
}

static int other_fd;
static int other_number;

static void put_other(const struct driver *ignored, struct driver_job *job, int fds[])
{
    (void)ignored;
    (void)job;
    (void)fd_close(fds[other_number]);
    fds[other_number] = other_fd < 0 ? -1 : fcntl(other_fd, F_DUPFD_CLOEXEC, 0);
}

static void test_network(void **state)
{
    (void)state;
    struct driver_job job;
    struct netlink_link link;
    init_script(&job, PLAN_TYPE_BUILD,
            (char[]){"cat /etc/resolv.conf; ip -4 addr show eth0 | grep -o 'inet [0-9./]*'; ip route | sed 's/ *$//'; "
                     "nc -w 2 10.213.7.1 9 2>&1; nc -w 2 169.254.169.254 80 2>&1; "
                     "ip link set eth0 down 2>/dev/null && echo down; ip route del default 2>/dev/null && echo gone; "
                     "true"});
    make_bridge(&job.plan.network, &other_fd);
    other_number = PLAN_FD_HOST_LINK;
    builder.change_fds = put_other;
    run(&job);
    if (job.failed || job.record.exit_code != 0)
        show(&job);
    assert_false(job.failed);
    static const char *const lines[] = {"search example.org", "nameserver 192.0.2.1", "nameserver 192.0.2.2",
            "inet 10.213.7.2/24", "default via 10.213.7.1 dev eth0", "unreachable 169.254.0.0/16",
            "nc: can't connect to remote host (10.213.7.1): Connection refused",
            "nc: can't connect to remote host (169.254.169.254): No route to host"};
    for (size_t i = 0; i < ELEMENTS(lines); i++)
        assert_line(&job, lines[i]);
    assert_no_text(&job, "down\n");
    assert_no_text(&job, "gone\n");
    driver_job_done(&job);
    /* With the namespace goes the pair. */
    for (unsigned i = 0; i < 200 && netlink_find_link(other_fd, "jbtest0p1", &link) == 0; i++)
        (void)usleep(10000);
    assert_int_equal(netlink_find_link(other_fd, "jbtest0p1", &link), -ENODEV);
    (void)close(other_fd);
}

/* What the socket or the bridge is not. */
static void test_network_lies(void **state)
{
    (void)state;
    struct driver_job job;
    int socket_fd;
    builder.change_fds = put_other;
    other_number = PLAN_FD_HOST_LINK;
    init_script(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    make_bridge(&job.plan.network, &socket_fd);
    other_fd = -1;
    assert_setup_fails(&job, PLAN_STAGE_START, "a socket of the host's network");
    init_script(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    (void)close(socket_fd);
    make_bridge(&job.plan.network, &socket_fd);
    other_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_setup_fails(&job, PLAN_STAGE_NETWORK, "");
    (void)close(other_fd);
    init_script(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    (void)close(socket_fd);
    make_bridge(&job.plan.network, &socket_fd);
    job.plan.network.bridge = 4000;
    other_fd = socket_fd;
    assert_setup_fails(&job, PLAN_STAGE_NETWORK, "");
    (void)close(socket_fd);
}

/* --- what joblet could hand over wrongly --- */

static void assert_fd_refused(uint32_t type, int number, int fd, uint32_t stage)
{
    struct driver_job job;
    other_number = number;
    other_fd = fd;
    builder.change_fds = put_other;
    init_script(&job, type, (char[]){"echo ran"});
    assert_setup_fails(&job, stage, "");
    builder.change_fds = NULL;
    (void)fd_close(fd);
}

static int new_tree(const char *name, uint64_t attributes)
{
    int fd = mount_clone(driver.root_fd, name);
    assert_true(fd >= 0);
    assert_int_equal(mount_set_attributes(fd, attributes, driver.disk_userns_fd), 0);
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
    builder_shell(&builder, "rm -rf stage/*");
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
    init_script(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    job.plan.work_bytes += 4096;
    assert_setup_fails(&job, PLAN_STAGE_PROOF, "bytes and");
    init_script(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    job.plan.work_inodes++;
    assert_setup_fails(&job, PLAN_STAGE_PROOF, "bytes and");
    init_script(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    job.plan.command_id = 1000;
    assert_setup_fails(&job, PLAN_STAGE_START, "command id 1000");
    /* The tools' plan says another type than the descriptors are for. */
    init_script(&job, PLAN_TYPE_VERIFY, (char[]){"echo ran"});
    job.plan.type = PLAN_TYPE_SWEEP;
    other_number = PLAN_FD_STAGE;
    other_fd = new_tree("stage", MOUNT_ATTR_IDMAP | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY);
    builder.change_fds = put_other;
    assert_setup_fails(&job, PLAN_STAGE_PROOF, "'/stage'");
    (void)close(other_fd);
}

/* A disk is for one build. */
static void test_used_disk(void **state)
{
    (void)state;
    struct driver_job job;
    run_script(&job, PLAN_TYPE_BUILD, "echo first");
    driver_job_done(&job);
    init_script(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    assert_setup_fails(&job, PLAN_STAGE_ROOT, "is to be empty");
}

/* --- the real host --- */

static uint64_t hash_of(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    uint64_t hash = 14695981039346656037U;
    assert_int_equal(fd_read_file_at(AT_FDCWD, path, 64U << 20, &text, &size), 0);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * 1099511628211U;
    free(text);
    return hash;
}

static void test_package(void **state)
{
    (void)state;
    struct driver_job job;
    if (access("/usr/bin/dpkg-deb", X_OK) < 0 || access("/bin/bash", X_OK) < 0) {
        print_message("skipped: the host has no dpkg\n");
        skip();
    }
    uint64_t before = hash_of("/var/lib/dpkg/status");
    run_script(&job, PLAN_TYPE_BUILD,
            "exec /bin/bash -ec 'cd /tmp; mkdir -p p/DEBIAN p/usr/bin p/opt/joblet-test; echo hello "
            ">p/opt/joblet-test/file; "
            "cp /bin/true p/usr/bin/joblet-test; chmod 4755 p/usr/bin/joblet-test; "
            "printf \"Package: joblet-test\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@b>\\nDescription: "
            "x\\n\" >p/DEBIAN/control; "
            "printf \"#!/bin/sh\\nset -e\\n/usr/sbin/useradd -r joblet-test\\nchown joblet-test "
            "/opt/joblet-test/file\\n\" >p/DEBIAN/postinst; "
            "chmod 755 p/DEBIAN/postinst; /usr/bin/dpkg-deb -b p p.deb >/dev/null; /usr/bin/dpkg -i p.deb >/dev/null; "
            "/usr/bin/dpkg -s joblet-test | grep ^Status; /usr/bin/stat -c \"%U %a\" /opt/joblet-test/file "
            "/usr/bin/joblet-test; "
            "grep joblet-test /etc/shadow | cut -d: -f1,2; if grep -l \"[$][0-9a-z]*[$]\" /etc/shadow; then echo "
            "hashes; fi; "
            "if command -v setcap >/dev/null; then setcap cap_net_raw+ep /usr/bin/joblet-test && getcap "
            "/usr/bin/joblet-test; fi; "
            "/usr/sbin/chroot / /bin/true && echo rooted; /usr/sbin/policy-rc.d || echo policy $?; "
            "su joblet-test -s /bin/sh -c \"id -un; cat /etc/shadow 2>/dev/null || echo closed\"'");
    assert_line(&job, "Status: install ok installed");
    assert_line(&job, "joblet-test 644");
    assert_line(&job, "root 4755");
    assert_line(&job, "joblet-test:!");
    assert_line(&job, "rooted");
    assert_line(&job, "policy 101");
    assert_line(&job, "joblet-test");
    assert_line(&job, "closed");
    assert_no_text(&job, "hashes");
    driver_job_done(&job);
    assert_true(hash_of("/var/lib/dpkg/status") == before);
    assert_int_equal(access("/usr/bin/joblet-test", F_OK), -1);
    assert_int_equal(access("/opt/joblet-test", F_OK), -1);
}

static int set_up_all(void **state)
{
    (void)state;
    return builder_open(&builder, &driver);
}

static int tear_down_all(void **state)
{
    (void)state;
    builder_close(&builder);
    return 0;
}

#define SMALL(test) cmocka_unit_test_setup_teardown(test, set_up_small, tear_down_small)

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
            SMALL(test_rights),
            SMALL(test_refused),
            SMALL(test_environment),
            SMALL(test_masks),
            SMALL(test_crew),
            SMALL(test_configured),
            SMALL(test_prefix),
            SMALL(test_owners),
            SMALL(test_file_system),
            SMALL(test_files),
            SMALL(test_disk_is_the_limit),
            SMALL(test_collect),
            SMALL(test_collect_moved),
            SMALL(test_verify_and_sweep),
            SMALL(test_cache),
            SMALL(test_network),
            SMALL(test_network_lies),
            SMALL(test_fd_lies),
            SMALL(test_plan_lies),
            SMALL(test_used_disk),
            cmocka_unit_test(test_package),
    };
    if (geteuid() != 0) {
        (void)printf("skipped: needs root\n");
        return 77;
    }
    /* What stands for the host's network is the test's own. */
    if (unshare(CLONE_NEWNET) < 0) {
        perror("unshare");
        return 1;
    }
    if (count < 2 || driver_open(&driver, arguments[1], /* has_hooks= */ false) < 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, set_up_all, tear_down_all);
    driver_close(&driver);
    return failed;
}
