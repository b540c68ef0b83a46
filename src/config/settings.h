/* What joblet hands to joblet-api at exec: the settings that it needs of the configuration, as a plain struct in a
 * sealed memfd, the three PEM texts in memfds of their own, and the descriptors of its world at fixed numbers.
 * joblet-api reads no configuration file and opens nothing by an absolute path after its start. */
#pragma once

#include <stdint.h>

#include "base/cpulist.h"
#include "base/log.h"

enum settings_fd {
    SETTINGS_FD_CHANNEL = 3,  /* channel/message.h */
    SETTINGS_FD_LISTEN = 4,   /* bound and listening, non-blocking */
    SETTINGS_FD_DATABASE = 5, /* PREFIX/state/db, writable by joblet-api */
    SETTINGS_FD_JOBS = 6,     /* PREFIX/state/jobs: ID/log, ID/log.index, ID/record; readable by joblet-api */
    SETTINGS_FD_SETTINGS = 7, /* struct settings */
    SETTINGS_FD_CERT = 8,
    SETTINGS_FD_KEY = 9,
    SETTINGS_FD_CA = 10,
    SETTINGS_FD_RUNTIMES =
            11, /* PREFIX/runtimes: NAME/VERSION/{runtime.yml,manifest,changes}; readable by joblet-api */
    SETTINGS_FD_BUILD_ENVIRONMENT = 12, /* "NAME=VALUE" texts, each ended by NUL: what builds get by configuration */
    SETTINGS_FD_AUDIT = 13,             /* PREFIX/state/audit; readable by joblet-api (audit/reader.h) */
    SETTINGS_FD_END = 14,
};

#define SETTINGS_MAGIC 0x5445534aU
#define SETTINGS_VERSION 3U

struct settings {
    uint32_t magic;
    uint32_t version;
    char node_id[40];
    char database_path[256]; /* absolute path of SETTINGS_FD_DATABASE, for SQLite and for Landlock */
    uint64_t default_memory_bytes;
    uint64_t max_memory_bytes;
    uint64_t job_timeout_ns;
    uint64_t stop_grace_ns;
    uint32_t default_cpu_percent;
    uint32_t max_cpu_percent;
    uint32_t default_processes;
    uint32_t max_processes;
    uint32_t max_concurrent_jobs;
    uint32_t on_shutdown_stop; /* 1: jobs are stopped at SIGTERM; 0: they go on */
    uint32_t max_receive_bytes;
    uint32_t max_send_bytes;
    uint32_t max_header_bytes;
    uint32_t max_concurrent_streams;
    uint64_t keepalive_ns;
    uint64_t keepalive_timeout_ns;
    uint64_t connection_timeout_ns;
    uint32_t chunk_bytes;
    uint32_t log_level;  /* enum log_level */
    uint32_t log_format; /* enum log_format */
    uint32_t default_io_bps;
    uint32_t max_io_bps;
    uint32_t default_open_files;
    uint32_t max_open_files;
    uint32_t reserved;
    uint64_t work_bytes; /* sizes of what every job has: shown in its status */
    uint64_t tmp_bytes;
    uint64_t log_bytes;  /* 0 = no limit */
    struct cpulist cpus; /* those that a job can be given */
    /* Of a build. 0 = no limit, where the name says nothing else. */
    uint64_t build_memory_bytes;
    uint64_t build_timeout_ns; /* of the whole build, never 0 */
    uint64_t build_disk_bytes; /* never 0 */
    uint64_t runtime_bytes;    /* of a finished runtime, never 0 */
    uint64_t cache_bytes;      /* of downloads that are kept for later builds; 0 = there are none */
    uint32_t build_processes;  /* never 0 */
    uint32_t max_builds;       /* at the same time; further ones wait */
    char runtimes_path[256];   /* absolute path of SETTINGS_FD_RUNTIMES, for Landlock */
};
