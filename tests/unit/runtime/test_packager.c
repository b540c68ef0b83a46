/* What apt's script makes of apt's words; a stand-in for apt-cache says what each test has in its directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/packager.h"

static char directory[128];

static void put(const char *name, const char *text, mode_t mode)
{
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) < 0, 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static int set_up(void **state)
{
    (void)state;
    const char *temporary = getenv("TMPDIR");
    (void)snprintf(directory, sizeof(directory), "%s/joblet-packager-XXXXXX", temporary ? temporary : "/tmp");
    if (!mkdtemp(directory))
        return -1;
    put("apt-cache", "#!/bin/sh\ncat \"${0%/*}/$1\"\n", 0755);
    put("policy", "", 0644);
    put("show", "", 0644);
    put("pkgnames", "", 0644);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[160];
    (void)snprintf(command, sizeof(command), "rm -rf %s", directory);
    return system(command);
}

/* What the script prints, and its exit status. */
static int run(const char *words, char *ret_text, size_t size)
{
    char command[512];
    const struct runtime_packager_commands *apt = runtime_packager_find(RUNTIME_PACKAGER_APT);
    put("script", apt->script, 0644);
    (void)snprintf(command, sizeof(command), "PATH=%s:/usr/bin:/bin exec /bin/sh %s/script %s 2>&1", directory,
            directory, words);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    ret_text[fread(ret_text, 1, size - 1, pipe)] = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void check(const char *words, int status, const char *expected)
{
    char text[1024];
    assert_int_equal(run(words, text, sizeof(text)), status);
    assert_string_equal(text, expected);
}

static void test_there(void **state)
{
    (void)state;
    put("policy", "a:\n  Installed: (none)\n  Candidate: 1.0\nb:\n  Installed: 2\n  Candidate: 2\n", 0644);
    put("show", "Package: a\nVersion: 1.0\nDepends: b\n\nPackage: b\nVersion: 2\n\n", 0644);
    check("select '' b a", 0, "b\na\n");
}

static void test_missing(void **state)
{
    (void)state;
    put("policy", "a:\n  Candidate: 1.0\nc:\n  Candidate: (none)\n", 0644);
    put("pkgnames", "python3.11\npython3.9\npython3.9-x\n", 0644);
    check("select '' a b c", 1, "not in the package sources of this host: b c\n");
    check("select 'python3\\.[0-9]+' b", 1,
            "not in the package sources of this host: b; base.version: it has python3.9 python3.11\n");
}

/* As the nodejs of some sources does it, which brings npm along. */
static void test_replaced(void **state)
{
    (void)state;
    put("policy", "nodejs:\n  Candidate: 20.1\nnpm:\n  Candidate: 9\n", 0644);
    put("show",
            "Package: nodejs\nConflicts: nodejs-dev, npm\nVersion: 20.1\n\n"
            "Package: nodejs\nVersion: 18\n\nPackage: npm\nVersion: 9\n",
            0644);
    check("select '' nodejs npm", 0, "nodejs\n");
}

/* Only what would be installed counts. */
static void test_replaced_by_another_version(void **state)
{
    (void)state;
    put("policy", "nodejs:\n  Candidate: 18\nnpm:\n  Candidate: 9\n", 0644);
    put("show",
            "Package: nodejs\nVersion: 20.1\nConflicts: npm\n\nPackage: nodejs\nVersion: 18\nConflicts: nodejs, npm "
            "(<< 3)\n\n"
            "Package: npm\nVersion: 9\n\n",
            0644);
    check("select '' nodejs npm", 0, "nodejs\nnpm\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(test_there, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_missing, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_replaced, set_up, tear_down),
            cmocka_unit_test_setup_teardown(test_replaced_by_another_version, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
