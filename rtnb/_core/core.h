/* SPDX-License-Identifier: MIT
 *
 * rtnb-core: the loops that may not wait for an interpreter, one subcommand each.
 *
 *     rtnb-core trace   ...   the ptrace loop of %strace        (trace.c)
 *     rtnb-core run     ...   the periodic tasks of %rt_task and their watchdog   (run.c, task.c, load.c)
 *     rtnb-core gate    ...   a command that waits until it is watched   (gate.c)
 *     rtnb-core watch         ends a command whose notebook was killed   (watch.c)
 *     rtnb-core probe   WHAT  may this process ...?             (policy.c; the exit status is the errno)
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
#include <time.h>

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
int run_main(int argc, char **argv);
int probe_main(int argc, char **argv);
int gate_main(int argc, char **argv);
int watch_main(void);

/* struct sched_attr, SCHED_ATTR_SIZE_VER0, spelled out as sched_setattr(2) advises: linux/sched/types.h and
 * glibc's sched.h redefine each other's structs, differently from release to release. */
struct attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns, deadline_ns, period_ns;
};
_Static_assert(sizeof(struct attributes) == 48, "SCHED_ATTR_SIZE_VER0");


/* Of the calling process. All return 0 or an errno. (policy.c) */
int get_attributes(struct attributes *attr);
int set_attributes(struct attributes *attr); /* sets its size */
int take_policy(uint32_t policy, uint32_t priority); /* its nice value stays */

int64_t now_ns(void); /* CLOCK_MONOTONIC (clock.c) */
int64_t cpu_ns(void); /* CPU time of the calling thread */
struct timespec as_timespec(int64_t ns);

/* rtnb-core trace -r RECORDS_FD -t STRINGS_FD -s STATUS_FD -P PARENT_PID -l RECORDS -c PLAN -x PROGRAM [-f] -- ARGV...
 *
 * PLAN has a character for each system call number, the last one for all further numbers: '.' leaves the call
 * out, '-' records it, a digit records it with the string that its argument of that number points to.
 * RECORDS_FD gets a struct trace_record each, in order of their ends. STRINGS_FD gets the strings, each ended
 * by NUL, cut at PATH_MAX bytes; a record names its string by ordinal number. What comes after -l RECORDS is
 * counted as lost. -f follows threads and children.
 * SIGINT, which the traced command gets too, writes out what there is, calls under way included, and goes on. */
enum trace_kind { TRACE_CALL, TRACE_SIGNAL, TRACE_STOP, TRACE_EXIT, TRACE_KILLED, TRACE_SUPERSEDED };
enum trace_abi { ABI_NATIVE, ABI_COMPAT, ABI_X32 };

struct trace_record {
	int64_t time_ns;  /* CLOCK_MONOTONIC, when it was entered or happened */
	int64_t dur_ns;   /* -1: it never returned, or there is nothing to return from */
	int64_t args[6];
	int64_t ret;      /* as the kernel returned it: -errno; the exit status; the new thread of an exec */
	int32_t string;   /* ordinal number in STRINGS_FD, -1: none */
	int32_t pid;
	int32_t tid;
	int32_t nr;       /* of the call, or of the signal */
	uint8_t kind;     /* enum trace_kind */
	uint8_t abi;      /* enum trace_abi */
	uint8_t is_error; /* as PTRACE_GET_SYSCALL_INFO has it */
	uint8_t reserved[5];
};
_Static_assert(sizeof(struct trace_record) == 96, "struct trace_record is mirrored in rtnb/strace/frame.py");

#endif
