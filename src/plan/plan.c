#include "plan/plan.h"

#include <linux/capability.h>
#include <stddef.h>

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
