/* Stands in for joblet-builder in the tests of joblet: does as it is told by the first word after the mode.
 *
 *     install SCRIPT            a shell's, of the host's software
 *     collect WHAT SCRIPT...    copy: the base root becomes the runtime, and each NAME=TEXT a file in its root
 *     verify WHAT
 *     sweep                     empties /stage
 *
 * WHAT: copy, pass, fail (exit status 3), changed (75: the host did), hang; and try: tells what can be written. Static,
 * as joblet-builder is: in these sandboxes there is no library. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(const char *what)
{
    (void)printf("%s: %s\n", what, strerror(errno));
    exit(1);
}

static void copy(int from_dir, int to_dir, const char *name);

static void copy_directory(int from_dir, int to_dir, const char *name)
{
    int from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (mkdirat(to_dir, name, 0755) < 0 && errno != EEXIST)
        fail(name);
    int to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    DIR *directory = fdopendir(from);
    if (!directory || to < 0)
        fail(name);
    for (struct dirent *entry; (entry = readdir(directory));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            copy(dirfd(directory), to, entry->d_name);
    (void)closedir(directory);
    (void)close(to);
}

static void copy_file(int from_dir, int to_dir, const char *name, const struct stat *status)
{
    int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW);
    int to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL, status->st_mode & 0777);
    if (from < 0 || to < 0 || sendfile(to, from, NULL, (size_t)status->st_size) != status->st_size)
        fail(name);
    (void)close(from);
    (void)close(to);
}

static void copy(int from_dir, int to_dir, const char *name)
{
    struct stat status;
    char target[PATH_MAX];
    if (fstatat(from_dir, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        fail(name);
    if (S_ISDIR(status.st_mode)) {
        copy_directory(from_dir, to_dir, name);
    } else if (S_ISLNK(status.st_mode)) {
        ssize_t length = readlinkat(from_dir, name, target, sizeof(target) - 1);
        target[length > 0 ? length : 0] = '\0';
        if (symlinkat(target, to_dir, name) < 0)
            fail(name);
    } else if (S_ISREG(status.st_mode)) {
        copy_file(from_dir, to_dir, name, &status);
    }
}

static void write_text(int dir, const char *name, const char *text)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        fail(name);
    (void)close(fd);
}

static void collect(int count, char **words)
{
    int stage = open("/stage", O_RDONLY | O_DIRECTORY);
    int base = open("/base", O_RDONLY | O_DIRECTORY);
    if (stage < 0 || base < 0 || mkdirat(stage, "isolated", 0755) < 0)
        fail("/stage");
    int root = openat(stage, "isolated", O_RDONLY | O_DIRECTORY);
    copy_directory(base, root, ".");
    write_text(stage, "manifest", "");
    for (int i = 2; i < count; i++) {
        char *equals = strchr(words[i], '=');
        *equals = '\0';
        write_text(root, words[i], equals + 1);
    }
    if (syncfs(stage) < 0)
        fail("syncfs");
}

static void empty(int dir)
{
    DIR *directory = fdopendir(dup(dir));
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(dir, entry->d_name, 0) == 0)
            continue;
        int below = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (below >= 0)
            empty(below);
        (void)close(below);
        if (unlinkat(dir, entry->d_name, AT_REMOVEDIR) < 0)
            fail(entry->d_name);
    }
    if (directory)
        (void)closedir(directory);
}

/* One line for each place: what came of writing there. */
static void try_places(void)
{
    static const char *const places[] = {"/stage", "/base", "/cache", "/merged", "/upper", "/lower", "/tmp", "/"};
    (void)printf("ids %u %u\n", getuid(), getgid());
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        int dir = open(places[i], O_RDONLY | O_DIRECTORY);
        if (dir < 0 || mkdirat(dir, "tried", 0700) < 0)
            (void)printf("%s %s\n", places[i], strerror(errno));
        else
            (void)printf("%s written %d\n", places[i], unlinkat(dir, "tried", AT_REMOVEDIR));
    }
}

int main(int count, char **words)
{
    const char *what = count > 1 ? words[1] : "";
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (strcmp(words[0], "install") == 0)
        return execl("/bin/sh", "sh", "-c", what, (char *)NULL);
    if (strcmp(words[0], "sweep") == 0) {
        empty(open("/stage", O_RDONLY | O_DIRECTORY));
        return 0;
    }
    if (strcmp(what, "copy") == 0)
        collect(count, words);
    else if (strcmp(what, "try") == 0)
        try_places();
    else if (strcmp(what, "hang") == 0)
        for (;;)
            (void)pause();
    return strcmp(what, "fail") == 0 ? 3 : strcmp(what, "changed") == 0 ? 75 : 0;
}
