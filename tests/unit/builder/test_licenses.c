#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "builder/licenses.h"

#define FORMAT "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"

static void test_copyright(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *licenses;
    } cases[] = {
            {FORMAT "License: GPL-2+\n the text\nFiles: *\nLicense: Expat \nLicense: GPL-2+\n", "GPL-2+\nExpat"},
            {FORMAT "Files: *\nlicense:BSD-3-clause\n License: indented\nLicense-Grant: x\n", "BSD-3-clause"},
            {FORMAT "License:\n only a text\nLicense: a\033b", "a?b"},
            {"Format: something else\nLicense: GPL-2\n", ""},
            {"This package was debianized by\nLicense: GPL-2\n", ""},
            {"License: GPL-2\n" FORMAT, ""},
            {FORMAT, ""},
            {"", ""},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char licenses[LICENSES_TEXT_MAX];
        licenses_read_copyright(cases[i].text, licenses);
        assert_string_equal(licenses, cases[i].licenses);
    }
}

static void test_metadata(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *licenses;
    } cases[] = {
            {"Name: x\nLicense-Expression: MIT OR Apache-2.0\nLicense: other\n", "MIT OR Apache-2.0"},
            {"License: BSD\r\nClassifier: License :: OSI Approved :: MIT License\r\n", "BSD"},
            {"License: UNKNOWN\nClassifier: License :: OSI Approved\nClassifier: License :: OSI Approved :: MIT "
             "License\n"
             "Classifier: Topic :: Text\n",
                    "MIT License"},
            {"License: The whole text\n        of a license\nClassifier: License :: Public Domain\n", "Public Domain"},
            {"Classifier: License :: \nClassifier: License ::", ""},
            {"Name: x\n\nLicense: in the description\n", ""},
            {"License:", ""},
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        char licenses[LICENSES_TEXT_MAX];
        licenses_read_metadata(cases[i].text, licenses);
        assert_string_equal(licenses, cases[i].licenses);
    }
}

/* Too long, too many. */
static void test_bounds(void **state)
{
    (void)state;
    char licenses[LICENSES_TEXT_MAX] = "";
    char name[300];
    memset(name, 'x', sizeof(name));
    licenses_add(licenses, name, 121);
    assert_string_equal(licenses, "");
    for (int i = 0; i < 1000; i++) {
        int size = snprintf(name, sizeof(name), " license %d\t", i);
        licenses_add(licenses, name, (size_t)size);
    }
    assert_in_range(strlen(licenses), LICENSES_TEXT_MAX - 20, LICENSES_TEXT_MAX - 1);
    assert_ptr_equal(strstr(licenses, "license 0\nlicense 1\n"), licenses);
}

static void test_debian(void **state)
{
    (void)state;
    char licenses[LICENSES_TEXT_MAX];
    char directory[] = "/tmp/test-licenses-XXXXXX";
    assert_non_null(mkdtemp(directory));
    assert_int_equal(chdir(directory), 0);
    assert_int_equal(system("mkdir -p usr/share/doc/one usr/share/doc/three secret && cd usr/share/doc && "
                            "printf 'Format: copyright-format\\nLicense: ISC\\n' >one/copyright && ln -s one two && "
                            "cp one/copyright ../../../secret && ln -s ../../../secret four && "
                            "ln -s ../../../../secret/copyright three"),
            0); /* NOLINT(cert-env33-c) */
    _cleanup_close_ int root_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    static const struct {
        const char *package;
        const char *licenses;
    } cases[] = {{"one", "ISC"}, {"two", "ISC"}, {"three", ""}, {"four", ""}, {"five", ""}, {"../../../secret", ""}};
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        licenses_of_debian(root_fd, cases[i].package, licenses);
        assert_string_equal(licenses, cases[i].licenses);
    }
    assert_int_equal(chdir("/"), 0);
    char command[100];
    (void)snprintf(command, sizeof(command), "rm -r %s", directory);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_copyright),
            cmocka_unit_test(test_metadata),
            cmocka_unit_test(test_bounds),
            cmocka_unit_test(test_debian),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
