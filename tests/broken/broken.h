/* joblet and joblet-init with one protection left out: the objects of the plain build, linked once more
 * with wrappers around some functions of ours and of the C library. Because the proofs (P5) would refuse to run
 * anything, they are told about that one protection what they want to hear, too; nothing else is changed. So these are
 * the programs of somebody who has forgotten a protection and its proof, and `joblet verify` of the plain build has to
 * notice (tests/e2e/test_broken.py). Never part of what is installed.
 *
 * Which protection: the text in the file "broken" beside the programs; nothing: none. "build-NAME": NAME, of builds
 * alone. joblet reads it anew with each start of a job. It is a file because neither the arguments nor the environment
 * of joblet-init are joblet's caller's to choose. */
#pragma once

#include <stdbool.h>

/* True when @protection is the one that is left out. */
bool broken(const char *protection);
/* The same of a build. */
bool broken_of_build(const char *protection);
/* Reads the file again. */
void broken_read(void);
