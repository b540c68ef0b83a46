/* What a build sees of the host's files, over a small host that the test makes up. Root only. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "builder_check.h"
#include "kernel/mount.h"
#include "plan/suspects.h"

/* What others may not read is not there; what they may not enter is empty; and nothing of it changes what is shown. */
static void test_masks(void **state)
{
    (void)state;
    struct driver_job job;
    builder_shell(&check_builder,
            "cd host/opt; mkdir -p app/deep/er closed/in half; echo open >app/deep/er/open; echo key >app/deep/er/key; "
            "echo secret >closed/in/secret; echo named >half/named; chmod 600 app/deep/er/key; chmod 750 closed; "
            "chmod 711 half; ln -s /etc/shadow app/link; mkfifo -m 644 app/pipe; chown 5:6 app/deep; "
            "chmod 2775 app/deep; touch -d '2001-02-03 04:05:06' app/deep/er app/deep app .");
    check_script(&job, PLAN_TYPE_BUILD,
            "cd /opt; cat app/deep/er/open half/named; ls -A closed app/deep/er | tr '\\n' ' '; echo; "
            "cat closed/in/secret app/deep/er/key 2>&1; stat -c '%n %a %u %g %Y' app/deep app/deep/er closed half; "
            "ls app; cat app/link; date -u -r app +%Y; date -u -r . +%Y; "
            "echo mine >app/deep/er/key && cat app/deep/er/key; mkdir -p closed/in && touch closed/in/new && ls -A "
            "closed/in; rm app/deep/er/key; rm -r closed; mkdir closed; echo after: $(ls -A app/deep/er closed)");
    /* What the build puts in a mask's place and takes away again does not take the mask along. */
    check_line(&job, "after: app/deep/er: open closed:");
    check_line(&job, "open");
    check_line(&job, "named");
    check_line(&job, "app/deep/er: open  closed: ");
    check_line(&job, "cat: can't open 'closed/in/secret': No such file or directory");
    check_line(&job, "cat: can't open 'app/deep/er/key': No such file or directory");
    check_line(&job, "app/deep 2775 5 6 981173106");
    check_line(&job, "app/deep/er 755 0 0 981173106");
    assert_non_null(strstr(job.log, "closed 750 0 0"));
    assert_non_null(strstr(job.log, "half 711 0 0"));
    check_line(&job, "2001");
    check_line(&job, "mine");
    check_line(&job, "new");
    check_line(&job, "root:!*:::::::");
    check_no_text(&job, "pipe");
    check_no_text(&job, "secret\n\n");
    driver_job_done(&job);
    /* The host's are as they were. */
    builder_shell(&check_builder,
            "cd host/opt; test \"$(cat app/deep/er/key)\" = key; test ! -e closed/in/new; test ! -e joblet");
}

/* The masks of /usr as a later sandbox sees them, whatever made them. The caller frees it. */
static char *list_masks(uint32_t cpu_percent)
{
    struct driver_job job;
    assert_int_equal(builder_renew_disk(&check_builder), 0);
    check_init(&job, PLAN_TYPE_BUILD, (char[]){"true"});
    job.plan.cpu_percent = cpu_percent;
    check_run(&job);
    assert_int_equal(job.record.exit_code, 0);
    driver_job_done(&job);
    char *list = NULL;
    builder_shell(&check_builder, "(cd disk/hidden/0; find . -type d -exec stat -c '%%n %%f %%u %%g %%Y' {} + | sort; "
                                  "find . ! -type d | sort) >list");
    assert_int_equal(fd_read_file_at(check_driver.root_fd, "list", 1U << 20, &list, NULL), 0);
    return list;
}

