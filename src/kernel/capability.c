#include "kernel/capability.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int capability_limit_bounding(uint64_t kept)
{
    /* The last number is the kernel's and not the header's: the first EINVAL ends the list. */
    for (unsigned long number = 0; number < 64; number++) {
        if (kept >> number & 1)
            continue;
        if (prctl(PR_CAPBSET_DROP, number, 0UL, 0UL, 0UL) == 0)
            continue;
        return errno == EINVAL && number > CAP_BPF ? 0 : -errno;
    }
    return 0;
}

int capability_drop_bounding(void)
{
    return capability_limit_bounding(0);
}

int capability_set(uint64_t permitted, uint64_t effective)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    for (unsigned i = 0; i < 2; i++) {
        data[i].permitted = (uint32_t)(permitted >> (32 * i));
        data[i].effective = (uint32_t)(effective >> (32 * i));
    }
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int capability_clear(void)
{
    return capability_set(0, 0);
}

int capability_clear_ambient(void)
{
    return prctl(PR_CAP_AMBIENT, (unsigned long)PR_CAP_AMBIENT_CLEAR_ALL, 0UL, 0UL, 0UL) < 0 ? -errno : 0;
}

int capability_read(uint64_t *ret_any)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    uint64_t any = 0;
    for (unsigned i = 0; i < 2; i++)
        any |= (uint64_t)(data[i].effective | data[i].permitted | data[i].inheritable) << (32 * i);
    *ret_any = any;
    return 0;
}
