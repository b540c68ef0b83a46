#include "elf/elf_file.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <gelf.h>
#include <libelf.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

#define CONF_DEPTH_MAX 4
/* Files that include each other: their number, not only their depth, is bounded. */
#define CONF_FILES_MAX 512

/* Below another root its links stay inside; what is no file is not waited for. */
static int open_in_root(int root_fd, const char *path, uint64_t flags)
{
    if (root_fd == AT_FDCWD)
        return open(path, (int)flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const struct open_how how = {
            .flags = flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
}

/* No program has more; a file made to look so is not read into memory. */
#define INTERPRETER_SIZE_MAX 4096U
#define DYNAMIC_SIZE_MAX (1U << 20)
#define STRINGS_SIZE_MAX (64U << 20)

static bool is_elf(int fd)
{
    char magic[SELFMAG];
    return pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) && memcmp(magic, ELFMAG, SELFMAG) == 0;
}

/* A string of at most @size bytes at @offset of the file: bounded, whatever the headers say. */
static char *chunk_text(Elf *elf, size_t offset, size_t size)
{
    const Elf_Data *data = elf_getdata_rawchunk(elf, (int64_t)offset, size, ELF_T_BYTE);
    return data && data->d_buf ? text_dup_bounded(data->d_buf, data->d_size) : NULL;
}

/* The place in the file of what is loaded at @address; 0 when nothing is. */
static size_t file_offset(Elf *elf, size_t headers, GElf_Addr address)
{
    for (size_t i = 0; i < headers; i++) {
        GElf_Phdr header;
        if (gelf_getphdr(elf, (int)i, &header) && header.p_type == PT_LOAD && address >= header.p_vaddr &&
                address - header.p_vaddr < header.p_filesz)
            return header.p_offset + (address - header.p_vaddr);
    }
    return 0;
}

static int read_dynamic_entry(
        const GElf_Dyn *entry, const char *strings, size_t strings_size, bool *has_runpath, struct elf_file *file)
{
    bool runpath = entry->d_tag == DT_RUNPATH;
    bool wanted = entry->d_tag == DT_NEEDED || runpath || (entry->d_tag == DT_RPATH && !*has_runpath);
    if (!wanted)
        return 0;
    if (entry->d_un.d_val >= strings_size)
        return -EINVAL;
    char *text = text_dup_bounded(strings + entry->d_un.d_val, strings_size - entry->d_un.d_val);
    if (!text)
        return -ENOMEM;
    if (entry->d_tag == DT_NEEDED) {
        if (file->needed_count == ELF_NEEDED_MAX) {
            free(text);
            return -E2BIG;
        }
        file->needed[file->needed_count++] = text;
        return 0;
    }
    free(file->runpath);
    file->runpath = text;
    *has_runpath = runpath;
    return 0;
}

static int read_dynamic(Elf *elf, size_t headers, const GElf_Phdr *segment, struct elf_file *file)
{
    if (segment->p_filesz > DYNAMIC_SIZE_MAX)
        return -EINVAL;
    Elf_Data *data = elf_getdata_rawchunk(elf, (int64_t)segment->p_offset, segment->p_filesz, ELF_T_DYN);
    size_t entry_size = gelf_fsize(elf, ELF_T_DYN, 1, EV_CURRENT);
    if (!data || entry_size == 0)
        return -EINVAL;
    size_t count = data->d_size / entry_size;
    size_t strings_offset = 0;
    size_t strings_size = 0;
    GElf_Dyn entry;
    for (size_t i = 0; i < count && gelf_getdyn(data, (int)i, &entry) && entry.d_tag != DT_NULL; i++) {
        if (entry.d_tag == DT_STRTAB)
            strings_offset = file_offset(elf, headers, entry.d_un.d_ptr);
        else if (entry.d_tag == DT_STRSZ)
            strings_size = entry.d_un.d_val;
    }
    const Elf_Data *strings = strings_offset && strings_size <= STRINGS_SIZE_MAX
                                      ? elf_getdata_rawchunk(elf, (int64_t)strings_offset, strings_size, ELF_T_BYTE)
                                      : NULL;
    if (!strings || !strings->d_buf)
        return -EINVAL;
    bool has_runpath = false;
    int r = 0;
    for (size_t i = 0; r == 0 && i < count && gelf_getdyn(data, (int)i, &entry) && entry.d_tag != DT_NULL; i++)
        r = read_dynamic_entry(&entry, strings->d_buf, strings->d_size, &has_runpath, file);
    return r;
}

static int read_headers(Elf *elf, struct elf_file *file)
{
    GElf_Ehdr header;
    size_t count;
    if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header) || elf_getphdrnum(elf, &count) < 0)
        return -EINVAL;
    file->class = gelf_getclass(elf);
    file->machine = header.e_machine;
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        GElf_Phdr segment;
        if (!gelf_getphdr(elf, (int)i, &segment))
            return -EINVAL;
        if (segment.p_type == PT_INTERP && !file->interpreter) {
            file->interpreter = segment.p_filesz <= INTERPRETER_SIZE_MAX
                                        ? chunk_text(elf, segment.p_offset, segment.p_filesz)
                                        : NULL;
            r = file->interpreter ? 0 : -EINVAL;
        } else if (segment.p_type == PT_DYNAMIC) {
            r = read_dynamic(elf, count, &segment, file);
        }
    }
    return r;
}