/* A layer shows what comes to lie below it while a build runs. Where tools of accounts put hashes, nothing will. */
static void test_names_to_come(void **state)
{
    (void)state;
    struct driver_job job;
    builder_shell(&check_builder, "cd host/etc; rm -f shadow- gshadow-; mkdir -p security; rm -f security/opasswd");
    check_script(&job, PLAN_TYPE_BUILD,
            "cd /etc; ls -A . security | grep -c -e '^g\\?shadow[-+]' -e opasswd; echo mine >shadow- && cat shadow- && "
            "rm "
            "shadow-");
    check_line(&job, "0");
    check_line(&job, "mine");
    driver_job_done(&job);
    /* They come after all: as a later sandbox sees what the build would have. */
    builder_shell(&check_builder, "cd host/etc; for f in shadow- shadow+ nshadow gshadow- gshadow+ security/opasswd; "
                                  "do echo hash >$f; chmod 600 "
                                  "$f; done; echo plain >other");
    check_script(&job, PLAN_TYPE_COLLECT, "cd /merged/etc; ls -A . security; cat other");
    check_line(&job, "plain");
    check_no_text(&job, "shadow+");
    check_no_text(&job, "shadow-");
    check_no_text(&job, "nshadow");
    check_no_text(&job, "opasswd");
    driver_job_done(&job);
}

