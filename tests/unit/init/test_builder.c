/* Sandboxes of builds, made for real: what they may do, what is in them, what stays outside; the package manager over
 * the real host. Root only. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "builder_check.h"
#include "kernel/netlink.h"

#define BRIDGE "jbtest0"
#define GATEWAY 0x0ad50701U /* 10.213.7.1 */

static void test_rights(void **state)
{
    (void)state;
    struct driver_job job;
    check_script(&job, PLAN_TYPE_BUILD,
            "id -u; grep -E '^(Uid|Gid|Groups|Cap|NoNew|Seccomp)' /proc/self/status | tr '\\t' ' '; cat "
            "/proc/self/uid_map; "
            "grep -E '^(Uid|Cap|Seccomp:)' /proc/1/status | sed 's/^/one: /' | tr '\\t' ' '");
    check_line(&job, "0");
    check_line(&job, "Uid: 0 0 0 0");
    check_line(&job, "Gid: 0 0 0 0");
    check_line(&job, "Groups:  ");
    check_line(&job, "CapInh: 0000000000000000");
    check_line(&job, "CapPrm: 00000000800400fb");
    check_line(&job, "CapEff: 00000000800400fb");
    check_line(&job, "CapBnd: 00000000800400fb");
    check_line(&job, "CapAmb: 0000000000000000");
    check_line(&job, "NoNewPrivs: 1");
    check_line(&job, "Seccomp: 2");
    check_line(&job, "one: Uid: 65535 65535 65535 65535");
    check_line(&job, "one: CapPrm: 0000000000000000");
    check_line(&job, "one: CapEff: 0000000000000000");
    check_line(&job, "one: Seccomp: 2");
    driver_job_done(&job);
}

/* Each attempt prints its name when it comes through. */
static void test_refused(void **state)
{
    (void)state;
    struct driver_job job;
    check_script(&job, PLAN_TYPE_BUILD,
            "try() { \"$@\" 2>/dev/null && echo \"came through: $*\"; true; }; "
            "try mount -t tmpfs none /mnt; try mount --bind / /mnt; try umount /usr; try mount -o remount,rw "
            "/proc/sys; "
            "try mknod /tmp/c c 1 3; try mknod /tmp/b b 7 0; try mknod /dev/x c 1 1; try mknod /tmp/w c 0 0; "
            "try unshare -m true; try unshare -U true; try hostname x; try cat /proc/1/environ; try ls /proc/1/root/; "
            "try grep . /proc/kcore /proc/keys /proc/timer_list; "
            "try sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'; try sh -c 'echo 1 "
            ">/proc/sys/user/max_user_namespaces'; "
            "try sh -c 'echo x >/proc/self/exe'; try sh -c 'echo x >/proc/sysrq-trigger'; "
            "kill -9 1; kill -TERM 1; touch /dev/made && echo touched; chroot / true && echo rooted; "
            "mkfifo /tmp/fifo && echo piped");
    check_no_text(&job, "came through");
    check_line(&job, "touched");
    check_line(&job, "rooted");
    check_line(&job, "piped");
    driver_job_done(&job);
}

static void test_environment(void **state)
{
    (void)state;
    struct driver_job job;
    char id[TEXT_UUID_MAX];
    char line[128];
    char *const environment[] = {(char[]){"RUNTIME_NAME=forged"}, (char[]){"BUILD_ID=forged"}, (char[]){"MINE=yes"},
            (char[]){"HOME=/home"}, NULL};
    check_init(&job, PLAN_TYPE_BUILD,
            (char[]){"env; ls -d $RUNTIME_DIR $ISOLATED_DIR $TMPDIR; cd /opt/joblet/runtimes; "
                     "readlink python/ml; cd python/ml && pwd -P; ls -A $HOME"});
    job.environment = environment;
    check_run(&job);
    assert_int_equal(job.record.exit_code, 0);
    text_format_uuid(job.plan.job_id, id);
    static const char *const lines[] = {"JOB_TYPE=runtime-build", "JOBLET_CHROOT=true", "RUNTIME_TYPE=python",
            "RUNTIME_NAME=ml", "RUNTIME_VERSION=1.0.0", "RUNTIME_DIR=/opt/joblet/runtimes/ml/1.0.0",
            "ISOLATED_DIR=/opt/joblet/runtimes/ml/1.0.0/isolated", "MINE=yes", "HOME=/home",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "../ml/1.0.0",
            "/opt/joblet/runtimes/ml/1.0.0"};
    for (size_t i = 0; i < ELEMENTS(lines); i++)
        check_line(&job, lines[i]);
    static const char *const with_id[] = {"JOB_ID=%s", "BUILD_ID=%s", "TMPDIR=/tmp/job-%s"};
    for (size_t i = 0; i < ELEMENTS(with_id); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(line, sizeof(line), with_id[i], id);
#pragma GCC diagnostic pop
        check_line(&job, line);
    }
    check_no_text(&job, "forged");
    check_no_text(&job, "JOB_COMMAND");
    driver_job_done(&job);
}

