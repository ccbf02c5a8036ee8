/* SPDX-License-Identifier: MIT
 * How does a command become traced, and how is it looked into? The parts of the ptrace loop that do not loop. */
#include "tracee.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#define NATIVE_ARCH 0 /* no filter then: every call stops, and the plan is kept all the same */
#endif

enum { BUCKETS = 1024, PAGE = 4096 };

/* ---- options ---- */

static int descriptor(const char *text)
{
	int fd = atoi(text);

	fcntl(fd, F_SETFD, FD_CLOEXEC);
	return fd;
}

int trace_parse(int argc, char **argv, struct trace_options *o)
{
	int c;

	while ((c = getopt(argc, argv, "+r:t:s:P:l:c:x:f")) != -1) {
		switch (c) {
		case 'r': o->records_fd = descriptor(optarg); break;
		case 't': o->strings_fd = descriptor(optarg); break;
		case 's': o->status_fd = descriptor(optarg); break;
		case 'P': o->parent = atoi(optarg); break;
		case 'l': o->limit = strtoull(optarg, NULL, 10); break;
		case 'c': o->plan = optarg; break;
		case 'x': o->program = optarg; break;
		case 'f': o->follow = 1; break;
		default: return 0;
		}
	}
	o->argv = argv + optind;
	o->plan_length = o->plan ? strlen(o->plan) : 0;
	return o->plan_length && o->program && o->argv[0] && o->records_fd && o->strings_fd && o->status_fd;
}

/* ---- the child ---- */

static struct sock_filter *test_number(struct sock_filter *at, uint32_t nr)
{
	*at++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1);
	*at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	return at;
}

/* Stops at the plan's calls and lets the rest run. No privilege is lost that a traced program would have: without
 * CAP_SYS_ADMIN it needs no_new_privs, but a tracer without privilege takes set-user-ID away already (execve(2)).
 * Where the kernel refuses, all calls stop. */
static void filter_calls(const struct trace_options *o)
{
	struct sock_filter *code = calloc(2 * o->plan_length + 5, sizeof(*code)), *at = code;
	struct sock_fprog program = {.filter = code};

	*at++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	*at++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 1, 0);
	*at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	*at++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t nr = 0; nr < o->plan_length; nr++)
		if (o->plan[nr] != '.')
			at = test_number(at, nr);
	*at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program.len = at - code;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) && errno == EACCES) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
	}
	free(code);
}

_Noreturn void become_tracee(const struct trace_options *o, const int go[2], int failed)
{
	char byte;
	int error;

	close(go[1]);
	if (read(go[0], &byte, 1) != 1)
		_exit(1);
	/* A filter stays on for good, and a child that is not traced would get ENOSYS for every call it stops:
	 * only where all children are traced. strace --seccomp-bpf has the same rule. */
	if (o->follow && NATIVE_ARCH != 0 && o->plan[o->plan_length - 1] == '.')
		filter_calls(o);
	execve(o->program, o->argv, environ);
	error = errno;
	_exit(write(failed, &error, sizeof(error)) == sizeof(error) ? 127 : 126);
}

/* ---- tasks, in a hash table by id ---- */

static struct task *buckets[BUCKETS];
static int tasks;

static struct task **slot(pid_t tid)
{
	struct task **at = &buckets[tid % BUCKETS];

	while (*at && (*at)->tid != tid)
		at = &(*at)->next;
	return at;
}

/* The process that a thread belongs to; a stopped thread's entry is there as long as /proc is. */
static pid_t process_of(pid_t tid)
{
	char path[32], text[256];
	const char *line;
	ssize_t size = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		size = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	text[size < 0 ? 0 : size] = 0;
	line = strstr(text, "\nTgid:");
	return line ? atoi(line + strlen("\nTgid:")) : tid;
}

struct task *task_find(pid_t tid)
{
	return *slot(tid);
}

struct task *task_get(pid_t tid)
{
	struct task **at = slot(tid);

	if (!*at) {
		*at = calloc(1, sizeof(**at));
		if (!*at)
			abort(); /* EXITKILL ends the command */
		(*at)->tid = tid;
		(*at)->pid = process_of(tid);
		tasks++;
	}
	return *at;
}

void task_drop(struct task *t)
{
	*slot(t->tid) = t->next;
	tasks--;
	free(t);
}

int task_count(void)
{
	return tasks;
}

static struct task *first_from(int bucket)
{
	while (bucket < BUCKETS && !buckets[bucket])
		bucket++;
	return bucket < BUCKETS ? buckets[bucket] : NULL;
}

struct task *task_first(void)
{
	return first_from(0);
}

struct task *task_after(const struct task *t)
{
	return t->next ? t->next : first_from(t->tid % BUCKETS + 1);
}

/* ---- what a task's memory holds ---- */

long trace(long request, pid_t tid, long address, void *data)
{
	return syscall(SYS_ptrace, request, tid, address, data);
}

/* A container may refuse process_vm_readv and grant ptrace: then a word at a time. */
static ssize_t peek_words(pid_t tid, uint64_t address, char *to, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		static long word;
		uint64_t at = address + i;

		if ((i == 0 || at % sizeof(word) == 0) && trace(PTRACE_PEEKDATA, tid, at & ~(sizeof(word) - 1), &word))
			return -1;
		to[i] = ((char *)&word)[at % sizeof(word)];
		if (!to[i])
			return i + 1;
	}
	return size;
}

static ssize_t peek(pid_t tid, uint64_t address, char *to, size_t size)
{
	struct iovec local = {to, size}, remote = {(void *)(uintptr_t)address, size};
	ssize_t got = process_vm_readv(tid, &local, 1, &remote, 1, 0);

	return got < 0 && (errno == ENOSYS || errno == EPERM) ? peek_words(tid, address, to, size) : got;
}

ssize_t read_string(pid_t tid, uint64_t address, char text[STRING_MAX + 1])
{
	size_t length = 0;

	while (length < STRING_MAX) { /* page by page: the next one may not be mapped */
		size_t to_end = PAGE - (address + length) % PAGE, left = STRING_MAX - length;
		ssize_t got = peek(tid, address + length, text + length, to_end < left ? to_end : left);
		const char *nul = got > 0 ? memchr(text + length, 0, got) : NULL;

		if (got <= 0)
			return -1;
		if (nul)
			return nul - text;
		length += got;
	}
	text[length] = 0;
	return length;
}

/* ---- what is written ---- */

size_t sink_room(const struct sink *s)
{
	return sizeof(s->data) - s->used;
}

void sink_flush(struct sink *s)
{
	for (size_t done = 0; done < s->used && !s->error;) {
		ssize_t wrote = write(s->fd, s->data + done, s->used - done);

		if (wrote >= 0)
			done += wrote;
		else if (errno != EINTR)
			s->error = errno;
	}
	s->used = 0;
}

void sink_put(struct sink *s, const void *data, size_t size)
{
	if (sink_room(s) < size)
		sink_flush(s);
	memcpy(s->data + s->used, data, size);
	s->used += size;
}
