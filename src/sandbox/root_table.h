/* The mounts of a job's root: what is made, and what the proof expects to find, are one table. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sandbox;

enum root_kind {
    ROOT_KIND_BASE,    /* the tree that joblet handed in */
    ROOT_KIND_FILE,    /* a read-only file made for this job */
    ROOT_KIND_PROC,    /* a new procfs */
    ROOT_KIND_PROC_RO, /* a part of that procfs, bound onto itself read-only */
    ROOT_KIND_MASK,    /* an empty file or directory over a part of /proc; where the kernel has that part */
    ROOT_KIND_DEV,     /* tmpfs with device nodes, read-only when filled */
    ROOT_KIND_DEVPTS,
    ROOT_KIND_MQUEUE,
    ROOT_KIND_TMPFS, /* writable, with a size */
    ROOT_KIND_WORK,  /* the disk that joblet handed in, or else as ROOT_KIND_TMPFS */
};

struct root_mount {
    const char *path; /* below the new root, without a leading slash */
    enum root_kind kind;
    const char *type;    /* of the file system; NULL: any (the base's) */
    const char *options; /* of the mount, as mountinfo says them, but for the access times */
    size_t bytes;        /* offset in struct plan of the size, ROOT_KIND_TMPFS and WORK only */
    size_t inodes;       /* offset in struct plan of the number of inodes; 0: none */
    bool is_shared;      /* for any id of the job (mode 1777), else the command's own (0755) */
};

extern const struct root_mount root_mounts[];
extern const size_t root_mount_count;

/* True when it is a new tmpfs with a size, made by joblet-init. */
bool root_mount_is_sized(const struct sandbox *sandbox, const struct root_mount *mount);

/* Sizes are whole pages, as the kernel stores and prints them. */
uint64_t root_mount_bytes(const struct sandbox *sandbox, const struct root_mount *mount);
/* 0: the table leaves it to the kernel. */
uint64_t root_mount_inodes(const struct sandbox *sandbox, const struct root_mount *mount);