static void test_files(void **state)
{
    (void)state;
    struct driver_job job;
    builder_shell(&check_builder,
            "cd host; mkdir -p etc/apt/apt.conf.d; echo x >etc/apt/apt.conf.d/docker-clean; ln -s "
            "/nowhere/at/all etc/resolv.conf; "
            "echo 'shadow:!::' >etc/gshadow; chmod 640 etc/gshadow; echo '1.2.3.4 host' >etc/hosts");
    check_script(&job, PLAN_TYPE_BUILD,
            "cat /etc/shadow /etc/gshadow /etc/resolv.conf /etc/hostname; stat -c '%n %a %U:%G' /etc/shadow "
            "/etc/gshadow; "
            "/usr/sbin/policy-rc.d; echo policy $?; ls -A /etc/apt/apt.conf.d; cat /etc/hosts; "
            "stat -c '%n %a %u' /root /tmp /var/tmp /run/lock /work /home /srv /var/lib; readlink /var/run; readlink "
            "/var/lock; "
            "ls -A /home /root /run /srv /mnt /boot | tr '\\n' ' '");
    check_line(&job, "root:!*:::::::");
    check_line(&job, "more:!*:::::::");
    check_line(&job, "shadow:!*::");
    check_line(&job, "# This job has no network but its loopback.");
    check_line(&job, "/etc/shadow 640 root:shadow");
    check_line(&job, "/etc/gshadow 640 root:shadow");
    check_line(&job, "policy 127"); /* there is no /bin/sh on this host */
    check_line(&job, "99joblet");
    check_line(&job, "127.0.0.1 localhost");
    static const char *const stats[] = {"/root 700 0", "/tmp 1777 0", "/var/tmp 1777 0", "/run/lock 1777 0",
            "/work 755 0", "/home 755 0", "/srv 755 0", "/var/lib 755 0", "/run", "/run/lock"};
    for (size_t i = 0; i < ELEMENTS(stats); i++)
        check_line(&job, stats[i]);
    assert_non_null(strstr(job.log, "/boot:  /home:  /mnt:  /root:  /run: lock  /srv: "));
    check_no_text(&job, "hash");
    check_no_text(&job, "docker-clean");
    check_no_text(&job, "1.2.3.4");
    driver_job_done(&job);
}

static void test_disk_is_the_limit(void **state)
{
    (void)state;
    struct driver_job job;
    check_script(&job, PLAN_TYPE_BUILD,
            "for at in /usr /etc /tmp /root; do fallocate -l 100000 $at/big || echo none; fallocate -l 300000000 "
            "$at/big 2>/dev/null && echo fits; rm $at/big; "
            "done; touch /root/a && echo rest");
    check_no_text(&job, "fits");
    check_no_text(&job, "none");
    check_line(&job, "rest");
    driver_job_done(&job);
}

/* In the test's own network namespace, which is the "host's" here. */
static void make_bridge(struct plan_network *network, int *ret_socket)
{
    struct netlink_link link;
    static const uint8_t address[6] = {2, 0, 0, 0, 0, 1};
    int fd = netlink_open();
    assert_true(fd >= 0);
    int r = netlink_find_link(fd, BRIDGE, &link);
    if (r == -ENODEV) {
        assert_int_equal(netlink_add_bridge(fd, BRIDGE, address, 1500), 0);
        assert_int_equal(netlink_find_link(fd, BRIDGE, &link), 0);
        assert_int_equal(netlink_add_address(fd, link.index, GATEWAY, 24), 0);
        assert_int_equal(netlink_set_up(fd, link.index), 0);
    }
    *network = (struct plan_network){
            .is_set = 1,
            .bridge = link.index,
            .address = GATEWAY + 1,
            .prefix_length = 24,
            .gateway = GATEWAY,
            .mtu = 1400,
            .host_link = "jbtest0p1",
            .refused_count = 1,
            .refused = {{0xa9fe0000, 16}},
            .resolver_count = 2,
            .resolvers = {"192.0.2.1", "192.0.2.2"},
            .search = "search example.org",
    };
    *ret_socket = fd;
}

static void test_network(void **state)
{
    (void)state;
    struct driver_job job;
    struct netlink_link link;
    check_init(&job, PLAN_TYPE_BUILD,
            (char[]){"cat /etc/resolv.conf; ip -4 addr show eth0 | grep -o 'inet [0-9./]*'; ip route | sed 's/ *$//'; "
                     "nc -w 2 10.213.7.1 9 2>&1; nc -w 2 169.254.169.254 80 2>&1; "
                     "ip link set eth0 down 2>/dev/null && echo down; ip route del default 2>/dev/null && echo gone; "
                     "true"});
    make_bridge(&job.plan.network, &check_other_fd);
    check_other_number = PLAN_FD_HOST_LINK;
    check_builder.change_fds = check_put_other;
    check_run(&job);
    if (job.failed || job.record.exit_code != 0)
        check_show(&job);
    assert_false(job.failed);
    static const char *const lines[] = {"search example.org", "nameserver 192.0.2.1", "nameserver 192.0.2.2",
            "inet 10.213.7.2/24", "default via 10.213.7.1 dev eth0", "unreachable 169.254.0.0/16",
            "nc: can't connect to remote host (10.213.7.1): Connection refused",
            "nc: can't connect to remote host (169.254.169.254): No route to host"};
    for (size_t i = 0; i < ELEMENTS(lines); i++)
        check_line(&job, lines[i]);
    check_no_text(&job, "down\n");
    check_no_text(&job, "gone\n");
    driver_job_done(&job);
    /* With the namespace goes the pair. */
    for (unsigned i = 0; i < 200 && netlink_find_link(check_other_fd, "jbtest0p1", &link) == 0; i++)
        (void)usleep(10000);
    assert_int_equal(netlink_find_link(check_other_fd, "jbtest0p1", &link), -ENODEV);
    (void)close(check_other_fd);
}

