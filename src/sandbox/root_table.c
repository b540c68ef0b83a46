#include "sandbox/root_table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "plan/recipe.h"
#include "sandbox/layers.h"
#include "sandbox/sandbox.h"

#define READ_ONLY "ro,nosuid,nodev"
#define READ_ONLY_FILE READ_ONLY ",noexec"
#define WRITABLE "rw,nosuid,nodev"

#define ROW(path, kind, type, options)                                                                                 \
    {                                                                                                                  \
        path, ROOT_KIND_##kind, type, options, 0, 0, false, "", 0                                                      \
    }
#define SIZED(path, kind, bytes, inodes, is_shared)                                                                    \
    {                                                                                                                  \
        path, ROOT_KIND_##kind, "tmpfs", WRITABLE, bytes, inodes, is_shared, "", 0                                     \
    }
#define DISK(path, options, source)                                                                                    \
    {                                                                                                                  \
        path, ROOT_KIND_DISK, "ext4", options, 0, 0, false, source, 0                                                  \
    }
/* Of the root itself. */
#define OVERLAY(path, kind, options)                                                                                   \
    {                                                                                                                  \
        path, ROOT_KIND_##kind, "overlay", options, 0, 0, false, "", LAYERS_NUMBER_ROOT                                \
    }
#define HANDED(path, options, number)                                                                                  \
    {                                                                                                                  \
        path, ROOT_KIND_HANDED, NULL, options, 0, 0, false, "", number                                                 \
    }
/* Parts of /proc that tell of, or reach, the whole machine (A31). */
#define MASK(path) ROW("proc/" path, MASK, "tmpfs", READ_ONLY_FILE)

#define NAME_OF(path) (&(path)[1])

static const struct root_mount standard_root[] = {
        ROW("", BASE, NULL, READ_ONLY ",idmapped"),
        ROW("etc/hosts", FILE, "tmpfs", READ_ONLY_FILE),
        ROW("etc/hostname", FILE, "tmpfs", READ_ONLY_FILE),
        ROW("etc/resolv.conf", FILE, "tmpfs", READ_ONLY_FILE),
};
static const struct root_mount build_root[] = {DISK("", WRITABLE, LAYERS_ROOT)};
static const struct root_mount based_root[] = {OVERLAY("", LAYER, WRITABLE)};
static const struct root_mount tool_root[] = {ROW("", TOOL, "tmpfs", READ_ONLY_FILE)};

static const struct root_mount proc_rows[] = {
        ROW("proc", PROC, "proc", "rw,nosuid,nodev,noexec"),
        ROW("proc/sys", PROC_RO, "proc", READ_ONLY_FILE),
        MASK("kcore"),
        MASK("keys"),
        MASK("key-users"),
        MASK("timer_list"),
        MASK("sched_debug"),
        MASK("kallsyms"),
        MASK("sysrq-trigger"),
        MASK("scsi"),
        MASK("acpi"),
        MASK("bus"),
        MASK("fs"),
        MASK("irq"),
        MASK("tty/driver"),
        MASK("asound"),
};
static const struct root_mount dev_row[] = {ROW("dev", DEV, "tmpfs", "ro,nosuid,noexec")};
/* A maintainer's script that touches a file in /dev is to go on (A17); no device can be made there all the same. */
static const struct root_mount build_dev_row[] = {ROW("dev", DEV, "tmpfs", "rw,nosuid,noexec")};
static const struct root_mount dev_rows[] = {
        ROW("dev/pts", DEVPTS, "devpts", "rw,nosuid,noexec"),
        ROW("dev/mqueue", MQUEUE, "mqueue", "rw,nosuid,nodev,noexec"),
        SIZED("dev/shm", TMPFS, offsetof(struct plan, shm_bytes), 0, true),
};
static const struct root_mount tmp_row[] = {
        SIZED("tmp", TMPFS, offsetof(struct plan, tmp_bytes), offsetof(struct plan, tmp_inodes), true)};
static const struct root_mount work_row[] = {
        SIZED("work", WORK, offsetof(struct plan, work_bytes), offsetof(struct plan, work_inodes), false)};

static const struct root_mount merged_row[] = {DISK("merged", READ_ONLY, LAYERS_ROOT)};
static const struct root_mount based_merged_row[] = {OVERLAY("merged", MERGED, READ_ONLY)};
static const struct root_mount collect_rows[] = {
        DISK("upper", READ_ONLY, LAYERS_UPPER),
        HANDED("base", READ_ONLY ",idmapped", PLAN_FD_ROOT),
        HANDED("stage", WRITABLE ",idmapped", PLAN_FD_STAGE),
};
static const struct root_mount cache_row[] = {HANDED("cache", WRITABLE ",idmapped", PLAN_FD_CACHE)};
static const struct root_mount verify_rows[] = {HANDED("stage", READ_ONLY ",idmapped", PLAN_FD_STAGE)};
static const struct root_mount sweep_rows[] = {HANDED("stage", WRITABLE ",idmapped", PLAN_FD_STAGE)};

static void add(struct root_list *list, const struct root_mount rows[], size_t count)
{
    for (size_t i = 0; i < count; i++, list->count++)
        if (list->count < ROOT_MOUNTS_MAX)
            list->mounts[list->count] = rows[i];
}
#define ADD(list, rows) add(list, rows, ELEMENTS(rows))

