/* What a plan may say. joblet writes it and joblet-init believes it, so each checks it: a field out of its range is a
 * mistake of ours, and is found here and not by what the kernel makes of it. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/fd.h"
#include "plan/plan.h"

/* A smaller MTU is no IPv4 network. */
#define MTU_MIN 576U
#define MTU_MAX 65535U
#define PREFIX_LENGTH_MIN 8U
#define PREFIX_LENGTH_MAX 30U

static const char digits_and_lower[] = "abcdefghijklmnopqrstuvwxyz0123456789";

bool plan_name_is_valid(const char *text, size_t size)
{
    static const char others[] = "abcdefghijklmnopqrstuvwxyz0123456789.+_-";
    size_t length = strnlen(text, size);
    return length > 0 && length < size && strspn(text, digits_and_lower) > 0 && strspn(text, others) == length;
}

static bool is_zero(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++)
        if (at[i] != 0)
            return false;
    return true;
}

/* Ends within @size, and nothing stands behind the end. */
static bool is_text(const char *text, size_t size)
{
    size_t length = strnlen(text, size);
    return length < size && is_zero(text + length, size - length);
}

/* "/a/b": absolute, and each component is a name. */
static bool is_path(const char *text, size_t size)
{
    if (!is_text(text, size) || text[0] != '/')
        return false;
    for (const char *at = text; *at == '/';) {
        size_t length = strcspn(++at, "/");
        if (length == 0 || (length == 1 && at[0] == '.') || (length == 2 && at[0] == '.' && at[1] == '.'))
            return false;
        at += length;
    }
    return true;
}

/* Paths, then only empty texts. */
static bool is_path_list(const char paths[PLAN_PATHS_MAX][PLAN_PATH_MAX])
{
    size_t count = 0;
    while (count < PLAN_PATHS_MAX && paths[count][0])
        if (!is_path(paths[count++], PLAN_PATH_MAX))
            return false;
    return count == PLAN_PATHS_MAX || is_zero(paths[count], (PLAN_PATHS_MAX - count) * PLAN_PATH_MAX);
}

static uint32_t mask_of(uint32_t prefix_length)
{
    return prefix_length == 0 ? 0 : UINT32_MAX << (32 - prefix_length);
}

static bool is_subnet(const struct plan_network *network)
{
    if (network->prefix_length < PREFIX_LENGTH_MIN || network->prefix_length > PREFIX_LENGTH_MAX)
        return false;
    uint32_t mask = mask_of(network->prefix_length);
    uint32_t own = network->address & ~mask;
    uint32_t gateway = network->gateway & ~mask;
    return (network->address & mask) == (network->gateway & mask) && own != gateway && own != 0 && gateway != 0 &&
           own != ~mask && gateway != ~mask;
}

static bool is_route_list(const struct plan_network *network)
{
    if (network->refused_count > PLAN_ROUTES_MAX)
        return false;
    for (uint32_t i = 0; i < network->refused_count; i++) {
        const struct plan_route *route = &network->refused[i];
        if (route->prefix_length > 32 || (route->address & ~mask_of(route->prefix_length)) != 0)
            return false;
        for (uint32_t j = 0; j < i; j++)
            if (route->address == network->refused[j].address &&
                    route->prefix_length == network->refused[j].prefix_length)
                return false;
    }
    size_t left = PLAN_ROUTES_MAX - network->refused_count;
    return left == 0 || is_zero(&network->refused[network->refused_count], left * sizeof(struct plan_route));
}

/* They become lines of a file: nothing in them may end one. */
static bool are_resolvers(const struct plan_network *network)
{
    if (network->resolver_count > PLAN_RESOLVERS_MAX)
        return false;
    for (uint32_t i = 0; i < PLAN_RESOLVERS_MAX; i++) {
        const char *text = network->resolvers[i];
        if (!is_text(text, sizeof(network->resolvers[i])) || (text[0] != '\0') != (i < network->resolver_count) ||
                strspn(text, "0123456789abcdefABCDEF.:") != strlen(text))
            return false;
    }
    if (!is_text(network->search, sizeof(network->search)))
        return false;
    for (const char *at = network->search; *at; at++)
        if (*at < ' ' || *at > '~')
            return false;
    return true;
}

static int check_network(const struct plan *plan, struct error *error)
{
    const struct plan_network *network = &plan->network;
    if (plan->type != PLAN_TYPE_BUILD || network->is_set == 0)
        return is_zero(network, sizeof(*network))
                       ? 0
                       : error_text(error, EINVAL, "plan of type %s has a network", plan_type_name(plan->type));
    if (network->is_set != 1 || network->bridge == 0 || !is_subnet(network))
        return error_text(error, EINVAL, "plan has no bridge, or no address in the network of its gateway");
    if (network->mtu < MTU_MIN || network->mtu > MTU_MAX)
        return error_text(error, EINVAL, "plan has MTU %u, not %u to %u", network->mtu, MTU_MIN, MTU_MAX);
    size_t length = strlen(network->host_link);
    if (strspn(network->host_link, "abcdefghijklmnopqrstuvwxyz0123456789-") != length)
        return error_text(error, EINVAL, "plan has a link with a strange name");
    if (!is_route_list(network) || !are_resolvers(network))
        return error_text(error, EINVAL, "plan has routes or resolvers that are none");
    return 0;
}

