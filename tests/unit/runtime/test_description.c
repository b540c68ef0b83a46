#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "base/fd.h"
#include "runtime/description.h"
#include "runtime/license.h"
#include "runtime/manifest.h"

static void add(struct runtime_list *list, const char *text)
{
    assert_int_equal(runtime_list_add(list, text), 0);
}

static struct runtime_description *new_description(const char *original)
{
    struct runtime_description *description = calloc(1, sizeof(*description));
    assert_non_null(description);
    const struct {
        char **target;
        const char *text;
    } texts[] = {
            {&description->name, "python-3.11"},
            {&description->version, "1.0.0"},
            {&description->language, "python"},
            {&description->language_version, "3.11"},
            {&description->description, "yes: \"quoted\" # and 'so' \xc3\xbc"},
            {&description->cuda_version, ">=12.0"},
            {&description->built_at, "2026-01-02T03:04:05Z"},
            {&description->built_with, RUNTIME_BUILT_WITH},
            {&description->builder_version, "0.1.0"},
            {&description->platform, "debian-amd64"},
            {&description->build_id, "00000000-0000-4000-8000-000000000001"},
            {&description->digest, "00ff"},
            {&description->fingerprint, "abcd"},
            {&description->original_yaml, original},
    };
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        assert_non_null(*texts[i].target = strdup(texts[i].text));
    add(&description->environment, "A=");
    add(&description->environment, "B=x=y\n\tz \"'\\");
    add(&description->environment, "NULL=null");
    add(&description->environment, "N=1.0");
    add(&description->packages, "requests>=2,<3");
    add(&description->packages, "@types/node@*");
    add(&description->libraries, "/usr/lib/*/lib[ab]?.so*");
    add(&description->architectures, "amd64");
    add(&description->test, "python3.11");
    add(&description->test, "-c");
    add(&description->test, "import ssl, sys; print(sys.version)");
    description->gpu = true;
    return description;
}

static void assert_same_list(const struct runtime_list *left, const struct runtime_list *right)
{
    assert_int_equal(left->count, right->count);
    for (size_t i = 0; i < left->count; i++)
        assert_string_equal(left->items[i], right->items[i]);
}

static void assert_same(const struct runtime_description *left, const struct runtime_description *right)
{
    char *const pairs[][2] = {{left->name, right->name}, {left->version, right->version},
            {left->language, right->language}, {left->language_version, right->language_version},
            {left->description, right->description}, {left->cuda_version, right->cuda_version},
            {left->built_at, right->built_at}, {left->built_with, right->built_with},
            {left->builder_version, right->builder_version}, {left->platform, right->platform},
            {left->build_id, right->build_id}, {left->digest, right->digest}, {left->fingerprint, right->fingerprint},
            {left->original_yaml, right->original_yaml}};
    for (size_t i = 0; i < ELEMENTS(pairs); i++)
        assert_string_equal(pairs[i][0], pairs[i][1]);
    assert_same_list(&left->environment, &right->environment);
    assert_same_list(&left->packages, &right->packages);
    assert_same_list(&left->libraries, &right->libraries);
    assert_same_list(&left->architectures, &right->architectures);
    assert_same_list(&left->test, &right->test);
    assert_int_equal(left->gpu, right->gpu);
}

/* Whatever was written is read back, byte for byte. */
static void test_round_trip(void **state)
{
    (void)state;
    static const char *const originals[] = {"", "a: b\n", "\n\n a\r\nb\r\n", "# x\n  - y: |\n    z   \n\n\n",
            "%YAML 1.1\n---\n", "--- !!a &b\n*c\n...\n", "\xef\xbb\xbf# a: \xf0\x9f\x98\x80\xc2\x85\xe2\x80\xa8\n",
            "no end", "\t \"\\'\n"};
    for (size_t i = 0; i < ELEMENTS(originals); i++) {
        _cleanup_(runtime_description_freep) struct runtime_description *written = new_description(originals[i]);
        _cleanup_(runtime_description_freep) struct runtime_description *read = NULL;
        _cleanup_free_ char *text = NULL;
        struct error error = {0};
        assert_int_equal(runtime_description_write(written, &text), 0);
        if (runtime_description_read(text, strlen(text), &read, &error) < 0)
            fail_msg("%zu: %s\n%s", i, error.text, text);
        assert_same(written, read);
    }
}

static void test_least_and_more(void **state)
{
    (void)state;
    _cleanup_(runtime_description_freep) struct runtime_description *description = NULL;
    static const char text[] = "name: a\nversion: 1.0.0\nlanguage: go\nlanguage_version: '1.19'\ndescription: d\n"
                               "later: {than: [this]}\nbuild_info: {further: x, platform: p}\nmounts: []\n";
    assert_int_equal(runtime_description_read(text, strlen(text), &description, NULL), 0);
    assert_string_equal(description->name, "a");
    assert_string_equal(description->original_yaml, "");
    assert_string_equal(description->platform, "p");
    assert_int_equal(description->environment.count, 0);
}

