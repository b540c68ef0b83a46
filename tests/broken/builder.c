/* joblet-builder that does not look whether the host was changed while a build ran. */
#include "broken.h"
#include "builder/collect.h"

int __real_host_check(struct collect *collect);
int __wrap_host_check(struct collect *collect)
{
    return broken("host-check") ? 0 : __real_host_check(collect);
}
