/* joblet setup. Each file is replaced as a whole and each step looks at what is there first, so a run that was cut
 * short is completed by the next one, and a run on a complete prefix changes nothing. One run at a time: the prefix is
 * locked. */
#include "setup/setup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "config/config.h"
#include "setup/address.h"
#include "setup/base.h"
#include "setup/certificate.h"
#include "setup/files.h"
#include "setup/ids.h"
#include "setup/trail.h"

#define CLIENT_FILE_MAX (1U << 20)
#define CONFIG_NAME "joblet-config.yml"
#define CLIENTS_NAME "rnx-config.yml"
#define LOCK_TRIES 20
#define LOCK_PAUSE_MS 50L
#define ADDRESS_DEFAULT "127.0.0.1"

static const char *const roles[] = {"admin", "maintainer", "developer", "reader"};
#define ROLE_COUNT ELEMENTS(roles)

struct options {
    const char *address; /* NULL = not given */
    const char *listen;
    const char *user;
    uint16_t port; /* 0 = not given */
    bool renew;
    bool rebuild;
};

struct setup {
    const char *prefix;
    struct options options;
    int prefix_fd;
    int config_fd;
    char address[ADDRESS_TEXT_MAX]; /* in the client configurations */
    char host[ADDRESS_HOST_MAX];    /* in the server's certificate */
    struct config *config;
    struct authority *authority; /* loaded when first needed */
    struct certificate root;     /* the authority's own certificate and key */
    struct setup_trail trail;
    struct error error;
};

static void say(const struct setup *setup, const char *what, const char *name)
{
    (void)printf("%-8s %s/%s\n", what, setup->prefix, name);
}

static void say_change(struct setup *setup, enum setup_change change, const char *name)
{
    static const char *const texts[SETUP_CHANGE_COUNT] = {
            [SETUP_MADE] = "made", [SETUP_RENEWED] = "renewed", [SETUP_MENDED] = "mended"};
    say(setup, texts[change], name);
    setup_trail_note(&setup->trail, change, name);
}

/* What follows is recorded, or not done. */
static int before_change(struct setup *setup)
{
    return setup_trail_begin(&setup->trail, setup->prefix_fd, setup->config, &setup->error);
}

static int usage(FILE *file, int status)
{
    (void)fputs("usage: joblet setup [--prefix DIR] [OPTION...]\n\n"
                "Makes what the service needs: certificates, configuration, base root. What is there is left alone.\n\n"
                "  --address HOST[:PORT]  where clients reach the service (127.0.0.1:50051)\n"
                "  --listen ADDRESS       the IP address to listen on (0.0.0.0)\n"
                "  --port N               the port to listen on (that of --address, else 50051)\n"
                "  --user NAME            who joblet-api runs as (user 'joblet' when there is one)\n"
                "  --renew-certificates   new server and client certificates of the same authority\n"
                "  --rebuild-base         make the base root again from the host's present files\n"
                "  --help\n",
            file);
    return status;
}

static int parse_port(const char *text, struct options *options)
{
    uint64_t port;
    if (text_parse_u64(text, 65535, &port) < 0 || port == 0) {
        (void)fprintf(stderr, "joblet setup: --port: '%s' is not a whole number from 1 to 65535\n", text);
        return -EINVAL;
    }
    options->port = (uint16_t)port;
    return 0;
}

