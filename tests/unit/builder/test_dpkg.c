#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "base/fd.h"
#include "builder/closure.h"
#include "builder/dpkg.h"

static void parse(const char *text, struct dpkg *dpkg)
{
    struct error error = {0};
    assert_int_equal(dpkg_parse(strdup(text), strlen(text), dpkg, &error), 0);
}

/* The names in the closure of @name, in the order of the file; NULL when it is not installed. */
static const char *closure_of(const char *text, const char *name)
{
    static char found[512];
    struct dpkg dpkg;
    struct error error = {0};
    parse(text, &dpkg);
    int r = closure_add(&dpkg, name, &error);
    found[0] = '\0';
    for (uint32_t i = 0; i < dpkg.count; i++) {
        if (dpkg.packages[i].in_closure) {
            (void)strcat(found, dpkg.packages[i].name);
            (void)strcat(found, strcmp(dpkg.packages[i].architecture, "i386") == 0 ? ":i386 " : " ");
        }
    }
    dpkg_done(&dpkg);
    assert_true(r == 0 || r == -ENOENT);
    return r == 0 ? found : NULL;
}

#define PACKAGE(name) "Package: " name "\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n"

static void test_status(void **state)
{
    (void)state;
    struct dpkg dpkg;
    parse("Package: a\nStatus: install ok installed\nVersion: 1:2-3\nArchitecture: amd64\nSource: src "
          "(1)\nDescription: x\n"
          " Package: no\n .\n Version: 9\nDepends: b,\n c\n\n"
          "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
          "Package: half\nStatus: install ok half-configured\nVersion: 2\n\n\n\n"
          "Package: ../evil\nStatus: install ok installed\nVersion: 1\n\n"
          "Status: install ok installed\nVersion: 1\n\n"
          "Package: last\nStatus: install ok triggers-pending\nVersion: 3",
            &dpkg);
    assert_int_equal(dpkg.count, 3);
    assert_string_equal(dpkg.packages[0].name, "a");
    assert_string_equal(dpkg.packages[0].version, "1:2-3");
    assert_string_equal(dpkg.packages[0].source, "src (1)");
    assert_string_equal(dpkg.packages[0].depends, "b,  c");
    assert_string_equal(dpkg.packages[1].name, "half");
    assert_string_equal(dpkg.packages[1].architecture, "");
    assert_string_equal(dpkg.packages[2].version, "3");
    assert_int_equal(dpkg_find_package(&dpkg, "half", 4, "amd64"), 1);
    assert_int_equal(dpkg_find_package(&dpkg, "gone", 4, "amd64"), MAP_NONE);
    dpkg_done(&dpkg);
}

static void test_damaged(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "\n", ":", "Package", "Package:", "Package: a", "\n\n\n", " x\n y",
            "Package: a\nStatus: installed", "Package: a\nStatus: install ok installed\n", "Depends: a\n \n \n"};
    for (size_t i = 0; i < ELEMENTS(texts); i++) {
        struct dpkg dpkg;
        parse(texts[i], &dpkg);
        assert_int_equal(dpkg.count, 0);
        dpkg_done(&dpkg);
    }
    struct dpkg dpkg;
    struct error error = {0};
    char bytes[] = "Package: a\0b\nVersion: 1\nStatus: install ok installed\n\0\n\0";
    char *copy = malloc(sizeof(bytes));
    memcpy(copy, bytes, sizeof(bytes));
    assert_int_equal(dpkg_parse(copy, sizeof(bytes) - 1, &dpkg, &error), 0);
    assert_int_equal(dpkg.count, 1);
    dpkg_done(&dpkg);
}

static void test_closure(void **state)
{
    (void)state;
    assert_string_equal(closure_of(PACKAGE("a") "Depends: b (>= 1), c [amd64]\nPre-Depends: d\n\n" PACKAGE(
                                           "b") "Depends: a\n\n" PACKAGE("c") "\n" PACKAGE("d") "\n" PACKAGE("e") "\n",
                                "a"),
            "a b c d ");
    /* The first alternative that is there; of ones with versions also the next. */
    assert_string_equal(
            closure_of(PACKAGE("a") "Depends: x | b | c\n\n" PACKAGE("b") "\n" PACKAGE("c") "\n", "a"), "a b ");
    assert_string_equal(closure_of(PACKAGE("a") "Depends: b (<< 2) | c | d\n\n" PACKAGE("b") "\n" PACKAGE(
                                           "c") "\n" PACKAGE("d") "\n",
                                "a"),
            "a b c ");
    /* What others provide, and only when there is no real one. */
    assert_string_equal(closure_of(PACKAGE("a") "Depends: v\n\n" PACKAGE("p") "Provides: w, v (= 1)\n\n" PACKAGE(
                                           "q") "Provides: v\n\n",
                                "a"),
            "a p ");
    assert_string_equal(
            closure_of(PACKAGE("a") "Depends: q, v\n\n" PACKAGE("p") "Provides: v\n\n" PACKAGE("q") "Provides: v\n\n",
                    "a"),
            "a q ");
    assert_string_equal(closure_of(PACKAGE("p") "Provides: v\n\n", "v"), "p ");
    assert_null(closure_of(PACKAGE("a") "\n", "b"));
    assert_null(closure_of(PACKAGE("a") "\n", ""));
    assert_null(closure_of(PACKAGE("a") "\n", "../a"));
    /* Depends on nothing that is there: dpkg was forced. */
    assert_string_equal(closure_of(PACKAGE("a") "Depends: gone, , |, (x), a\n\n", "a"), "a ");
}

