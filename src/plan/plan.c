#include "plan/plan.h"

#include <errno.h>
#include <linux/capability.h>
#include <stddef.h>
#include <string.h>

#include "base/fd.h"

static const char *const stage_names[PLAN_STAGE_COUNT] = {
        [PLAN_STAGE_NONE] = "none",
        [PLAN_STAGE_PREPARE] = "prepare",
        [PLAN_STAGE_CGROUP] = "cgroup",
        [PLAN_STAGE_CLONE] = "clone",
        [PLAN_STAGE_START] = "start",
        [PLAN_STAGE_PROPAGATION] = "mount propagation",
        [PLAN_STAGE_CGROUP_ATTACH] = "cgroup attach",
        [PLAN_STAGE_CGROUP_NS] = "cgroup namespace",
        [PLAN_STAGE_ROOT] = "root",
        [PLAN_STAGE_NETWORK] = "network",
        [PLAN_STAGE_HOSTNAME] = "hostname",
        [PLAN_STAGE_RLIMITS] = "resource limits",
        [PLAN_STAGE_KEYRING] = "session keyring",
        [PLAN_STAGE_PIVOT] = "pivot root",
        [PLAN_STAGE_USERNS] = "user namespace",
        [PLAN_STAGE_NS_LIMITS] = "namespace limits",
        [PLAN_STAGE_BOUNDING] = "bounding set",
        [PLAN_STAGE_GROUPS] = "groups",
        [PLAN_STAGE_IDS] = "ids",
        [PLAN_STAGE_CAPABILITIES] = "capabilities",
        [PLAN_STAGE_AMBIENT] = "ambient capabilities",
        [PLAN_STAGE_NO_NEW_PRIVS] = "no new privileges",
        [PLAN_STAGE_DUMPABLE] = "dumpable",
        [PLAN_STAGE_FDS] = "file descriptors",
        [PLAN_STAGE_PROOF] = "proof",
        [PLAN_STAGE_LANDLOCK] = "landlock",
        [PLAN_STAGE_SPEC] = "request",
        [PLAN_STAGE_FORK] = "fork",
        [PLAN_STAGE_COMMAND_IDS] = "command ids",
        [PLAN_STAGE_COMMAND_FILTER] = "command filter",
        [PLAN_STAGE_COMMAND_PROOF] = "command proof",
        [PLAN_STAGE_FILTER] = "supervisor filter",
        [PLAN_STAGE_PROOF_LAST] = "last proof",
        [PLAN_STAGE_OUTSIDE_PROOF] = "proof from outside",
        [PLAN_STAGE_EXEC] = "exec",
};

const char *plan_stage_name(uint32_t stage)
{
    return stage < PLAN_STAGE_COUNT ? stage_names[stage] : "unknown";
}

static const char *const type_names[] = {
        [PLAN_TYPE_STANDARD] = "standard",
        [PLAN_TYPE_BUILD] = "runtime-build",
        [PLAN_TYPE_COLLECT] = "runtime-collect",
        [PLAN_TYPE_VERIFY] = "runtime-verify",
        [PLAN_TYPE_SWEEP] = "sweep",
};

const char *plan_type_name(uint32_t type)
{
    return type < ELEMENTS(type_names) && type_names[type] ? type_names[type] : "unknown";
}

#define BIT(number) (1ULL << (number))

uint64_t plan_type_capabilities(uint32_t type)
{
    switch (type) {
    case PLAN_TYPE_BUILD: /* what package managers need and no more (A18) */
        return BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) | BIT(CAP_FSETID) | BIT(CAP_KILL) |
               BIT(CAP_SETGID) | BIT(CAP_SETUID) | BIT(CAP_SYS_CHROOT) | BIT(CAP_SETFCAP);
    case PLAN_TYPE_COLLECT:
    case PLAN_TYPE_VERIFY:
    case PLAN_TYPE_SWEEP:
        return BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER);
    default:
        return 0;
    }
}

bool plan_name_is_valid(const char *text, size_t size)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    static const char others[] = "abcdefghijklmnopqrstuvwxyz0123456789.+_-";
    size_t length = strnlen(text, size);
    return length > 0 && length < size && strspn(text, first) > 0 && strspn(text, others) == length;
}

int plan_check(const struct plan *plan, struct error *error)
{
    if (plan->magic != PLAN_MAGIC || plan->version != PLAN_VERSION)
        return error_text(error, EINVAL, "plan is %#x version %u, not %#x version %u", plan->magic, plan->version,
                PLAN_MAGIC, PLAN_VERSION);
    if (plan->type != PLAN_TYPE_STANDARD)
        return error_text(error, EINVAL, "plan has type %u, not a known one", plan->type);
    if (plan->id_base < PLAN_RANGE_SIZE || plan->id_base % PLAN_RANGE_SIZE != 0 ||
            plan->id_base > UINT32_MAX - 2 * PLAN_RANGE_SIZE + 1)
        return error_text(error, EINVAL, "plan has id range %u, not a multiple of 65536 above 0", plan->id_base);
    if (plan->command_id < 1 || plan->command_id >= PLAN_SUPERVISOR_ID)
        return error_text(error, EINVAL, "plan has command id %u, not 1 to 65534", plan->command_id);
    if (plan->cgroup_tasks > PLAN_FD_CGROUP_MAX || plan->cgroup_unshare > 1 || plan->cgroup_oom_eventfd > 1)
        return error_text(error, EINVAL, "plan has cgroup fields out of range");
    if ((plan->cgroup_tasks > 0) != (plan->cgroup_unshare == 1))
        return error_text(error, EINVAL, "plan attaches to %u groups but unshare is %u", plan->cgroup_tasks,
                plan->cgroup_unshare);
    if (plan->landlock_abi < 1 || plan->open_files < PLAN_OPEN_FILES_MIN || plan->work_on_disk > 1)
        return error_text(
                error, EINVAL, "plan has Landlock ABI %u, %u open files", plan->landlock_abi, plan->open_files);
    if (plan->work_bytes == 0 || plan->work_inodes == 0 || plan->tmp_bytes == 0 || plan->tmp_inodes == 0 ||
            plan->shm_bytes == 0 || plan->processes == 0)
        return error_text(error, EINVAL, "plan leaves a size or the process limit open");
    if (plan->work_bytes > PLAN_SIZE_MAX || plan->tmp_bytes > PLAN_SIZE_MAX || plan->shm_bytes > PLAN_SIZE_MAX)
        return error_text(error, EINVAL, "plan has a size above %llu bytes", PLAN_SIZE_MAX);
    return 0;
}