#define HEAD "name: a\nversion: 1.0.0\nlanguage: go\nlanguage_version: '1.19'\ndescription: d\n"

static void test_hostile(void **state)
{
    (void)state;
    static const char *const texts[] = {
            "",
            "x",
            "- a\n",
            "name: a\n",
            HEAD "name: a\n",
            "name: ../a\nversion: 1.0.0\nlanguage: go\nlanguage_version: 1\ndescription: d\n",
            "name: a\nversion: 1.0\nlanguage: go\nlanguage_version: 1\ndescription: d\n",
            "name: [a]\nversion: 1.0.0\nlanguage: go\nlanguage_version: 1\ndescription: d\n",
            HEAD "environment: {JOB_ID: x}\n",
            HEAD "environment: {'': x}\n",
            HEAD "environment: {A: [x]}\n",
            HEAD "environment: [x]\n",
            HEAD "packages: x\n",
            HEAD "packages: [[x]]\n",
            HEAD "packages: [\"a\\nb\"]\n",
            HEAD "test: [\"\\e[2J\"]\n",
            HEAD "requirements: {gpu: perhaps}\n",
            HEAD "build_info: {digest: XYZ}\n",
            HEAD "build_info: {digest: '../../x'}\n",
            HEAD "build_info: x\nbuild_info: {platform: &a x, built_at: *a}\n",
            HEAD "x: &a [b]\n",
            HEAD "? [x]\n: y\n",
            "%TAG ! x\n---\n" HEAD,
            HEAD "x: [[[[[[[[[[[[a]]]]]]]]]]]]\n",
    };
    for (size_t i = 0; i < ELEMENTS(texts); i++) {
        struct runtime_description *description = NULL;
        struct error error = {0};
        int r = runtime_description_read(texts[i], strlen(texts[i]), &description, &error);
        if (r != -EINVAL || description || strncmp(error.text, "runtime.yml: ", 13) != 0)
            fail_msg("%zu: %d %s", i, r, error.text);
    }
    char *large = malloc(RUNTIME_DESCRIPTION_SIZE_MAX + 2);
    assert_non_null(large);
    memset(large, '#', RUNTIME_DESCRIPTION_SIZE_MAX + 1);
    struct runtime_description *description = NULL;
    assert_int_equal(runtime_description_read(large, RUNTIME_DESCRIPTION_SIZE_MAX + 1, &description, NULL), -EINVAL);
    free(large);
}

static void test_totals(void **state)
{
    (void)state;
    struct runtime_manifest_totals totals;
    static const char right[] = "{\"path\":\"/x\"}\n{\"files\":3,\"bytes\":12345678901}\n";
    assert_int_equal(runtime_manifest_totals(right, strlen(right), &totals), 0);
    assert_int_equal(totals.files, 3);
    assert_int_equal(totals.bytes, 12345678901);
    static const char *const wrong[] = {"", "\n", "{}\n", "{\"files\":3,\"bytes\":1}", "[1]\n",
            "{\"files\":3,\"bytes\":-1}\n", "{\"files\":3,\"bytes\":1.5}\n", "{\"files\":3,\"files\":3,\"bytes\":1}\n",
            "{\"files\":\"3\",\"bytes\":1}\n", "{\"files\":3,\"bytes\":99999999999999999999}\n", "\xff\n"};
    for (size_t i = 0; i < ELEMENTS(wrong); i++)
        assert_int_equal(runtime_manifest_totals(wrong[i], strlen(wrong[i]), &totals), -EINVAL);
}

#define MANIFEST_HEAD "{\"manifest\":1,\"name\":\"python-3.11\",\"version\":\"1.0.0\"}\n"

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static void test_licenses(void **state)
{
    (void)state;
    for (size_t i = 0; i < license_id_count; i++)
        assert_ptr_equal(license_find(license_ids[i]), license_ids[i]);
    for (size_t i = 1; i < license_exception_count; i++)
        assert_true(strcasecmp(license_exceptions[i - 1], license_exceptions[i]) < 0);
    assert_string_equal(license_find("bsd-3-clause"), "BSD-3-Clause");
    assert_string_equal(license_find("LGPL-2.1+"), "LGPL-2.1-or-later");
    static const char *const unknown[] = {"", "Artistic", "BSD License", "GPL", "public-domain", "MITx", "MI"};
    for (size_t i = 0; i < ELEMENTS(unknown); i++)
        assert_null(license_find(unknown[i]));
    static const char *const right[] = {"MIT", "MIT OR Apache-2.0", "(MIT)", "((MIT OR ISC) AND Zlib)",
            "GPL-2.0+ WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0 OR (MIT)"};
    for (size_t i = 0; i < ELEMENTS(right); i++)
        assert_true(license_is_expression(right[i]));
    static const char *const wrong[] = {"", " ", "MIT OR", "OR MIT", "(MIT", "MIT)", "()", "MIT ISC", "MIT or ISC",
            "MIT WITH ISC", "MIT OR nonsense", "(MIT) (ISC)", "MIT WITH", "+", "SEE LICENSE IN file",
            "((((((((((((((((((MIT))))))))))))))))))"};
    for (size_t i = 0; i < ELEMENTS(wrong); i++)
        assert_false(license_is_expression(wrong[i]));
}

