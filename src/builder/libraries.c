/* Libraries: those of the recipe's patterns, what programs and libraries of the runtime need by their ELF headers and
 * no package brought, and at last, in the finished tree, that the runtime's own programs can start. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "builder/collect.h"
#include "builder/root.h"
#include "builder/rules.h"
#include "builder/say.h"
#include "elf/elf_file.h"

#define GLOB_MATCHES_MAX 20000U
#define GLOB_DEPTH_MAX 32U
#define SCRIPT_DEPTH_MAX 4U

struct globbing {
    struct collect *collect;
    unsigned matches;
};

static int glob_below(struct globbing *globbing, const char *directory, const char *pattern);

static int glob_name(struct globbing *globbing, const char *directory, const char *name, const char *rest)
{
    struct collect *collect = globbing->collect;
    char path[PATH_MAX];
    struct tree_owner owner = {ORIGIN_SCRIPT, 0};
    if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= PATH_MAX)
        return 0;
    if (++globbing->matches > GLOB_MATCHES_MAX)
        return error_text(collect->error, E2BIG, "a pattern of libraries finds more than %u names", GLOB_MATCHES_MAX);
    if (*rest)
        return glob_below(globbing, path, rest);
    struct stat status;
    if (root_stat(collect->merged_fd, path, &status) == 0 && S_ISREG(status.st_mode))
        owner = collect_owner_of_time(collect, collect_ctime_ns(&status));
    int r = tree_add(&collect->tree, TREE_MERGED, path, owner, collect_admit, collect);
    return r < 0 ? r : 0;
}

/* A star goes into directories alone: what links lead to has a name of its own. */
static bool is_directory(const struct collect *collect, const char *directory, const char *name)
{
    char path[PATH_MAX];
    struct stat status;
    return snprintf(path, sizeof(path), "%s/%s", directory, name) < PATH_MAX &&
           root_stat(collect->merged_fd, path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* Matches @pattern, component by component, below the canonical @directory. */
static int glob_below(struct globbing *globbing, const char *directory, const char *pattern)
{
    struct collect *collect = globbing->collect;
    char part[NAME_MAX + 1];
    pattern += strspn(pattern, "/");
    size_t size = strcspn(pattern, "/");
    if (size == 0 || size >= sizeof(part))
        return 0;
    memcpy(part, pattern, size);
    part[size] = '\0';
    char canonical[PATH_MAX];
    char probe[PATH_MAX];
    /* A directory of the pattern may be a link: the place behind it. */
    if (snprintf(probe, sizeof(probe), "%s/%s", directory, "x") >= PATH_MAX)
        return 0;
    int r = tree_resolve(&collect->tree, TREE_MERGED, probe, (struct tree_owner){ORIGIN_SCRIPT, 0}, canonical);
    if (r != 0)
        return r < 0 ? r : 0;
    canonical[strlen(canonical) - 2] = '\0';
    if (!strpbrk(part, "*?["))
        return glob_name(globbing, canonical, part, pattern + size);
    int fd = root_open_directory(collect->merged_fd, *canonical ? canonical : "/");
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream) {
        (void)fd_close(fd);
        return 0;
    }
    const struct dirent *entry;
    while (r == 0 && (entry = readdir(stream)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
                fnmatch(part, entry->d_name, FNM_PERIOD) == 0 &&
                (pattern[size] == '\0' || is_directory(collect, canonical, entry->d_name)))
            r = glob_name(globbing, canonical, entry->d_name, pattern + size);
    (void)closedir(stream);
    return r;
}

/* True for what may be an ELF file; the rest is not opened. */
static bool may_be_elf(const char *path, const struct tree_entry *entry)
{
    const char *slash = strrchr(path, '/');
    return S_ISREG(entry->mode) && (entry->source == TREE_MERGED || entry->source == TREE_ISOLATED) &&
           !entry->is_dropped && entry->size >= 64 &&
           ((entry->mode & 0111) || strstr(slash, ".so") || strstr(slash, ".node"));
}

/* What the file needs and the builder root has. What is not there was not there in the build either. */
static int add_needed(struct collect *collect, const struct elf_search *search, uint32_t number)
{
    const char *path = collect->tree.paths.texts[number];
    const struct tree_entry *entry = &collect->tree.entries[number];
    _cleanup_close_ int fd = root_open_file(collect->tree.roots[entry->source], entry->from ? entry->from : path);
    struct elf_file file;
    struct tree_owner owner = entry->owner;
    if (fd < 0 || elf_read(fd, path, &file, NULL) != 0)
        return 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < file.needed_count; i++) {
        char found[PATH_MAX];
        if (elf_find_library(search, &file, path, file.needed[i], found) == 0)
            r = tree_add(&collect->tree, TREE_MERGED, found, owner, collect_admit, collect);
        r = r < 0 ? r : 0;
    }
    if (r == 0 && file.interpreter && *file.interpreter == '/')
        r = tree_add(&collect->tree, TREE_MERGED, file.interpreter, owner, collect_admit, collect);
    elf_done(&file);
    return r < 0 ? r : 0;
}

int libraries_add(struct collect *collect)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < collect->words->count; i++) {
        const struct word *word = &collect->words->items[i];
        struct globbing globbing = {collect, 0};
        if (word->kind != WORD_LIBRARY)
            continue;
        r = root_depth(word->name) <= GLOB_DEPTH_MAX
                    ? glob_below(&globbing, "", word->name)
                    : error_text(collect->error, EINVAL, "recipe: 'library' may not be '%.60s'", word->name);
    }
    struct elf_search search;
    if (r == 0)
        r = elf_search_init(&search, collect->merged_fd, collect->error);
    if (r < 0)
        return r;
    /* What is added on the way has its turn, too. */
    for (uint32_t i = 0; r == 0 && i < collect->tree.paths.count; i++)
        if (may_be_elf(collect->tree.paths.texts[i], &collect->tree.entries[i]))
            r = add_needed(collect, &search, i);
    elf_search_done(&search);
    return r;
}

