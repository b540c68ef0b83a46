/* joblet-config.yml, read once by joblet (and by setup and doctor). Every key has a default but those of "security"
 * and "isolation", which setup writes. An unknown key, a wrong type or a value out of range is an error that names
 * the key, its line, the value and what would be right. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"

/* PREFIX when nothing else is said. */
#define CONFIG_PREFIX_DEFAULT "/opt/joblet"
/* Below the prefix. */
#define CONFIG_FILE "config/joblet-config.yml"
#define CONFIG_FILE_SIZE_MAX (1U << 20)

/* Of runtime.hide and runtime.show: as many paths, each with its NUL. */
#define CONFIG_PATHS_MAX 8U
#define CONFIG_PATH_MAX 128U

enum config_on_shutdown { CONFIG_ON_SHUTDOWN_KEEP, CONFIG_ON_SHUTDOWN_STOP };

struct config {
    char *version; /* "3.0" */

    /* server: */
    char *address; /* "0.0.0.0": the address to listen on */
    uint16_t port; /* 50051; 0 = any free one (tests) */
    char *node_id; /* UUID text or "" */

    /* security: PEM texts */
    char *server_cert;
    char *server_key;
    char *ca_cert;

    /* joblet: */
    uint32_t default_cpu_limit;          /* defaultCpuLimit, percent of one core, 0 = none */
    uint32_t max_cpu_limit;              /* maxCpuLimit, the ceiling, 0 = none */
    uint64_t default_memory_bytes;       /* defaultMemoryLimit, in the file MiB, 0 = none */
    uint64_t max_memory_bytes;           /* maxMemoryLimit, in the file MiB, 0 = none */
    uint32_t default_processes;          /* defaultProcessLimit, at least 1; 512 */
    uint32_t max_processes;              /* maxProcessLimit, 0 = none */
    uint32_t default_open_files;         /* defaultOpenFileLimit, of each process, 64 or more; 1024 */
    uint32_t max_open_files;             /* maxOpenFileLimit, 0 = what the service itself may have */
    uint32_t default_io_bps;             /* defaultIoLimit, bytes a second, 0 = none */
    uint32_t max_io_bps;                 /* maxIoLimit, 0 = any */
    uint32_t max_concurrent_jobs;        /* maxConcurrentJobs, 0 = as many as there are id ranges */
    uint64_t job_timeout_ns;             /* jobTimeout, duration text, 0 = none */
    uint64_t stop_grace_ns;              /* stopGracePeriod, 100ms: between TERM and KILL */
    enum config_on_shutdown on_shutdown; /* onShutdown: keep | stop */

    /* filesystem: sizes of a job's own file systems, in the file MiB */
    uint64_t work_bytes; /* workSize, 256 */
    uint64_t tmp_bytes;  /* tmpSize, 64 */
    uint64_t log_bytes;  /* logSize, 1024: quota of one job's log, 0 = none */

    /* runtime: */
    uint64_t build_memory_bytes; /* buildMemoryLimit, in the file MiB, 4096; 0 = none */
    uint64_t build_timeout_ns;   /* buildTimeout, 1h: of a whole build */
    uint32_t build_processes;    /* buildProcessLimit, 4096 */
    uint64_t build_disk_bytes;   /* buildDiskSize, in the file MiB, 16384: all that a build writes */
    uint64_t runtime_bytes;      /* runtimeSize, in the file MiB, 8192: the largest finished runtime */
    uint32_t max_builds;         /* maxBuilds, 4: at the same time */
    uint64_t cache_bytes;        /* cacheSize, in the file MiB, 4096: downloads kept for later builds; 0 = none */
    uint64_t cache_age_ns;       /* cacheAge, 720h: for "joblet gc"; 0 = any age */
    char *build_environment;     /* environment: lines NAME=VALUE, each ended by a line break; a secret */
    char *build_hidden;          /* hide: lines, each an absolute path of at most CONFIG_PATH_MAX */
    char *build_shown;           /* show: the same */

    /* network: */
    char *build_cidr; /* buildCidr: "10.1.0.0/16", or "": a free one is chosen */

    /* grpc: */
    uint32_t max_receive_bytes;      /* maxRecvMsgSize, 134217728 */
    uint32_t max_send_bytes;         /* maxSendMsgSize, 134217728 */
    uint32_t max_header_bytes;       /* maxHeaderListSize, 65536 */
    uint64_t keepalive_ns;           /* keepAliveTime, 10s */
    uint64_t keepalive_timeout_ns;   /* keepAliveTimeout, 3s */
    uint32_t max_concurrent_streams; /* maxConcurrentStreams, 1000 */
    uint64_t connection_timeout_ns;  /* connectionTimeout, 10s: the TLS handshake */

    /* logging: */
    enum log_level log_level;   /* level */
    enum log_format log_format; /* format: text | json */

    /* audit: */
    uint64_t audit_file_bytes; /* fileSize, in the file MiB, 16: a file that is as large is followed by a new one */
    uint32_t audit_keep_files; /* keepFiles, 16, at least 2: the oldest of more go */
    bool audit_syslog;         /* syslog: off | on, a copy of each record */

    /* buffers: */
    uint32_t chunk_bytes; /* chunk_size, 1048576: of a log chunk, at most 1 MiB */

    /* isolation: host ids; all multiples of 65536 */
    uint32_t id_range_start; /* idRangeStart: first id of the first job range */
    uint32_t id_range_count; /* idRangeCount: ranges, one a running job, 1..4096 */
    uint32_t disk_id_start;  /* diskIdStart: owner range of files in base, runtimes, volumes */
    uint32_t command_id;     /* commandId: uid and gid of commands inside a job, 65534 */
    uint32_t api_uid;        /* apiUid, apiGid: who joblet-api runs as */
    uint32_t api_gid;
};

/* Reads @prefix/CONFIG_FILE, which must be a regular file that only root can write. 0 or -errno with @error. */
int config_load(const char *prefix, struct config **ret_config, struct error *error);
/* Parses @text (named @name in errors). No certificate is checked here. */
int config_parse(const char *text, size_t size, const char *name, struct config **ret_config, struct error *error);
/* The presets of all keys that have one; "security" and the ids of "isolation" are left empty. 0 or -ENOMEM. */
int config_new_default(struct config **ret_config);
/* The file for @config, each key with a short comment: what config_parse reads back. Owned by the caller, who
 * overwrites it (it holds the server's key). 0 or -ENOMEM. */
int config_format(const struct config *config, char **ret_text, size_t *ret_size);
/* NULL is fine. Key material is overwritten. */
void config_free(struct config *config);
void config_freep(struct config **config);
