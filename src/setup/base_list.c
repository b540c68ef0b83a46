/* Left out on purpose: package managers, compilers, interpreters of languages (those come with runtimes), everything
 * set-uid, and tools for mounting, users and services, which can do nothing in a job. */
#include "setup/base_list.h"

#include <stddef.h>

#define REQUIRED(name)                                                                                                 \
    {                                                                                                                  \
        name, "--version", true                                                                                        \
    }
#define OPTIONAL(name)                                                                                                 \
    {                                                                                                                  \
        name, "--version", false                                                                                       \
    }

const struct base_command base_commands[] = {
        {"sh", "-c true", true},
        REQUIRED("bash"),
        {"dash", "-c true", false},

        /* coreutils */
        REQUIRED("["),
        OPTIONAL("arch"),
        OPTIONAL("b2sum"),
        REQUIRED("base32"),
        REQUIRED("base64"),
        REQUIRED("basename"),
        OPTIONAL("basenc"),
        REQUIRED("cat"),
        REQUIRED("chgrp"),
        REQUIRED("chmod"),
        REQUIRED("chown"),
        OPTIONAL("chroot"),
        REQUIRED("cksum"),
        REQUIRED("comm"),
        REQUIRED("cp"),
        OPTIONAL("csplit"),
        REQUIRED("cut"),
        REQUIRED("date"),
        REQUIRED("dd"),
        REQUIRED("df"),
        OPTIONAL("dir"),
        OPTIONAL("dircolors"),
        REQUIRED("dirname"),
        REQUIRED("du"),
        REQUIRED("echo"),
        REQUIRED("env"),
        REQUIRED("expand"),
        REQUIRED("expr"),
        OPTIONAL("factor"),
        {"false", "--help", true},
        REQUIRED("fmt"),
        REQUIRED("fold"),
        REQUIRED("groups"),
        REQUIRED("head"),
        OPTIONAL("hostid"),
        REQUIRED("id"),
        REQUIRED("install"),
        REQUIRED("join"),
        REQUIRED("link"),
        REQUIRED("ln"),
        OPTIONAL("logname"),
        REQUIRED("ls"),
        REQUIRED("md5sum"),
        REQUIRED("mkdir"),
        REQUIRED("mkfifo"),
        REQUIRED("mknod"),
        REQUIRED("mktemp"),
        REQUIRED("mv"),
        REQUIRED("nice"),
        REQUIRED("nl"),
        REQUIRED("nohup"),
        REQUIRED("nproc"),
        REQUIRED("numfmt"),
        REQUIRED("od"),
        REQUIRED("paste"),
        OPTIONAL("pathchk"),
        OPTIONAL("pr"),
        REQUIRED("printenv"),
        REQUIRED("printf"),
        OPTIONAL("ptx"),
        REQUIRED("pwd"),
        REQUIRED("readlink"),
        REQUIRED("realpath"),
        REQUIRED("rm"),
        REQUIRED("rmdir"),
        REQUIRED("seq"),
        REQUIRED("sha1sum"),
        OPTIONAL("sha224sum"),
        REQUIRED("sha256sum"),
        OPTIONAL("sha384sum"),
        REQUIRED("sha512sum"),
        REQUIRED("shred"),
        REQUIRED("shuf"),
        REQUIRED("sleep"),
        REQUIRED("sort"),
        REQUIRED("split"),
        REQUIRED("stat"),
        REQUIRED("stdbuf"),
        REQUIRED("stty"),
        REQUIRED("sum"),
        REQUIRED("sync"),
        REQUIRED("tac"),
        REQUIRED("tail"),
        REQUIRED("tee"),
        REQUIRED("test"),
        REQUIRED("timeout"),
        REQUIRED("touch"),
        REQUIRED("tr"),
        REQUIRED("true"),
        REQUIRED("truncate"),
        OPTIONAL("tsort"),
        REQUIRED("tty"),
        REQUIRED("uname"),
        REQUIRED("unexpand"),
        REQUIRED("uniq"),
        REQUIRED("unlink"),
        OPTIONAL("users"),
        OPTIONAL("vdir"),
        REQUIRED("wc"),
        OPTIONAL("who"),
        REQUIRED("whoami"),
        REQUIRED("yes"),

        /* texts and files */
        REQUIRED("grep"),
        {"egrep", "-V", false},
        {"fgrep", "-V", false},
        REQUIRED("sed"),
        {"awk", "BEGIN{}", true},
        {"mawk", "BEGIN{}", false},
        OPTIONAL("gawk"),
        REQUIRED("find"),
        REQUIRED("xargs"),
        REQUIRED("diff"),
        REQUIRED("cmp"),
        OPTIONAL("diff3"),
        OPTIONAL("sdiff"),
        OPTIONAL("patch"),
        OPTIONAL("less"),
        OPTIONAL("more"),
        OPTIONAL("column"),
        OPTIONAL("hexdump"),
        OPTIONAL("rev"),
        {"xxd", "-v", false},
        OPTIONAL("jq"),
        OPTIONAL("bc"),

        /* archives */
        REQUIRED("tar"),
        REQUIRED("gzip"),
        OPTIONAL("gunzip"),
        OPTIONAL("zcat"),
        {"zgrep", "--version", false},
        {"bzip2", "--help", false},
        {"bunzip2", "--help", false},
        {"bzcat", "--help", false},
        OPTIONAL("xz"),
        OPTIONAL("unxz"),
        OPTIONAL("xzcat"),
        OPTIONAL("zstd"),
        OPTIONAL("unzstd"),
        OPTIONAL("zstdcat"),

        /* processes */
        REQUIRED("ps"),
        OPTIONAL("free"),
        OPTIONAL("kill"),
        OPTIONAL("pgrep"),
        OPTIONAL("pidof"),
        OPTIONAL("pkill"),
        OPTIONAL("pmap"),
        OPTIONAL("pwdx"),
        {"top", "-v", false},
        OPTIONAL("uptime"),
        OPTIONAL("vmstat"),
        OPTIONAL("watch"),
        OPTIONAL("flock"),
        OPTIONAL("getopt"),
        OPTIONAL("ionice"),
        OPTIONAL("prlimit"),
        OPTIONAL("renice"),
        OPTIONAL("script"),
        OPTIONAL("setsid"),
        OPTIONAL("taskset"),
        {"time", "-V", false},
        {"uuidgen", "--version", false},

        /* the system's */
        {"hostname", "--version", true},
        {"which", "sh", false},
        REQUIRED("getent"),
        OPTIONAL("getconf"),
        OPTIONAL("iconv"),
        {"ldd", "--version", false},
        OPTIONAL("locale"),
        {"clear", "-V", false},
        {"infocmp", "-V", false},
        {"tput", "-V", false},
        {"tset", "-V", false},
        {"reset", "-V", false},
        {"ip", "-V", false},
        {NULL, NULL, false},
};