static void test_sbom(void **state)
{
    (void)state;
    static const char manifest[] =
            MANIFEST_HEAD "{\"package\":\"libstdc++6\",\"version\":\"1:12.2+deb\",\"architecture\":\"amd64\","
                          "\"source\":\"gcc-12\",\"license\":\"GPL-3+\\u000aGPL-3 and more\\u000aexpat\"}\n"
                          "{\"package\":\"numpy\",\"version\":\"1.26.4\",\"license\":\"MIT AND (Zlib OR 0BSD)\","
                          "\"type\":\"pip\"}\n"
                          "{\"package\":\"@types/node\",\"version\":\"18.0.0\",\"type\":\"npm\"}\n"
                          "{\"path\":\"/usr\",\"type\":\"directory\"}\n{\"package\":\"late\",\"version\":\"1\"}\n";
    static const char *const addresses[] = {"pkg:deb/debian/libstdc%2B%2B6@1%3A12.2%2Bdeb?arch=amd64",
            "pkg:pypi/numpy@1.26.4", "pkg:npm/%40types/node@18.0.0"};
    _cleanup_(runtime_description_freep) struct runtime_description *description = new_description("");
    _cleanup_free_ char *text = NULL;
    assert_int_equal(runtime_manifest_sbom(description, manifest, strlen(manifest), &text, NULL), 0);
    json_t *bill = json_loads(text, 0, NULL);
    assert_non_null(bill);
    assert_string_equal(text_at(bill, "bomFormat"), "CycloneDX");
    assert_string_equal(text_at(bill, "specVersion"), "1.5");
    assert_string_equal(text_at(bill, "serialNumber"), "urn:uuid:00000000-0000-4000-8000-000000000001");
    const json_t *component = json_object_get(json_object_get(bill, "metadata"), "component");
    assert_string_equal(text_at(component, "name"), "python-3.11");
    const json_t *components = json_object_get(bill, "components");
    assert_int_equal(json_array_size(components), ELEMENTS(addresses));
    for (size_t i = 0; i < ELEMENTS(addresses); i++) {
        const json_t *one = json_array_get(components, i);
        assert_string_equal(text_at(one, "type"), "library");
        assert_string_equal(text_at(one, "purl"), addresses[i]);
        assert_string_equal(text_at(one, "bom-ref"), addresses[i]);
        assert_true(*text_at(one, "name") && *text_at(one, "version"));
    }
    const json_t *licenses = json_object_get(json_array_get(components, 0), "licenses");
    assert_int_equal(json_array_size(licenses), 3);
    assert_string_equal(text_at(json_object_get(json_array_get(licenses, 0), "license"), "id"), "GPL-3.0-or-later");
    assert_string_equal(text_at(json_object_get(json_array_get(licenses, 1), "license"), "name"), "GPL-3 and more");
    assert_string_equal(text_at(json_object_get(json_array_get(licenses, 2), "license"), "id"), "MIT");
    licenses = json_object_get(json_array_get(components, 1), "licenses");
    assert_int_equal(json_array_size(licenses), 1);
    assert_string_equal(text_at(json_array_get(licenses, 0), "expression"), "MIT AND (Zlib OR 0BSD)");
    assert_null(json_object_get(json_array_get(components, 2), "licenses"));
    json_decref(bill);
    static const char *const wrong[] = {"", "x\n", "{}\n", "{\"manifest\":2}\n", MANIFEST_HEAD "{\"package\":\n",
            MANIFEST_HEAD "nonsense\n", "{\"manifest\":1}"};
    for (size_t i = 0; i < ELEMENTS(wrong); i++) {
        char *none = NULL;
        struct error error = {0};
        assert_int_equal(runtime_manifest_sbom(description, wrong[i], strlen(wrong[i]), &none, &error), -EINVAL);
        assert_non_null(strstr(error.text, "python-3.11"));
        assert_null(none);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_round_trip),
            cmocka_unit_test(test_least_and_more),
            cmocka_unit_test(test_hostile),
            cmocka_unit_test(test_totals),
            cmocka_unit_test(test_licenses),
            cmocka_unit_test(test_sbom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