/* One row for each layer; @format has room for its path (%s) or its number (%u). */
static void add_layers(struct root_list *list, const struct sandbox *sandbox, enum root_kind kind)
{
    for (unsigned i = 0; i < sandbox->layer_count; i++) {
        struct root_mount row = {.kind = kind, .type = "overlay", .options = WRITABLE, .number = i};
        const char *path = sandbox->layers[i];
        if (kind == ROOT_KIND_LAYER)
            (void)snprintf(row.path, sizeof(row.path), "%s", path);
        else if (kind == ROOT_KIND_MERGED) {
            row.options = READ_ONLY;
            (void)snprintf(row.path, sizeof(row.path), "%s/%s", NAME_OF(RECIPE_MERGED), path);
        } else {
            row.type = NULL;
            row.options = READ_ONLY ",idmapped";
            (void)snprintf(row.path, sizeof(row.path), "%s/%u", NAME_OF(RECIPE_LOWER), i);
            if (layers_is_cache(path)) { /* an empty directory stands for it */
                row.kind = ROOT_KIND_DISK;
                row.type = "ext4";
                row.options = READ_ONLY;
                (void)snprintf(row.source, sizeof(row.source), LAYERS_LOWER "/%u", i);
            }
        }
        add(list, &row, 1);
    }
}

/* Of each that the base has, what it wrote. */
static void add_base_layers(struct root_list *list, const struct sandbox *sandbox)
{
    for (unsigned i = 0; i < sandbox->layer_count; i++) {
        struct root_mount row = {
                .kind = ROOT_KIND_UNDER, .type = "ext4", .options = READ_ONLY ",idmapped", .number = i};
        if (sandbox->base_layers[i] < 0)
            continue;
        (void)snprintf(row.path, sizeof(row.path), "%s/%u", NAME_OF(RECIPE_BASE_UPPER), i);
        (void)snprintf(row.source, sizeof(row.source), LAYERS_UPPER "/%d", sandbox->base_layers[i]);
        add(list, &row, 1);
    }
}

static void add_tool(struct root_list *list, const struct sandbox *sandbox)
{
    ADD(list, tool_root);
    ADD(list, proc_rows);
    ADD(list, dev_row);
    ADD(list, dev_rows);
    ADD(list, tmp_row);
    if (sandbox->plan.type == PLAN_TYPE_VERIFY)
        ADD(list, verify_rows);
    else if (sandbox->plan.type == PLAN_TYPE_SWEEP)
        ADD(list, sweep_rows);
    else {
        if (sandbox->plan.has_base)
            ADD(list, based_merged_row);
        else
            ADD(list, merged_row);
        ADD(list, collect_rows);
        add_layers(list, sandbox, ROOT_KIND_LOWER);
        if (sandbox->plan.has_base)
            add_base_layers(list, sandbox);
        add_layers(list, sandbox, ROOT_KIND_MERGED);
        if (sandbox->plan.has_cache)
            ADD(list, cache_row);
    }
}

int root_list_make(struct sandbox *sandbox, struct error *error)
{
    struct root_list *list = &sandbox->root;
    list->count = 0;
    switch (sandbox->plan.type) {
    case PLAN_TYPE_STANDARD:
        ADD(list, standard_root);
        ADD(list, proc_rows);
        ADD(list, dev_row);
        ADD(list, dev_rows);
        ADD(list, tmp_row);
        ADD(list, work_row);
        break;
    case PLAN_TYPE_BUILD:
        if (sandbox->plan.has_base)
            ADD(list, based_root);
        else
            ADD(list, build_root);
        add_layers(list, sandbox, ROOT_KIND_LAYER);
        ADD(list, proc_rows);
        ADD(list, build_dev_row);
        ADD(list, dev_rows);
        break;
    default:
        add_tool(list, sandbox);
        break;
    }
    if (list->count > ROOT_MOUNTS_MAX)
        return error_text(error, EFBIG, "the root has %zu mounts, more than %u", list->count, ROOT_MOUNTS_MAX);
    return 0;
}

size_t root_list_parent(const struct root_list *list, size_t row)
{
    size_t parent = 0;
    const char *path = list->mounts[row].path;
    for (size_t i = 1; i < list->count; i++) {
        size_t length = strlen(list->mounts[i].path);
        bool is_longer = length > strlen(list->mounts[parent].path);
        if (i != row && is_longer && strncmp(path, list->mounts[i].path, length) == 0 && path[length] == '/')
            parent = i;
    }
    return parent;
}

static uint64_t plan_number(const struct sandbox *sandbox, size_t offset)
{
    uint64_t number;
    memcpy(&number, (const char *)&sandbox->plan + offset, sizeof(number));
    return number;
}

bool root_mount_is_writable(const struct root_mount *mount)
{
    return strncmp(mount->options, "rw", 2) == 0;
}

bool root_mount_is_sized(const struct sandbox *sandbox, const struct root_mount *mount)
{
    return mount->kind == ROOT_KIND_TMPFS || (mount->kind == ROOT_KIND_WORK && !sandbox->plan.work_on_disk);
}

uint64_t root_mount_bytes(const struct sandbox *sandbox, const struct root_mount *mount)
{
    uint64_t page = 4096;
    return (plan_number(sandbox, mount->bytes) + page - 1) / page * page;
}

uint64_t root_mount_inodes(const struct sandbox *sandbox, const struct root_mount *mount)
{
    return mount->inodes ? plan_number(sandbox, mount->inodes) : 0;
}