/* ---- the finished tree ---- */

struct checking {
    struct collect *collect;
    struct elf_search search;
    struct map seen;
    const char *program; /* the word */
};

struct image {
    const char *path;
    const struct elf_file *file;
};

/* What one file needs is there; those files come into checking->seen, to be looked at in their turn. The program's own
 * search path holds for the libraries of its libraries, too. */
static int check_image(struct checking *checking, const struct image *image, const struct image *program)
{
    struct collect *collect = checking->collect;
    const struct elf_file *file = image->file;
    char found[PATH_MAX];
    char canonical[PATH_MAX];
    uint32_t number;
    if (file->interpreter && tree_follow(&collect->tree, file->interpreter, canonical) != 0)
        return error_text(collect->error, ENOENT, "'%.60s' needs the loader '%.60s', which is not in the runtime",
                image->path, file->interpreter);
    for (size_t i = 0; i < file->needed_count; i++) {
        if ((elf_find_library(&checking->search, file, image->path, file->needed[i], found) < 0 &&
                    elf_find_library(&checking->search, program->file, program->path, file->needed[i], found) < 0) ||
                tree_follow(&collect->tree, found, canonical) != 0)
            return error_text(collect->error, ENOENT, "'%.60s' needs the library '%.60s', which is not in the runtime",
                    image->path, file->needed[i]);
        if (map_add(&checking->seen, canonical, strlen(canonical), &number) < 0)
            return error_errno(collect->error, ENOMEM, "check '%.60s'", image->path);
    }
    return 0;
}

/* 0 (to be ended with elf_done); 1 not an ELF file; -errno. */
static int read_image(const struct checking *checking, const char *path, struct elf_file *ret_file)
{
    _cleanup_close_ int fd = root_open_file(checking->collect->root_fd, path);
    if (fd < 0)
        return error_errno(checking->collect->error, -fd, "read '%.60s'", path);
    return elf_read(fd, path, ret_file, checking->collect->error);
}