static void test_architectures(void **state)
{
    (void)state;
    static const char text[] =
            "Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n"
            "Package: lib\nStatus: install ok installed\nArchitecture: i386\nVersion: 1\nDepends: base\n\n"
            "Package: lib\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\nDepends: base:any\n\n"
            "Package: base\nStatus: install ok installed\nArchitecture: i386\nVersion: 1\n\n"
            "Package: base\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n"
            "Package: script\nStatus: install ok installed\nArchitecture: all\nVersion: 1\nDepends: lib\n\n";
    assert_string_equal(closure_of(text, "lib"), "lib base ");
    assert_string_equal(closure_of(text, "lib:i386"), "lib:i386 base:i386 ");
    assert_string_equal(closure_of(text, "script"), "lib base script ");
}

/* Chains and cycles without end cost no stack and no time. */
static void test_long_chain(void **state)
{
    (void)state;
    const unsigned count = 50000;
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    for (unsigned i = 0; i < count; i++)
        (void)fprintf(file,
                "Package: p%u\nStatus: install ok installed\nVersion: 1\nDepends: p%u, p%u | q\nProvides: v\n\n", i,
                (i + 1) % count, i / 2);
    assert_int_equal(fclose(file), 0);
    struct dpkg dpkg;
    struct error error = {0};
    assert_int_equal(dpkg_parse(text, size, &dpkg, &error), 0);
    assert_int_equal(dpkg.count, count);
    assert_int_equal(closure_add(&dpkg, "p0", &error), 0);
    for (unsigned i = 0; i < count; i++)
        assert_true(dpkg.packages[i].in_closure);
    dpkg_done(&dpkg);
}

/* Every package names what many others provide: each chain is walked once. */
/* With strict checks of strings the sanitizer looks to the end of the text at each of them. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ALTERNATIVES 3000U
#endif
#endif
#ifndef ALTERNATIVES
#define ALTERNATIVES 500000U
#endif

static void test_many_providers(void **state)
{
    (void)state;
    const unsigned count = 30000;
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    for (unsigned i = 0; i < count; i++)
        (void)fprintf(file, "Package: p%u\nStatus: install ok installed\nVersion: 1\nDepends: p%u\nProvides: v\n\n", i,
                count - 1);
    for (unsigned i = 0; i < count; i++)
        (void)fprintf(file, "Package: same\nStatus: install ok installed\nArchitecture: a%u\nVersion: 1\n\n", i);
    (void)fprintf(file, "Package: z\nStatus: install ok installed\nVersion: 1\nDepends: p%u, q", count - 1);
    for (unsigned i = 0; i < ALTERNATIVES; i++)
        (void)fputs(",v,same", file);
    assert_int_equal(fclose(file), 0);
    struct dpkg dpkg;
    struct error error = {0};
    assert_int_equal(dpkg_parse(text, size, &dpkg, &error), 0);
    assert_int_equal(closure_add(&dpkg, "z", &error), 0);
    assert_true(dpkg.packages[count - 1].in_closure);
    assert_false(dpkg.packages[0].in_closure);
    dpkg_done(&dpkg);
}

static void test_names(void **state)
{
    (void)state;
    assert_true(dpkg_name_is_valid("libstdc++6", 10));
    assert_true(dpkg_name_is_valid("0ad", 3));
    assert_false(dpkg_name_is_valid("", 0));
    assert_false(dpkg_name_is_valid("-a", 2));
    assert_false(dpkg_name_is_valid(".", 1));
    assert_false(dpkg_name_is_valid("a/b", 3));
    assert_false(dpkg_name_is_valid("a\0b", 3));
    assert_false(dpkg_name_is_valid("a b", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_status),
            cmocka_unit_test(test_damaged),
            cmocka_unit_test(test_closure),
            cmocka_unit_test(test_architectures),
            cmocka_unit_test(test_long_chain),
            cmocka_unit_test(test_many_providers),
            cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