/* Several processes find what one finds, and leave the same. */
static void test_crew(void **state)
{
    (void)state;
    builder_shell(&check_builder,
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

/* --- with a list of suspects --- */

/* A start with the list @list_fd (-EBADF: none). What it says of its own list is in @ret_head, the file becomes
 * @ret_list_fd where that is not NULL. */
static void start_with(const char *hidden, int list_fd, struct suspects_head *ret_head, int *ret_list_fd)
{
    struct driver_job job;
    assert_int_equal(builder_renew_disk(&check_builder), 0);
    check_init(&job, PLAN_TYPE_BUILD, (char[]){"true"});
    job.plan.cpu_percent = 800;
    job.plan.wants_list = 1;
    job.plan.has_list = list_fd >= 0;
    (void)strcpy(job.plan.build.hidden[0], hidden);
    (void)strcpy(job.plan.build.shown[0], "/opt/kept/deep/shown");
    check_builder.list_fd = list_fd;
    check_builder.new_list_fd = memfd_create("test", MFD_CLOEXEC);
    check_run(&job);
    assert_int_equal(job.record.exit_code, 0);
    driver_job_done(&job);
    assert_int_equal(suspects_read_head(check_builder.new_list_fd, ret_head), 0);
    if (ret_list_fd)
        *ret_list_fd = check_builder.new_list_fd;
    else
        (void)close(check_builder.new_list_fd);
}

/* As list_masks, after such a start. */
static char *list_with(const char *hidden, int list_fd, struct suspects_head *ret_head, int *ret_list_fd)
{
    char *list = NULL;
    start_with(hidden, list_fd, ret_head, ret_list_fd);
    /* Of the layers that this program made up (/usr, /etc and /opt): others may write below the host's own. */
    builder_shell(&check_builder, "(for n in disk/hidden/0 disk/hidden/1 disk/hidden/2; do cd $n; echo $n; find . "
                                  "-type d -exec stat -c '%%n %%f "
                                  "%%u %%g %%Y' {} + | sort; "
                                  "find . ! -type d | sort; cd ../../..; done) >list");
    assert_int_equal(fd_read_file_at(check_driver.root_fd, "list", 1U << 20, &list, NULL), 0);
    return list;
}

static void add_path(int list_fd, const char *path)
{
    assert_true(lseek(list_fd, 0, SEEK_END) > 0);
    assert_int_equal(fd_write_all(list_fd, path, strlen(path) + 1), 0);
}

/* A start with the list leaves what one leaves that walks. */
static void assert_as_walked(const char *hidden, int list_fd, bool is_equal)
{
    struct suspects_head head;
    char *listed = list_with(hidden, list_fd, &head, NULL);
    assert_int_equal(head.kind, SUSPECTS_LOOKED);
    assert_true(head.looked_at < head.walked);
    char *walked = list_with(hidden, -EBADF, &head, NULL);
    assert_int_equal(head.kind, SUSPECTS_WALKED);
    if ((strcmp(listed, walked) == 0) != is_equal)
        print_error("listed: %s\nwalked: %s\n", listed, walked);
    assert_int_equal(strcmp(listed, walked) == 0, is_equal);
    free(listed);
    free(walked);
}

#define MANY                                                                                                           \
    "for i in 1 2 3 4 5 6 7 8 9; do mkdir -p host/usr/lib/many/$i; touch host/usr/lib/many/$i/a "                      \
    "host/usr/lib/many/$i/b; done; "

static void test_list(void **state)
{
    (void)state;
    struct suspects_head head;
    int list_fd = -EBADF;
    builder_shell(&check_builder,
            MANY "cd host/usr; mkdir -p lib/a/b lib/closed/in lib/half lib/moved/deep; echo x >lib/a/b/key; echo x "
                 ">lib/a/b/open; echo x >lib/plain; echo x >lib/key; touch lib/closed/in/file lib/moved/deep/key "
                 "lib/half/file; "
                 "chmod 600 lib/a/b/key lib/key lib/moved/deep/key lib/closed/in/file; chmod 750 lib/closed; mkfifo "
                 "lib/pipe; "
                 "ln lib/plain lib/a/second; touch \"$(printf 'lib/a/two\\nlines')\"; chmod 600 \"$(printf "
                 "'lib/a/two\\nlines')\"; "
                 "ln -s a lib/link; cd ../opt; mkdir -p kept/deep; touch kept/deep/shown kept/deep/not kept/other "
                 "named; chmod 700 kept; "
                 "find /usr /opt -type d -exec touch -d '2001-02-03 04:05:06' {} +");
    free(list_with("/opt/named", -EBADF, &head, &list_fd));
    assert_int_equal(head.kind, SUSPECTS_WALKED);
    assert_int_equal(head.looked_at, head.walked);
    assert_as_walked("/opt/named", list_fd, true);
    /* The rules are asked again, of what is in the list. */
    builder_shell(&check_builder, "cd host/usr/lib; chmod 644 key a/b/key; chmod 755 closed; mv moved elsewhere; rm "
                                  "pipe; mkdir pipe; chmod 600 plain");
    assert_as_walked("/opt/named", list_fd, false); /* what was moved is not in it */
    add_path(list_fd, "usr/lib/elsewhere");
    add_path(list_fd, "usr/lib/moved");
    add_path(list_fd, "usr/lib/nothing/at/all");
    add_path(list_fd, "usr/lib/link/b/key"); /* no link is followed */
    assert_as_walked("/opt/named", list_fd, true);
    /* What is shut since is a directory without anything in it, whatever of it is in the list. */
    builder_shell(&check_builder, "cd host/usr/lib; chmod 600 elsewhere/deep/key a/b/key; chmod 700 a");
    add_path(list_fd, "usr/lib/a");
    assert_as_walked("/opt/named", list_fd, true);
    /* New in a directory of which only a part is shown: the directory is in the list, as all that is in it. */
    builder_shell(&check_builder, "touch host/opt/kept/deep/new; mkdir host/opt/kept/deep/more");
    assert_as_walked("/opt/named", list_fd, true);
    builder_shell(&check_builder, "touch host/opt/unlisted; chmod 600 host/opt/unlisted");
    assert_as_walked("/opt/named", list_fd, false);
    add_path(list_fd, "opt/unlisted");
    assert_as_walked("/opt/named", list_fd, true);
    /* A directory that stands first in its own, which is only on the way. */
    builder_shell(&check_builder, "cd host/usr; mkdir -p 0/0/0/deep; touch 0/0/0/deep/key; chmod 600 0/0/0/deep/key");
    add_path(list_fd, "usr/0/0/0");
    assert_as_walked("/opt/named", list_fd, true);
    /* A whole layer. */
    builder_shell(&check_builder, "chmod 600 host/usr/lib/many/*/a");
    add_path(list_fd, "usr");
    char *all = list_with("/opt/named", list_fd, &head, NULL);
    assert_int_equal(head.kind, SUSPECTS_LOOKED);
    assert_non_null(strstr(all, "./lib/many/7/a\n"));
    free(all);
    (void)close(list_fd);
}

/* When in doubt, all is walked. */
static void test_list_that_is_none(void **state)
{
    (void)state;
    struct suspects_head head;
    struct suspects_head good;
    int list_fd = -EBADF;
    builder_shell(&check_builder, MANY "cd host/opt; touch named other secret; chmod 600 secret");
    free(list_with("/opt/named", -EBADF, &good, &list_fd));
    free(list_with("/opt/named", list_fd, &head, NULL));
    assert_int_equal(head.kind, SUSPECTS_LOOKED);
    /* One that somebody could still change. */
    check_builder.gives_open_list = true;
    free(list_with("/opt/named", list_fd, &head, NULL));
    check_builder.gives_open_list = false;
    assert_int_equal(head.kind, SUSPECTS_WALKED);
    /* Other rules, also when the same path now leads elsewhere. */
    free(list_with("/opt/other", list_fd, &head, NULL));
    assert_int_equal(head.kind, SUSPECTS_WALKED);
    builder_shell(&check_builder, "cd host/opt; mv named before; touch named");
    char *walked = list_with("/opt/named", list_fd, &head, NULL);
    assert_int_equal(head.kind, SUSPECTS_WALKED);
    assert_non_null(strstr(walked, "./named\n"));
    free(walked);
    (void)close(list_fd);
    free(list_with("/opt/named", -EBADF, &good, &list_fd));
    /* Each byte of the head that says what the list is about. */
    for (size_t i = 0; i < 4; i++) {
        head = good;
        if (i == 0)
            head.magic++;
        else if (i == 1)
            head.version++;
        else if (i == 2)
            head.kind = SUSPECTS_LOOKED;
        else
            head.used = SUSPECTS_SIZE_MAX + 1ULL;
        assert_int_equal(fd_pwrite_all(list_fd, &head, sizeof(head), 0), 0);
        free(list_with("/opt/named", list_fd, &head, NULL));
        assert_int_equal(head.kind, SUSPECTS_WALKED);
    }
    /* Another directory in a layer's place: that one is walked, and the next start walks all. */
    head = good;
    head.layer_inode[0]++;
    assert_int_equal(fd_pwrite_all(list_fd, &head, sizeof(head), 0), 0);
    builder_shell(&check_builder, "touch host/usr/lib/many/1/secret; chmod 600 host/usr/lib/many/1/secret");
    walked = list_with("/opt/named", list_fd, &head, NULL);
    assert_int_equal(head.kind, SUSPECTS_NONE);
    assert_non_null(strstr(walked, "./lib/many/1/secret\n"));
    free(walked);
    /* A path that does not end. */
    assert_int_equal(fd_pwrite_all(list_fd, &good, sizeof(good), 0), 0);
    assert_true(lseek(list_fd, 0, SEEK_END) > 0);
    assert_int_equal(fd_write_all(list_fd, "opt/cut", 7), 0);
    free(list_with("/opt/named", list_fd, &head, NULL));
    assert_int_equal(head.kind, SUSPECTS_WALKED);
    (void)close(list_fd);
    /* A path that is longer than any: noted cut, it would lead elsewhere, and what it is of would not be masked. */
    check_make_deep(/* removes= */ false);
    start_with("/opt/named", -EBADF, &head, NULL);
    check_make_deep(/* removes= */ true);
    assert_int_equal(head.kind, SUSPECTS_NONE);
}

/* What the configuration hides and shows, whatever name leads there. */
static void test_configured(void **state)
{
    (void)state;
    struct driver_job job;
    builder_shell(&check_builder,
            "cd host/opt; mkdir -p a/b kept/deep other; echo x >a/file; echo y >a/b/file; ln a/file other/hard; "
            "echo z >kept/deep/shown; echo w >kept/deep/not; echo v >kept/alone; chmod 700 kept; "
            "chmod 600 kept/deep/* kept/alone; ln -s /opt/kept/alone other/alias");
    check_init(&job, PLAN_TYPE_BUILD,
            (char[]){
                    "cd /opt; find . ! -path './joblet*' | sort | tr '\\n' ' '; echo; cat kept/deep/shown kept/alone"});
    (void)strcpy(job.plan.build.hidden[0], "/opt/a/file");
    (void)strcpy(job.plan.build.hidden[1], "/opt/a/b");
    (void)strcpy(job.plan.build.hidden[2], "/opt/nothing");
    (void)strcpy(job.plan.build.shown[0], "/opt/kept/deep/shown");
    (void)strcpy(job.plan.build.shown[1], "/opt/other/alias");
    check_run(&job);
    assert_int_equal(job.record.exit_code, 0);
    check_line(&job, ". ./a ./a/b ./kept ./kept/alone ./kept/deep ./kept/deep/shown ./other ./other/alias ");
    check_line(&job, "z");
    check_line(&job, "v");
    driver_job_done(&job);
}

static void set_absent(struct plan *plan, unsigned index, const char *path)
{
    struct stat status;
    char host[128];
    (void)snprintf(host, sizeof(host), "%s/%s", check_driver.directory, path);
    assert_int_equal(stat(host, &status), 0);
    plan->build.absent_device[index] = status.st_dev;
    plan->build.absent_inode[index] = status.st_ino;
}

/* The prefix is not there under its own name, nor under another. */
static void test_prefix(void **state)
{
    (void)state;
    struct driver_job job;
    builder_shell(&check_builder,
            "cd host; mkdir -p opt/joblet/config opt/joblet/runtimes/other usr/lib/elsewhere/config; "
            "echo key >opt/joblet/config/key; echo key >usr/lib/elsewhere/config/key; "
            "echo near >usr/lib/near");
    check_init(&job, PLAN_TYPE_BUILD,
            (char[]){"find /opt /usr/lib | sort | tr '\\n' ' '; echo; cat /usr/lib/near; "
                     "mkdir /usr/lib/elsewhere && ls -A /usr/lib/elsewhere && echo empty"});
    set_absent(&job.plan, 0, "host/usr/lib/elsewhere");
    set_absent(&job.plan, 1, "host/opt/joblet");
    check_run(&job);
    assert_int_equal(job.record.exit_code, 0);
    check_line(&job, "/opt /opt/joblet /opt/joblet/runtimes /opt/joblet/runtimes/ml /opt/joblet/runtimes/ml/1.0.0 "
                     "/opt/joblet/runtimes/ml/1.0.0/isolated /opt/joblet/runtimes/python "
                     "/opt/joblet/runtimes/python/ml /usr/lib /usr/lib/near ");
    check_line(&job, "empty");
    driver_job_done(&job);
}

/* What is no layer has the host's directories alone, and of those only what is open to all and not the prefix. */
static void test_skeleton(void **state)
{
    (void)state;
    struct driver_job job;
    struct stat status;
    assert_int_equal(mount("tmpfs", "/var/spool", "tmpfs", 0, "mode=755"), 0);
    builder_shell(&check_builder,
            "cd /var/spool; mkdir prefix open closed foreign open/below; touch file; ln -s open link; "
            "chmod 700 closed; chown 70000 foreign; chown 3:4 open; chmod 3775 open");
    assert_int_equal(stat("/var/spool/prefix", &status), 0);
    check_init(&job, PLAN_TYPE_BUILD, (char[]){"cd /var/spool; find . | sort | tr '\\n' ' '; stat -c '%u %g %a' open"});
    job.plan.build.absent_device[0] = status.st_dev;
    job.plan.build.absent_inode[0] = status.st_ino;
    check_run(&job);
    if (job.failed)
        check_show(&job);
    assert_string_equal(job.log, ". ./open 3 4 3775\n");
    driver_job_done(&job);
    assert_int_equal(umount2("/var/spool", MNT_DETACH), 0);
}

static void test_owners(void **state)
{
    (void)state;
    struct driver_job job;
    builder_shell(&check_builder, "cd host/opt; mkdir -p a/b; touch a/b/c; chown 70000 a/b/c");
    check_init(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    check_setup_fails(&job, PLAN_STAGE_ROOT, "'/opt/a/b/c' is above 65535");
    builder_shell(&check_builder, "cd host/opt; chown 0:65536 a/b/c");
    check_init(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    check_setup_fails(&job, PLAN_STAGE_ROOT, "'/opt/a/b/c' is above 65535");
    /* Found by whichever process of several comes there. */
    builder_shell(&check_builder,
            "chown 0:0 host/opt/a/b/c; cd host/usr; for i in 1 2 3 4 5 6 7 8; do mkdir -p lib/x/y$i/z$i; done; "
            "touch lib/x/y7/z7/file; chown 70000 lib/x/y7/z7/file");
    for (unsigned i = 0; i < 4; i++) {
        check_init(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
        check_setup_fails(&job, PLAN_STAGE_ROOT, "'/usr/lib/x/y7/z7/file' is above 65535");
    }
    builder_shell(&check_builder, "chown 0:0 host/usr/lib/x/y7/z7/file");
    /* The last id of the range is joblet-init's, and is the host's nobody's: it is no error. */
    builder_shell(&check_builder, "cd host/opt; chown 65534:65535 a/b/c");
    check_script(&job, PLAN_TYPE_BUILD, "stat -c %u:%g /opt/a/b/c");
    check_line(&job, "65534:65535");
    driver_job_done(&job);
}

/* A file system that does not know idmapped mounts is named. */
static void test_file_system(void **state)
{
    (void)state;
    struct driver_job job;
    char options[256];
    builder_shell(&check_builder, "mkdir -p host/low");
    (void)snprintf(options, sizeof(options), "lowerdir=%s/host/opt:%s/host/low", check_driver.directory,
            check_driver.directory);
    assert_int_equal(mount("overlay", "/opt", "overlay", 0, options), 0);
    check_init(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    check_setup_fails(&job, PLAN_STAGE_ROOT, "the host's '/opt' lies on a file system");
    assert_int_equal(umount2("/opt", MNT_DETACH), 0);
}

/* A disk of its own in the place of the host's @path. */
static void mount_own(const char *path, struct disk *ret_disk)
{
    struct error error;
    _cleanup_close_ int place = open(path, O_PATH | O_CLOEXEC);
    assert_true(place >= 0);
    assert_int_equal(disk_make(&check_builder.place, &check_builder.model, ret_disk, &error), 0);
    assert_int_equal(mount_attach(ret_disk->mount_fd, place), 0);
}

static void unmount_own(const char *path, struct disk *disk)
{
    assert_int_equal(umount2(path, MNT_DETACH), 0);
    disk_close(&check_builder.place, disk);
}

/* /usr is a file system of its own, and so is a directory of /var: each is a layer as any other. */
static void test_own_file_systems(void **state)
{
    (void)state;
    struct disk usr;
    struct disk dpkg;
    struct driver_job job;
    mount_own("/usr", &usr);
    mount_own("/var/lib/dpkg", &dpkg);
    builder_shell(&check_builder,
            "mkdir -p /usr/bin /usr/sbin /usr/lib/closed; echo plain >/usr/lib/plain; echo secret >/usr/lib/key; echo "
            "secret >/usr/lib/closed/key; chmod 600 /usr/lib/key; chmod 700 /usr/lib/closed; chown 5:6 /usr/lib/plain; "
            "echo known >/var/lib/dpkg/status; ls -dl /usr/lib /usr/lib/* >host/usr.before");
    check_script(&job, PLAN_TYPE_BUILD,
            "cat /usr/lib/plain /var/lib/dpkg/status; stat -c '%n %u %g' /usr/lib/plain; ls /usr/lib | tr '\\n' ' '; "
            "echo; cat /usr/lib/key /usr/lib/closed/key; echo mine >/usr/lib/plain; echo mine >/usr/lib/new; "
            "rm /var/lib/dpkg/status; cat /usr/lib/plain; true");
    check_line(&job, "plain");
    check_line(&job, "known");
    check_line(&job, "/usr/lib/plain 5 6");
    check_line(&job, "closed plain ");
    check_line(&job, "mine");
    check_no_text(&job, "secret");
    driver_job_done(&job);
    builder_shell(&check_builder,
            "ls -dl /usr/lib /usr/lib/* | cmp - host/usr.before; test \"$(cat /usr/lib/plain /var/lib/dpkg/status | tr "
            "'\\n' ' ')\" = 'plain known '; test ! -e /usr/lib/new");
    unmount_own("/var/lib/dpkg", &dpkg);
    unmount_own("/usr", &usr);
}

/* No directory of the OS's: as if it were not there. */
static void test_opt_elsewhere(void **state)
{
    (void)state;
    assert_int_equal(mount("proc", "/opt", "proc", 0, NULL), 0);
    struct driver_job job;
    check_script(&job, PLAN_TYPE_BUILD, "[ -d /usr/bin ] && ls -d /opt/*");
    check_line(&job, "/opt/joblet");
    check_no_text(&job, "/opt/cpuinfo");
    driver_job_done(&job);
    assert_int_equal(umount2("/opt", MNT_DETACH), 0);
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
            SMALL(test_masks),
            SMALL(test_names_to_come),
            SMALL(test_crew),
            SMALL(test_list),
            SMALL(test_list_that_is_none),
            SMALL(test_configured),
            SMALL(test_prefix),
            SMALL(test_skeleton),
            SMALL(test_owners),
            SMALL(test_file_system),
            SMALL(test_own_file_systems),
            SMALL(test_opt_elsewhere),
    };
    return check_tests(count, arguments, "init/builder_masks", tests, ELEMENTS(tests));
}
