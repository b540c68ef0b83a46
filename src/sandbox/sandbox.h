/* One sandbox, made from inside by joblet-init: the steps of enum plan_stage from START to PROOF_LAST, in that order.
 *
 * Invariants: until the user namespace is joined, the process is host root and reads nothing but the plan. After the
 * last credential step it has no right at all, and only then reads what a client sent. Nothing is executed unless every
 * step ran, in order, in its process, and the kernel said so when asked (P5). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/text.h"
#include "kernel/procstatus.h"
#include "plan/host_layers.h"
#include "plan/plan.h"
#include "plan/spec.h"
#include "sandbox/root_table.h"

/* The command's process has its end of the pair at this number. */
#define SANDBOX_COMMAND_FD 3

/* A tree that joblet handed in, as it was before anything was done with it. */
struct sandbox_handed {
    dev_t device;
    uint64_t inode;
};
#define SANDBOX_LAYERS_MAX HOST_LAYERS_MAX
#define SANDBOX_MASKED_MAX 16U

struct sandbox {
    struct plan plan;
    char job_id[TEXT_UUID_MAX];
    char host_name[16]; /* "job-" and the first eight characters of the id */

    /* Known before, to be compared after. */
    struct procstatus_namespaces host_namespaces;
    struct procstatus_namespaces proven_namespaces; /* joblet-init's, by the first part of the proof */
    uint64_t userns_inode;
    int32_t host_keyring;
    uint64_t root_mount_id;
    struct sandbox_handed handed[PLAN_FD_CGROUP_FIRST]; /* by enum plan_fd; the trees alone */

    /* Made by ROOT. */
    int root_fd; /* the mount that becomes the root: PLAN_FD_ROOT, or one of our own */
    struct root_list root;
    const char *layers[SANDBOX_LAYERS_MAX]; /* build, collect: their paths, of a compiled-in list */
    unsigned layer_count;
    int base_layers[SANDBOX_LAYERS_MAX]; /* with a base: the number of the same layer in it; -1: it has none */
    /* Build: some of the paths that are masked, for the proof; an empty text is none. */
    char masked[SANDBOX_MASKED_MAX][PLAN_PATH_MAX];
    unsigned masked_count;

    int proc_sys_fd; /* /proc/sys of the new root, not covered by its read-only mount; closed by FDS */
    struct spec spec;

    /* After FORK. In joblet-init: its end of the pair, the command's process, and what it will wait for. */
    int command_fd;
    int signal_fd;
    int timer_fd;
    pid_t command_pid;
    bool is_forked;
    bool is_command; /* this process is the command's */

    uint32_t last_stage;    /* the order guard's: the last step that this process ran */
    uint32_t guard_refused; /* test builds: the first step that the guard would have refused */
};

/* Goes through all steps. 0: this is joblet-init, proven; 1: this is the command's process, proven; -errno with @error,
 * its stage set. Whoever fails must end without executing anything. */
int sandbox_enter(struct sandbox *sandbox, struct error *error);

/* The steps; each is called by sandbox_enter alone. 0 (sandbox_fork: 1 in the child) or -errno with @error. */
int sandbox_start(struct sandbox *sandbox, struct error *error);
int sandbox_make_private(struct sandbox *sandbox, struct error *error);
int sandbox_attach_cgroups(struct sandbox *sandbox, struct error *error);
int sandbox_unshare_cgroups(struct sandbox *sandbox, struct error *error);
int sandbox_build_root(struct sandbox *sandbox, struct error *error);
int sandbox_set_network(struct sandbox *sandbox, struct error *error);
int sandbox_set_hostname(struct sandbox *sandbox, struct error *error);
int sandbox_set_rlimits(struct sandbox *sandbox, struct error *error);
int sandbox_join_keyring(struct sandbox *sandbox, struct error *error);
int sandbox_pivot(struct sandbox *sandbox, struct error *error);
int sandbox_join_userns(struct sandbox *sandbox, struct error *error);
int sandbox_limit_namespaces(struct sandbox *sandbox, struct error *error);
int sandbox_limit_bounding(struct sandbox *sandbox, struct error *error);
int sandbox_drop_groups(struct sandbox *sandbox, struct error *error);
int sandbox_set_ids(struct sandbox *sandbox, struct error *error);
int sandbox_limit_capabilities(struct sandbox *sandbox, struct error *error);
int sandbox_drop_ambient(struct sandbox *sandbox, struct error *error);
int sandbox_set_no_new_privs(struct sandbox *sandbox, struct error *error);
int sandbox_set_undumpable(struct sandbox *sandbox, struct error *error);
int sandbox_close_fds(struct sandbox *sandbox, struct error *error);
int sandbox_prove(struct sandbox *sandbox, struct error *error);
int sandbox_set_landlock(struct sandbox *sandbox, struct error *error);
int sandbox_read_spec(struct sandbox *sandbox, struct error *error);
int sandbox_fork(struct sandbox *sandbox, struct error *error);
int sandbox_set_command_ids(struct sandbox *sandbox, struct error *error);
int sandbox_set_command_filter(struct sandbox *sandbox, struct error *error);
int sandbox_prove_command(struct sandbox *sandbox, struct error *error);
int sandbox_set_filter(struct sandbox *sandbox, struct error *error);
int sandbox_prove_last(struct sandbox *sandbox, struct error *error);

/* The resource limits of a job, for the step and for the proof: number, soft and hard value (equal). The list ends with
 * a negative number. */
struct sandbox_rlimit {
    int resource;
    uint64_t value;
};
#define SANDBOX_RLIMITS_MAX 8U
void sandbox_list_rlimits(const struct sandbox *sandbox, struct sandbox_rlimit ret_limits[SANDBOX_RLIMITS_MAX]);

/* The descriptors that joblet-init keeps after FDS, in ascending order. Their number is returned. */
#define SANDBOX_FDS_MAX 16U
unsigned sandbox_list_fds(const struct sandbox *sandbox, int ret_fds[SANDBOX_FDS_MAX]);

/* The serial of the session keyring, or -errno. */
int32_t sandbox_session_keyring(void);
