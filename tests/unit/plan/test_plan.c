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

static struct plan good_build(void)
{
    struct plan plan = good_plan();
    plan.type = PLAN_TYPE_BUILD;
    plan.command_id = 0;
    plan.work_on_disk = 1;
    (void)strcpy(plan.build.name, "ml");
    (void)strcpy(plan.build.version, "1.0.0");
    (void)strcpy(plan.build.language, "python");
    (void)strcpy(plan.build.hidden[0], "/etc/secret");
    (void)strcpy(plan.build.shown[0], "/etc/apt/auth.conf");
    plan.build.absent_device[0] = 1;
    plan.build.absent_inode[0] = 2;
    plan.network = (struct plan_network){
            .is_set = 1,
            .bridge = 7,
            .address = 0x0a000002,
            .prefix_length = 24,
            .gateway = 0x0a000001,
            .mtu = 1500,
            .host_link = "jb0p1",
            .refused_count = 2,
            .refused = {{0xa9fe0000, 16}, {0xc0a80101, 32}},
            .resolver_count = 1,
            .resolvers = {"192.0.2.1"},
            .search = "search example.org",
    };
    return plan;
}

static struct plan good_tool(uint32_t type)
{
    struct plan plan = good_build();
    plan.type = type;
    memset(&plan.network, 0, sizeof(plan.network));
    if (type == PLAN_TYPE_COLLECT)
        return plan;
    plan.work_on_disk = 0;
    memset(&plan.build, 0, sizeof(plan.build));
    return plan;
}

static void test_types(void **state)
{
    (void)state;
    struct error error = {0};
    struct plan plan = good_build();
    assert_int_equal(plan_check(&plan, &error), 0);
    memset(&plan.network, 0, sizeof(plan.network));
    assert_int_equal(plan_check(&plan, &error), 0);
    plan.has_cache = 1;
    assert_int_equal(plan_check(&plan, &error), 0);
    for (uint32_t type = PLAN_TYPE_COLLECT; type <= PLAN_TYPE_SWEEP; type++) {
        plan = good_tool(type);
        assert_int_equal(plan_check(&plan, &error), 0);
    }
}

#define assert_other_lie_refused(good, change)                                                                         \
    do {                                                                                                               \
        struct plan plan = (good);                                                                                     \
        struct error error = {0};                                                                                      \
        change;                                                                                                        \
        assert_int_equal(plan_check(&plan, &error), -EINVAL);                                                          \
        assert_true(error.text[0] != '\0');                                                                            \
    } while (0)
#define assert_build_lie_refused(change) assert_other_lie_refused(good_build(), change)

/* What one type has, another must not. */
static void test_type_lies(void **state)
{
    (void)state;
    assert_lie_refused(plan.has_cache = 1);
    assert_lie_refused(plan.has_base = 1);
    assert_lie_refused(plan.wants_list = 1);
    assert_lie_refused(plan.network.mtu = 1);
    assert_lie_refused(plan.build.absent_inode[1] = 1);
    assert_lie_refused(plan.type = PLAN_TYPE_SWEEP + 1);
    for (uint32_t type = PLAN_TYPE_COLLECT; type <= PLAN_TYPE_SWEEP; type++) {
        assert_other_lie_refused(good_tool(type), plan.command_id = 1);
        assert_other_lie_refused(good_tool(type), plan.command_id = PLAN_SUPERVISOR_ID);
        assert_other_lie_refused(good_tool(type), plan.work_on_disk ^= 1);
        assert_other_lie_refused(good_tool(type), plan.network = good_build().network);
        assert_other_lie_refused(good_tool(type), plan.network.is_set = 1);
        assert_other_lie_refused(good_tool(type), plan.has_base = 2);
        assert_other_lie_refused(good_tool(type), plan.wants_list = 1);
    }
    assert_other_lie_refused(good_tool(PLAN_TYPE_VERIFY), plan.has_cache = 1);
    assert_other_lie_refused(good_tool(PLAN_TYPE_VERIFY), plan.has_base = 1);
    assert_other_lie_refused(good_tool(PLAN_TYPE_SWEEP), plan.has_cache = 1);
    assert_other_lie_refused(good_tool(PLAN_TYPE_SWEEP), plan.build = good_build().build);
    assert_other_lie_refused(good_tool(PLAN_TYPE_COLLECT), memset(&plan.build, 0, sizeof(plan.build)));
    assert_build_lie_refused(plan.command_id = 1);
    assert_build_lie_refused(plan.work_on_disk = 0);
    assert_build_lie_refused(plan.work_on_disk = 2);
    assert_build_lie_refused(plan.has_cache = 2);
    assert_build_lie_refused(plan.has_base = 2);
    assert_build_lie_refused(plan.wants_list = 2);
    assert_build_lie_refused(plan.has_list = 1);
    assert_build_lie_refused(plan.wants_list = 1; plan.has_list = 2);
}

