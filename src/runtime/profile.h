/* Language profiles: what a language is made of on each kind of host, as data. One row for each language and package
 * manager, with placeholders:
 *
 *     {V}       base.version as given ("3.11")
 *     {VV}      the same without dots ("311")
 *     {ARCH}    amd64, arm64
 *     {TRIPLET} x86_64-linux-gnu, aarch64-linux-gnu
 *
 * Rows of package managers that the tests' hosts do not have are marked untried: they are written after the
 * distributions' package lists and have never installed anything. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "runtime/list.h"
#include "runtime/spec.h"

enum runtime_packager {
    RUNTIME_PACKAGER_APT,
    RUNTIME_PACKAGER_DNF, /* yum too */
    RUNTIME_PACKAGER_APK,
    RUNTIME_PACKAGER_COUNT,
};

enum runtime_arch {
    RUNTIME_ARCH_AMD64,
    RUNTIME_ARCH_ARM64,
    RUNTIME_ARCH_COUNT,
};

struct runtime_platform {
    const char *name; /* "debian-amd64", as in platforms of a specification */
    enum runtime_packager packager;
    enum runtime_arch arch;
};

/* Their numbers are bits of runtime_spec.platforms. */
#define RUNTIME_PLATFORM_COUNT 12U
/* The platform of that number, below RUNTIME_PLATFORM_COUNT. Static. */
const struct runtime_platform *runtime_platform_find(unsigned number);

#define RUNTIME_PROFILE_ITEMS_MAX 8U
/* The preset of a runtime's PATH. */
#define RUNTIME_PATH "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

/* Lists end with NULL. */
struct runtime_profile {
    enum runtime_language language;
    enum runtime_packager packager;
    bool untried;
    const char *packages[RUNTIME_PROFILE_ITEMS_MAX];
    const char *build_packages[RUNTIME_PROFILE_ITEMS_MAX]; /* installed too, for what pip and hooks compile; not kept */
    const char *libraries[RUNTIME_PROFILE_ITEMS_MAX];      /* globs of what is only loaded by name */
    const char *java_home;                                 /* NULL, or the value of JAVA_HOME */
    /* Names of packages that are other versions, as an extended regular expression; NULL: there is one version. */
    const char *others;
    const char *keep[4]; /* what is otherwise left out of a runtime: "headers", "static" and so on */
};

/* The row, or NULL when a number is out of range. Static. */
const struct runtime_profile *runtime_profile_find(enum runtime_language language, enum runtime_packager packager);
/* True when {V} or {VV} is in the names of its packages. If not, the distribution has one version, and whether that is
 * the one asked for can be told only by looking at its packages. */
bool runtime_profile_selects_version(const struct runtime_profile *profile);
/* True when packages of @language can be named by @version in any row: "3.11.4" is no part of a package's name. */
bool runtime_profile_takes_version(enum runtime_language language, const char *version);
/* "3.11" and so on. Static. */
const char *runtime_profile_example_version(enum runtime_language language);

/* A profile with its placeholders filled in for one specification and one platform. */
struct runtime_recipe {
    struct runtime_list packages;       /* for the package manager; those that pip and npm need are among them */
    struct runtime_list build_packages; /* those of them that a job does not need */
    struct runtime_list binaries;       /* names that must be found in PATH */
    struct runtime_list environment;    /* "NAME=VALUE": the profile's, with the specification's over them */
    struct runtime_list libraries;      /* the profile's and the specification's globs */
    struct runtime_list test;           /* command line that shows that the language works */
    struct runtime_list keep;           /* the profile's and the specification's */
    const char *version_hint;           /* the profile's others, or "" */
    const char *version_package;        /* whose version is the language's; "": its name says it. Static */
    bool untried;
};

/* 0; -EINVAL with @error when there is no such row; -ENOMEM. */
int runtime_profile_expand(const struct runtime_spec *spec, const struct runtime_platform *platform,
        struct runtime_recipe *ret_recipe, struct error *error);
void runtime_recipe_done(struct runtime_recipe *recipe);