/* What the socket or the bridge is not. */
static void test_network_lies(void **state)
{
    (void)state;
    struct driver_job job;
    int socket_fd;
    check_builder.change_fds = check_put_other;
    check_other_number = PLAN_FD_HOST_LINK;
    check_init(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    make_bridge(&job.plan.network, &socket_fd);
    check_other_fd = -1;
    check_setup_fails(&job, PLAN_STAGE_START, "a socket of the host's network");
    check_init(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    (void)close(socket_fd);
    make_bridge(&job.plan.network, &socket_fd);
    check_other_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    check_setup_fails(&job, PLAN_STAGE_NETWORK, "");
    (void)close(check_other_fd);
    check_init(&job, PLAN_TYPE_BUILD, (char[]){"echo ran"});
    (void)close(socket_fd);
    make_bridge(&job.plan.network, &socket_fd);
    job.plan.network.bridge = 4000;
    check_other_fd = socket_fd;
    check_setup_fails(&job, PLAN_STAGE_NETWORK, "");
    (void)close(socket_fd);
}

static uint64_t hash_of(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    uint64_t hash = 14695981039346656037U;
    assert_int_equal(fd_read_file_at(AT_FDCWD, path, 64U << 20, &text, &size), 0);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * 1099511628211U;
    free(text);
    return hash;
}

static void test_package(void **state)
{
    (void)state;
    struct driver_job job;
    if (access("/usr/bin/dpkg-deb", X_OK) < 0 || access("/bin/bash", X_OK) < 0) {
        print_message("skipped: the host has no dpkg\n");
        skip();
    }
    uint64_t before = hash_of("/var/lib/dpkg/status");
    check_script(&job, PLAN_TYPE_BUILD,
            "exec /bin/bash -ec 'cd /tmp; mkdir -p p/DEBIAN p/usr/bin p/opt/joblet-test; echo hello "
            ">p/opt/joblet-test/file; "
            "cp /bin/true p/usr/bin/joblet-test; chmod 4755 p/usr/bin/joblet-test; "
            "printf \"Package: joblet-test\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@b>\\nDescription: "
            "x\\n\" >p/DEBIAN/control; "
            "printf \"#!/bin/sh\\nset -e\\n/usr/sbin/useradd -r joblet-test\\nchown joblet-test "
            "/opt/joblet-test/file\\n\" >p/DEBIAN/postinst; "
            "chmod 755 p/DEBIAN/postinst; /usr/bin/dpkg-deb -b p p.deb >/dev/null; /usr/bin/dpkg -i p.deb >/dev/null; "
            "/usr/bin/dpkg -s joblet-test | grep ^Status; /usr/bin/stat -c \"%U %a\" /opt/joblet-test/file "
            "/usr/bin/joblet-test; "
            "grep joblet-test /etc/shadow | cut -d: -f1,2; if grep -l \"[$][0-9a-z]*[$]\" /etc/shadow; then echo "
            "hashes; fi; "
            "if command -v setcap >/dev/null; then setcap cap_net_raw+ep /usr/bin/joblet-test && getcap "
            "/usr/bin/joblet-test; fi; "
            "/usr/sbin/chroot / /bin/true && echo rooted; /usr/sbin/policy-rc.d || echo policy $?; "
            "su joblet-test -s /bin/sh -c \"id -un; cat /etc/shadow 2>/dev/null || echo closed\"'");
    check_line(&job, "Status: install ok installed");
    check_line(&job, "joblet-test 644");
    check_line(&job, "root 4755");
    check_line(&job, "joblet-test:!");
    check_line(&job, "rooted");
    check_line(&job, "policy 101");
    check_line(&job, "joblet-test");
    check_line(&job, "closed");
    check_no_text(&job, "hashes");
    driver_job_done(&job);
    assert_true(hash_of("/var/lib/dpkg/status") == before);
    assert_int_equal(access("/usr/bin/joblet-test", F_OK), -1);
    assert_int_equal(access("/opt/joblet-test", F_OK), -1);
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
            SMALL(test_rights),
            SMALL(test_refused),
            SMALL(test_environment),
            SMALL(test_files),
            SMALL(test_disk_is_the_limit),
            SMALL(test_network),
            SMALL(test_network_lies),
            cmocka_unit_test(test_package),
    };
    return check_tests(count, arguments, "init/builder", tests, ELEMENTS(tests));
}
