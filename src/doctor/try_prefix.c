/* The prefix: its place, its files, the server's certificate, the base root. Secrets are read and never shown. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "doctor/row.h"
#include "setup/base.h"

#define SPACE_MIN (256ULL << 20)
#define INODES_MIN 10000ULL
#define DAYS_WARNED 30

void try_prefix(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    static const char *const parts[] = {"config", "state/jobs", "state/db"};
    struct statvfs space;
    struct stat status;
    _cleanup_close_ int fd = open(doctor->prefix, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0 || fstatvfs(fd, &space) < 0) {
        finding_errno(finding, errno, "'%.100s'", doctor->prefix);
        return;
    }
    if (space.f_flag & (ST_NOEXEC | ST_RDONLY)) {
        finding_fails(finding, "its file system is mounted %s", space.f_flag & ST_RDONLY ? "ro" : "noexec");
        return;
    }
    if (status.st_uid != 0 || status.st_mode & (S_IWGRP | S_IWOTH)) {
        finding_fails(finding, "others than root may write to it");
        return;
    }
    for (size_t i = 0; i < ELEMENTS(parts); i++)
        if (faccessat(fd, parts[i], F_OK, 0) < 0) {
            finding_errno(finding, errno, "'%s' in it", parts[i]);
            return;
        }
    finding_holds(finding, "'%.100s', root's alone to write", doctor->prefix);
}

/* joblet-api, which is not root, opens its database by path. */
void try_way(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    char path[4096];
    if (!doctor->config) {
        finding_untested(finding, "there is no configuration");
        return;
    }
    gid_t gid = doctor->config->api_gid;
    uid_t uid = doctor->config->api_uid;
    (void)snprintf(path, sizeof(path), "%s/state/db", doctor->prefix);
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        finding_errno(finding, errno, "become user %u", uid);
    else if (access(path, R_OK | W_OK | X_OK) < 0)
        finding_errno(finding, errno, "user %u and '%.100s'", uid, path);
    else
        finding_holds(finding, "user %u reaches it", uid);
}

/* Of the nearest directory that is there. */
static int read_space(const char *prefix, struct statvfs *ret_space)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s", prefix);
    while (statvfs(path, ret_space) < 0) {
        char *slash = strrchr(path, '/');
        if (errno != ENOENT || !slash || path[1] == '\0')
            return -errno;
        slash[slash == path] = '\0';
    }
    return 0;
}

void try_space(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    struct statvfs space;
    int r = read_space(doctor->prefix, &space);
    if (r < 0) {
        finding_errno(finding, -r, "'%.100s'", doctor->prefix);
        return;
    }
    unsigned long long free_bytes = (unsigned long long)space.f_bavail * space.f_frsize;
    unsigned long long inodes = space.f_favail;
    if (free_bytes < SPACE_MIN)
        finding_fails(finding, "%llu MiB are free, %llu are wanted", free_bytes >> 20, SPACE_MIN >> 20);
    else if (space.f_files > 0 && inodes < INODES_MIN) /* btrfs counts none */
        finding_fails(finding, "%llu inodes are free, %llu are wanted", inodes, INODES_MIN);
    else
        finding_holds(finding, "%llu MiB are free", free_bytes >> 20);
}

/* Root's, and for nobody else to read. */
static bool is_private(const char *prefix, const char *name, mode_t kind, struct finding *finding)
{
    char path[4096];
    struct stat status;
    (void)snprintf(path, sizeof(path), "%s/%s", prefix, name);
    if (lstat(path, &status) < 0)
        finding_errno(finding, errno, "'%s'", name);
    else if ((status.st_mode & S_IFMT) != kind)
        finding_fails(finding, "'%s' is not what it should be", name);
    else if (status.st_uid != 0 || status.st_mode & 077)
        finding_fails(finding, "'%s' holds keys and has owner %u, mode %04o", name, status.st_uid,
                (unsigned)status.st_mode & 07777);
    else
        return true;
    return false;
}

void try_configuration(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    if (!doctor->config)
        finding_fails(finding, "%s", doctor->config_error.text);
    else if (is_private(doctor->prefix, "config", S_IFDIR, finding) &&
             is_private(doctor->prefix, CONFIG_FILE, S_IFREG, finding))
        finding_holds(finding, "valid, for root alone to read");
}

static X509 *parse_certificate(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    return certificate;
}

static EVP_PKEY *parse_key(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    return key;
}

static void judge_certificate(X509 *leaf, X509 *root, EVP_PKEY *key, struct finding *finding)
{
    int days = 0;
    int seconds = 0;
    if (!leaf || !root || !key) {
        finding_fails(finding, "certificate, key or authority is not PEM");
        return;
    }
    bool is_signed = X509_verify(leaf, X509_get0_pubkey(root)) == 1;
    if (X509_check_private_key(leaf, key) != 1)
        finding_fails(finding, "key and certificate are not a pair");
    else if (!is_signed)
        finding_fails(finding, "the authority did not sign the certificate");
    else if (X509_cmp_current_time(X509_get0_notBefore(leaf)) > 0)
        finding_fails(finding, "not valid yet: is the clock right?");
    else if (X509_cmp_current_time(X509_get0_notAfter(leaf)) < 0 || X509_cmp_current_time(X509_get0_notAfter(root)) < 0)
        finding_fails(finding, "it has ended");
    else if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(leaf)) != 1)
        finding_fails(finding, "its end cannot be read");
    else
        finding_holds(finding, "valid for %d days%s", days, days < DAYS_WARNED ? ": renew it soon" : "");
}

void try_certificate(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    if (!doctor->config) {
        finding_untested(finding, "there is no configuration");
        return;
    }
    X509 *leaf = parse_certificate(doctor->config->server_cert);
    X509 *root = parse_certificate(doctor->config->ca_cert);
    EVP_PKEY *key = parse_key(doctor->config->server_key);
    judge_certificate(leaf, root, key, finding);
    X509_free(leaf);
    X509_free(root);
    EVP_PKEY_free(key);
}

/* As base_check: 0 fresh, 1 none, 2 the host has changed, -errno. */
static int check_base(const struct doctor *doctor, struct error *reason)
{
    _cleanup_close_ int fd = open(doctor->prefix, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(reason, errno, "'%.100s'", doctor->prefix);
    return base_check(fd, doctor->disk_start, doctor->config->command_id, reason);
}

void try_base(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    struct error reason = {0};
    struct stat status;
    char path[4096];
    if (!doctor->config) {
        finding_untested(finding, "there is no configuration");
        return;
    }
    int r = check_base(doctor, &reason);
    (void)snprintf(path, sizeof(path), "%s/" BASE_NAME "/bin/sh", doctor->prefix);
    if (r == 1)
        finding_fails(finding, "there is none");
    else if (r < 0)
        finding_fails(finding, "%s", reason.text);
    else if (stat(path, &status) < 0 || !(status.st_mode & S_IXOTH))
        finding_fails(finding, "it has no /bin/sh that can be executed");
    else if (status.st_uid != doctor->disk_start)
        finding_fails(finding, "it belongs to %u, not to %u", status.st_uid, doctor->disk_start);
    else
        finding_holds(finding, "there");
}

void try_base_fresh(const struct doctor *doctor, const struct row *row, struct finding *finding)
{
    (void)row;
    struct error reason = {0};
    if (!doctor->config) {
        finding_untested(finding, "there is no configuration");
        return;
    }
    int r = check_base(doctor, &reason);
    if (r == 0)
        finding_holds(finding, "made from the host's files as they are");
    else if (r == 1)
        finding_untested(finding, "there is no base root");
    else
        finding_fails(finding, "%s", reason.text);
}
