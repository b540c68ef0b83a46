#include "runtime/profile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

/* At the end only: the numbers are kept in specifications. */
static const struct runtime_platform platforms[RUNTIME_PLATFORM_COUNT] = {
        {"ubuntu-amd64", RUNTIME_PACKAGER_APT, RUNTIME_ARCH_AMD64},
        {"ubuntu-arm64", RUNTIME_PACKAGER_APT, RUNTIME_ARCH_ARM64},
        {"rhel-amd64", RUNTIME_PACKAGER_DNF, RUNTIME_ARCH_AMD64},
        {"rhel-arm64", RUNTIME_PACKAGER_DNF, RUNTIME_ARCH_ARM64},
        {"amzn-amd64", RUNTIME_PACKAGER_DNF, RUNTIME_ARCH_AMD64},
        {"amzn-arm64", RUNTIME_PACKAGER_DNF, RUNTIME_ARCH_ARM64},
        {"debian-amd64", RUNTIME_PACKAGER_APT, RUNTIME_ARCH_AMD64},
        {"debian-arm64", RUNTIME_PACKAGER_APT, RUNTIME_ARCH_ARM64},
        {"fedora-amd64", RUNTIME_PACKAGER_DNF, RUNTIME_ARCH_AMD64},
        {"fedora-arm64", RUNTIME_PACKAGER_DNF, RUNTIME_ARCH_ARM64},
        {"alpine-amd64", RUNTIME_PACKAGER_APK, RUNTIME_ARCH_AMD64},
        {"alpine-arm64", RUNTIME_PACKAGER_APK, RUNTIME_ARCH_ARM64},
};

/* What a language is wherever it comes from. */
static const struct {
    const char *example;  /* of base.version */
    unsigned numbers_max; /* 0 = any text: the version is no part of a package's name */
    const char *binaries[RUNTIME_PROFILE_ITEMS_MAX];
    const char *environment[4];
    const char *test[4];
} languages[RUNTIME_LANGUAGE_COUNT] = {
        [RUNTIME_LANGUAGE_PYTHON] = {"3.11", 2, {"python{V}", "python3", "pip3"},
                {"PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1"},
                {"python{V}", "-c", "import ssl, ctypes, sys; print(sys.version)"}},
        [RUNTIME_LANGUAGE_JAVA] = {"17", 3, {"java", "javac", "jar", "jshell", "keytool"}, {NULL},
                {"java", "-version"}},
        [RUNTIME_LANGUAGE_NODE] = {"18", 0, {"node", "npm", "npx"}, {"NODE_ENV=production"},
                {"node", "-e", "console.log(process.version)"}},
        [RUNTIME_LANGUAGE_GO] = {"1.19", 0, {"go", "gofmt"}, {"GOPATH=/go", "GOBIN=/go/bin"}, {"go", "version"}},
        [RUNTIME_LANGUAGE_RUST] = {"1.63", 0, {"rustc", "cargo"}, {"CARGO_HOME=/cargo"}, {"rustc", "--version"}},
};

#define PYTHON(manager) .language = RUNTIME_LANGUAGE_PYTHON, .packager = RUNTIME_PACKAGER_##manager
#define JAVA(manager) .language = RUNTIME_LANGUAGE_JAVA, .packager = RUNTIME_PACKAGER_##manager
#define NODE(manager) .language = RUNTIME_LANGUAGE_NODE, .packager = RUNTIME_PACKAGER_##manager
#define GO(manager) .language = RUNTIME_LANGUAGE_GO, .packager = RUNTIME_PACKAGER_##manager
#define RUST(manager) .language = RUNTIME_LANGUAGE_RUST, .packager = RUNTIME_PACKAGER_##manager