static void test_build_lies(void **state)
{
    (void)state;
    assert_build_lie_refused(plan.build.name[0] = '\0');
    assert_build_lie_refused((void)strcpy(plan.build.name, ".."));
    assert_build_lie_refused((void)strcpy(plan.build.name, "a/b"));
    assert_build_lie_refused(memset(plan.build.name, 'a', sizeof(plan.build.name)));
    assert_build_lie_refused(plan.build.name[10] = 'x'); /* behind its end */
    assert_build_lie_refused((void)strcpy(plan.build.version, "1 0"));
    assert_build_lie_refused(memset(plan.build.version, '1', sizeof(plan.build.version)));
    assert_build_lie_refused((void)strcpy(plan.build.language, "-rf"));
    assert_build_lie_refused(plan.build.absent_device[1] = 1);
    static const char *const wrong[] = {"etc", "/", "//", "/etc/", "/etc//x", "/etc/../x", "/etc/.", "/..", "."};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_build_lie_refused(memset(plan.build.hidden[0], 0, PLAN_PATH_MAX);
                                 (void)strcpy(plan.build.hidden[0], wrong[i]));
        assert_build_lie_refused(memset(plan.build.shown[0], 0, PLAN_PATH_MAX);
                                 (void)strcpy(plan.build.shown[0], wrong[i]));
    }
    assert_build_lie_refused((void)strcpy(plan.build.hidden[2], "/behind/the/end"));
    assert_build_lie_refused(memset(plan.build.hidden[1], '/', PLAN_PATH_MAX));
    assert_build_lie_refused(memset(plan.build.hidden, 'a', sizeof(plan.build.hidden)));
}

static void test_network_lies(void **state)
{
    (void)state;
    assert_build_lie_refused(plan.network.is_set = 0);
    assert_build_lie_refused(plan.network.is_set = 2);
    assert_build_lie_refused(plan.network.bridge = 0);
    assert_build_lie_refused(plan.network.address = 0);
    assert_build_lie_refused(plan.network.address = plan.network.gateway);
    assert_build_lie_refused(plan.network.address = 0x0a0000ff);
    assert_build_lie_refused(plan.network.address = 0x0a000000);
    assert_build_lie_refused(plan.network.gateway = 0x0a000101);
    assert_build_lie_refused(plan.network.prefix_length = 0);
    assert_build_lie_refused(plan.network.prefix_length = 31);
    assert_build_lie_refused(plan.network.prefix_length = 64);
    assert_build_lie_refused(plan.network.mtu = 67);
    assert_build_lie_refused(plan.network.mtu = 65536);
    assert_build_lie_refused(plan.network.host_link[0] = '\0');
    assert_build_lie_refused((void)strcpy(plan.network.host_link, "a/b"));
    assert_build_lie_refused(memset(plan.network.host_link, 'a', sizeof(plan.network.host_link)));
    assert_build_lie_refused(plan.network.refused_count = PLAN_ROUTES_MAX + 1);
    assert_build_lie_refused(plan.network.refused_count = 1); /* one more stands behind */
    assert_build_lie_refused(plan.network.refused[0].prefix_length = 33);
    assert_build_lie_refused(plan.network.refused[0].address |= 1);
    assert_build_lie_refused(plan.network.refused[1] = plan.network.refused[0]);
    assert_build_lie_refused(plan.network.resolver_count = PLAN_RESOLVERS_MAX + 1);
    assert_build_lie_refused(plan.network.resolver_count = 2);
    assert_build_lie_refused(plan.network.resolver_count = 0);
    assert_build_lie_refused((void)strcpy(plan.network.resolvers[0], "1.2.3.4\noptions"));
    assert_build_lie_refused((void)strcpy(plan.network.search, "search a\nnameserver 1.2.3.4"));
    assert_build_lie_refused(memset(plan.network.search, 'a', sizeof(plan.network.search)));
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
            cmocka_unit_test(test_types),
            cmocka_unit_test(test_type_lies),
            cmocka_unit_test(test_build_lies),
            cmocka_unit_test(test_network_lies),
            cmocka_unit_test(test_stage_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