int elf_read(int fd, const char *name, struct elf_file *ret_file, struct error *error)
{
    if (!is_elf(fd))
        return 1;
    if (elf_version(EV_CURRENT) == EV_NONE)
        return error_text(error, EIO, "libelf is too old");
    Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
    if (!elf)
        return error_text(error, EIO, "'%s': %s", name, elf_errmsg(-1));
    struct elf_file file = {0};
    int r = read_headers(elf, &file);
    (void)elf_end(elf);
    if (r < 0) {
        elf_done(&file);
        return error_text(error, -r, "'%s': its ELF headers cannot be read", name);
    }
    *ret_file = file;
    return 0;
}

void elf_done(struct elf_file *file)
{
    free(file->interpreter);
    free(file->runpath);
    for (size_t i = 0; i < file->needed_count; i++)
        free(file->needed[i]);
    *file = (struct elf_file){0};
}

static int add_directory(struct elf_search *search, const char *path, size_t length)
{
    if (length == 0 || *path != '/')
        return 0;
    if (search->count == ELF_DIRECTORIES_MAX)
        return -E2BIG;
    char *copy = strndup(path, length);
    if (!copy)
        return -ENOMEM;
    search->directories[search->count++] = copy;
    return 0;
}

static int read_conf(struct elf_search *search, const char *path, unsigned depth);

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
    char *items[CONF_FILES_MAX];
    size_t count;
};

static int list_names(int directory_fd, const char *pattern, struct names *names)
{
    int copy = fcntl(directory_fd, F_DUPFD_CLOEXEC, 0);
    DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    if (!directory) {
        int r = -errno;
        (void)fd_close(copy);
        return r;
    }
    int r = 0;
    const struct dirent *entry;
    while (r == 0 && (entry = readdir(directory))) {
        if (fnmatch(pattern, entry->d_name, FNM_PERIOD) != 0)
            continue;
        char *name = names->count < CONF_FILES_MAX ? strdup(entry->d_name) : NULL;
        if (name)
            names->items[names->count++] = name;
        else
            r = names->count < CONF_FILES_MAX ? -ENOMEM : -E2BIG;
    }
    (void)closedir(directory);
    qsort(names->items, names->count, sizeof(names->items[0]), compare_names);
    return r;
}

/* As ldconfig does, in the order of names; patterns in the last component only, which is where they are. */
static int read_include(struct elf_search *search, const char *pattern, unsigned depth)
{
    const char *slash = strrchr(pattern, '/');
    if (*pattern != '/')
        return 0;
    char directory[PATH_MAX];
    if (snprintf(directory, sizeof(directory), "%.*s/", (int)(slash - pattern), pattern) >= PATH_MAX)
        return -ENAMETOOLONG;
    _cleanup_close_ int fd = open_in_root(search->root_fd, directory, O_DIRECTORY);
    if (fd < 0)
        return 0;
    struct names names = {0};
    int r = list_names(fd, slash + 1, &names);
    for (size_t i = 0; i < names.count; i++) {
        char path[PATH_MAX];
        if (r == 0 && snprintf(path, sizeof(path), "%s%s", directory, names.items[i]) < PATH_MAX)
            r = read_conf(search, path, depth + 1);
        free(names.items[i]);
    }
    return r;
}