static const struct runtime_profile profiles[] = {
        {PYTHON(APT), .packages = {"python{V}", "python{V}-venv", "python3-pip"},
                .build_packages = {"python{V}-dev", "libssl-dev", "zlib1g-dev", "libffi-dev"},
                .others = "python3\\.[0-9]+", .libraries = {"/usr/lib/{TRIPLET}/libpython{V}*.so*"}},
        {JAVA(APT), .packages = {"openjdk-{V}-jdk", "ca-certificates"},
                .libraries = {"/usr/lib/jvm/*/lib/*.so", "/usr/lib/jvm/*/lib/*/*.so"},
                .java_home = "/usr/lib/jvm/java-{V}-openjdk-{ARCH}", .others = "openjdk-[0-9]+-jdk"},
        {NODE(APT), .packages = {"nodejs", "npm"}, .libraries = {"/usr/lib/{TRIPLET}/libnode.so*"}},
        {GO(APT), .packages = {"golang", "git"}, .keep = {"headers", "static"}},
        {RUST(APT), .packages = {"rustc", "cargo"}, .keep = {"headers", "static"},
                .libraries = {"/usr/lib/{TRIPLET}/librustc_driver-*.so", "/usr/lib/{TRIPLET}/libstd-*.so"}},

        {PYTHON(DNF), .untried = true, .packages = {"python{VV}", "python3-pip"},
                .build_packages = {"python{VV}-devel", "openssl-devel", "zlib-devel", "libffi-devel"},
                .libraries = {"/usr/lib64/libpython{V}*.so*"}},
        {JAVA(DNF), .untried = true, .packages = {"java-{V}-openjdk-devel", "ca-certificates"},
                .libraries = {"/usr/lib/jvm/*/lib/*.so", "/usr/lib/jvm/*/lib/*/*.so"},
                .java_home = "/usr/lib/jvm/java-{V}-openjdk"},
        {NODE(DNF), .untried = true, .packages = {"nodejs", "npm"}, .libraries = {"/usr/lib64/libnode.so*"}},
        {GO(DNF), .untried = true, .packages = {"golang", "git"}, .keep = {"headers", "static"}},
        {RUST(DNF), .untried = true, .packages = {"rust", "cargo"}, .keep = {"headers", "static"},
                .libraries = {"/usr/lib64/librustc_driver-*.so", "/usr/lib64/libstd-*.so"}},

        {PYTHON(APK), .untried = true, .packages = {"python3", "py3-pip"},
                .build_packages = {"python3-dev", "openssl-dev", "zlib-dev", "libffi-dev"},
                .libraries = {"/usr/lib/libpython3*.so*"}},
        {JAVA(APK), .untried = true, .packages = {"openjdk{V}-jdk", "ca-certificates"},
                .libraries = {"/usr/lib/jvm/*/lib/*.so", "/usr/lib/jvm/*/lib/*/*.so"},
                .java_home = "/usr/lib/jvm/java-{V}-openjdk"},
        {NODE(APK), .untried = true, .packages = {"nodejs", "npm"}},
        {GO(APK), .untried = true, .packages = {"go", "git"}, .keep = {"headers", "static"}},
        {RUST(APK), .untried = true, .packages = {"rust", "cargo"}, .keep = {"headers", "static"},
                .libraries = {"/usr/lib/librustc_driver-*.so"}},
};

/* What pip and npm need beside a language that does not bring them. */
static const struct {
    const char *pip[4];
    const char *npm[4];
} tools[RUNTIME_PACKAGER_COUNT] = {
        [RUNTIME_PACKAGER_APT] = {{"python3", "python3-pip", "python3-venv"}, {"nodejs", "npm"}},
        [RUNTIME_PACKAGER_DNF] = {{"python3", "python3-pip"}, {"nodejs", "npm"}},
        [RUNTIME_PACKAGER_APK] = {{"python3", "py3-pip"}, {"nodejs", "npm"}},
};

const struct runtime_platform *runtime_platform_find(unsigned number)
{
    return number < RUNTIME_PLATFORM_COUNT ? &platforms[number] : NULL;
}

const struct runtime_profile *runtime_profile_find(enum runtime_language language, enum runtime_packager packager)
{
    for (size_t i = 0; i < ELEMENTS(profiles); i++)
        if (profiles[i].language == language && profiles[i].packager == packager)
            return &profiles[i];
    return NULL;
}

