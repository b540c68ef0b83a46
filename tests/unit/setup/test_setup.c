/* The whole verb, as root, under a prefix that goes away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "audit/log.h"
#include "audit/reader.h"
#include "base/fd.h"
#include "config/config.h"
#include "setup/base.h"
#include "setup/setup.h"
#include "setup/tree.h"

static char prefix[64];
static int prefix_fd = -EBADF;

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(prefix, sizeof(prefix), "/tmp/test-setup-XXXXXX");
    if (!mkdtemp(prefix) || chmod(prefix, 0755) < 0)
        return -1;
    prefix_fd = open(prefix, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return prefix_fd < 0;
}

static int tear_down(void **state)
{
    (void)state;
    prefix_fd = fd_close(prefix_fd);
    _cleanup_close_ int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return tree_remove(fd, prefix + strlen("/tmp/"));
}

/* In a child, as the service's tool does it: options and umask start fresh. */
static int run(char *first, char *second)
{
    char *arguments[] = {first, second, NULL};
    int count = first ? second ? 2 : 1 : 0;
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int status = setup_main(prefix, count, arguments);
        (void)fflush(stdout);
        _exit(status);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Name, owner, mode, size, time and inode of everything below the prefix, summed in an order that does not matter. */
static uint64_t picture_sum;
static unsigned picture_files;

static int picture_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)type;
    (void)walk;
    char text[4096 + 256];
    int length = snprintf(text, sizeof(text), "%s %u %u %o %lld %lld.%ld %llu", path, status->st_uid, status->st_gid,
            status->st_mode, (long long)status->st_size, (long long)status->st_mtim.tv_sec, status->st_mtim.tv_nsec,
            (unsigned long long)status->st_ino);
    uint64_t hash = 0xcbf29ce484222325ULL;
    for (int i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3ULL;
    picture_sum += hash;
    picture_files++;
    return 0;
}

static uint64_t picture(void)
{
    picture_sum = 0;
    picture_files = 0;
    assert_int_equal(nftw(prefix, picture_one, 32, FTW_PHYS), 0);
    assert_true(picture_files > 100);
    return picture_sum;
}

