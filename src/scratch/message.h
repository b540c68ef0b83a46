/* Between joblet and joblet-scratch, which keeps disks ready: one struct a packet, both ways, over a SOCK_SEQPACKET
 * pair. Those for the /work of jobs it gives without being asked, so that a start need not wait; joblet says what it
 * took. Those of builds are large and few: each is asked for. When the channel closes, joblet-scratch ends and with it
 * whatever no job uses. */
#pragma once

#include <stdint.h>

#include "base/error.h"

#define SCRATCH_FDS_MAX 3U
#define SCRATCH_MAGIC 0x5243534aU /* "JSCR" */

/* Descriptors of joblet-scratch at exec; 2 is the service's log. */
enum scratch_fd {
    SCRATCH_FD_CHANNEL = 3,
    SCRATCH_FD_DIRECTORY = 4, /* the prefix: whose file system holds the disks */
    SCRATCH_FD_END = 5,
};

enum scratch_kind {
    SCRATCH_SETUP = 1, /* to: the sizes of both kinds, @owner and the log's @log_level, @log_format; first, once */
    SCRATCH_STATE,     /* from: once; @on_disk 0: this host cannot, @error says why; 1: @bytes and @inodes of a disk */
    SCRATCH_READY,     /* from: disk @id, with the detached mount of its directory as descriptor */
    SCRATCH_TAKEN,     /* to: disk @id is a job's */
    SCRATCH_RETURNED,  /* to: the job of disk @id is gone with all its mounts */
    SCRATCH_WANTED,    /* to: @count starts wait */
    SCRATCH_TROUBLE,   /* from: a disk that was wanted cannot be made, @error says why */
    /* Disks of builds: not for /work. Given back by SCRATCH_RETURNED, they are never used again. */
    SCRATCH_BUILD_WANTED,  /* to: one is wanted; answered by one of the next two */
    SCRATCH_BUILD_READY,   /* from: disk @id of @bytes and @inodes is joblet's, with two detached mounts of all of it,
                              and its file, which joblet alone can give a name */
    SCRATCH_BUILD_TROUBLE, /* from: it cannot be made, @error says why */
    /* The same over a file that joblet has: a disk of a build that ended long ago. It is only read. */
    SCRATCH_BASE_WANTED,  /* to: with the file; answered by one of the next two, with the same @token */
    SCRATCH_BASE_READY,   /* from: disk @id is joblet's, with two detached mounts of all of it, read-only */
    SCRATCH_BASE_TROUBLE, /* from: it cannot be mounted, @error says why */
};

struct scratch_message {
    uint32_t magic;
    uint32_t kind;
    uint64_t id;
    uint64_t token; /* joblet's, of what was wanted of a base */
    uint64_t bytes;
    uint64_t inodes;
    uint64_t build_bytes;
    uint64_t build_inodes;
    uint32_t owner;
    uint32_t count;
    uint32_t on_disk;
    uint32_t log_level;
    uint32_t log_format;
    uint32_t reserved;
    struct error error;
};

/* Sends @message and @count of @fds (borrowed) without waiting. 0; -EAGAIN: the peer does not read; -errno. */
int scratch_send(int channel_fd, const struct scratch_message *message, const int fds[], unsigned count);
/* Receives one; its descriptors are the caller's, -EBADF where none came. 0; -EAGAIN: none there; -ENODATA: the peer is
 * gone; -EPROTO: not one of ours; -errno. @wait: until there is one. */
int scratch_receive(int channel_fd, int wait, struct scratch_message *ret_message, int ret_fds[SCRATCH_FDS_MAX]);
