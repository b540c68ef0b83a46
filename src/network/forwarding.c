#include "network/forwarding.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "network/bridge.h"

#define PATH_MAX_HERE 96U

int forwarding_write(const char *family, const char *link, const char *name, const char *value)
{
    char path[PATH_MAX_HERE];
    (void)snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, link, name);
    return fd_write_file_at(AT_FDCWD, path, value);
}

/* 1 or 0; -errno. */
static int read_switch(const char *path)
{
    _cleanup_free_ char *text = NULL;
    int r = fd_read_file_at(AT_FDCWD, path, 16, &text, NULL);
    return r < 0 ? r : text[0] != '0';
}

static int read_forwarding(const char *link)
{
    char path[PATH_MAX_HERE];
    (void)snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/forwarding", link);
    return read_switch(path);
}

/* True when the host forwards whatever we do. */
static bool is_forwarding(void)
{
    return read_switch("/proc/sys/net/ipv4/ip_forward") == 1;
}

/* True when @name is one of @names. */
static bool has_name(const char *names, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = names; (at = strstr(at, name)); at += length)
        if ((at == names || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\n' || at[length] == '\0'))
            return true;
    return false;
}

struct naming {
    const char *bridge;
    const char *name;
    bool counts_leaving;
};

static int find_naming(const struct netlink_link *link, void *user)
{
    const struct naming *naming = user;
    return strcmp(link->kind, "bridge") == 0 && strcmp(link->name, naming->bridge) != 0 &&
           (naming->counts_leaving || !bridge_is_leaving(link)) && has_name(bridge_get_switched(link), naming->name);
}

/* True when a bridge of another service names @name as switched on: it is asked now, not when the survey was made,
 * because what the other one writes first is its alias. 1, 0, -errno with @error. */
static int is_named_by_other(int socket, const char *bridge, const char *name, bool counts_leaving, struct error *error)
{
    struct naming naming = {.bridge = bridge, .name = name, .counts_leaving = counts_leaving};
    int r = netlink_each_link(socket, find_naming, &naming);
    return r < 0 ? error_errno(error, -r, "look for other services") : r;
}

/* Whether @name is to be ours as well: off, or on because of another service. Who takes it back does so before its
 * bridge goes; so when it is named by none, it is looked at once more. 1, 0, -errno with @error; a link that is gone is
 * 0. */
static int is_wanted(int socket, const char *bridge, const char *name, struct error *error)
{
    int is_named = 0;
    for (int i = 0; i < 2; i++) {
        int is_on = read_forwarding(name);
        if (is_on <= 0)
            return is_on == -ENOENT ? 0
                   : is_on < 0      ? error_errno(error, -is_on, "look at the forwarding of '%s'", name)
                                    : 1;
        is_named = i == 0 ? is_named_by_other(socket, bridge, name, /* counts_leaving= */ true, error) : 0;
        if (is_named != 0)
            return is_named;
    }
    return 0;
}

int forwarding_plan(int socket, const char *bridge, const struct survey *survey, const char *switched,
        char ret_names[FORWARDING_NAMES_MAX], struct error *error)
{
    char names[FORWARDING_NAMES_MAX] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < survey->link_count && !is_forwarding(); i++) {
        const struct survey_link *link = &survey->links[i];
        if (!survey_is_way_out(link))
            continue;
        int wants = switched && has_name(switched, link->name) ? 1 : is_wanted(socket, bridge, link->name, error);
        if (wants < 0)
            return wants;
        if (!wants)
            continue;
        if (used + strlen(link->name) + 2 > sizeof(names))
            return error_text(error, E2BIG,
                    "forwarding is off and too many links need it; set the sysctl net.ipv4.ip_forward to 1");
        used = (size_t)(stpcpy(stpcpy(names + used, used == 0 ? "" : " "), link->name) - names);
    }
    memcpy(ret_names, names, sizeof(names));
    return 0;
}

/* Calls @each with every one of @names until it returns another value than 0. */
static int each_name(const char *names, int (*each)(const char *name, void *user), void *user)
{
    while (*names != '\0') {
        char name[NETLINK_NAME_MAX];
        size_t length = strcspn(names, " ");
        if (length > 0 && length < sizeof(name)) {
            memcpy(name, names, length);
            name[length] = '\0';
            int r = each(name, user);
            if (r != 0)
                return r;
        }
        names += length;
        names += strspn(names, " ");
    }
    return 0;
}

static int switch_on(const char *name, void *user)
{
    struct error *error = user;
    int r = forwarding_write("ipv4", name, "forwarding", "1");
    return r < 0 && r != -ENOENT ? error_errno(error, -r, "switch on the forwarding of '%s'", name) : 0;
}

int forwarding_apply(const char *bridge, const char *names, struct error *error)
{
    int r = switch_on(bridge, error);
    return r < 0 ? r : each_name(names, switch_on, error);
}

struct restore {
    int socket;
    const char *bridge;
    struct error *error;
};

static int switch_off(const char *name, void *user)
{
    const struct restore *restore = user;
    int r = is_named_by_other(restore->socket, restore->bridge, name, /* counts_leaving= */ false, restore->error);
    if (r != 0)
        return r < 0 ? r : 0;
    r = forwarding_write("ipv4", name, "forwarding", "0");
    if (r < 0)
        return r == -ENOENT ? 0 : error_errno(restore->error, -r, "switch off the forwarding of '%s'", name);
    /* Another service may have begun between our look and our change: it found it on, and named it before it went on.
     */
    r = is_named_by_other(restore->socket, restore->bridge, name, /* counts_leaving= */ false, restore->error);
    return r <= 0 ? r : switch_on(name, restore->error);
}

int forwarding_restore(int socket, const char *bridge, const char *names, struct error *error)
{
    if (is_forwarding())
        return 0;
    struct restore restore = {.socket = socket, .bridge = bridge, .error = error};
    return each_name(names, switch_off, &restore);
}