/* 0 go on; 1 help was asked for; -EINVAL. */
static int parse_options(int count, char **arguments, struct options *options)
{
    enum { ADDRESS = 256, LISTEN, PORT, USER, RENEW, REBUILD, HELP };
    static const struct option known[] = {
            {"address", required_argument, NULL, ADDRESS},
            {"listen", required_argument, NULL, LISTEN},
            {"port", required_argument, NULL, PORT},
            {"user", required_argument, NULL, USER},
            {"renew-certificates", no_argument, NULL, RENEW},
            {"rebuild-base", no_argument, NULL, REBUILD},
            {"help", no_argument, NULL, HELP},
            {NULL, 0, NULL, 0},
    };
    /* getopt wants a program's name in front. */
    _cleanup_free_ char **all = calloc((size_t)count + 2, sizeof(*all));
    if (!all)
        return -ENOMEM;
    char name[] = "joblet setup";
    all[0] = name;
    for (int i = 0; i < count; i++)
        all[i + 1] = arguments[i];
    optind = 0;
    int option;
    while ((option = getopt_long(count + 1, all, "h", known, NULL)) != -1) {
        switch (option) {
        case ADDRESS:
            options->address = optarg;
            break;
        case LISTEN:
            options->listen = optarg;
            break;
        case PORT:
            if (parse_port(optarg, options) < 0)
                return -EINVAL;
            break;
        case USER:
            options->user = optarg;
            break;
        case RENEW:
            options->renew = true;
            break;
        case REBUILD:
            options->rebuild = true;
            break;
        case 'h':
        case HELP:
            return 1;
        default:
            return -EINVAL;
        }
    }
    if (optind < count + 1) {
        (void)fprintf(stderr, "joblet setup: unexpected argument '%s'\n", all[optind]);
        return -EINVAL;
    }
    return 0;
}

/* Makes @path and what is missing above it. */
static int make_parents(const char *path, struct error *error)
{
    char part[4096];
    size_t length = strlen(path);
    if (*path != '/' || length >= sizeof(part))
        return error_text(error, EINVAL, "prefix '%.100s' is not an absolute path", path);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return error_errno(error, errno, "make '%s'", part);
    }
    return 0;
}