/* The texts of fixed size: before anything takes one for a string. */
static bool has_texts(const struct plan *plan)
{
    const struct plan_build *build = &plan->build;
    const char *link = plan->network.host_link;
    return is_text(build->name, sizeof(build->name)) && is_text(build->version, sizeof(build->version)) &&
           is_text(build->language, sizeof(build->language)) && is_text(link, sizeof(plan->network.host_link)) &&
           (plan->network.is_set == 0 || link[0]);
}

static int check_build(const struct plan *plan, struct error *error)
{
    const struct plan_build *build = &plan->build;
    if (plan->type != PLAN_TYPE_BUILD && plan->type != PLAN_TYPE_COLLECT)
        return is_zero(build, sizeof(*build))
                       ? 0
                       : error_text(error, EINVAL, "plan of type %s has a runtime", plan_type_name(plan->type));
    if (!plan_name_is_valid(build->name, sizeof(build->name)) ||
            !plan_name_is_valid(build->version, sizeof(build->version)) ||
            !plan_name_is_valid(build->language, sizeof(build->language)))
        return error_text(error, EINVAL, "plan has a runtime whose name, version or language is no name");
    if (!is_path_list(build->hidden) || !is_path_list(build->shown))
        return error_text(error, EINVAL, "plan has a path that is not absolute and plain");
    for (size_t i = 0; i < ELEMENTS(build->absent_inode); i++)
        if (build->absent_inode[i] == 0 && build->absent_device[i] != 0)
            return error_text(error, EINVAL, "plan has a device without an inode");
    return 0;
}

/* Which of the optional things a sandbox of the type has. */
static int check_type(const struct plan *plan, struct error *error)
{
    bool is_standard = plan->type == PLAN_TYPE_STANDARD;
    bool has_disk = plan->type == PLAN_TYPE_BUILD || plan->type == PLAN_TYPE_COLLECT;
    if (plan->type < PLAN_TYPE_STANDARD || plan->type > PLAN_TYPE_SWEEP)
        return error_text(error, EINVAL, "plan has type %u, not a known one", plan->type);
    if (is_standard && (plan->command_id < 1 || plan->command_id >= PLAN_SUPERVISOR_ID))
        return error_text(error, EINVAL, "plan has command id %u, not 1 to 65534", plan->command_id);
    if (!is_standard && plan->command_id != 0)
        return error_text(error, EINVAL, "plan of type %s has command id %u, not 0", plan_type_name(plan->type),
                plan->command_id);
    if (plan->work_on_disk > 1 || (!is_standard && plan->work_on_disk != has_disk))
        return error_text(
                error, EINVAL, "plan of type %s has %u disks", plan_type_name(plan->type), plan->work_on_disk);
    if (plan->has_cache > (has_disk ? 1U : 0U) || plan->has_base > (has_disk ? 1U : 0U))
        return error_text(error, EINVAL, "plan of type %s has a cache or a base", plan_type_name(plan->type));
    uint32_t is_build = plan->type == PLAN_TYPE_BUILD;
    if (plan->wants_list > is_build || plan->has_list > plan->wants_list)
        return error_text(error, EINVAL, "plan of type %s has a list of suspects", plan_type_name(plan->type));
    if (!has_texts(plan))
        return error_text(error, EINVAL, "plan has a text that does not end");
    return 0;
}

static int check_sizes(const struct plan *plan, struct error *error)
{
    if (plan->landlock_abi < 1 || plan->open_files < PLAN_OPEN_FILES_MIN)
        return error_text(
                error, EINVAL, "plan has Landlock ABI %u, %u open files", plan->landlock_abi, plan->open_files);
    if (plan->work_bytes == 0 || plan->work_inodes == 0 || plan->tmp_bytes == 0 || plan->tmp_inodes == 0 ||
            plan->shm_bytes == 0 || plan->processes == 0)
        return error_text(error, EINVAL, "plan leaves a size or the process limit open");
    if (plan->work_bytes > PLAN_SIZE_MAX || plan->tmp_bytes > PLAN_SIZE_MAX || plan->shm_bytes > PLAN_SIZE_MAX)
        return error_text(error, EINVAL, "plan has a size above %llu bytes", PLAN_SIZE_MAX);
    return 0;
}

int plan_check(const struct plan *plan, struct error *error)
{
    if (plan->magic != PLAN_MAGIC || plan->version != PLAN_VERSION)
        return error_text(error, EINVAL, "plan is %#x version %u, not %#x version %u", plan->magic, plan->version,
                PLAN_MAGIC, PLAN_VERSION);
    int r = check_type(plan, error);
    if (r < 0)
        return r;
    if (plan->id_base < PLAN_RANGE_SIZE || plan->id_base % PLAN_RANGE_SIZE != 0 ||
            plan->id_base > UINT32_MAX - 2 * PLAN_RANGE_SIZE + 1)
        return error_text(error, EINVAL, "plan has id range %u, not a multiple of 65536 above 0", plan->id_base);
    if (plan->cgroup_tasks > PLAN_FD_CGROUP_MAX || plan->cgroup_unshare > 1 || plan->cgroup_oom_eventfd > 1)
        return error_text(error, EINVAL, "plan has cgroup fields out of range");
    if ((plan->cgroup_tasks > 0) != (plan->cgroup_unshare == 1))
        return error_text(error, EINVAL, "plan attaches to %u groups but unshare is %u", plan->cgroup_tasks,
                plan->cgroup_unshare);
    r = check_sizes(plan, error);
    if (r == 0)
        r = check_build(plan, error);
    return r == 0 ? check_network(plan, error) : r;
}
