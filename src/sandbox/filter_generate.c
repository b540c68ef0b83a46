/* Compiles filter_rules.h into C arrays of BPF: run once at build time, so that joblet-init holds finished programs and
 * no compiler. It checks its own rules: each name is known to libseccomp, none is both denied and allowed, and the
 * joined program begins with all denials.
 *
 * The joints: the denials are a program of their own whose "allow" becomes a jump to what is behind it; there, calls of
 * socket for an IP family go through a list of their own, and all others around it to the allowances. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sandbox/filter_rules.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PROGRAM_MAX 4096U
#define LOW_WORD (__BYTE_ORDER == __LITTLE_ENDIAN ? 0 : 4)

struct program {
    struct sock_filter instructions[PROGRAM_MAX];
    size_t length;
};

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    exit(1);
}

/* A name that libseccomp does not know is a slip of the pen, not an old kernel: refuse to build. A call that this
 * architecture does not have gets a negative number, and needs no rule. */
static int resolve(const char *name)
{
    int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR)
        fail("the filter names '%s', which is no system call", name);
    return number;
}

static scmp_filter_ctx new_filter(uint32_t default_action, uint32_t foreign_action)
{
    scmp_filter_ctx filter = seccomp_init(default_action);
    if (!filter || seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, foreign_action) < 0 ||
            seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0)
        fail("libseccomp gives no filter");
    return filter;
}

static void add_rule(scmp_filter_ctx filter, uint32_t action, const char *name, unsigned count,
        const struct scmp_arg_cmp comparisons[])
{
    int number = resolve(name);
    if (number < 0)
        return;
    int r = seccomp_rule_add_array(filter, action, number, count, comparisons);
    if (r < 0)
        fail("the rule for '%s' is refused: %s", name, strerror(-r));
}

static void add_names(scmp_filter_ctx filter, uint32_t action, const char *const names[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        add_rule(filter, action, names[i], 0, NULL);
}

static void add_allowances(scmp_filter_ctx filter, const struct allowance allowances[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct scmp_arg_cmp comparisons[2];
        for (unsigned j = 0; j < allowances[i].condition_count; j++)
            comparisons[j] =
                    SCMP_CMP64(allowances[i].conditions[j].argument, SCMP_CMP_EQ, allowances[i].conditions[j].value);
        add_rule(filter, SCMP_ACT_ALLOW, allowances[i].name, allowances[i].condition_count, comparisons);
    }
}

static void add_denial(scmp_filter_ctx filter, const struct denial *denial)
{
    struct scmp_arg_cmp comparisons[2];
    unsigned count = 0;
    for (unsigned i = 0; i < COUNT(denial->conditions) && denial->conditions[i].mask; i++) {
        const struct condition *condition = &denial->conditions[i];
        if (condition->value & ~condition->mask)
            fail("the denial of '%s' can never match", denial->name);
        comparisons[count++] = SCMP_CMP64(condition->argument, SCMP_CMP_MASKED_EQ, condition->mask, condition->value);
    }
    if (denial->second_is_not_zero)
        comparisons[count++] = SCMP_CMP64(denial->conditions[1].argument, SCMP_CMP_NE, 0);
    if (count == 0)
        fail("the denial of '%s' has no condition", denial->name);
    add_rule(filter, SCMP_ACT_ERRNO((uint32_t)denial->code), denial->name, count, comparisons);
}

static void export_program(scmp_filter_ctx filter, struct program *program)
{
    int fd = memfd_create("program", MFD_CLOEXEC);
    int r = fd < 0 ? -errno : seccomp_export_bpf(filter, fd);
    if (r < 0)
        fail("the filter cannot be exported: %s", strerror(-r));
    ssize_t size = pread(fd, program->instructions, sizeof(program->instructions), 0);
    if (size <= 0 || (size_t)size >= sizeof(program->instructions) || (size_t)size % sizeof(struct sock_filter) != 0)
        fail("the filter's program has a strange size");
    program->length = (size_t)size / sizeof(struct sock_filter);
    (void)close(fd);
    seccomp_release(filter);
}

static void append_instructions(struct program *program, const struct sock_filter instructions[], size_t count)
{
    if (count > PROGRAM_MAX - program->length)
        fail("the filter is too long");
    memcpy(&program->instructions[program->length], instructions, count * sizeof(struct sock_filter));
    program->length += count;
}

/* Each "allow" of @denials becomes a jump behind its end. */
static void open_denials(struct program *denials)
{
    size_t length = denials->length;
    unsigned joints = 0;
    for (size_t i = 0; i < length; i++) {
        struct sock_filter *instruction = &denials->instructions[i];
        if (instruction->code != (BPF_RET | BPF_K) || instruction->k != SECCOMP_RET_ALLOW)
            continue;
        *instruction = (struct sock_filter){.code = BPF_JMP | BPF_JA, .k = (uint32_t)(length - i - 1)};
        joints++;
    }
    if (joints == 0)
        fail("the denials end nowhere");
}

/* Adds @list for the calls of socket for AF_INET and AF_INET6, and nothing for any other call. The kernel reads 32 bits
 * of the family, and so does this; @list looks at all 64. Only for calls of the native table: the denials have answered
 * all others. */
static void append_inet_sockets(struct program *program, const struct program *list)
{
    const uint32_t behind = (uint32_t)list->length;
    const struct sock_filter choice[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)resolve("socket"), 0, 3),
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]) + LOW_WORD),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 2, 0),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 1, 0),
            BPF_STMT(BPF_JMP | BPF_JA, behind),
    };
    append_instructions(program, choice, COUNT(choice));
    append_instructions(program, list->instructions, list->length);
}