const struct base_trial base_trials[] = {
        {"printf 'b\\na\\n' | sort | tr '\\n' ' '", "sort tr", "a b "},
        {"date -u -d @0 +%Y", "date", "1970\n"},
        {"TZ=Asia/Tokyo date -d @0 +%H", "date", "09\n"},
        {"getent passwd root | cut -d: -f3", "getent cut", "0\n"},
        {"getent hosts localhost > /tmp/hosts && echo found", "getent", "found\n"},
        {"getent protocols tcp > /tmp/protocols && echo found", "getent", "found\n"},
        {"printf 'caf\\303\\251' | iconv -f UTF-8 -t ISO-8859-1 | od -An -tx1", "iconv od", " 63 61 66 e9\n"},
        {"printf a | iconv -f UTF-8 -t UTF-16LE | od -An -tx1", "iconv od", " 61 00\n"},
        {"LC_ALL=C.UTF-8 locale charmap", "locale", "UTF-8\n"},
        {"printf '\\303\\251' | LC_ALL=C.UTF-8 wc -m", "wc", "1\n"},
        {"echo abc | grep -o b | sed s/b/x/ | awk '{print $1 \"y\"}'", "grep sed awk", "xy\n"},
        {"cd /tmp && echo hi > file && tar czf - file | tar xzO", "tar gzip", "hi\n"},
        {"find / -maxdepth 1 -name usr", "find", "/usr\n"},
        {"ps -o comm= -p $$", "ps", "sh\n"},
        {"TERM=xterm-256color tput colors", "tput", "256\n"},
        {"echo $((6 * 7)) | bash -c 'read -r x; [[ $x == 42 ]] && echo \"${x}!\"'", "bash", "42!\n"},
        {"stdbuf -o0 echo through", "stdbuf", "through\n"},
        {"test -s /etc/ssl/certs/ca-certificates.crt && echo there", "test", "there\n"},
        {NULL, NULL, NULL},
};

