/* A build over the disk of an earlier one, in a range of ids of its own. Root only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "builder_check.h"

/* What the base does: changes, replaces and removes what is the host's, also a whole directory, makes an account, and
 * writes beside the layers. */
static char base_script[] =
        "echo installed >/usr/bin/tool; chown 7:8 /usr/bin/tool; mkdir /usr/lib; echo x >/usr/lib/x; echo y "
        ">/usr/lib/y; "
        "rm /opt/was; echo changed >/opt/both; rm -r /opt/tree; mkdir /opt/tree; echo new >/opt/tree/new; "
        "echo 'new:!:1::::::' >>/etc/shadow; mkdir /var/spool/base; echo state >/var/spool/base/state; "
        "chmod 700 /var/spool/base; echo gone >/srv/gone; rm -f /etc/hosts; echo hidden >/opt/late";

static void make_base(void)
{
    struct driver_job job;
    builder_shell(&check_builder, "cd host/opt; echo host >was; echo host >both; mkdir tree; echo old >tree/old; "
                                  "echo secret >key; chmod 600 key; echo soon >soon");
    check_script(&job, PLAN_TYPE_BUILD, base_script);
    driver_job_done(&job);
    assert_int_equal(builder_keep_base(&check_builder), 0);
}

static void run_over(struct driver_job *job, uint32_t type, const char *script)
{
    check_init(job, type, (char *)(uintptr_t)script);
    builder_rest_on_base(&check_builder, job);
    check_run(job);
    if (!job->has_record || job->record.reason != RECORD_REASON_EXITED || job->record.exit_code != 0)
        check_show(job);
    assert_int_equal(job->record.reason, RECORD_REASON_EXITED);
    assert_int_equal(job->record.exit_code, 0);
}

static void test_over_a_base(void **state)
{
    (void)state;
    struct driver_job job;
    make_base();
    run_over(&job, PLAN_TYPE_BUILD,
            "cat /usr/bin/tool /opt/both /opt/tree/new /var/spool/base/state /srv/gone; stat -c '%u:%g' /usr/bin/tool; "
            "stat -c '%a %u' /var/spool/base; ls /opt /opt/tree | tr '\\n' ' '; echo; tail -1 /etc/shadow; "
            "grep -c 'hash' /etc/shadow; head -1 /etc/hosts; cat /etc/hostname; ls -d /opt/joblet/runtimes/*; "
            /* and it can change all of it */
            "echo more >>/usr/bin/tool; rm /opt/both /usr/lib/x /srv/gone; rm -r /opt/tree; mkdir /opt/tree; "
            "echo own >/opt/own; mv /var/spool/base/state /var/spool/base/moved; ls /proc/disk 2>/dev/null; "
            "grep -c /base /proc/self/mountinfo; stat -c %u /etc/hosts");
    check_line(&job, "installed");
    check_line(&job, "changed");
    check_line(&job, "new");
    check_line(&job, "state");
    check_line(&job, "gone");
    check_line(&job, "7:8");
    check_line(&job, "700 0");
    check_line(&job, "new:!:1::::::");
    check_line(&job, "/opt/joblet/runtimes/ml");
    check_no_text(&job, "key");
    check_no_text(&job, "was");
    driver_job_done(&job);
    run_over(&job, PLAN_TYPE_COLLECT,
            "cat /merged/usr/bin/tool /merged/usr/lib/y /merged/opt/own /merged/var/spool/base/moved; "
            "ls /merged/opt /merged/opt/tree /merged/srv | tr '\\n' ' '; echo; "
            "n=$(($(grep -n '^opt$' /layers | cut -d: -f1) - 1)); cat /base-upper/$n/both /lower/$n/was; "
            "stat -c %F /base-upper/$n/was /upper/$n/both; stat -c %u:%g /merged/usr/bin/tool; "
            "touch /base-upper/$n/x /merged/x 2>/dev/null && echo written; echo end");
    check_line(&job, "installed");
    check_line(&job, "more");
    check_line(&job, "own");
    check_line(&job, "state");
    check_line(&job, "changed");
    check_line(&job, "host");
    check_line(&job, "character special file");
    check_line(&job, "7:8");
    check_no_text(&job, "written");
    driver_job_done(&job);
}

/* Two at a time over one base see nothing of each other. */
static void test_base_stays(void **state)
{
    (void)state;
    struct driver_job job;
    make_base();
    run_over(&job, PLAN_TYPE_BUILD, "echo poison >/usr/bin/tool; rm /opt/both; echo poison >/var/spool/base/state");
    driver_job_done(&job);
    assert_int_equal(builder_renew_disk(&check_builder), 0);
    run_over(&job, PLAN_TYPE_BUILD, "cat /usr/bin/tool /opt/both /var/spool/base/state");
    assert_string_equal(job.log, "installed\nchanged\nstate\n");
    driver_job_done(&job);
}

/* What others may not read any more since the base was made. */
static void test_masks_are_of_now(void **state)
{
    (void)state;
    struct driver_job job;
    make_base();
    builder_shell(&check_builder, "chmod 600 host/opt/soon; cd host/etc; echo '$6$later' >shadow-; chmod 644 shadow-");
    run_over(&job, PLAN_TYPE_BUILD, "cat /opt/soon /opt/key /etc/shadow- 2>/dev/null || echo none; ls /opt /etc");
    check_line(&job, "none");
    check_no_text(&job, "soon");
    check_no_text(&job, "key");
    check_no_text(&job, "shadow-");
    driver_job_done(&job);
}

/* A copy of it in the base would be above the mask. */
static void test_copy_of_what_is_masked_now(void **state)
{
    (void)state;
    struct driver_job job;
    make_base();
    builder_shell(&check_builder, "chmod 600 host/opt/both");
    check_init(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    builder_rest_on_base(&check_builder, &job);
    check_setup_fails(&job, PLAN_STAGE_ROOT, "'/opt/both', which may not be read any more");
    /* What no path leads to is not asked for, and not taken for what the base has not. */
    builder_shell(&check_builder, "chmod 644 host/opt/both");
    check_make_deep(/* removes= */ false);
    check_init(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    builder_rest_on_base(&check_builder, &job);
    check_setup_fails(&job, PLAN_STAGE_ROOT, "the base cannot be asked for what is as deep as the host's '/opt/000");
    check_make_deep(/* removes= */ true);
}

static void test_other_layers(void **state)
{
    (void)state;
    struct driver_job job;
    make_base();
    check_init(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    builder_rest_on_base(&check_builder, &job);
    (void)strcpy(job.plan.build.hidden[0], "/opt");
    check_setup_fails(&job, PLAN_STAGE_ROOT, "the host had other directories when the base was made: '/opt'");
}

/* The plan tells of a base when there is one, and it cannot be another disk in the proof. */
static void test_wrong_base(void **state)
{
    (void)state;
    struct driver_job job;
    make_base();
    check_init(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    builder_rest_on_base(&check_builder, &job);
    job.plan.has_base = 0;
    check_builder.gives_base = true;
    check_setup_fails(&job, PLAN_STAGE_START, "the plan says no base");
    check_init(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    builder_rest_on_base(&check_builder, &job);
    check_builder.gives_base = false;
    check_setup_fails(&job, PLAN_STAGE_START, "the plan says a base");
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
            SMALL(test_over_a_base),
            SMALL(test_base_stays),
            SMALL(test_masks_are_of_now),
            SMALL(test_copy_of_what_is_masked_now),
            SMALL(test_other_layers),
            SMALL(test_wrong_base),
    };
    return check_tests(count, arguments, "base", tests, ELEMENTS(tests));
}