/* One setup at a time. Waits a moment: the children of one that was killed hold the lock until they are gone too. */
static int lock_prefix(struct setup *setup)
{
    const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000L};
    for (unsigned i = 0; flock(setup->prefix_fd, LOCK_EX | LOCK_NB) < 0; i++) {
        if (errno != EWOULDBLOCK)
            return error_errno(&setup->error, errno, "lock '%s'", setup->prefix);
        if (i == LOCK_TRIES)
            return error_text(&setup->error, EBUSY, "another setup is at work on '%s'", setup->prefix);
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

static int open_prefix(struct setup *setup)
{
    int r = make_parents(setup->prefix, &setup->error);
    if (r < 0)
        return r;
    setup->prefix_fd = open(setup->prefix, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat status;
    if (setup->prefix_fd < 0 || fstat(setup->prefix_fd, &status) < 0)
        return error_errno(&setup->error, errno, "open '%s'", setup->prefix);
    if (status.st_uid != 0 || (status.st_mode & 022))
        return error_text(&setup->error, EPERM, "'%s' can be written by others than root", setup->prefix);
    return lock_prefix(setup);
}

/* Makes the directory, or mends its owner and mode: an earlier run may have been cut short in between. */
static int make_directory(struct setup *setup, const char *name, mode_t mode, uid_t uid, gid_t gid)
{
    bool made = mkdirat(setup->prefix_fd, name, 0700) == 0;
    if (!made && errno != EEXIST)
        return error_errno(&setup->error, errno, "make '%s/%s'", setup->prefix, name);
    _cleanup_close_ int fd = openat(setup->prefix_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_errno(&setup->error, errno, "open '%s/%s'", setup->prefix, name);
    bool right = status.st_uid == uid && status.st_gid == gid && (status.st_mode & 07777) == mode;
    if (right && !made)
        return 0;
    int r = before_change(setup);
    if (r < 0)
        return r;
    if (fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0)
        return error_errno(&setup->error, errno, "set the owner of '%s/%s'", setup->prefix, name);
    say_change(setup, made ? SETUP_MADE : SETUP_MENDED, name);
    return 0;
}

static int make_directories(struct setup *setup)
{
    const struct config *config = setup->config;
    const struct {
        const char *name;
        mode_t mode;
        uid_t uid;
        gid_t gid;
    } rows[] = {
            {"jobs", 0700, 0, 0},
            {"runtimes", 0750, 0, config->api_gid},
            {"cache", 0755, 0, 0},
            {"cache/apt", 0755, config->disk_id_start, config->disk_id_start},
            {"volumes", 0700, 0, 0},
            {"state", 0711, 0, 0},
            {AUDIT_DIRECTORY, 0750, 0, config->api_gid},
            {"state/db", 0700, config->api_uid, config->api_gid},
            {"state/jobs", 0750, 0, config->api_gid},
            /* With the default prefix it is /run/joblet, made when the service starts. */
            {strcmp(setup->prefix, CONFIG_PREFIX_DEFAULT) == 0 ? NULL : "run", 0755, 0, 0},
    };
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        if (!rows[i].name)
            continue;
        int r = make_directory(setup, rows[i].name, rows[i].mode, rows[i].uid, rows[i].gid);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool config_file_exists(const struct setup *setup, const char *name)
{
    struct stat status;
    return fstatat(setup->config_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static int write_config_file(struct setup *setup, const char *name, const char *text, size_t size)
{
    bool there = config_file_exists(setup, name);
    int r = before_change(setup);
    if (r < 0)
        return r;
    r = fd_replace_file_at(setup->config_fd, name, text, size, 0600);
    if (r < 0)
        return error_errno(&setup->error, -r, "write '%s/config/%s'", setup->prefix, name);
    char path[128];
    (void)snprintf(path, sizeof(path), "config/%s", name);
    say_change(setup, there ? SETUP_RENEWED : SETUP_MADE, path);
    return 0;
}

static void free_secret(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static void free_secretp(char **text)
{
    free_secret(*text);
}

/* Reads a file of the configuration directory. 0; 1 when it is not there; -errno. */
static int read_config_file(struct setup *setup, const char *name, char **ret_text)
{
    int r = fd_read_file_at(setup->config_fd, name, CLIENT_FILE_MAX, ret_text, NULL);
    if (r == -ENOENT)
        return 1;
    return r < 0 ? error_errno(&setup->error, -r, "read '%s/config/%s'", setup->prefix, name) : 0;
}

/* The certificate authority: that of an earlier run, or a new one when nothing relies on another yet. The key is
 * written before anything that it signs. */
static int need_authority(struct setup *setup)
{
    if (setup->authority)
        return 0;
    _cleanup_(free_secretp) char *key = NULL;
    _cleanup_free_ char *cert = NULL;
    int no_key = read_config_file(setup, "ca.key", &key);
    int no_cert = no_key < 0 ? no_key : read_config_file(setup, "ca.crt", &cert);
    if (no_cert < 0)
        return no_cert;
    bool in_use = no_cert == 0 || config_file_exists(setup, CONFIG_NAME);
    if (no_key == 1 && in_use)
        return error_text(&setup->error, ENOENT,
                "'%.100s/config/ca.key' is not there: certificates of this authority cannot be made", setup->prefix);
    int r = no_key == 0 ? authority_load(cert, key, &setup->authority, &setup->error)
                        : authority_new(&setup->authority, &setup->error);
    int renewed = r < 0 ? r : authority_renew(setup->authority, &setup->error);
    if (renewed < 0)
        return renewed;
    r = authority_export(setup->authority, &setup->root, &setup->error);
    bool is_new = no_cert == 1 || renewed == 1;
    if (r == 0 && is_new)
        setup_trail_note_serial(&setup->trail, "ca", setup->root.serial);
    if (r == 0 && no_key == 1)
        r = write_config_file(setup, "ca.key", setup->root.key, strlen(setup->root.key));
    if (r == 0 && is_new)
        r = write_config_file(setup, "ca.crt", setup->root.cert, strlen(setup->root.cert));
    return r;
}

static int set_text(struct setup *setup, char **target, const char *text)
{
    free(*target);
    *target = strdup(text);
    return *target ? 0 : error_errno(&setup->error, ENOMEM, "configuration");
}

/* Listening address, port and node id of a new configuration. */
static int fill_server(struct setup *setup, struct config *config)
{
    const struct options *options = &setup->options;
    struct address address = {0};
    int r = address_parse(options->address ? options->address : ADDRESS_DEFAULT, &address, &setup->error);
    if (r < 0)
        return r;
    if (options->port != 0)
        config->port = options->port;
    else if (address.has_port)
        config->port = address.port;
    if (options->listen) {
        struct address listen;
        r = address_parse(options->listen, &listen, &setup->error);
        if (r < 0 || !listen.is_ip || listen.has_port)
            return error_text(&setup->error, EINVAL, "--listen: '%.60s' is not an IP address", options->listen);
        r = set_text(setup, &config->address, listen.host);
        if (r < 0)
            return r;
    }
    uint8_t id[16];
    char node[TEXT_UUID_MAX];
    r = text_new_uuid(id);
    if (r < 0)
        return error_errno(&setup->error, -r, "node id");
    text_format_uuid(id, node);
    return set_text(setup, &config->node_id, node);
}

/* Of the server's; @ret_certificate is the caller's. */
static int issue_server(struct setup *setup, struct certificate *ret_certificate)
{
    int r = certificate_issue_server(setup->authority, setup->host, ret_certificate, &setup->error);
    if (r == 0)
        setup_trail_note_serial(&setup->trail, "server", ret_certificate->serial);
    return r;
}

static int write_new_config(struct setup *setup, struct config *config)
{
    struct certificate server = {0};
    int r = issue_server(setup, &server);
    if (r < 0)
        return r;
    config->server_cert = TAKE_PTR(server.cert);
    config->server_key = TAKE_PTR(server.key);
    config->ca_cert = strdup(setup->root.cert);
    if (!config->ca_cert)
        return error_errno(&setup->error, ENOMEM, "configuration");
    _cleanup_(free_secretp) char *text = NULL;
    size_t size;
    r = config_format(config, &text, &size);
    if (r < 0)
        return error_errno(&setup->error, -r, "configuration");
    return write_config_file(setup, CONFIG_NAME, text, size);
}

/* What clients shall use: as asked for, else as it is in the client configurations, else this host's loopback. */
static int find_address(struct setup *setup, uint16_t port)
{
    _cleanup_free_ char *present = NULL;
    if (!setup->options.address) {
        _cleanup_(free_secretp) char *text = NULL;
        int r = read_config_file(setup, CLIENTS_NAME, &text);
        if (r < 0)
            return r;
        present = text ? files_find_address(text) : NULL;
    }
    const char *given = setup->options.address ? setup->options.address : present ? present : ADDRESS_DEFAULT;
    struct address address;
    int r = address_parse(given, &address, &setup->error);
    if (r < 0)
        return r;
    if (!address.has_port)
        address.port = port;
    address_format(&address, setup->address);
    (void)snprintf(setup->host, sizeof(setup->host), "%s", address.host);
    return 0;
}

static int make_config(struct setup *setup)
{
    _cleanup_(config_freep) struct config *config = NULL;
    int r = config_new_default(&config);
    if (r < 0)
        return error_errno(&setup->error, -r, "configuration");
    r = fill_server(setup, config);
    if (r == 0)
        r = find_address(setup, config->port);
    if (r == 0)
        r = need_authority(setup);
    if (r == 0)
        r = ids_choose(setup->options.user, strcmp(setup->prefix, CONFIG_PREFIX_DEFAULT) == 0, config, &setup->error);
    if (r == 0)
        r = write_new_config(setup, config);
    return r;
}

static int renew_config(struct setup *setup)
{
    int r = need_authority(setup);
    if (r < 0)
        return r;
    struct certificate server = {0};
    r = issue_server(setup, &server);
    if (r < 0)
        return r;
    _cleanup_(free_secretp) char *old_text = NULL;
    _cleanup_(free_secretp) char *new_text = NULL;
    size_t size;
    r = read_config_file(setup, CONFIG_NAME, &old_text);
    if (r == 0)
        r = files_replace_certificates(old_text, &server, setup->root.cert, &new_text, &size, &setup->error);
    if (r == 0)
        r = write_config_file(setup, CONFIG_NAME, new_text, size);
    certificate_done(&server);
    return r;
}

/* Asked for, but meant for a new prefix only: said, not silently passed over. */
static void say_unused(const struct options *options)
{
    if (options->listen || options->port != 0 || options->user)
        (void)printf("         --listen, --port and --user are for a new prefix; change the file itself\n");
    if (options->address && !options->renew)
        (void)printf("         --address takes effect on this prefix together with --renew-certificates\n");
}

/* joblet-config.yml: made, renewed or left alone; then read as the service will read it. */
static int do_config(struct setup *setup)
{
    bool there = config_file_exists(setup, CONFIG_NAME);
    int r = there ? 0 : make_config(setup);
    if (r == 0)
        r = config_load(setup->prefix, &setup->config, &setup->error);
    if (r < 0 || !there)
        return r;
    r = find_address(setup, setup->config->port);
    if (r == 0 && setup->options.renew)
        r = renew_config(setup);
    else if (r == 0)
        say(setup, "kept", "config/" CONFIG_NAME);
    if (r == 0)
        say_unused(&setup->options);
    return r;
}

static int write_client(struct setup *setup, const char *name, const struct files_node *nodes, size_t count)
{
    _cleanup_(free_secretp) char *text = NULL;
    size_t size;
    int r = files_format_client(setup->address, setup->config->node_id, setup->root.cert, nodes, count, &text, &size);
    if (r < 0)
        return error_errno(&setup->error, -r, "client configuration");
    return write_config_file(setup, name, text, size);
}

/* The names of the client configurations: one for each role, then the one with all of them. */
static void client_name(size_t index, char ret_name[64])
{
    if (index == ROLE_COUNT)
        (void)snprintf(ret_name, 64, "%s", CLIENTS_NAME);
    else
        (void)snprintf(ret_name, 64, "rnx-config-%s.yml", roles[index]);
}

static int write_clients(struct setup *setup, const struct files_node *nodes)
{
    for (size_t i = 0; i <= ROLE_COUNT; i++) {
        char name[64];
        client_name(i, name);
        if (config_file_exists(setup, name) && !setup->options.renew)
            continue;
        int r = i == ROLE_COUNT ? write_client(setup, name, nodes, ROLE_COUNT)
                                : write_client(setup, name, &nodes[i], 1);
        if (r < 0)
            return r;
    }
    return 0;
}

static int do_clients(struct setup *setup)
{
    bool missing = setup->options.renew;
    for (size_t i = 0; i <= ROLE_COUNT; i++) {
        char name[64];
        char path[80];
        client_name(i, name);
        (void)snprintf(path, sizeof(path), "config/%s", name);
        if (!config_file_exists(setup, name))
            missing = true;
        else if (!setup->options.renew)
            say(setup, "kept", path);
    }
    if (!missing)
        return 0;
    int r = need_authority(setup);
    struct certificate certificates[ROLE_COUNT] = {0};
    struct files_node nodes[ROLE_COUNT];
    for (size_t i = 0; r == 0 && i < ROLE_COUNT; i++) {
        nodes[i] = (struct files_node){roles[i], &certificates[i]};
        r = certificate_issue_client(setup->authority, roles[i], &certificates[i], &setup->error);
        if (r == 0)
            setup_trail_note_serial(&setup->trail, roles[i], certificates[i].serial);
    }
    if (r == 0)
        r = write_clients(setup, nodes);
    for (size_t i = 0; i < ROLE_COUNT; i++)
        certificate_done(&certificates[i]);
    return r;
}

static int do_base(struct setup *setup)
{
    uint32_t disk_id = setup->config->disk_id_start;
    uint32_t command_id = setup->config->command_id;
    base_sweep(setup->prefix_fd);
    struct error reason = {0};
    int state = base_check(setup->prefix_fd, disk_id, command_id, &reason);
    if (state != 1 && !setup->options.rebuild) {
        say(setup, "kept", BASE_NAME);
        if (state != 0)
            (void)printf("         %s; --rebuild-base makes it again\n", reason.text);
        return 0;
    }
    struct base_summary summary;
    int r = before_change(setup);
    if (r < 0)
        return r;
    r = base_make(setup->prefix_fd, disk_id, command_id, &summary, &setup->error);
    if (r < 0)
        return r;
    say_change(setup, state == 1 ? SETUP_MADE : SETUP_RENEWED, BASE_NAME);
    (void)printf("         %.1f MiB, %u files, %u commands tried\n", (double)summary.bytes / (1 << 20), summary.files,
            summary.commands);
    return 0;
}

/* Temporary files of a run that was killed: they may hold keys. */
static void sweep_config(struct setup *setup)
{
    int fd = openat(setup->config_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        (void)fd_close(fd);
        return;
    }
    char target[FD_TARGET_MAX];
    const struct dirent *entry;
    while ((entry = readdir(directory)))
        if (fd_is_half_written(entry->d_name, target) && files_is_ours(target))
            (void)unlinkat(setup->config_fd, entry->d_name, 0);
    (void)closedir(directory);
}

/* joblet-api opens its database by path; each directory on the way must let it pass. */
static void warn_about_path(const struct setup *setup)
{
    char part[4096];
    size_t length = strlen(setup->prefix);
    for (size_t i = 1; i <= length && i < sizeof(part); i++) {
        if (setup->prefix[i] != '/' && setup->prefix[i] != '\0')
            continue;
        memcpy(part, setup->prefix, i);
        part[i] = '\0';
        struct stat status;
        if (stat(part, &status) == 0 && !(status.st_mode & S_IXOTH))
            (void)fprintf(stderr,
                    "joblet setup: warning: '%s' (mode %04o) lets only some pass; joblet-api (user %u) will not reach "
                    "its "
                    "database\n",
                    part, status.st_mode & 07777, setup->config->api_uid);
    }
}

static int run_steps(struct setup *setup)
{
    int r = open_prefix(setup);
    if (r == 0)
        r = make_directory(setup, "config", 0700, 0, 0);
    if (r < 0)
        return r;
    setup->config_fd = openat(setup->prefix_fd, "config", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (setup->config_fd < 0)
        return error_errno(&setup->error, errno, "open '%s/config'", setup->prefix);
    sweep_config(setup);
    r = do_config(setup);
    if (r == 0) {
        warn_about_path(setup);
        r = make_directories(setup);
    }
    if (r == 0)
        r = do_clients(setup);
    if (r == 0)
        r = do_base(setup);
    return r;
}

static void say_next(const struct setup *setup)
{
    if (setup->options.renew)
        (void)printf("\nRestart the service, and give the client configurations to those who use them.\n");
    else if (!setup->options.rebuild)
        (void)printf("\nClients: rnx --config %s/config/%s job run --follow id\n", setup->prefix, CLIENTS_NAME);
}

int setup_main(const char *prefix, int count, char **arguments)
{
    struct setup setup = {.prefix = prefix, .prefix_fd = -EBADF, .config_fd = -EBADF};
    int r = parse_options(count, arguments, &setup.options);
    if (r != 0)
        return r > 0 ? usage(stdout, 0) : usage(stderr, 2);
    if (geteuid() != 0) {
        (void)fputs("joblet setup: must be run as root\n", stderr);
        return 1;
    }
    setup.trail.asked = setup.options.renew     ? "renew certificates"
                        : setup.options.rebuild ? "rebuild the base root"
                                                : "make what is missing";
    mode_t old_mask = umask(022);
    r = run_steps(&setup);
    struct error problem = {0};
    int recorded = setup_trail_end(&setup.trail, setup.prefix_fd, setup.config, r < 0 ? &setup.error : NULL, &problem);
    (void)umask(old_mask);
    if (recorded < 0)
        (void)fprintf(stderr, "joblet setup: what was done is not recorded: %s\n", problem.text);
    if (r < 0)
        (void)fprintf(stderr, "joblet setup: %s\n", setup.error.text);
    else if (recorded == 0)
        say_next(&setup);
    authority_free(setup.authority);
    certificate_done(&setup.root);
    config_free(setup.config);
    (void)fd_close(setup.config_fd);
    (void)fd_close(setup.prefix_fd);
    return r < 0 || recorded < 0 || fflush(stdout) != 0 ? 1 : 0;
}