static int read_conf(struct elf_search *search, const char *path, unsigned depth)
{
    if (depth > CONF_DEPTH_MAX || ++search->files > CONF_FILES_MAX)
        return -ELOOP;
    _cleanup_close_ int fd = open_in_root(search->root_fd, path, 0);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    if (!file)
        return errno == ENOENT ? 0 : -errno;
    fd = -EBADF;
    char line[1024];
    int r = 0;
    while (r == 0 && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "#\n")] = '\0';
        char *start = line + strspn(line, " \t");
        if (strncmp(start, "include", 7) == 0 && (start[7] == ' ' || start[7] == '\t')) {
            start += 7 + strspn(start + 7, " \t");
            start[strcspn(start, " \t")] = '\0';
            r = read_include(search, start, depth);
        } else {
            r = add_directory(search, start, strcspn(start, " \t="));
        }
    }
    (void)fclose(file);
    return r;
}

int elf_search_init(struct elf_search *search, int root_fd, struct error *error)
{
    static const char *const built_in[] = {"/lib64", "/usr/lib64", "/lib", "/usr/lib"};
    *search = (struct elf_search){.root_fd = root_fd};
    int r = read_conf(search, "/etc/ld.so.conf", 0);
    for (size_t i = 0; r == 0 && i < ELEMENTS(built_in); i++)
        r = add_directory(search, built_in[i], strlen(built_in[i]));
    if (r < 0) {
        elf_search_done(search);
        return error_errno(error, -r, "read /etc/ld.so.conf");
    }
    return 0;
}

void elf_search_done(struct elf_search *search)
{
    for (size_t i = 0; i < search->count; i++)
        free(search->directories[i]);
    *search = (struct elf_search){0};
}

/* The dynamic linker, too, passes over a library of another machine. */
bool elf_fits(int root_fd, const char *path, const struct elf_file *file)
{
    _cleanup_close_ int fd = open_in_root(root_fd, path, 0);
    unsigned char header[EI_NIDENT + 4];
    if (fd < 0 || read(fd, header, sizeof(header)) != (ssize_t)sizeof(header) || memcmp(header, ELFMAG, SELFMAG) != 0)
        return false;
    int machine = header[EI_DATA] == ELFDATA2MSB ? header[EI_NIDENT + 2] << 8 | header[EI_NIDENT + 3]
                                                 : header[EI_NIDENT + 3] << 8 | header[EI_NIDENT + 2];
    return header[EI_CLASS] == file->class && machine == file->machine;
}

static bool try_directory(int root_fd, const char *directory, size_t length, const char *origin, const char *name,
        const struct elf_file *file, char ret_path[PATH_MAX])
{
    static const char token[] = "$ORIGIN";
    static const char braced[] = "${ORIGIN}";
    size_t skip = 0;
    if (strncmp(directory, token, sizeof(token) - 1) == 0)
        skip = sizeof(token) - 1;
    else if (strncmp(directory, braced, sizeof(braced) - 1) == 0)
        skip = sizeof(braced) - 1;
    if (skip > length || (skip == 0 && *directory != '/'))
        return false;
    int written =
            snprintf(ret_path, PATH_MAX, "%s%.*s/%s", skip ? origin : "", (int)(length - skip), directory + skip, name);
    return written > 0 && written < PATH_MAX && elf_fits(root_fd, ret_path, file);
}

static bool try_runpath(
        int root_fd, const struct elf_file *file, const char *path, const char *name, char ret_path[PATH_MAX])
{
    char origin[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash)
        return false;
    (void)snprintf(origin, sizeof(origin), "%.*s", (int)(slash - path), path);
    const char *next = file->runpath;
    for (unsigned count = 0; next && *next && count < ELF_DIRECTORIES_MAX; count++) {
        size_t length = strcspn(next, ":");
        if (try_directory(root_fd, next, length, origin, name, file, ret_path))
            return true;
        next += length + (next[length] == ':');
    }
    return false;
}

int elf_find_library(const struct elf_search *search, const struct elf_file *file, const char *path, const char *name,
        char ret_path[PATH_MAX])
{
    if (strchr(name, '/')) {
        (void)snprintf(ret_path, PATH_MAX, "%s", name);
        return *name == '/' && elf_fits(search->root_fd, ret_path, file) ? 0 : -ENOENT;
    }
    if (try_runpath(search->root_fd, file, path, name, ret_path))
        return 0;
    for (size_t i = 0; i < search->count; i++) {
        const char *directory = search->directories[i];
        if (try_directory(search->root_fd, directory, strlen(directory), "", name, file, ret_path))
            return 0;
    }
    return -ENOENT;
}
