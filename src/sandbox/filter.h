/* The seccomp programs, compiled from filter_rules.h at build time by filter_generate.c: joblet-init hands them to
 * the kernel as they are. */
#pragma once

#include <linux/filter.h>

extern const struct sock_filter filter_command_program[];
extern const unsigned short filter_command_length;
/* The command's of a build. */
extern const struct sock_filter filter_build_program[];
extern const unsigned short filter_build_length;
extern const struct sock_filter filter_supervisor_program[];
extern const unsigned short filter_supervisor_length;
