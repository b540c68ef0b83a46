#include "kernel/nftables.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/fd.h"
#include "base/hash.h"
#include "kernel/netlink_private.h"

#define ANSWER_SECONDS 10
#define TYPE(operation) ((NFNL_SUBSYS_NFTABLES << 8) | (operation))

/* Of what the table's user data is made (libnftnl's udata.h): type, length, bytes. */
#define UDATA_COMMENT 0

int nftables_open(void)
{
    const struct timeval limit = {.tv_sec = ANSWER_SECONDS};
    const struct sockaddr_nl own = {.nl_family = AF_NETLINK};
    _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
            bind(fd, (const struct sockaddr *)&own, sizeof(own)) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static void begin(struct netlink_request *request, uint16_t operation, uint8_t family)
{
    const struct nfgenmsg body = {.nfgen_family = family, .version = NFNETLINK_V0};
    netlink_begin(request, TYPE(operation), 0, &body, sizeof(body));
}

static int take_generation(const struct nlmsghdr *message, void *user)
{
    const struct rtattr *found[NFTA_GEN_ID + 1];
    if (message->nlmsg_type != TYPE(NFT_MSG_NEWGEN))
        return -EBADMSG;
    int r = netlink_parse(message, sizeof(struct nfgenmsg), found, NFTA_GEN_ID);
    if (r == 0 && !found[NFTA_GEN_ID])
        r = -EBADMSG;
    if (r == 0)
        *(uint32_t *)user = ntohl(netlink_get_u32(found[NFTA_GEN_ID]));
    return r;
}

int nftables_get_generation(int socket, uint32_t *ret_generation)
{
    struct netlink_request request;
    begin(&request, NFT_MSG_GETGEN, AF_UNSPEC);
    return netlink_dump(socket, &request, take_generation, ret_generation);
}

static int has_comment(const struct rtattr *data, const char *comment)
{
    const uint8_t *bytes = data ? netlink_value(data) : NULL;
    const size_t size = data ? RTA_PAYLOAD(data) : 0;
    const size_t wanted = strlen(comment) + 1;
    for (size_t at = 0; size - at >= 2;) {
        const size_t length = bytes[at + 1];
        if (length > size - at - 2)
            return -EBADMSG;
        if (bytes[at] == UDATA_COMMENT)
            return length == wanted && memcmp(bytes + at + 2, comment, wanted) == 0;
        at += 2 + length;
    }
    return 0;
}

static int take_table(const struct nlmsghdr *message, void *user)
{
    const struct rtattr *found[NFTA_TABLE_USERDATA + 1];
    if (message->nlmsg_type != TYPE(NFT_MSG_NEWTABLE))
        return -EBADMSG;
    int r = netlink_parse(message, sizeof(struct nfgenmsg), found, NFTA_TABLE_USERDATA);
    if (r == 0)
        r = has_comment(found[NFTA_TABLE_USERDATA], user);
    return r != 0 ? r : -EEXIST;
}

int nftables_find_table(int socket, uint8_t family, const char *name, const char *comment)
{
    char wanted[256];
    if (strlen(comment) >= sizeof(wanted))
        return -EINVAL;
    memcpy(wanted, comment, strlen(comment) + 1);
    struct netlink_request request;
    begin(&request, NFT_MSG_GETTABLE, family);
    netlink_put_text(&request, NFTA_TABLE_NAME, name);
    int r = netlink_dump(socket, &request, take_table, wanted);
    return r == -ENOENT ? 0 : r == 0 ? -EBADMSG : r;
}

static int count_rule(const struct nlmsghdr *message, void *user)
{
    if (message->nlmsg_type == TYPE(NFT_MSG_NEWRULE))
        (*(int *)user)++;
    return 0;
}

int nftables_count_rules(int socket, uint8_t family, const char *name)
{
    int count = 0;
    struct netlink_request request;
    begin(&request, NFT_MSG_GETRULE, family);
    request.header.nlmsg_flags |= NLM_F_DUMP;
    netlink_put_text(&request, NFTA_RULE_TABLE, name);
    int r = netlink_dump(socket, &request, count_rule, &count);
    return r < 0 ? r : count;
}

/* The kernel's parts of a rule that change while it is used. */
static bool is_counting(const char *name)
{
    return strcmp(name, "counter") == 0 || strcmp(name, "quota") == 0 || strcmp(name, "last") == 0;
}

static int digest_expressions(const struct rtattr *list, uint64_t *ret_digest)
{
    *ret_digest = HASH_BEGIN;
    size_t size = list ? RTA_PAYLOAD(list) : 0;
    const uint8_t *bytes = list ? netlink_value(list) : NULL;
    for (size_t offset = 0; offset < size;) {
        const struct rtattr *found[NFTA_EXPR_DATA + 1];
        const struct rtattr *at = (const void *)(bytes + offset);
        char name[32];
        if (size - offset < sizeof(*at) || at->rta_len < sizeof(*at) || at->rta_len > size - offset)
            return -EBADMSG;
        offset += RTA_ALIGN(at->rta_len);
        if (netlink_parse_nest(at, found, NFTA_EXPR_DATA) < 0)
            return -EBADMSG;
        netlink_get_text(found[NFTA_EXPR_NAME], name, sizeof(name));
        *ret_digest = hash_add(*ret_digest, name, strlen(name) + 1);
        if (found[NFTA_EXPR_DATA] && !is_counting(name))
            *ret_digest =
                    hash_add(*ret_digest, netlink_value(found[NFTA_EXPR_DATA]), RTA_PAYLOAD(found[NFTA_EXPR_DATA]));
    }
    return 0;
}

struct each_rule {
    int (*found)(const struct nftables_rule *rule, void *user);
    void *user;
};

static int tell_rule(const struct nlmsghdr *message, void *user)
{
    const struct each_rule *each = user;
    const struct rtattr *found[NFTA_RULE_EXPRESSIONS + 1];
    if (message->nlmsg_type != TYPE(NFT_MSG_NEWRULE))
        return 0;
    int r = netlink_parse(message, sizeof(struct nfgenmsg), found, NFTA_RULE_EXPRESSIONS);
    if (r < 0)
        return r;
    const struct nfgenmsg *body = netlink_body(message);
    struct nftables_rule rule = {.family = body->nfgen_family};
    uint64_t handle;
    if (!found[NFTA_RULE_HANDLE] || RTA_PAYLOAD(found[NFTA_RULE_HANDLE]) != sizeof(handle))
        return -EBADMSG;
    memcpy(&handle, netlink_value(found[NFTA_RULE_HANDLE]), sizeof(handle));
    rule.handle = be64toh(handle);
    netlink_get_text(found[NFTA_RULE_TABLE], rule.table, sizeof(rule.table));
    netlink_get_text(found[NFTA_RULE_CHAIN], rule.chain, sizeof(rule.chain));
    r = digest_expressions(found[NFTA_RULE_EXPRESSIONS], &rule.digest);
    if (r < 0)
        return r;
    return each->found(&rule, each->user);
}

int nftables_each_rule(int socket, int (*found)(const struct nftables_rule *rule, void *user), void *user)
{
    struct each_rule each = {.found = found, .user = user};
    struct netlink_request request;
    begin(&request, NFT_MSG_GETRULE, AF_UNSPEC);
    request.header.nlmsg_flags |= NLM_F_DUMP;
    return netlink_dump(socket, &request, tell_rule, &each);
}

int nftables_watch(void)
{
    const struct sockaddr_nl own = {.nl_family = AF_NETLINK};
    _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&own, sizeof(own)) < 0)
        return -errno;
    return TAKE_FD(fd);
}

int nftables_set_watching(int watch, bool is_watching)
{
    const int group = NFNLGRP_NFTABLES;
    const int option = is_watching ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP;
    return setsockopt(watch, SOL_NETLINK, option, &group, sizeof(group)) < 0 ? -errno : 0;
}

void nftables_drain(int watch)
{
    uint8_t bytes[8192];
    /* What was lost (ENOBUFS) is a change, too. */
    while (recv(watch, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_TRUNC) >= 0 || errno == ENOBUFS || errno == EINTR)
        ;
}
