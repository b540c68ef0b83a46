#include "runtime/host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"

/* Distributions and the family whose packages they have. */
static const struct {
    const char *id;
    const char *family;
} families[] = {
        {"ubuntu", "ubuntu"},
        {"debian", "debian"},
        {"rhel", "rhel"},
        {"centos", "rhel"},
        {"rocky", "rhel"},
        {"almalinux", "rhel"},
        {"amzn", "amzn"},
        {"fedora", "fedora"},
        {"alpine", "alpine"},
};

static const struct {
    const char *machine;
    const char *name;
} architectures[] = {{"x86_64", "amd64"}, {"aarch64", "arm64"}};

static const char *find_family(const char *id, size_t length)
{
    for (size_t i = 0; i < ELEMENTS(families); i++)
        if (strlen(families[i].id) == length && strncmp(families[i].id, id, length) == 0)
            return families[i].family;
    return NULL;
}

/* The distribution itself, or the first known one that it says to be like. */
static const char *find_family_or_like(const char *distribution, const char *like)
{
    const char *family = find_family(distribution, strlen(distribution));
    while (!family && *like) {
        size_t length = strcspn(like, " ");
        family = find_family(like, length);
        like += length + strspn(like + length, " ");
    }
    return family;
}

int runtime_host_find(const char *distribution, const char *like, const char *machine, struct runtime_host *ret_host,
        struct error *error)
{
    const char *family = find_family_or_like(distribution, like);
    if (!family)
        return error_text(error, EOPNOTSUPP, "this host's distribution '%.31s' has no package manager that is known",
                distribution);
    for (size_t i = 0; i < ELEMENTS(architectures); i++) {
        if (strcmp(architectures[i].machine, machine) != 0)
            continue;
        char name[48];
        (void)snprintf(name, sizeof(name), "%s-%s", family, architectures[i].name);
        for (unsigned number = 0; number < RUNTIME_PLATFORM_COUNT; number++) {
            if (strcmp(runtime_platform_find(number)->name, name) != 0)
                continue;
            *ret_host = (struct runtime_host){runtime_platform_find(number), number, "", architectures[i].name};
            (void)snprintf(ret_host->distribution, sizeof(ret_host->distribution), "%.31s", distribution);
            return 0;
        }
    }
    return error_text(error, EOPNOTSUPP, "runtimes are not built on '%.15s'", machine);
}

bool runtime_host_fits(const struct runtime_host *host, const struct runtime_spec *spec)
{
    return spec->platforms == 0 || (spec->platforms & 1U << host->platform_number) != 0;
}
