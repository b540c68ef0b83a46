#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>

#include "api/roles.h"
#include "base/fd.h"
#include "joblet.pb-c.h"
#include "joblet_ext.pb-c.h"

static void test_units(void **state)
{
    (void)state;
    static const struct {
        const char *units[3];
        size_t count;
        enum role role;
    } cases[] = {
            {{NULL}, 0, ROLE_UNKNOWN},
            {{"admin"}, 1, ROLE_ADMIN},
            {{"ADMIN"}, 1, ROLE_ADMIN},
            {{"Viewer"}, 1, ROLE_READER},
            {{"sales"}, 1, ROLE_UNKNOWN},
            {{"sales", "developer"}, 2, ROLE_DEVELOPER},
            {{"admin", "reader"}, 2, ROLE_READER},
            {{"reader", "admin"}, 2, ROLE_READER},
            {{"admin", "maintainer", "developer"}, 3, ROLE_DEVELOPER},
            {{"administrator"}, 1, ROLE_UNKNOWN},
            {{" admin"}, 1, ROLE_UNKNOWN},
            {{"unknown"}, 1, ROLE_UNKNOWN},
            {{""}, 1, ROLE_UNKNOWN},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_int_equal(role_from_units(cases[i].units, cases[i].count), cases[i].role);
}

static void test_permit(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(role_permit(ROLE_READER, "/joblet.JobService/RunJob", &error), -EACCES);
    assert_string_equal(error.text, "role reader is not allowed to perform operation run_job");
    assert_int_equal(role_permit(ROLE_DEVELOPER, "/joblet.JobService/RunJob", &error), 0);
    assert_int_equal(role_permit(ROLE_MAINTAINER, "/joblet.RuntimeService/RemoveRuntime", &error), -EACCES);
    assert_int_equal(role_permit(ROLE_ADMIN, "/joblet.RuntimeService/RemoveRuntime", &error), 0);
    assert_int_equal(role_permit(ROLE_ADMIN, "/joblet.JobService/Nothing", &error), 0);
    /* The unknown role may nothing at all. */
    size_t count;
    const struct role_method *methods = role_methods(&count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(role_permit(ROLE_UNKNOWN, methods[i].path, &error), -EACCES);
        assert_non_null(strstr(error.text, "unknown"));
        assert_int_equal(role_permit(ROLE_ADMIN, methods[i].path, &error), 0);
    }
}

/* No method of the .proto is missing: one that is would be open to every certificate. */
/* shows: CIS-Docker 2.12, NIST 4.3.1 */
static void test_all_methods(void **state)
{
    (void)state;
    static const ProtobufCServiceDescriptor *const services[] = {&joblet__job_service__descriptor,
            &joblet__network_service__descriptor, &joblet__volume_service__descriptor,
            &joblet__monitoring_service__descriptor, &joblet__runtime_service__descriptor,
            &joblet__ext__audit_service__descriptor};
    size_t found = 0;
    size_t count;
    (void)role_methods(&count);
    for (size_t i = 0; i < ELEMENTS(services); i++)
        for (unsigned j = 0; j < services[i]->n_methods; j++, found++) {
            char path[128];
            (void)snprintf(path, sizeof(path), "/%s/%s", services[i]->name, services[i]->methods[j].name);
            const struct role_method *row = role_method_find(path);
            if (!row)
                fail_msg("%s has no row", path);
            /* What may be done by less than everybody is named in the audit log, and what is not only read is in it. */
            assert_non_null(row->action);
            if (!row->changes)
                assert_true(row->lowest == ROLE_READER || services[i] == &joblet__ext__audit_service__descriptor);
        }
    assert_int_equal(found, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_units),
            cmocka_unit_test(test_permit),
            cmocka_unit_test(test_all_methods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
