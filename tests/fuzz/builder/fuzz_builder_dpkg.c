/* dpkg's status file out of a hostile build: what is kept has a name that is no path, the closure ends, and every
 * package of it is there. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "builder/closure.h"
#include "builder/dpkg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dpkg dpkg;
    struct error error = {0};
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (dpkg_parse(text, size, &dpkg, &error) < 0) {
        require(*error.text != '\0');
        return 0;
    }
    for (uint32_t i = 0; i < dpkg.count; i++) {
        const struct dpkg_package *package = &dpkg.packages[i];
        require(!strchr(package->name, '/') && *package->name != '.' && *package->name != '-' && *package->version);
        require(dpkg_find_package(&dpkg, package->name, strlen(package->name), package->architecture) != MAP_NONE);
    }
    if (dpkg.count > 0) {
        require(closure_add(&dpkg, dpkg.packages[0].name, &error) == 0);
        int r = closure_add(&dpkg, dpkg.packages[dpkg.count - 1].depends, &error);
        require(r == 0 || r == -ENOENT);
    }
    dpkg_done(&dpkg);
    return 0;
}
