/* One table drives the doctor (table.c). Its rows with NEED_JOBS are the required set of promise P6: each is something
 * without which joblet refuses to start a job. Those with an id are the checks of "doctor --cis"; docs/COMPLIANCE.md
 * says which sections of which standards each of them shows, and is generated from the table. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"
#include "config/config.h"

enum need {
    NEED_JOBS,   /* without it no job runs */
    NEED_LIMIT,  /* without it a limit is refused */
    NEED_BUILDS, /* for building runtimes */
    NEED_NOTE,   /* worth knowing */
    NEED_CIS,    /* how the host is kept: told by "doctor --cis" alone */
};

enum verdict { VERDICT_NOT_TESTED, VERDICT_HOLDS, VERDICT_FAILS };

struct finding {
    enum verdict verdict;
    char seen[256]; /* for people: what was tried and what came of it */
};

struct doctor {
    const char *prefix;
    struct config *config;     /* NULL: there is none, or it cannot be used */
    struct error config_error; /* then: why */
    uint32_t range_start;      /* the ids to try with: configured ones or what setup would choose from */
    uint32_t range_count;
    uint32_t disk_start;
    bool is_root;
};

struct row {
    const char *area;
    const char *name;
    enum need need;
    bool needs_root;
    /* The try: writes @finding. Runs in a child of its own that may do to itself what it wants. */
    void (*run)(const struct doctor *doctor, const struct row *row, struct finding *finding);
    uint64_t argument;   /* for @run */
    const char *follows; /* NULL: what @need says */
    const char *mend;    /* what to do when it does not hold */
    const char *id;      /* NULL: it is no check of "doctor --cis" */
    const char *shows;   /* "STANDARD SECTION, ..." of scripts/compliance.toml */
};

extern const struct row doctor_rows[];
extern const size_t doctor_row_count;

void finding_holds(struct finding *finding, const char *format, ...) __attribute__((format(printf, 2, 3)));
void finding_fails(struct finding *finding, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The formatted text, ": " and what the positive @code means. */
void finding_errno(struct finding *finding, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
void finding_untested(struct finding *finding, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Tries @row in a child; a child that dies or hangs is a thing that does not hold. 0 or -errno when no child can be
 * made. */
int trial_run(const struct doctor *doctor, const struct row *row, struct finding *ret_finding);
/* Within a try: runs @body in a clone with CLONE_* @flags and waits for it; @body writes @finding too. @cgroup_fd: with
 * CLONE_INTO_CGROUP. False when the clone failed or died, which is then in @finding. */
bool trial_clone(uint64_t flags, int cgroup_fd, void (*body)(void *user, struct finding *finding), void *user,
        struct finding *finding);
/* Within a try: a mount namespace of its own, private. False with @finding when that cannot be had. */
bool trial_unshare_mounts(struct finding *finding);

/* True when a file is root's and no mode of @forbidden is set; else that is in @finding. @what: its name for people. */
bool status_is_kept(const struct stat *status, const char *what, mode_t forbidden, struct finding *finding);

/* What a row that does not hold means. */
const char *row_follows(const struct row *row);
const char *need_name(enum need need);
const char *verdict_name(enum verdict verdict);

/* Prints all findings, one for each row. 0, or -EIO when it could not be written. */
int report_text(const struct doctor *doctor, const struct finding findings[], bool jobs_can_run);
int report_json(const struct doctor *doctor, const struct finding findings[], bool jobs_can_run);

/* The checks of "doctor --cis" alone, as PASS, FAIL or INFO (could not be told). */
int report_cis_text(const struct doctor *doctor, const struct finding findings[]);
int report_cis_json(const struct doctor *doctor, const struct finding findings[]);
/* How many of them do not hold. */
unsigned report_cis_failures(const struct finding findings[]);

#define TRY(name) void name(const struct doctor *doctor, const struct row *row, struct finding *finding)
TRY(try_root);
TRY(try_kernel);
TRY(try_namespace);
TRY(try_namespace_limits);
TRY(try_id_ranges);
TRY(try_user_range);
TRY(try_rights_dropped);
TRY(try_nested_namespaces);
TRY(try_tmpfs);
TRY(try_proc);
TRY(try_devpts);
TRY(try_mqueue);
TRY(try_pivot_root);
TRY(try_idmapped_base);
TRY(try_seccomp);
TRY(try_landlock);
TRY(try_keyring);
TRY(try_pidfd);
TRY(try_paths);
TRY(try_core_limit);
TRY(try_cgroup_version);
TRY(try_cgroup_limit);
TRY(try_cgroup_cpus);
TRY(try_cgroup_io);
TRY(try_cgroup_memory);
TRY(try_cgroup_out_of_memory);
TRY(try_cgroup_place);
TRY(try_cgroup_kill);
TRY(try_swap);
TRY(try_prefix);
TRY(try_way);
TRY(try_space);
TRY(try_configuration);
TRY(try_certificate);
TRY(try_base);
TRY(try_base_fresh);
TRY(try_disk);
TRY(try_overlay);
TRY(try_loop);
TRY(try_build_link);
TRY(try_resolvers);
TRY(try_forwarding);
TRY(try_setting);
TRY(try_file_system);
TRY(try_clock);
TRY(try_key_files);
TRY(try_state_modes);
TRY(try_unit);
TRY(try_programs);
TRY(try_lifetimes);
TRY(try_log_level);
TRY(try_audit_log);
TRY(try_old_tls);
TRY(try_no_certificate);