const char *const base_libraries[] = {
        "libgcc_s.so.1", /* pthread_cancel, backtrace */
        "libnss_files.so.2",
        "libnss_dns.so.2",
        "libnss_compat.so.2",
        "libresolv.so.2",
        /* The standard C++ library: what programs that jobs bring along most often need. */
        "libstdc++.so.6",
        /* What glibc 2.34 took into libc but older programs still name. */
        "libpthread.so.0",
        "libdl.so.2",
        "librt.so.1",
        "libutil.so.1",
        "libanl.so.1",
        "libm.so.6",
        /* Name services of hosts that resolve through systemd are left out: its sockets are not in a job. */
        NULL,
};

const char *const base_library_files[] = {
        "gconv/gconv-modules",
        "gconv/gconv-modules.cache",
        "gconv/UTF-16.so",
        "gconv/UTF-32.so",
        "gconv/UTF-7.so",
        "gconv/UNICODE.so",
        "gconv/ISO8859-1.so",
        "gconv/ISO8859-2.so",
        "gconv/ISO8859-15.so",
        "gconv/CP1252.so",
        "gconv/IBM437.so",
        "gconv/IBM850.so",
        "gconv/KOI8-R.so",
        "ossl-modules/legacy.so",
        "coreutils/libstdbuf.so",
        NULL,
};

const char *const base_files[] = {
        /* stdbuf preloads it */
        "/usr/libexec/coreutils/libstdbuf.so",
        /* Certificates: one bundle, under the names of several distributions */
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/ssl/cert.pem",
        "/etc/ssl/openssl.cnf",
        "/usr/lib/ssl/cert.pem",
        "/usr/lib/ssl/openssl.cnf",
        "/etc/pki/tls/cert.pem",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/protocols",
        "/etc/services",
        "/etc/os-release",
        "/usr/lib/os-release",
        "/etc/debian_version",
        NULL,
};

static const char *const zoneinfo_but[] = {"posix", "right", "localtime", NULL};

const struct base_directory base_directories[] = {
        {"/usr/share/zoneinfo", zoneinfo_but},
        {"/usr/lib/locale/C.utf8", NULL},
        {"/usr/lib/locale/C.UTF-8", NULL},
        {NULL, NULL},
};

const char *const base_terminals[] = {"ansi", "dumb", "linux", "rxvt", "screen", "screen-256color", "tmux",
        "tmux-256color", "vt100", "vt220", "xterm", "xterm-256color", "xterm-color", NULL};

const char *const base_empty_directories[] = {"/dev", "/proc", "/sys", "/work", "/tmp", "/run", "/volumes", "/etc",
        "/home", "/mnt", "/opt", "/root", "/srv", "/usr", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/local",
        "/usr/local/bin", "/usr/local/lib", "/usr/share", "/var", "/var/lib", "/var/cache", NULL};

const struct base_text base_texts[] = {
        /* Mounted over in each job. */
        {"/etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"},
        {"/etc/hostname", "job\n"},
        {"/etc/resolv.conf", "# A job has a loopback interface only.\n"},
        {"/etc/host.conf", "multi on\n"},
        {"/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n"
                               "protocols: files\nservices: files\nethers: files\nrpc: files\n"},
        {"/etc/shells", "/bin/sh\n/bin/bash\n"},
        {"/etc/timezone", "Etc/UTC\n"},
        {"/etc/profile", "[ -n \"$PATH\" ] || PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
                         "export PATH\n"},
        {NULL, NULL},
};

/* FNV-1a, a separator after each text. */
static void digest(uint64_t *hash, const char *text)
{
    for (const char *c = text ? text : ""; *c; c++)
        *hash = (*hash ^ (unsigned char)*c) * 0x100000001b3ULL;
    *hash = (*hash ^ 0xff) * 0x100000001b3ULL;
}

static void digest_list(uint64_t *hash, const char *const *list)
{
    for (; *list; list++)
        digest(hash, *list);
    digest(hash, NULL);
}

uint64_t base_lists_digest(void)
{
    uint64_t hash = 0xcbf29ce484222325ULL;
    for (const struct base_command *command = base_commands; command->name; command++)
        digest(&hash, command->name);
    for (const struct base_directory *directory = base_directories; directory->path; directory++)
        digest(&hash, directory->path);
    for (const struct base_text *text = base_texts; text->path; text++) {
        digest(&hash, text->path);
        digest(&hash, text->text);
    }
    digest_list(&hash, base_libraries);
    digest_list(&hash, base_library_files);
    digest_list(&hash, base_files);
    digest_list(&hash, base_terminals);
    digest_list(&hash, base_empty_directories);
    return hash;
}
