/* The order of the steps. It is written twice on purpose: as the table below and as enum plan_stage. The guard compares
 * the two while the steps run, so that whoever swaps two rows, or leaves one out, gets a sandbox that refuses to start,
 * also where the kernel's state would not show it. */
#include <errno.h>

#include "base/error.h"
#include "base/fd.h"
#include "sandbox/sandbox.h"

enum side { SIDE_INIT, SIDE_COMMAND };

struct step {
    uint32_t stage;
    enum side side;
    int (*run)(struct sandbox *sandbox, struct error *error);
};

static const struct step steps[] = {
        {PLAN_STAGE_START, SIDE_INIT, sandbox_start},
        {PLAN_STAGE_PROPAGATION, SIDE_INIT, sandbox_make_private},
        {PLAN_STAGE_CGROUP_ATTACH, SIDE_INIT, sandbox_attach_cgroups},
        {PLAN_STAGE_CGROUP_NS, SIDE_INIT, sandbox_unshare_cgroups},
        {PLAN_STAGE_ROOT, SIDE_INIT, sandbox_build_root},
        {PLAN_STAGE_NETWORK, SIDE_INIT, sandbox_set_network},
        {PLAN_STAGE_HOSTNAME, SIDE_INIT, sandbox_set_hostname},
        {PLAN_STAGE_RLIMITS, SIDE_INIT, sandbox_set_rlimits},
        {PLAN_STAGE_KEYRING, SIDE_INIT, sandbox_join_keyring},
        {PLAN_STAGE_PIVOT, SIDE_INIT, sandbox_pivot},
        {PLAN_STAGE_USERNS, SIDE_INIT, sandbox_join_userns},
        {PLAN_STAGE_NS_LIMITS, SIDE_INIT, sandbox_limit_namespaces},
        {PLAN_STAGE_BOUNDING, SIDE_INIT, sandbox_limit_bounding},
        {PLAN_STAGE_GROUPS, SIDE_INIT, sandbox_drop_groups},
        {PLAN_STAGE_IDS, SIDE_INIT, sandbox_set_ids},
        {PLAN_STAGE_CAPABILITIES, SIDE_INIT, sandbox_limit_capabilities},
        {PLAN_STAGE_AMBIENT, SIDE_INIT, sandbox_drop_ambient},
        {PLAN_STAGE_NO_NEW_PRIVS, SIDE_INIT, sandbox_set_no_new_privs},
        {PLAN_STAGE_DUMPABLE, SIDE_INIT, sandbox_set_undumpable},
        {PLAN_STAGE_FDS, SIDE_INIT, sandbox_close_fds},
        {PLAN_STAGE_PROOF, SIDE_INIT, sandbox_prove},
        {PLAN_STAGE_LANDLOCK, SIDE_INIT, sandbox_set_landlock},
        {PLAN_STAGE_SPEC, SIDE_INIT, sandbox_read_spec},
        {PLAN_STAGE_FORK, SIDE_INIT, sandbox_fork},
        {PLAN_STAGE_COMMAND_IDS, SIDE_COMMAND, sandbox_set_command_ids},
        {PLAN_STAGE_COMMAND_FILTER, SIDE_COMMAND, sandbox_set_command_filter},
        {PLAN_STAGE_COMMAND_PROOF, SIDE_COMMAND, sandbox_prove_command},
        {PLAN_STAGE_FILTER, SIDE_INIT, sandbox_set_filter},
        {PLAN_STAGE_PROOF_LAST, SIDE_INIT, sandbox_prove_last},
};

/* The only stage that may follow @last in this process: the next number, but for the way around the other's steps. */
static uint32_t stage_after(uint32_t last, bool is_command)
{
    if (last == PLAN_STAGE_NONE)
        return PLAN_STAGE_START;
    if (last == PLAN_STAGE_FORK)
        return is_command ? PLAN_STAGE_COMMAND_IDS : PLAN_STAGE_FILTER;
    return last + 1;
}

/* Test builds let a step run out of order, so that the proof shows what it finds; guard_finish has the last word. */
static int guard_refuse(struct sandbox *sandbox, uint32_t stage, struct error *error)
{
#ifdef JOBLET_TEST_HOOKS
    if (sandbox->guard_refused == PLAN_STAGE_NONE)
        sandbox->guard_refused = stage;
    (void)error;
    return 0;
#else
    return error_text(error, EPROTO, "order guard: '%s' may not follow '%s'", plan_stage_name(stage),
            plan_stage_name(sandbox->last_stage));
#endif
}

static int guard_enter(struct sandbox *sandbox, uint32_t stage, struct error *error)
{
    int r = 0;
    if (stage != stage_after(sandbox->last_stage, sandbox->is_command))
        r = guard_refuse(sandbox, stage, error);
    sandbox->last_stage = stage;
    return r;
}

static int guard_finish(const struct sandbox *sandbox, struct error *error)
{
    uint32_t last = sandbox->is_command ? PLAN_STAGE_COMMAND_PROOF : PLAN_STAGE_PROOF_LAST;
    if (sandbox->guard_refused == PLAN_STAGE_NONE && sandbox->last_stage == last)
        return 0;
    return error_text(error, EPROTO, "order guard: '%s' ran out of its place",
            plan_stage_name(sandbox->guard_refused ? sandbox->guard_refused : sandbox->last_stage));
}

#ifdef JOBLET_TEST_HOOKS
/* What the test of the plain programs looks for. */
extern const char steps_marker[];
const char steps_marker[] = "JOBLET_TEST_HOOKS steps";
#endif

/* The step to run at position @at; NULL for none. */
static const struct step *step_at(const struct sandbox *sandbox, size_t at)
{
#ifdef JOBLET_TEST_HOOKS
    const struct plan *plan = &sandbox->plan;
    uint32_t wanted = steps[at].stage;
    if (at > 0 && wanted == plan->leave_out)
        return NULL;
    if (at > 0 && wanted == plan->swap_first)
        wanted = plan->swap_second;
    else if (at > 0 && wanted == plan->swap_second)
        wanted = plan->swap_first;
    for (size_t i = 0; i < ELEMENTS(steps); i++)
        if (steps[i].stage == wanted)
            return &steps[i];
    return NULL;
#else
    (void)sandbox;
    return &steps[at];
#endif
}

/* A position belongs to one of the two processes. Before the fork there is only one, which runs what it meets. */
static bool is_ours(const struct sandbox *sandbox, size_t at, const struct step *step)
{
    if (step->stage == PLAN_STAGE_FORK)
        return !sandbox->is_forked;
    if (sandbox->is_command)
        return steps[at].side == SIDE_COMMAND;
    return steps[at].side == SIDE_INIT || !sandbox->is_forked;
}

int sandbox_enter(struct sandbox *sandbox, struct error *error)
{
    for (size_t at = 0; at < ELEMENTS(steps); at++) {
        const struct step *step = step_at(sandbox, at);
        if (!step || !is_ours(sandbox, at, step))
            continue;
        int r = guard_enter(sandbox, step->stage, error);
        if (r == 0)
            r = step->run(sandbox, error);
        if (r < 0) {
            error->stage = step->stage;
            return r;
        }
    }
    int r = guard_finish(sandbox, error);
    if (r < 0) {
        error->stage = sandbox->last_stage;
        return r;
    }
    return sandbox->is_command ? 1 : 0;
}