static void print_program(const char *name, const struct program *program)
{
    (void)printf("const struct sock_filter filter_%s_program[] = {\n", name);
    for (size_t i = 0; i < program->length; i++) {
        const struct sock_filter *at = &program->instructions[i];
        (void)printf("        {%#x, %u, %u, %#x},\n", at->code, at->jt, at->jf, at->k);
    }
    (void)printf("};\nconst unsigned short filter_%s_length = %zu;\n\n", name, program->length);
}

static bool is_one_of(const char *name, const char *const names[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static void check_disjoint(void)
{
    for (size_t i = 0; i < COUNT(command_denied); i++)
        for (size_t j = 0; j < COUNT(command_allowed); j++)
            if (strcmp(command_denied[i], command_allowed[j]) == 0)
                fail("'%s' is both denied and allowed", command_denied[i]);
    for (size_t i = 0; i < COUNT(build_permitted); i++)
        if (!is_one_of(build_permitted[i], command_denied, COUNT(command_denied)))
            fail("'%s' is permitted to builds, and not denied to jobs", build_permitted[i]);
    static const char *const never[] = {"clone3", "io_uring_setup", "io_uring_enter", "io_uring_register"};
    for (size_t i = 0; i < COUNT(never); i++)
        for (size_t j = 0; j < COUNT(command_allowed); j++)
            if (strcmp(never[i], command_allowed[j]) == 0)
                fail("'%s' must not be allowed", never[i]);
}

static void make_inet_sockets(struct program *program)
{
    scmp_filter_ctx filter = new_filter(SCMP_ACT_ERRNO(EPROTONOSUPPORT), SCMP_ACT_ERRNO(ENOSYS));
    const uint64_t type_mask = ~INET_SOCKET_FLAGS;
    for (size_t i = 0; i < COUNT(command_inet_sockets); i++) {
        const struct inet_socket *allowed = &command_inet_sockets[i];
        add_rule(filter, SCMP_ACT_ALLOW, "socket", 3,
                (struct scmp_arg_cmp[]){SCMP_CMP64(0, SCMP_CMP_EQ, allowed->family),
                        SCMP_CMP64(1, SCMP_CMP_MASKED_EQ, type_mask, allowed->type),
                        SCMP_CMP64(2, SCMP_CMP_EQ, allowed->protocol)});
    }
    /* Needs a capability, and no module: programs know this answer. */
    add_rule(filter, SCMP_ACT_ERRNO(EPERM), "socket", 1,
            (struct scmp_arg_cmp[]){SCMP_CMP64(1, SCMP_CMP_MASKED_EQ, type_mask, SOCK_RAW)});
    export_program(filter, program);
}

static void add_denials(scmp_filter_ctx filter, bool is_build)
{
    for (size_t i = 0; i < COUNT(command_denied); i++)
        if (!is_build || !is_one_of(command_denied[i], build_permitted, COUNT(build_permitted)))
            add_rule(filter, SCMP_ACT_ERRNO(EPERM), command_denied[i], 0, NULL);
    for (size_t i = 0; i < COUNT(command_denied_arguments); i++)
        add_denial(filter, &command_denied_arguments[i]);
    for (size_t i = 0; is_build && i < COUNT(build_denied_arguments); i++)
        add_denial(filter, &build_denied_arguments[i]);
}

static void make_command(struct program *program, bool is_build)
{
    static struct program allowances;
    static struct program inet_sockets;
    scmp_filter_ctx filter = new_filter(SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(ENOSYS));
    make_inet_sockets(&inet_sockets);
    add_denials(filter, is_build);
    export_program(filter, program);

    filter = new_filter(SCMP_ACT_ERRNO(ENOSYS), SCMP_ACT_ERRNO(ENOSYS));
    add_names(filter, SCMP_ACT_ALLOW, command_allowed, COUNT(command_allowed));
    if (is_build)
        add_names(filter, SCMP_ACT_ALLOW, build_permitted, COUNT(build_permitted));
    add_allowances(filter, command_allowed_arguments, COUNT(command_allowed_arguments));
    /* A family that is not there says so in the way that programs know. */
    for (unsigned family = 0; family <= AF_NETLINK; family++)
        if (family != AF_UNIX && family != AF_INET && family != AF_INET6 && family != AF_NETLINK)
            add_rule(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), "socket", 1,
                    (struct scmp_arg_cmp[]){SCMP_CMP64(0, SCMP_CMP_EQ, family)});
    add_rule(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), "socket", 1,
            (struct scmp_arg_cmp[]){SCMP_CMP64(0, SCMP_CMP_GT, AF_NETLINK)});
    add_rule(filter, SCMP_ACT_ERRNO(EPROTONOSUPPORT), "socket", 2,
            (struct scmp_arg_cmp[]){SCMP_CMP64(0, SCMP_CMP_EQ, AF_NETLINK), SCMP_CMP64(2, SCMP_CMP_NE, NETLINK_ROUTE)});
    export_program(filter, &allowances);
    open_denials(program);
    append_inet_sockets(program, &inet_sockets);
    append_instructions(program, allowances.instructions, allowances.length);
}

static void make_supervisor(struct program *program)
{
    scmp_filter_ctx filter = new_filter(SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_PROCESS);
    add_names(filter, SCMP_ACT_ALLOW, supervisor_allowed, COUNT(supervisor_allowed));
    add_allowances(filter, supervisor_allowed_arguments, COUNT(supervisor_allowed_arguments));
    /* The last proof asks for a socket and wants to hear this. */
    add_rule(filter, SCMP_ACT_ERRNO(EPERM), "socket", 0, NULL);
    export_program(filter, program);
}

int main(void)
{
    static struct program command;
    static struct program build;
    static struct program supervisor;
    check_disjoint();
    make_command(&command, /* is_build= */ false);
    make_command(&build, /* is_build= */ true);
    make_supervisor(&supervisor);
    (void)printf("/* Generated by filter_generate.c from filter_rules.h. */\n#include \"sandbox/filter.h\"\n\n");
    print_program("command", &command);
    print_program("build", &build);
    print_program("supervisor", &supervisor);
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
