/* SPDX-License-Identifier: MIT
 * What the ptrace loop stands on: its options, its tasks, what it reads of them, and where it writes. (tracee.c) */
#ifndef RTNB_TRACEE_H
#define RTNB_TRACEE_H

#include "core.h"

#include <stddef.h>
#include <sys/types.h>

enum { STRING_MAX = 4096 /* PATH_MAX */, SINK_BYTES = 1 << 16 };

/* x32 calls have x86_64's architecture and this bit in their number. */
#if defined(__x86_64__)
#define NATIVE_X32_BIT 0x40000000ull
#else
#define NATIVE_X32_BIT 0ull
#endif

struct trace_options {
	int records_fd, strings_fd, status_fd, follow;
	pid_t parent;
	const char *plan, *program;
	size_t plan_length;
	uint64_t limit; /* records */
	char **argv;
};
/* Returns 0 where something is missing. Descriptors become close-on-exec, so that the command has none of them. */
int trace_parse(int argc, char **argv, struct trace_options *options);

/* ptrace(2) itself: <sys/ptrace.h> and <linux/ptrace.h> clash, and the C library bends PTRACE_PEEKDATA. */
long trace(long request, pid_t tid, long address, void *data);

struct task {
	struct task *next;
	pid_t tid, pid;
	int open; /* in a call that is recorded */
	int told; /* that call has been written as one that has not returned yet */
	struct trace_record call;
};
struct task *task_find(pid_t tid);
struct task *task_get(pid_t tid); /* finds it, or makes it: a stopped task whose process is read from /proc */
void task_drop(struct task *t);
int task_count(void);
struct task *task_first(void);
struct task *task_after(const struct task *t);

/* The string at an address of a stopped task, cut at STRING_MAX and ended by NUL: its length, -1 for none there. */
ssize_t read_string(pid_t tid, uint64_t address, char text[STRING_MAX + 1]);

/* In the child: wait to be seized, put on the seccomp filter where there is a choice of calls, become PROGRAM. */
_Noreturn void become_tracee(const struct trace_options *options, const int go[2], int failed);

/* Buffered write(2). After an error nothing more is written. */
struct sink {
	int fd, error;
	size_t used;
	char data[SINK_BYTES];
};
size_t sink_room(const struct sink *s);
void sink_put(struct sink *s, const void *data, size_t size);
void sink_flush(struct sink *s);

#endif
