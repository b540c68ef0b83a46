"""Makes the wrappers of the fault injection: one around every function that our objects leave open to the C library, but for
those below. So a call that is new in our code is a point of the test without anybody's doing.

    generate.py NM SOURCES OUT.c OUT.args COUNT ARCHIVE...

COUNT: of the archives that come first, whose functions are ours, but whose own calls do not count."""

import re
import subprocess
import sys

# No point, by reason.
NO_KERNEL = """
    memchr memrchr memmem memcmp memcpy memmove memset explicit_bzero strcasecmp strchr strcmp strcpy strcspn strlen strncmp strncpy strrchr
    strspn strstr strtok_r strpbrk strnlen stpcpy strtol strtoul strtoull strtoll strerror strerrordesc_np atoi qsort bsearch
    snprintf vsnprintf sscanf inet_ntop inet_pton getenv environ dirfd sigaddset sigemptyset sigfillset sigdelset
    localtime_r gmtime_r timegm strftime __ctype_b_loc __errno_location __libc_current_sigrtmin __udivti3 __umodti3
    _GLOBAL_OFFSET_TABLE_"""
CANNOT_FAIL = "clock_gettime umask free nft_ctx_free nft_ctx_get_error_buffer"
# Linux takes the descriptor away whatever the call says, and nobody asks.
GONE_ANYHOW = "close closedir"
ENDS = "_exit exit abort __assert_fail __stack_chk_fail"
# The service's event loop: without it joblet ends, and starts again (tests/e2e/test_recovery.py).
LOOP = "epoll_create1 epoll_ctl epoll_wait"
NO_POINTS = set(" ".join([NO_KERNEL, CANNOT_FAIL, GONE_ANYHOW, ENDS, LOOP]).split())

POINTERS = set("calloc malloc realloc reallocarray strdup nft_ctx_new opendir fdopendir readdir realpath fopen fgets mmap".split())

DETAILS = {
    "DETAIL_PATH_FIRST": "access chdir execve fsopen open opendir readlink realpath rmdir stat lstat umount2 sethostname "
                         "setdomainname mkdir mknod mount memfd_create",
    "DETAIL_PATH_SECOND": "execveat faccessat fchmodat fchownat fstatat mkdirat mknodat mount_setattr move_mount open_tree "
                          "openat readlinkat statx unlinkat",
    "DETAIL_KEY_THIRD": "fsconfig",
    "DETAIL_FIRST": "prctl getrlimit setrlimit",
    "DETAIL_SECOND": "fcntl ioctl dup2 dup3 pread send recv syscall",
    "DETAIL_TEXT": "write",
}


def plain(symbol):
    """The name as people know it: without the marks of fortified and of large-file functions."""
    name = re.sub(r"_chk$|_2$", "", re.sub(r"^__(isoc99_)?", "", symbol)) if symbol.startswith("__") else symbol
    return re.sub(r"64$", "", name) or symbol


def symbols(nm, archives, *options):
    text = subprocess.run([nm, *options, *archives], check=True, capture_output=True, text=True).stdout
    return {line.split()[-1] for line in text.splitlines() if line and not line.endswith(":")}


def main():
    nm, sources, code, arguments, count, *archives = sys.argv[1:]
    ours = symbols(nm, archives, "--defined-only", "--extern-only")
    open_ones = symbols(nm, archives[int(count):], "--undefined-only") - ours
    points = sorted(name for name in open_ones if name not in NO_POINTS and plain(name) not in NO_POINTS)
    detail_of = {name: detail for detail, names in DETAILS.items() for name in names.split()}
    numbers = set()
    for path in subprocess.run(["find", sources, "-name", "*.c"], check=True, capture_output=True, text=True).stdout.split():
        with open(path, encoding="utf-8") as file:
            numbers.update(re.findall(r"syscall\((SYS_\w+)", file.read()))
    with open(code, "w", encoding="utf-8") as out:
        out.write('#include <sys/syscall.h>\n#include "faults.h"\n')
        for symbol in points:
            name = plain(symbol)
            out.write(f"""
long __real_{symbol}();
long __wrap_{symbol}(long a, long b, long c, long d, long e, long f, long g)
{{
    static const struct faults_call call = {{"{name}", {detail_of.get(name, "DETAIL_NONE")}, {int(name in POINTERS)}}};
    const long arguments[6] = {{a, b, c, d, e, f}};
    if (faults_before(&call, arguments))
        return faults_result({0 if name in POINTERS else -1}, {"c" if name in ("write", "pwrite") else "0"});
    return faults_after(&call, arguments, __real_{symbol}(a, b, c, d, e, f, g));
}}
""")
        out.write("\nconst char *faults_syscall_name(long number)\n{\n    switch (number) {\n")
        for number in sorted(numbers):
            out.write(f'    case {number}:\n        return "{number[4:]}";\n')
        out.write('    default:\n        return "syscall";\n    }\n}\n')
    with open(arguments, "w", encoding="utf-8") as out:
        out.writelines(f"--wrap={name}\n" for name in points)


main()