bool runtime_profile_selects_version(const struct runtime_profile *profile)
{
    for (size_t i = 0; i < RUNTIME_PROFILE_ITEMS_MAX && profile->packages[i]; i++)
        if (strstr(profile->packages[i], "{V"))
            return true;
    return false;
}

bool runtime_profile_takes_version(enum runtime_language language, const char *version)
{
    unsigned max = languages[language].numbers_max;
    if (max == 0)
        return true;
    for (unsigned i = 0; i < max; i++) {
        size_t digits = strspn(version, "0123456789");
        if (digits == 0 || digits > 4)
            return false;
        version += digits;
        if (*version == '\0')
            return true;
        if (*version++ != '.')
            return false;
    }
    return false;
}

const char *runtime_profile_example_version(enum runtime_language language)
{
    return languages[language].example;
}

struct expansion {
    const struct runtime_spec *spec;
    const struct runtime_platform *platform;
};

static void put_without_dots(FILE *file, const char *text)
{
    for (; *text; text++)
        if (*text != '.')
            (void)fputc(*text, file);
}

/* Writes what the placeholder at @text stands for. Its length; 0 when there is none. */
static size_t put_placeholder(FILE *file, const struct expansion *expansion, const char *text)
{
    static const char *const arches[] = {"amd64", "arm64"};
    static const char *const triplets[] = {"x86_64-linux-gnu", "aarch64-linux-gnu"};
    const struct {
        const char *name;
        const char *value;
    } rows[] = {
            {"{V}", expansion->spec->language_version},
            {"{ARCH}", arches[expansion->platform->arch]},
            {"{TRIPLET}", triplets[expansion->platform->arch]},
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++)
        if (strncmp(text, rows[i].name, strlen(rows[i].name)) == 0) {
            (void)fputs(rows[i].value, file);
            return strlen(rows[i].name);
        }
    if (strncmp(text, "{VV}", 4) != 0)
        return 0;
    put_without_dots(file, expansion->spec->language_version);
    return 4;
}

/* Appends @prefix and @text with its placeholders filled in, unless it is there already. */
static int add(const struct expansion *expansion, const char *prefix, const char *text, struct runtime_list *list)
{
    _cleanup_free_ char *filled = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&filled, &size);
    if (!file)
        return -ENOMEM;
    (void)fputs(prefix, file);
    while (*text) {
        size_t length = *text == '{' ? put_placeholder(file, expansion, text) : 0;
        if (length == 0)
            (void)fputc(*text, file);
        text += length > 0 ? length : 1;
    }
    bool failed = ferror(file);
    if (fclose(file) != 0 || failed)
        return -ENOMEM;
    return runtime_list_has(list, filled) ? 0 : runtime_list_add(list, filled);
}

static int add_all(const struct expansion *expansion, const char *const *texts, size_t max, struct runtime_list *list)
{
    int r = 0;
    for (size_t i = 0; i < max && texts[i] && r == 0; i++)
        r = add(expansion, "", texts[i], list);
    return r;
}

static int add_packages(
        const struct expansion *expansion, const struct runtime_profile *profile, struct runtime_list *packages)
{
    const struct runtime_spec *spec = expansion->spec;
    enum runtime_packager packager = expansion->platform->packager;
    int r = add_all(expansion, profile->packages, RUNTIME_PROFILE_ITEMS_MAX, packages);
    if (r == 0)
        r = add_all(expansion, profile->build_packages, RUNTIME_PROFILE_ITEMS_MAX, packages);
    if (r == 0 && spec->pip.count > 0 && spec->language != RUNTIME_LANGUAGE_PYTHON)
        r = add_all(expansion, tools[packager].pip, ELEMENTS(tools[packager].pip), packages);
    if (r == 0 && spec->npm.count > 0)
        r = add_all(expansion, tools[packager].npm, ELEMENTS(tools[packager].npm), packages);
    return r;
}

