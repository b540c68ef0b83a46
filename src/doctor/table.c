#include "doctor/row.h"
#include "doctor/setting.h"

#include <linux/sched.h>

#include "base/fd.h"
#include "kernel/cgroup.h"

#define KERNEL_MEND "use a kernel of 6.1 or later with the options that distributions set"
#define SYSCTL_MEND "set it in a file of /etc/sysctl.d and run 'sysctl --system'"
#define SETUP_MEND "run 'joblet setup'"
#define CGROUP_MEND "start joblet as its systemd unit, or by 'systemd-run --scope -p Delegate=yes'"

const struct row doctor_rows[] = {
        {"host", "root", NEED_JOBS, false, try_root, 0, NULL, "run 'joblet doctor' and the service as root"},
        {"host", "kernel", NEED_JOBS, false, try_kernel, 0, NULL, KERNEL_MEND},

        {"namespaces", "PID namespace", NEED_JOBS, true, try_namespace, CLONE_NEWPID, NULL, KERNEL_MEND},
        {"namespaces", "mount namespace", NEED_JOBS, true, try_namespace, CLONE_NEWNS, NULL, KERNEL_MEND},
        {"namespaces", "UTS namespace", NEED_JOBS, true, try_namespace, CLONE_NEWUTS, NULL, KERNEL_MEND},
        {"namespaces", "IPC namespace", NEED_JOBS, true, try_namespace, CLONE_NEWIPC, NULL, KERNEL_MEND},
        {"namespaces", "network namespace", NEED_JOBS, true, try_namespace, CLONE_NEWNET, NULL, KERNEL_MEND},
        {"namespaces", "cgroup namespace", NEED_JOBS, true, try_namespace, CLONE_NEWCGROUP, NULL, KERNEL_MEND},
        {"namespaces", "number of namespaces", NEED_JOBS, false, try_namespace_limits, 0,
                "fewer jobs can run at a time", "raise the sysctls user.max_*_namespaces"},

        {"ids", "id ranges", NEED_JOBS, false, try_id_ranges, 0, NULL,
                "choose others for isolation.idRangeStart and diskIdStart in joblet-config.yml"},
        {"ids", "user namespace of 65,536 ids", NEED_JOBS, true, try_user_range, 0, NULL,
                "raise user.max_user_namespaces; inside a container give it more ids", "IDS-1",
                "CIS-Docker 2.9, OWASP D01"},
        {"ids", "rights dropped", NEED_JOBS, true, try_rights_dropped, 0, NULL, KERNEL_MEND},
        {"ids", "no nested namespaces", NEED_JOBS, true, try_nested_namespaces, 0, NULL,
                "the kernel needs CONFIG_USER_NS and CONFIG_SYSCTL"},

        {"mounts", "idmapped base root", NEED_JOBS, true, try_idmapped_base, 0, NULL,
                "put the prefix on a file system with idmapped mounts: ext4, xfs, btrfs"},
        {"mounts", "tmpfs", NEED_JOBS, true, try_tmpfs, 0, NULL, KERNEL_MEND},
        {"mounts", "proc", NEED_JOBS, true, try_proc, 0, NULL,
                "in a container nothing may be mounted over its /proc: unmask it"},
        {"mounts", "devpts", NEED_JOBS, true, try_devpts, 0, NULL, KERNEL_MEND},
        {"mounts", "mqueue", NEED_JOBS, true, try_mqueue, 0, NULL, "the kernel needs CONFIG_POSIX_MQUEUE"},
        {"mounts", "pivot_root", NEED_JOBS, true, try_pivot_root, 0, NULL,
                "the root must be a mount other than the initial ramfs"},
        {"mounts", "paths by descriptor", NEED_JOBS, false, try_paths, 0, NULL, KERNEL_MEND},

        {"fences", "seccomp filter", NEED_JOBS, false, try_seccomp, 0, NULL, "the kernel needs CONFIG_SECCOMP_FILTER",
                "FENCE-1", "NIST 4.4.3, NIST 4.5.3"},
        {"fences", "Landlock", NEED_JOBS, false, try_landlock, 0, NULL,
                "add landlock to 'lsm=' on the kernel's command line; the kernel needs CONFIG_SECURITY_LANDLOCK",
                "FENCE-2", "NIST 4.4.3"},
        {"fences", "session keyring", NEED_JOBS, false, try_keyring, 0, NULL, "the kernel needs CONFIG_KEYS"},
        {"fences", "processes by descriptor", NEED_JOBS, false, try_pidfd, 0, NULL, KERNEL_MEND},
        {"fences", "core limit", NEED_JOBS, false, try_core_limit, 0, NULL,
                "raise the hard limit of core files to 1; set kernel.core_pattern to a file or a program", "FENCE-3",
                "CIS-Linux 1.5.1"},

        {"cgroups", "version", NEED_NOTE, false, try_cgroup_version, 0, NULL, NULL},
        {"cgroups", "processes", NEED_JOBS, true, try_cgroup_limit, CGROUP_PIDS, NULL, CGROUP_MEND, "CGROUP-1",
                "CIS-Docker 2.10, OWASP D07"},
        {"cgroups", "CPU", NEED_JOBS, true, try_cgroup_limit, CGROUP_CPU, NULL, CGROUP_MEND, "CGROUP-3",
                "CIS-Docker 2.10, OWASP D07"},
        {"cgroups", "CPU cores", NEED_LIMIT, true, try_cgroup_cpus, 0, "jobs that ask for CPUs (cpu_cores) are refused",
                "mount the controller 'cpuset', or hand it down to joblet's group"},
        {"cgroups", "disk traffic", NEED_LIMIT, true, try_cgroup_io, 0,
                "jobs with a limit of disk traffic (max_io_bps) are refused",
                "boot with cgroup version 2 alone (systemd.unified_cgroup_hierarchy=1), the prefix on one disk"},
        {"cgroups", "memory", NEED_JOBS, true, try_cgroup_memory, 0, NULL, CGROUP_MEND, "CGROUP-2",
                "CIS-Docker 2.10, OWASP D07"},
        {"cgroups", "out of memory", NEED_JOBS, true, try_cgroup_out_of_memory, 0, NULL, CGROUP_MEND},
        {"cgroups", "swap", NEED_LIMIT, true, try_swap, 0, "jobs with a memory limit are refused",
                "boot with 'swapaccount=1', or turn swap off"},
        {"cgroups", "cloned into a group", NEED_NOTE, true, try_cgroup_place, 0,
                "jobs put themselves into their groups, which joblet verifies", "mount cgroup version 2"},
        {"cgroups", "cgroup.kill", NEED_NOTE, true, try_cgroup_kill, 0,
                "jobs are ended by their PID namespace, the rest one process at a time", "mount cgroup version 2"},

        {"prefix", "directory", NEED_JOBS, false, try_prefix, 0, NULL, SETUP_MEND, "PREFIX-1", "CIS-Docker 1.1.2"},
        {"prefix", "way to the state", NEED_JOBS, true, try_way, 0, "joblet-api cannot open its database",
                "let the user of isolation.apiUid enter each directory above the prefix (chmod o+x)"},
        {"prefix", "space", NEED_JOBS, false, try_space, 0, "logs and job states cannot be written", "make room",
                "PREFIX-2", "CIS-Docker 6.1, CIS-Docker 6.2"},
        {"prefix", "configuration", NEED_JOBS, true, try_configuration, 0, NULL, SETUP_MEND, "PREFIX-3",
                "CIS-Docker 3.5, CIS-Docker 3.6, CIS-Docker 3.13, CIS-Docker 3.14, CIS-Docker 3.17, CIS-Docker 3.18"},
        {"prefix", "certificate", NEED_JOBS, true, try_certificate, 0, "clients cannot connect",
                "run 'joblet setup --renew-certificates'", "TLS-1", "CIS-Docker 2.7"},
        {"prefix", "base root", NEED_JOBS, true, try_base, 0, NULL, SETUP_MEND},
        {"prefix", "base root is fresh", NEED_NOTE, true, try_base_fresh, 0,
                "jobs run older versions of the host's programs", "run 'joblet setup --rebuild-base'", "PREFIX-8",
                "NIST 4.1.1, NIST 4.2.2, CIS-Docker 4.4, OWASP D02"},
        {"prefix", "disk for /work", NEED_NOTE, true, try_disk, 0,
                "/work lies in memory, within the job's memory limit, which its size is part of",
                "install e2fsprogs, load the modules 'loop' and 'ext4'"},

        {"later", "overlay of idmapped mounts", NEED_BUILDS, true, try_overlay, 0, NULL,
                "put /usr on a file system with idmapped mounts: ext4, xfs, btrfs"},
        {"later", "loop devices", NEED_BUILDS, true, try_loop, 0, NULL, "load the module 'loop', install e2fsprogs"},

        {"network", "link and rules of a build", NEED_BUILDS, true, try_build_link, 0, NULL,
                "the kernel needs bridges, veth pairs, and nftables with NAT, 'fib' and the bridge family"},
        {"network", "resolvers", NEED_BUILDS, false, try_resolvers, 0, NULL,
                "name a resolver in /etc/resolv.conf that is not on the loopback and has an IPv4 address"},
        {"network", "forwarding", NEED_BUILDS, true, try_forwarding, 0, "builds reach nothing outside",
                "let the host's own firewall forward what comes from links named 'jb*', and the answers to them "
                "(Docker: 'iptables -I DOCKER-USER -i jb+ -j ACCEPT', and the same with -o)"},

        {"kernel", "kernel.kptr_restrict", NEED_CIS, false, try_setting, SETTING_KPTR, NULL, SYSCTL_MEND, "KERNEL-1",
                "NIST 4.5.3, CIS-Docker 1.2.1"},
        {"kernel", "kernel.dmesg_restrict", NEED_CIS, false, try_setting, SETTING_DMESG, NULL, SYSCTL_MEND, "KERNEL-2",
                "NIST 4.5.3, CIS-Docker 1.2.1"},
        {"kernel", "kernel.unprivileged_bpf_disabled", NEED_CIS, false, try_setting, SETTING_BPF, NULL, SYSCTL_MEND,
                "KERNEL-3", "NIST 4.5.3, CIS-Docker 1.2.1"},
        {"kernel", "fs.protected_hardlinks", NEED_CIS, false, try_setting, SETTING_HARDLINKS, NULL, SYSCTL_MEND,
                "KERNEL-4", "NIST 4.5.5, CIS-Docker 1.2.1"},
        {"kernel", "fs.protected_symlinks", NEED_CIS, false, try_setting, SETTING_SYMLINKS, NULL, SYSCTL_MEND,
                "KERNEL-5", "NIST 4.5.5, CIS-Docker 1.2.1"},
        {"kernel", "fs.suid_dumpable", NEED_CIS, false, try_setting, SETTING_DUMPABLE, NULL, SYSCTL_MEND, "KERNEL-6",
                "CIS-Linux 1.5.1"},
        {"kernel", "kernel.randomize_va_space", NEED_CIS, false, try_setting, SETTING_ASLR, NULL, SYSCTL_MEND,
                "KERNEL-7", "CIS-Linux 1.5.3"},
        {"kernel", "net.ipv4.ip_forward", NEED_CIS, false, try_setting, SETTING_FORWARD, NULL,
                "Joblet does not need it: whatever else on this host does should be on another one; else set it to 0",
                "KERNEL-8", "CIS-Linux 3.1.1, NIST 4.5.1"},
        {"kernel", "net.ipv4.conf.all.send_redirects", NEED_CIS, false, try_setting, SETTING_REDIRECTS, NULL,
                SYSCTL_MEND, "KERNEL-9", "CIS-Linux 3.1.2"},
        {"host", "time", NEED_CIS, false, try_clock, 0, NULL, "run a client of NTP (chrony, systemd-timesyncd)",
                "HOST-1", "CIS-Linux 2.2.1.1"},
        {"host", "programs", NEED_CIS, false, try_programs, 0, NULL,
                "install them as root, mode 0755, in directories that only root can write", "HOST-2",
                "NIST 4.5.5, CIS-Docker 1.1.2"},
        {"host", "unit file", NEED_CIS, false, try_unit, 0, NULL, "make the file root's, mode 0644", "HOST-3",
                "CIS-Docker 3.1, CIS-Docker 3.2"},
        {"prefix", "file system of its own", NEED_CIS, false, try_file_system, 0, NULL,
                "mount a file system at the prefix before setup", "PREFIX-4", "CIS-Docker 1.1.1"},
        {"prefix", "key files", NEED_CIS, true, try_key_files, 0, NULL,
                "make them root's, mode 0600 (chown root, chmod 0600)", "PREFIX-5",
                "CIS-Docker 3.9, CIS-Docker 3.10, CIS-Docker 3.14, NIST 4.1.4, OWASP D06"},
        {"prefix", "modes of the state", NEED_CIS, true, try_state_modes, 0, NULL, SETUP_MEND, "PREFIX-6",
                "CIS-Linux 4.2.3, NIST 4.3.1"},
        {"prefix", "audit log", NEED_CIS, true, try_audit_log, 0, NULL,
                "see what 'joblet audit verify' says, and docs/AUDIT.md; make its files root's, mode 0640", "PREFIX-7",
                "OWASP D10, Checklist 6, NIST 4.5.4, CIS-Linux 4.2.3"},
        {"service", "level of the log", NEED_CIS, true, try_log_level, 0, NULL,
                "set logging.level to INFO or DEBUG in joblet-config.yml", "SERVICE-1", "CIS-Docker 2.3"},
        {"service", "lifetimes of certificates", NEED_CIS, true, try_lifetimes, 0, NULL,
                "run 'joblet setup --renew-certificates'", "TLS-2", "CIS-Docker 2.7, NIST 4.3.2"},
        {"service", "TLS before 1.3", NEED_CIS, true, try_old_tls, 0, NULL,
                "another program answers at the service's address: stop it", "TLS-3", "CIS-Docker 2.7, NIST 4.3.2"},
        {"service", "clients without a certificate", NEED_CIS, true, try_no_certificate, 0, NULL,
                "another program answers at the service's address: stop it", "TLS-4",
                "CIS-Docker 2.7, CIS-Docker 2.12, NIST 4.3.1"},
};

const size_t doctor_row_count = ELEMENTS(doctor_rows);

const char *need_name(enum need need)
{
    static const char *const names[] = {[NEED_JOBS] = "jobs",
            [NEED_LIMIT] = "limits",
            [NEED_BUILDS] = "builds",
            [NEED_NOTE] = "note",
            [NEED_CIS] = "cis"};
    return names[need];
}

const char *row_follows(const struct row *row)
{
    static const char *const follows[] = {[NEED_JOBS] = "jobs cannot run",
            [NEED_LIMIT] = "the limit is refused",
            [NEED_BUILDS] = "builds cannot run",
            [NEED_NOTE] = "nothing is lost",
            [NEED_CIS] = "the host is kept less well than it could be"};
    return row->follows ? row->follows : follows[row->need];
}

const char *verdict_name(enum verdict verdict)
{
    static const char *const names[] = {
            [VERDICT_NOT_TESTED] = "not tested", [VERDICT_HOLDS] = "holds", [VERDICT_FAILS] = "does not hold"};
    return names[verdict];
}
