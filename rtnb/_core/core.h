/* SPDX-License-Identifier: MIT
 *
 * rtnb-core: the loops that may not wait for an interpreter, one subcommand each.
 *
 *     rtnb-core trace   ...   the ptrace loop of %strace        (trace.c)
 *     rtnb-core sample  ...   the wake-up loop of %rt_task      (sample.c)
 *
 * The contract, which the Python side (rtnb/strace, rtnb/rt) relies on:
 *   - It knows nothing of Python. Options come as argv; data leaves through file descriptors named there.
 *   - Records are fixed-size little-endian structs declared below, with a _Static_assert on each size;
 *     the NumPy dtypes in Python mirror them field by field.
 *   - The last thing written to the status descriptor is one struct status: what failed, or 0 and how it ended.
 *   - It dies with its parent (PR_SET_PDEATHSIG), and what it started dies with it.
 */
#ifndef RTNB_CORE_H
#define RTNB_CORE_H

#include <stdint.h>

/* What is reported at the end, or at the failure that prevented the start. */
struct status {
	int32_t error;        /* errno of what failed, 0 for none */
	int32_t wait_status;  /* of the traced command, as from waitpid(2); 0 where there is none */
	uint64_t records;     /* records written */
	uint64_t lost;        /* records known to be missing */
	char what[40];        /* the call that failed: "execve", "sched_setattr", NUL-terminated */
};
_Static_assert(sizeof(struct status) == 64, "struct status is mirrored in Python");

int trace_main(int argc, char **argv);
int sample_main(int argc, char **argv);

#endif
