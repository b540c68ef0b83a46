/* Compiles filter_rules.h into C arrays of BPF: run once at build time, so that joblet-init holds finished programs and
 * no compiler. It checks its own rules: each name is known to libseccomp, none is both denied and allowed, and the
 * joined program begins with all denials.
 *
 * The joint: the denials are a program of their own whose "allow" becomes a jump to the allowances behind it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sandbox/filter_rules.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PROGRAM_MAX 4096U

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

/* @denials then @allowances, as one program: each "allow" of the first becomes a jump behind its end. */
static void join_programs(struct program *denials, const struct program *allowances)
{
    size_t length = denials->length;
    if (length + allowances->length > PROGRAM_MAX)
        fail("the filter is too long");
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
    memcpy(&denials->instructions[length], allowances->instructions, allowances->length * sizeof(struct sock_filter));
    denials->length += allowances->length;
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

static void check_disjoint(void)
{
    for (size_t i = 0; i < COUNT(command_denied); i++)
        for (size_t j = 0; j < COUNT(command_allowed); j++)
            if (strcmp(command_denied[i], command_allowed[j]) == 0)
                fail("'%s' is both denied and allowed", command_denied[i]);
    static const char *const never[] = {"clone3", "io_uring_setup", "io_uring_enter", "io_uring_register"};
    for (size_t i = 0; i < COUNT(never); i++)
        for (size_t j = 0; j < COUNT(command_allowed); j++)
            if (strcmp(never[i], command_allowed[j]) == 0)
                fail("'%s' must not be allowed", never[i]);
}

static void make_command(struct program *program)
{
    static struct program allowances;
    scmp_filter_ctx filter = new_filter(SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(ENOSYS));
    add_names(filter, SCMP_ACT_ERRNO(EPERM), command_denied, COUNT(command_denied));
    for (size_t i = 0; i < COUNT(command_denied_arguments); i++)
        add_denial(filter, &command_denied_arguments[i]);
    export_program(filter, program);

    filter = new_filter(SCMP_ACT_ERRNO(ENOSYS), SCMP_ACT_ERRNO(ENOSYS));
    add_names(filter, SCMP_ACT_ALLOW, command_allowed, COUNT(command_allowed));
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
    join_programs(program, &allowances);
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
    static struct program supervisor;
    check_disjoint();
    make_command(&command);
    make_supervisor(&supervisor);
    (void)printf("/* Generated by filter_generate.c from filter_rules.h. */\n#include \"sandbox/filter.h\"\n\n");
    print_program("command", &command);
    print_program("supervisor", &supervisor);
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
