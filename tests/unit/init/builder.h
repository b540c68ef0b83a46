/* What the sandboxes that are not standard need beside the driver: a disk, a program, a tree to work on. The program is
 * the host's static busybox, and a job's arguments are its. Root only. */
#pragma once

#include "driver.h"
#include "scratch/disk.h"

#define BUILDER_DISK_BYTES (256ULL << 20)
#define BUILDER_DISK_INODES 40000ULL

struct builder {
    const struct driver *driver;
    int program_fd;
    int stage_fd; /* a directory of the driver's, owned by its range on disk */
    int cache_fd;
    int target_fd;
    struct disk_place place;
    struct disk_template model;
    struct disk disk;
    bool has_disk;
    struct disk base; /* of an earlier build, sealed */
    bool has_base;
    bool gives_base; /* to jobs, whatever their plan says */
    bool is_covered;
    int list_fd; /* for jobs whose plan says so: a list of suspects, and a file for a new one */
    int new_list_fd;
    bool gives_open_list; /* one that is not sealed */
    /* As driver_job's, after the right ones were put there. */
    void (*change_fds)(const struct driver *driver, struct driver_job *job, int fds[]);
};

/* Prints and returns -1 when it cannot. */
int builder_open(struct builder *builder, const struct driver *driver);
void builder_close(struct builder *builder);
/* A new, empty disk, instead of the one that was there. 0 or -1. */
int builder_renew_disk(struct builder *builder);

/* The disk as it is becomes a base, and a new one takes its place. 0 or -1. */
int builder_keep_base(struct builder *builder);
/* @job gets the base, and ids of its own: other than those that the base was made with. */
void builder_rest_on_base(struct builder *builder, struct driver_job *job);
void builder_drop_base(struct builder *builder);

/* In the driver's mount namespace, puts directories of the driver's in the place of the host's /usr, /etc and /opt,
 * for jobs that come: they are filled by the test, and a walk over them takes no time. 0 or -1. */
int builder_cover_host(struct builder *builder);
void builder_uncover_host(struct builder *builder);
/* Runs a shell's script as the test's own process, to fill them. */
void builder_shell(const struct builder *builder, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* As driver_job_init, for a sandbox of @type (enum plan_type) with the builder's disk, program and trees. */
void builder_job_init(struct builder *builder, struct driver_job *job, uint32_t type, char *const arguments[]);
