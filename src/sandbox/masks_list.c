#include "sandbox/masks_list.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "plan/host_layers.h"
#include "plan/suspects.h"
#include "sandbox/layers.h"
#include "sandbox/masks.h"

#define BUFFER_SIZE 32768U

/* By all processes of a crew. */
struct shared {
    uint64_t used; /* bytes of the file that are given out */
    uint64_t looked_at;
    uint32_t is_incomplete;
};

struct masks_list {
    struct suspects_head head; /* of the new one */
    struct shared *shared;
    unsigned walked; /* layers */
    unsigned looked_at;
    uint64_t counted;
    size_t used;
    char buffer[BUFFER_SIZE];

    bool is_given; /* and fits */
    struct suspects_head given;
    char *text;
    char **paths;
    size_t path_count;
};

static bool make_rules(const struct plan *plan, const struct masks_rules *rules, struct suspects_rules *ret_rules)
{
    _Static_assert(MASKS_HIDDEN_MAX == SUSPECTS_HIDDEN_MAX, "all that is hidden is compared");
    memset(ret_rules, 0, sizeof(*ret_rules));
    memcpy(ret_rules->absent_device, plan->build.absent_device, sizeof(ret_rules->absent_device));
    memcpy(ret_rules->absent_inode, plan->build.absent_inode, sizeof(ret_rules->absent_inode));
    for (size_t i = 0; i < rules->hidden_count; i++) {
        ret_rules->hidden_device[i] = rules->hidden_device[i];
        ret_rules->hidden_inode[i] = rules->hidden_inode[i];
    }
    for (size_t i = 0; i < PLAN_PATHS_MAX && rules->shown[i]; i++) {
        size_t length = strlen(rules->shown[i]);
        if (length >= SUSPECTS_SHOWN_MAX)
            return false;
        memcpy(ret_rules->shown[i], rules->shown[i], length);
    }
    return true;
}

/* The end of a path is below "/", and that is below every other byte: what is in a directory stands right behind it. */
static unsigned rank(char byte)
{
    return byte == '\0' ? 0U : byte == '/' ? 1U : 1U + (unsigned char)byte;
}

static int compare(const void *left, const void *right)
{
    const char *a = *(char *const *)left;
    const char *b = *(char *const *)right;
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return (int)rank(*a) - (int)rank(*b);
}

/* Each text that ends, sorted. */
static bool split(struct masks_list *list, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += list->text[i] == '\0';
    list->paths = calloc(count + 1, sizeof(*list->paths));
    if (!list->paths)
        return false;
    for (char *at = list->text; list->path_count < count; at += strlen(at) + 1)
        list->paths[list->path_count++] = at;
    qsort(list->paths, list->path_count, sizeof(*list->paths), compare);
    return true;
}

static bool read_given(struct masks_list *list)
{
    size_t whole;
    if (fd_check_sealed(PLAN_FD_LIST, SUSPECTS_SIZE_MAX, &whole) < 0 ||
            suspects_read_head(PLAN_FD_LIST, &list->given) < 0 || list->given.kind != SUSPECTS_WALKED ||
            memcmp(&list->given.rules, &list->head.rules, sizeof(list->head.rules)) != 0)
        return false;
    /* With what joblet has added: to the end of the file. */
    size_t size = whole - sizeof(list->given);
    list->text = malloc(size + 1);
    if (!list->text || pread(PLAN_FD_LIST, list->text, size, sizeof(list->given)) != (ssize_t)size)
        return false;
    return (size == 0 || list->text[size - 1] == '\0') && split(list, size);
}

struct masks_list *masks_list_new(const struct plan *plan, const struct masks_rules *rules)
{
    struct masks_list *list = plan->wants_list ? calloc(1, sizeof(*list)) : NULL;
    if (!list)
        return NULL;
    void *memory = mmap(NULL, sizeof(*list->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || !make_rules(plan, rules, &list->head.rules)) {
        if (memory != MAP_FAILED)
            (void)munmap(memory, sizeof(*list->shared));
        free(list);
        return NULL;
    }
    list->shared = memory;
    list->shared->used = sizeof(list->head);
    list->is_given = plan->has_list && read_given(list);
    return list;
}

void masks_list_free(struct masks_list *list)
{
    if (!list)
        return;
    (void)munmap(list->shared, sizeof(*list->shared));
    free(list->paths);
    free(list->text);
    free(list);
}

bool masks_list_find(struct masks_list *list, const char *path, const struct stat *status, char *const **ret_paths,
        size_t *ret_count)
{
    int number = list ? host_layers_find(path) : -1;
    if (number < 0)
        return false;
    list->head.layer_device[number] = status->st_dev;
    list->head.layer_inode[number] = status->st_ino;
    bool is_listed = list->is_given && list->given.layer_inode[number] == status->st_ino &&
                     list->given.layer_device[number] == status->st_dev;
    size_t first = 0;
    while (is_listed && first < list->path_count && !layers_path_is_in(list->paths[first], path))
        first++;
    size_t end = first;
    while (is_listed && end < list->path_count && layers_path_is_in(list->paths[end], path))
        end++;
    *(is_listed ? &list->looked_at : &list->walked) += 1;
    /* With the directory itself in the list, all of it is to be walked, and the list stays true. */
    if (!is_listed || (first < end && strcmp(list->paths[first], path) == 0))
        return false;
    *ret_paths = list->paths + first;
    *ret_count = end - first;
    return true;
}

void masks_list_count(struct masks_list *list)
{
    if (list)
        list->counted++;
}

void masks_list_spoil(struct masks_list *list)
{
    if (list)
        __atomic_store_n(&list->shared->is_incomplete, 1U, __ATOMIC_RELAXED);
}

void masks_list_flush(struct masks_list *list)
{
    if (!list)
        return;
    struct shared *shared = list->shared;
    (void)__atomic_add_fetch(&shared->looked_at, list->counted, __ATOMIC_RELAXED);
    uint64_t at = __atomic_fetch_add(&shared->used, list->used, __ATOMIC_RELAXED);
    if (at + list->used > SUSPECTS_SIZE_MAX || fd_pwrite_all(PLAN_FD_NEW_LIST, list->buffer, list->used, (off_t)at) < 0)
        masks_list_spoil(list);
    list->counted = 0;
    list->used = 0;
}

void masks_list_note(struct masks_list *list, const char *path)
{
    if (!list)
        return;
    size_t size = strlen(path + 1) + 1;
    if (size > BUFFER_SIZE - list->used)
        masks_list_flush(list);
    memcpy(list->buffer + list->used, path + 1, size);
    list->used += size;
}

void masks_list_finish(struct masks_list *list)
{
    if (!list)
        return;
    masks_list_flush(list);
    struct suspects_head *head = &list->head;
    head->magic = SUSPECTS_MAGIC;
    head->version = SUSPECTS_VERSION;
    head->used = list->shared->used;
    head->looked_at = list->shared->looked_at;
    head->walked = list->looked_at > 0 ? list->given.walked : head->looked_at;
    if (list->looked_at == 0 && list->walked > 0 && !list->shared->is_incomplete)
        head->kind = SUSPECTS_WALKED;
    else if (list->walked == 0 && list->looked_at > 0)
        head->kind = SUSPECTS_LOOKED;
    if (head->used > SUSPECTS_SIZE_MAX)
        head->used = sizeof(*head);
    /* What is not there is no list. */
    (void)fd_pwrite_all(PLAN_FD_NEW_LIST, head, sizeof(*head), 0);
}
