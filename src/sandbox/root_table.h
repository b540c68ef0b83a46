/* The mounts of a sandbox's root: what is made, and what the proof expects to find, are one list. It is put together
 * from compiled-in rows for the type of the sandbox; only the layers of a builder root depend on the host. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct sandbox;

/* The disk of a build is attached here while the root is built, on top of the old root's /proc, and goes with the old
 * root. The options of overlays are paths: they name this one. */
#define ROOT_PRIVATE_PLACE "/proc"
#define ROOT_DISK_NAME "disk"
#define ROOT_DISK_PLACE ROOT_PRIVATE_PLACE "/" ROOT_DISK_NAME

enum root_kind {
    ROOT_KIND_BASE,    /* the tree that joblet handed in */
    ROOT_KIND_FILE,    /* a read-only file made for this job */
    ROOT_KIND_PROC,    /* a new procfs */
    ROOT_KIND_PROC_RO, /* a part of that procfs, bound onto itself read-only */
    ROOT_KIND_MASK,    /* an empty file or directory over a part of /proc; where the kernel has that part */
    ROOT_KIND_DEV,     /* tmpfs with device nodes; standard: read-only when filled */
    ROOT_KIND_DEVPTS,
    ROOT_KIND_MQUEUE,
    ROOT_KIND_TMPFS,  /* writable, with a size */
    ROOT_KIND_WORK,   /* the disk that joblet handed in, or else as ROOT_KIND_TMPFS */
    ROOT_KIND_TOOL,   /* the root of collect, verify and sweep: a small tmpfs, read-only when filled */
    ROOT_KIND_DISK,   /* the directory "source" of the build's disk */
    ROOT_KIND_UNDER,  /* the directory "source" of the base's disk */
    ROOT_KIND_LAYER,  /* build: the overlay of layer "number", or of the root over a base's */
    ROOT_KIND_MERGED, /* collect: the same, read-only */
    ROOT_KIND_LOWER,  /* collect: what lies below layer "number", read-only */
    ROOT_KIND_HANDED, /* the tree that joblet handed in as descriptor "number" */
};

#define ROOT_PATH_MAX 64U
#define ROOT_MOUNTS_MAX 200U

struct root_mount {
    char path[ROOT_PATH_MAX]; /* below the new root, without a leading slash */
    enum root_kind kind;
    const char *type;    /* of the file system; NULL: any (of what was handed in) */
    const char *options; /* of the mount, as mountinfo says them, but for the access times */
    size_t bytes;        /* offset in struct plan of the size, ROOT_KIND_TMPFS and WORK only */
    size_t inodes;       /* offset in struct plan of the number of inodes; 0: none */
    bool is_shared;      /* for any id of the job (mode 1777), else the command's own (0755) */
    char source[16];
    unsigned number;
};

/* The first row is the root itself, and each stands behind those that it lies in. */
struct root_list {
    struct root_mount mounts[ROOT_MOUNTS_MAX];
    size_t count;
};

/* Puts together the list for the type of @sandbox and its layers, which are known by then. 0, -EFBIG with @error. */
int root_list_make(struct sandbox *sandbox, struct error *error);
/* The row whose mount holds that of @row: the longest path above it. */
size_t root_list_parent(const struct root_list *list, size_t row);

bool root_mount_is_writable(const struct root_mount *mount);
/* True when it is a new tmpfs with a size, made by joblet-init. */
bool root_mount_is_sized(const struct sandbox *sandbox, const struct root_mount *mount);
/* Sizes are whole pages, as the kernel stores and prints them. */
uint64_t root_mount_bytes(const struct sandbox *sandbox, const struct root_mount *mount);
/* 0: the table leaves it to the kernel. */
uint64_t root_mount_inodes(const struct sandbox *sandbox, const struct root_mount *mount);