/* The specification's value of a variable wins. */
static bool is_overridden(const struct runtime_spec *spec, const char *variable)
{
    size_t length = strcspn(variable, "=") + 1;
    for (size_t i = 0; i < spec->environment.count; i++)
        if (strncmp(spec->environment.items[i], variable, length) == 0)
            return true;
    return false;
}

static int add_environment(
        const struct expansion *expansion, const struct runtime_profile *profile, struct runtime_list *environment)
{
    const struct runtime_spec *spec = expansion->spec;
    const char *const *presets = languages[spec->language].environment;
    int r = 0;
    for (size_t i = 0; i < ELEMENTS(languages[0].environment) && presets[i] && r == 0; i++)
        if (!is_overridden(spec, presets[i]))
            r = add(expansion, "", presets[i], environment);
    if (r == 0 && !is_overridden(spec, "PATH="))
        r = add(expansion, "PATH=", RUNTIME_PATH, environment);
    if (r == 0 && profile->java_home && !is_overridden(spec, "JAVA_HOME="))
        r = add(expansion, "JAVA_HOME=", profile->java_home, environment);
    for (size_t i = 0; i < spec->environment.count && r == 0; i++)
        r = runtime_list_add(environment, spec->environment.items[i]);
    return r;
}

static int add_libraries(
        const struct expansion *expansion, const struct runtime_profile *profile, struct runtime_list *libraries)
{
    const struct runtime_list *more = &expansion->spec->libraries;
    int r = add_all(expansion, profile->libraries, RUNTIME_PROFILE_ITEMS_MAX, libraries);
    for (size_t i = 0; i < more->count && r == 0; i++)
        r = runtime_list_has(libraries, more->items[i]) ? 0 : runtime_list_add(libraries, more->items[i]);
    return r;
}

int runtime_profile_expand(const struct runtime_spec *spec, const struct runtime_platform *platform,
        struct runtime_recipe *ret_recipe, struct error *error)
{
    const struct runtime_profile *profile = runtime_profile_find(spec->language, platform->packager);
    if (!profile)
        return error_text(error, EINVAL, "no profile for this language on %s", platform->name);
    struct expansion expansion = {spec, platform};
    bool by_name = runtime_profile_selects_version(profile);
    struct runtime_recipe recipe = {.untried = profile->untried,
            .version_hint = profile->others ? profile->others : "",
            .version_package = by_name ? "" : profile->packages[0]};
    int r = add_packages(&expansion, profile, &recipe.packages);
    if (r == 0)
        r = add_all(&expansion, profile->build_packages, RUNTIME_PROFILE_ITEMS_MAX, &recipe.build_packages);
    if (r == 0)
        r = add_all(&expansion, profile->keep, ELEMENTS(profile->keep), &recipe.keep);
    for (size_t i = 0; r == 0 && i < spec->keep.count; i++)
        if (!runtime_list_has(&recipe.keep, spec->keep.items[i]))
            r = runtime_list_add(&recipe.keep, spec->keep.items[i]);
    if (r == 0)
        r = add_all(&expansion, languages[spec->language].binaries, RUNTIME_PROFILE_ITEMS_MAX, &recipe.binaries);
    if (r == 0)
        r = add_environment(&expansion, profile, &recipe.environment);
    if (r == 0)
        r = add_libraries(&expansion, profile, &recipe.libraries);
    if (r == 0)
        r = add_all(&expansion, languages[spec->language].test, ELEMENTS(languages[0].test), &recipe.test);
    if (r < 0) {
        runtime_recipe_done(&recipe);
        return error_errno(error, -r, "expand the profile of %s", runtime_language_name(spec->language));
    }
    *ret_recipe = recipe;
    return 0;
}

void runtime_recipe_done(struct runtime_recipe *recipe)
{
    struct runtime_list *lists[] = {&recipe->packages, &recipe->build_packages, &recipe->binaries, &recipe->environment,
            &recipe->libraries, &recipe->test, &recipe->keep};
    for (size_t i = 0; i < ELEMENTS(lists); i++)
        runtime_list_done(lists[i]);
}
