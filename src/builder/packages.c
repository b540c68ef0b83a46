/* The package database of a build, as the build left it: nothing in it is believed but that it says what it says. */
#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "builder/closure.h"
#include "builder/collect.h"
#include "builder/root.h"
#include "builder/say.h"

#define STATUS_FILE "/var/lib/dpkg/status"

static int read_dpkg(struct collect *collect)
{
    char *text = NULL;
    size_t size = 0;
    int r = root_read_file(collect->merged_fd, STATUS_FILE, DPKG_STATUS_MAX, &text, &size);
    if (r < 0)
        return error_errno(collect->error, -r, "read the package database");
    return dpkg_parse(text, size, &collect->dpkg, collect->error);
}

/* Packages that a hook or another step beside the package manager's own installed are what the step has made. */
static int add_packages_of_steps(struct collect *collect)
{
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < collect->dpkg.count; i++) {
        const struct dpkg_package *package = &collect->dpkg.packages[i];
        if (package->in_closure)
            continue;
        size_t step = collect_find_step(collect, owners_list_time(collect->merged_fd, package));
        if (step < collect->step_count && !collect->steps[step].is_packager)
            r = closure_add(&collect->dpkg, package->name, collect->error);
    }
    return r;
}

int packages_read(struct collect *collect)
{
    const struct word *packager = words_find(collect->words, WORD_PACKAGER);
    if (packager && strcmp(packager->name, "apt") != 0)
        return error_text(collect->error, EOPNOTSUPP,
                "runtimes from packages of '%s' are not supported yet: only those of 'apt' are", packager->name);
    int r = packager ? read_dpkg(collect) : 0;
    if (r < 0 || !packager)
        return r;
    for (size_t i = 0; r == 0 && i < collect->words->count; i++)
        if (collect->words->items[i].kind == WORD_PACKAGE)
            r = closure_add(&collect->dpkg, collect->words->items[i].name, collect->error);
    if (r == 0)
        r = add_packages_of_steps(collect);
    if (r == 0)
        r = owners_read(collect->merged_fd, &collect->dpkg, &collect->owners, collect->error);
    return r;
}
