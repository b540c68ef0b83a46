/* What a program or library needs to start, from its ELF headers: interpreter and libraries. Nothing is run for it. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define ELF_NEEDED_MAX 128
#define ELF_DIRECTORIES_MAX 64

struct elf_file {
    int class;         /* ELFCLASS32 or ELFCLASS64 */
    int machine;       /* EM_X86_64 ... */
    char *interpreter; /* NULL for a static program or a library */
    char *runpath;     /* DT_RUNPATH, else DT_RPATH, else NULL */
    char *needed[ELF_NEEDED_MAX];
    size_t needed_count;
};

/* Where the dynamic linker of a root looks: ld.so.conf with what it includes, then the built-in directories. Nothing
 * outside of that root is looked at, whatever links it holds. */
struct elf_search {
    int root_fd; /* borrowed; AT_FDCWD: our own root */
    size_t files;
    char *directories[ELF_DIRECTORIES_MAX];
    size_t count;
};

/* Reads the headers of @fd, named @name in errors. 0 (to be ended with elf_done); 1 not an ELF file; -errno with
 * @error. */
int elf_read(int fd, const char *name, struct elf_file *ret_file, struct error *error);
void elf_done(struct elf_file *file);

/* True when the file at @path in the root of @root_fd (AT_FDCWD: ours) is an ELF file for the same machine as @file. */
bool elf_fits(int root_fd, const char *path, const struct elf_file *file);

/* Reads the list of the root of @root_fd, which must outlive @search. 0 (to be ended with elf_search_done) or -errno
 * with
 * @error. */
int elf_search_init(struct elf_search *search, int root_fd, struct error *error);
void elf_search_done(struct elf_search *search);

/* Finds the library @name that the file at @path (absolute, for $ORIGIN) needs: the first of that name that is made for
 * the same machine. 0; -ENOENT when there is none. */
int elf_find_library(const struct elf_search *search, const struct elf_file *file, const char *path, const char *name,
        char ret_path[PATH_MAX]);