/* The program at @path and all that it needs, each file once. 0; 1 when it is no ELF file; -errno. */
static int check_elf(struct checking *checking, const char *path)
{
    uint32_t first = checking->seen.count;
    uint32_t number;
    struct elf_file program;
    if (map_add(&checking->seen, path, strlen(path), &number) < 0)
        return error_errno(checking->collect->error, ENOMEM, "check '%.60s'", path);
    if (number < first)
        return 0;
    int r = read_image(checking, path, &program);
    if (r != 0)
        return r;
    const struct image main_image = {path, &program};
    r = check_image(checking, &main_image, &main_image);
    for (uint32_t i = first + 1; r == 0 && i < checking->seen.count; i++) {
        struct elf_file file;
        r = read_image(checking, checking->seen.texts[i], &file);
        if (r != 0)
            break;
        const struct image image = {checking->seen.texts[i], &file};
        r = check_image(checking, &image, &main_image);
        elf_done(&file);
    }
    elf_done(&program);
    return r < 0 ? r : 0;
}

/* The canonical path of an executable in the runtime's PATH (or of a path). */
static bool find_program(struct collect *collect, const char *name, char ret_path[PATH_MAX])
{
    const struct word *word = words_find(collect->words, WORD_PATH);
    const char *at = strchr(name, '/') ? "" : word ? word->name : "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
    for (;;) {
        size_t length = strcspn(at, ":");
        char path[PATH_MAX];
        if (snprintf(path, sizeof(path), "%.*s%s%s", (int)length, at, length ? "/" : "", name) < PATH_MAX &&
                tree_follow(&collect->tree, path, ret_path) == 0) {
            const struct tree_entry *entry = tree_find(&collect->tree, ret_path);
            if (S_ISREG(entry->mode) && (entry->mode & 0111))
                return true;
        }
        at += length;
        if (*at++ != ':')
            return false;
    }
}

static int check_program(struct checking *checking, const char *name, unsigned depth);

/* "#!/usr/bin/env node" */
static int check_script(struct checking *checking, const char *path, unsigned depth)
{
    _cleanup_close_ int fd = root_open_file(checking->collect->root_fd, path);
    char line[256];
    ssize_t size = fd < 0 ? -1 : pread(fd, line, sizeof(line) - 1, 0);
    if (size < 3 || strncmp(line, "#!", 2) != 0 || depth == SCRIPT_DEPTH_MAX)
        return 0;
    line[size] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    char *rest = line + 2;
    char *interpreter = NULL;
    while ((interpreter = strsep(&rest, " \t")) && *interpreter == '\0')
        ;
    if (!interpreter)
        return 0;
    const char *slash = strrchr(interpreter, '/');
    if (slash && strcmp(slash + 1, "env") == 0 && rest && *rest != '-')
        interpreter = strsep(&rest, " \t");
    return check_program(checking, interpreter, depth + 1);
}

static int check_program(struct checking *checking, const char *name, unsigned depth)
{
    char path[PATH_MAX];
    if (!find_program(checking->collect, name, path)) {
        if (depth == 0)
            return error_text(
                    checking->collect->error, ENOENT, "the program '%.60s' is not in the runtime's PATH", name);
        return error_text(checking->collect->error, ENOENT, "'%.60s' needs '%.60s', which is not in the runtime",
                checking->program, name);
    }
    int r = check_elf(checking, path);
    return r == 1 ? check_script(checking, path, depth) : r;
}

int libraries_check(struct collect *collect)
{
    struct checking checking = {.collect = collect};
    int r = elf_search_init(&checking.search, collect->root_fd, collect->error);
    if (r < 0)
        return r;
    if (map_init(&checking.seen, TREE_ENTRIES_MAX) < 0)
        r = error_errno(collect->error, ENOMEM, "check the runtime's programs");
    for (size_t i = 0; r == 0 && i < collect->words->count; i++) {
        checking.program = collect->words->items[i].name;
        if (collect->words->items[i].kind == WORD_BINARY)
            r = check_program(&checking, checking.program, 0);
    }
    map_done(&checking.seen);
    elf_search_done(&checking.search);
    return r;
}
