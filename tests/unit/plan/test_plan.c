/* A plan that lies must be refused field by field. */
#include "plan/plan.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct plan good_plan(void)
{
    return (struct plan){
            .magic = PLAN_MAGIC,
            .version = PLAN_VERSION,
            .type = PLAN_TYPE_STANDARD,
            .id_base = 2000 * PLAN_RANGE_SIZE,
            .command_id = PLAN_COMMAND_ID_DEFAULT,
            .landlock_abi = 1,
            .open_files = 1024,
            .work_bytes = 1,
            .work_inodes = 1,
            .tmp_bytes = 1,
            .tmp_inodes = 1,
            .shm_bytes = 1,
            .processes = 1,
    };
}

static void test_good(void **state)
{
    (void)state;
    struct plan plan = good_plan();
    struct error error = {0};
    assert_int_equal(plan_check(&plan, &error), 0);
}

#define assert_lie_refused(change)                                                                                     \
    do {                                                                                                               \
        struct plan plan = good_plan();                                                                                \
        struct error error = {0};                                                                                      \
        change;                                                                                                        \
        assert_int_equal(plan_check(&plan, &error), -EINVAL);                                                          \
        assert_true(error.text[0] != '\0');                                                                            \
    } while (0)

static void test_lies(void **state)
{
    (void)state;
    assert_lie_refused(plan.magic ^= 1);
    assert_lie_refused(plan.version++);
    assert_lie_refused(plan.type = 0);
    assert_lie_refused(plan.type = 2);
    assert_lie_refused(plan.id_base = 0);
    assert_lie_refused(plan.id_base += 1);
    assert_lie_refused(plan.id_base = UINT32_MAX - PLAN_RANGE_SIZE + 1);
    assert_lie_refused(plan.command_id = 0);
    assert_lie_refused(plan.command_id = PLAN_SUPERVISOR_ID);
    assert_lie_refused(plan.cgroup_tasks = PLAN_FD_CGROUP_MAX + 1);
    assert_lie_refused(plan.cgroup_tasks = 1);
    assert_lie_refused(plan.cgroup_unshare = 1);
    assert_lie_refused(plan.cgroup_oom_eventfd = 2);
    assert_lie_refused(plan.landlock_abi = 0);
    assert_lie_refused(plan.open_files = 3);
    assert_lie_refused(plan.work_on_disk = 2);
    assert_lie_refused(plan.work_bytes = 0);
    assert_lie_refused(plan.work_inodes = 0);
    assert_lie_refused(plan.tmp_bytes = 0);
    assert_lie_refused(plan.tmp_inodes = 0);
    assert_lie_refused(plan.shm_bytes = 0);
    assert_lie_refused(plan.processes = 0);
}

static void test_stage_names(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < PLAN_STAGE_COUNT; i++)
        assert_non_null(plan_stage_name(i));
    assert_string_equal(plan_stage_name(PLAN_STAGE_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_good),
            cmocka_unit_test(test_lies),
            cmocka_unit_test(test_stage_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