static void assert_status(const char *name, mode_t mode, uid_t uid, gid_t gid)
{
    struct stat status;
    assert_int_equal(fstatat(prefix_fd, name, &status, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(status.st_mode & 07777, mode);
    assert_int_equal(status.st_uid, uid);
    assert_int_equal(status.st_gid, gid);
}

static struct config *load(void)
{
    struct config *config = NULL;
    struct error error = {0};
    if (config_load(prefix, &config, &error) < 0)
        fail_msg("%s", error.text);
    return config;
}

static char *read_file(const char *name)
{
    char *text = NULL;
    assert_int_equal(fd_read_file_at(prefix_fd, name, 1U << 20, &text, NULL), 0);
    return text;
}

static unsigned count_records(const char *result, const char *text)
{
    const struct audit_filter filter = {.action = "setup", .result = result};
    struct audit_list list;
    struct error error = {0};
    _cleanup_close_ int dir_fd = openat(prefix_fd, AUDIT_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (audit_find(dir_fd, &filter, 100, &list, &error) < 0)
        fail_msg("%s", error.text);
    unsigned count = 0;
    for (size_t i = 0; i < list.count; i++) {
        assert_null(strstr(list.items[i].line, "PRIVATE"));
        count += strstr(list.items[i].line, text) != NULL;
    }
    audit_list_done(&list);
    return count;
}

/* "OWNER=HEX" of the certificate that begins in @text. */
static void name_serial(const char *owner, const char *text, char ret_name[80])
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    BIO *out = BIO_new(BIO_s_mem());
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    char *serial;
    assert_non_null(cert);
    /* As "openssl x509 -serial" does it. */
    assert_true(i2a_ASN1_INTEGER(out, X509_get0_serialNumber(cert)) > 0);
    long size = BIO_get_mem_data(out, &serial);
    (void)snprintf(ret_name, 80, "%s=%.*s", owner, (int)size, serial);
    X509_free(cert);
    BIO_free(out);
    BIO_free(bio);
}

/* Of the two runs before: those of the present certificates are recorded once; the authority's, which was made by the
 * first, is not in the record of the second. */
static void check_serials(void)
{
    static const char *const roles[] = {"admin", "maintainer", "developer", "reader"};
    char name[80];
    char file[64];
    _cleanup_free_ char *authority = read_file("config/ca.crt");
    _cleanup_(config_freep) struct config *config = load();
    name_serial("ca", authority, name);
    assert_int_equal(count_records("ok", name), 1);
    assert_int_equal(count_records("ok", "ca="), 1);
    name_serial("server", config->server_cert, name);
    assert_int_equal(count_records("ok", name), 1);
    assert_int_equal(count_records("ok", "server="), 2);
    for (size_t i = 0; i < ELEMENTS(roles); i++) {
        (void)snprintf(file, sizeof(file), "config/rnx-config-%s.yml", roles[i]);
        _cleanup_free_ char *text = read_file(file);
        /* As a block it is indented, which PEM does not permit. */
        char *to = text;
        for (const char *from = text; *from; from++)
            if (*from != ' ' || (from > text && from[-1] != ' ' && from[-1] != '\n'))
                *to++ = *from;
        *to = '\0';
        name_serial(roles[i], text, name);
        assert_int_equal(count_records("ok", name), 1);
    }
}

/* What was made is in the audit log; a run that changes nothing is not; with the service at work nothing is changed. */
static void test_records_itself(void **state)
{
    (void)state;
    char renew[] = "--renew-certificates";
    assert_int_equal(run(NULL, NULL), 0);
    assert_int_equal(count_records("ok", "config/ca.key"), 1);
    assert_int_equal(run(NULL, NULL), 0);
    assert_int_equal(count_records("ok", ""), 1);
    assert_int_equal(run(renew, NULL), 0);
    assert_int_equal(count_records("ok", "\"renewed\":\"config/joblet-config.yml config/rnx-config-admin.yml"), 1);
    assert_int_equal(count_records("intent", "renew certificates"), 1);
    check_serials();

    _cleanup_free_ char *before = read_file("config/rnx-config.yml");
    _cleanup_close_ int dir_fd = openat(prefix_fd, AUDIT_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(dir_fd, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(run(renew, NULL), 1);
    assert_int_equal(run(NULL, NULL), 0);
    _cleanup_free_ char *after = read_file("config/rnx-config.yml");
    assert_string_equal(before, after);
}

static void test_makes_everything(void **state)
{
    (void)state;
    char address[] = "--address=build.example.org:4711";
    char listen[] = "--listen=127.0.0.1";
    assert_int_equal(run(address, listen), 0);
    _cleanup_(config_freep) struct config *config = load();
    assert_string_equal(config->address, "127.0.0.1");
    assert_int_equal(config->port, 4711);
    assert_int_equal(strlen(config->node_id), 36);

    static const char *const secret[] = {"config/joblet-config.yml", "config/ca.key", "config/ca.crt",
            "config/rnx-config.yml", "config/rnx-config-admin.yml", "config/rnx-config-maintainer.yml",
            "config/rnx-config-developer.yml", "config/rnx-config-reader.yml"};
    for (size_t i = 0; i < ELEMENTS(secret); i++)
        assert_status(secret[i], 0600, 0, 0);
    assert_status("config", 0700, 0, 0);
    assert_status("jobs", 0700, 0, 0);
    assert_status("volumes", 0700, 0, 0);
    assert_status("runtimes", 0750, 0, config->api_gid);
    assert_status("state", 0711, 0, 0);
    assert_status("state/db", 0700, config->api_uid, config->api_gid);
    assert_status("state/jobs", 0750, 0, config->api_gid);
    assert_status("state/audit", 0750, 0, config->api_gid);
    assert_status("config/audit-key.pem", 0600, 0, 0);
    assert_status("run", 0755, 0, 0);

    _cleanup_free_ char *clients = read_file("config/rnx-config.yml");
    static const char *const roles[] = {"\n  admin:\n", "\n  maintainer:\n", "\n  developer:\n", "\n  reader:\n"};
    for (size_t i = 0; i < ELEMENTS(roles); i++)
        assert_non_null(strstr(clients, roles[i]));
    assert_non_null(strstr(clients, "\n    address: \"build.example.org:4711\"\n"));
    assert_non_null(strstr(clients, config->node_id));
}

static int base_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)type;
    (void)walk;
    mode_t kind = status->st_mode & S_IFMT;
    if (kind != S_IFREG && kind != S_IFDIR && kind != S_IFLNK)
        fail_msg("%s: neither file, directory nor link", path);
    if (kind != S_IFLNK && (status->st_mode & (06022 | 01000)))
        fail_msg("%s: mode %o", path, status->st_mode);
    picture_sum += kind == S_IFREG ? (uint64_t)status->st_size : 0;
    if (picture_files == 0)
        picture_files = status->st_uid;
    if (status->st_uid != picture_files || status->st_gid != picture_files)
        fail_msg("%s: owner %u", path, status->st_uid);
    return 0;
}

static void test_base(void **state)
{
    (void)state;
    _cleanup_(config_freep) struct config *config = load();
    char path[80];
    (void)snprintf(path, sizeof(path), "%s/base", prefix);
    picture_sum = 0;
    picture_files = config->disk_id_start;
    assert_int_equal(nftw(path, base_one, 32, FTW_PHYS), 0);
    assert_true(picture_sum > (5U << 20) && picture_sum <= BASE_SIZE_MAX);

    static const char *const there[] = {"base/dev", "base/proc", "base/sys", "base/work", "base/tmp", "base/run",
            "base/volumes", "base/etc/hosts", "base/etc/hostname", "base/etc/resolv.conf", "base/bin/bash",
            "base/usr/bin/awk", "base/etc/ssl/certs/ca-certificates.crt", "base/etc/passwd"};
    struct stat status;
    for (size_t i = 0; i < ELEMENTS(there); i++)
        assert_int_equal(fstatat(prefix_fd, there[i], &status, 0), 0);
    static const char *const absent[] = {"base/usr/bin/apt-get", "base/usr/bin/dpkg", "base/usr/bin/gcc",
            "base/usr/bin/perl", "base/usr/bin/python3", "base/bin/mount", "base/bin/su", "base/etc/shadow",
            "base/opt/joblet"};
    for (size_t i = 0; i < ELEMENTS(absent); i++)
        assert_int_equal(fstatat(prefix_fd, absent[i], &status, AT_SYMLINK_NOFOLLOW), -1);
    struct error reason = {0};
    assert_int_equal(base_check(prefix_fd, config->disk_id_start, config->command_id, &reason), 0);
    assert_int_equal(base_check(prefix_fd, config->disk_id_start + 65536, config->command_id, &reason), 2);
    assert_int_equal(base_check(prefix_fd, config->disk_id_start, 1000, &reason), 2);
}

static void test_again_changes_nothing(void **state)
{
    (void)state;
    uint64_t before = picture();
    assert_int_equal(run(NULL, NULL), 0);
    assert_true(picture() == before);
}

/* Files that a run left out because it was killed: made by the next, and the others left alone. */
static void test_completes(void **state)
{
    (void)state;
    _cleanup_free_ char *config = read_file("config/joblet-config.yml");
    _cleanup_free_ char *admin = read_file("config/rnx-config-admin.yml");
    assert_int_equal(unlinkat(prefix_fd, "config/rnx-config-reader.yml", 0), 0);
    assert_int_equal(unlinkat(prefix_fd, "run", AT_REMOVEDIR), 0);
    assert_int_equal(unlinkat(prefix_fd, "base.manifest", 0), 0);
    _cleanup_close_ int left = openat(prefix_fd, "config/.ca.key.0123abcd", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(left >= 0);
    assert_int_equal(mkdirat(prefix_fd, "base.new", 0755), 0);
    assert_int_equal(mkdirat(prefix_fd, "base.new/usr", 0755), 0);
    assert_int_equal(run(NULL, NULL), 0);
    assert_status("config/rnx-config-reader.yml", 0600, 0, 0);
    assert_status("run", 0755, 0, 0);
    assert_status("base.manifest", 0644, 0, 0);
    assert_int_equal(faccessat(prefix_fd, "config/.ca.key.0123abcd", F_OK, 0), -1);
    assert_int_equal(faccessat(prefix_fd, "base.new", F_OK, 0), -1);
    _cleanup_free_ char *config_after = read_file("config/joblet-config.yml");
    _cleanup_free_ char *admin_after = read_file("config/rnx-config-admin.yml");
    assert_string_equal(config, config_after);
    assert_string_equal(admin, admin_after);
}

static void test_renews(void **state)
{
    (void)state;
    _cleanup_(config_freep) struct config *before = load();
    _cleanup_free_ char *admin = read_file("config/rnx-config-admin.yml");
    _cleanup_free_ char *key = read_file("config/ca.key");
    char option[] = "--renew-certificates";
    assert_int_equal(run(option, NULL), 0);
    _cleanup_(config_freep) struct config *after = load();
    assert_string_equal(after->node_id, before->node_id);
    assert_string_equal(after->ca_cert, before->ca_cert);
    assert_string_not_equal(after->server_cert, before->server_cert);
    assert_string_not_equal(after->server_key, before->server_key);
    assert_int_equal(after->id_range_start, before->id_range_start);
    assert_int_equal(after->port, before->port);
    _cleanup_free_ char *key_after = read_file("config/ca.key");
    assert_string_equal(key_after, key);
    _cleanup_free_ char *admin_after = read_file("config/rnx-config-admin.yml");
    assert_string_not_equal(admin_after, admin);
    /* The address of the first run, not the default. */
    assert_non_null(strstr(admin_after, "\n    address: \"build.example.org:4711\"\n"));
}

/* Without the authority's key nothing is signed, and nothing is damaged. */
static void test_no_authority_key(void **state)
{
    (void)state;
    assert_int_equal(renameat(prefix_fd, "config/ca.key", prefix_fd, "config/away"), 0);
    uint64_t before = picture();
    char option[] = "--renew-certificates";
    assert_int_equal(run(option, NULL), 1);
    assert_true(picture() == before);
    assert_int_equal(run(NULL, NULL), 0);
    assert_true(picture() == before);
    assert_int_equal(renameat(prefix_fd, "config/away", prefix_fd, "config/ca.key"), 0);
}

/* An old base stays while somebody holds it, and goes by the next call. */
static void test_rebuilds(void **state)
{
    (void)state;
    struct stat before;
    struct stat after;
    _cleanup_close_ int held = openat(prefix_fd, "base", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fstat(held, &before), 0);
    char option[] = "--rebuild-base";
    assert_int_equal(run(option, NULL), 0);
    assert_int_equal(fstatat(prefix_fd, "base", &after, 0), 0);
    assert_int_not_equal(before.st_ino, after.st_ino);
    assert_int_equal(faccessat(held, "usr/bin/bash", F_OK, 0), 0);
    char path[80];
    char real[4096] = "";
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", held);
    assert_true(readlink(path, real, sizeof(real) - 1) > 0);
    assert_non_null(strstr(real, "/base.old."));
    assert_int_equal(access(real, F_OK), 0);
    held = fd_close(held);
    assert_int_equal(run(NULL, NULL), 0);
    assert_int_equal(access(real, F_OK), -1);
}

static void test_refuses(void **state)
{
    (void)state;
    uint64_t before = picture();
    char port[] = "--port=0";
    char unknown[] = "--unknown";
    char word[] = "word";
    assert_int_equal(run(port, NULL), 2);
    assert_int_equal(run(unknown, NULL), 2);
    assert_int_equal(run(word, NULL), 2);
    assert_int_equal(flock(prefix_fd, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(run(NULL, NULL), 1); /* another one at work */
    assert_int_equal(flock(prefix_fd, LOCK_UN), 0);
    assert_int_equal(fchmod(prefix_fd, 0777), 0);
    assert_int_equal(run(NULL, NULL), 1);
    assert_int_equal(fchmod(prefix_fd, 0755), 0);
    assert_true(picture() == before);
}

int main(void)
{
    if (geteuid() != 0) {
        (void)printf("skipped: not root\n");
        return 77;
    }
    /* One prefix for all: each test goes on from what the one before left. */
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_makes_everything),
            cmocka_unit_test(test_records_itself),
            cmocka_unit_test(test_base),
            cmocka_unit_test(test_again_changes_nothing),
            cmocka_unit_test(test_completes),
            cmocka_unit_test(test_renews),
            cmocka_unit_test(test_no_authority_key),
            cmocka_unit_test(test_rebuilds),
            cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
