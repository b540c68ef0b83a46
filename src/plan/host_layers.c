#include "plan/host_layers.h"

#include <string.h>

#include "base/fd.h"

#define CACHE_PATH "var/cache/apt/archives"

const char *const host_layers[] = {"usr", "etc", "opt", "bin", "sbin", "lib", "lib32", "lib64", "libx32",
        /* what package managers know */
        "var/lib/apt", "var/lib/dpkg", "var/lib/rpm", "var/lib/rpm-state", "var/lib/dnf", "var/lib/yum",
        "var/cache/apt", CACHE_PATH, "var/cache/dnf", "var/cache/yum", "var/cache/apk",
        /* what maintainers' scripts keep there and read again */
        "var/lib/ucf", "var/lib/pam", "var/lib/alternatives", "var/lib/authselect", "var/lib/selinux",
        "var/lib/ca-certificates-java", "var/lib/xml-core", "var/lib/sgml-base", "var/lib/emacsen-common",
        "var/lib/dictionaries-common", "var/lib/doc-base", "var/lib/texmf", "var/lib/ghostscript", "var/cache/debconf",
        "var/cache/fontconfig", "var/cache/dictionaries-common"};
const size_t host_layers_count = ELEMENTS(host_layers);
_Static_assert(ELEMENTS(host_layers) <= HOST_LAYERS_MAX, "there is room for all layers");

int host_layers_find(const char *path)
{
    for (size_t i = 0; i < host_layers_count; i++)
        if (strcmp(path, host_layers[i]) == 0)
            return (int)i;
    return -1;
}

bool host_layers_is_cache(const char *path)
{
    return strcmp(path, CACHE_PATH) == 0;
}
