/* SPDX-License-Identifier: MIT
 * Which system calls does a command make? The ptrace loop of %strace.
 *
 * Why it is C: 100,000 calls of `dd bs=1` (untraced 0.02 s) take 1.8-4.6 s under a loop in Python with ctypes,
 * about 5 s under python-ptrace, and 0.6-0.8 s under such a loop in C (measured).
 *
 * A stop costs three system calls and no more: wait4, PTRACE_GET_SYSCALL_INFO, and the one that goes on.
 */
#include "core.h"
#include "tracee.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ptrace.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, TICK_US = 20000 };

static struct trace_options options;
static struct sink records, strings;
static struct status status;
static int32_t string_count;
static pid_t child;
static int started;   /* the command's execve has been seen: before it, the calls are ours */
static int filtering; /* a seccomp filter stops the wanted calls, and those alone */
static uint32_t native_arch;
static volatile sig_atomic_t ticked;

/* ---- what leaves: strings before the records that name them, so that a killed tracer's rows are whole ---- */

static void flush(void)
{
	sink_flush(&strings);
	sink_flush(&records);
}

static int is_full(void)
{
	return status.records == options.limit || records.error;
}

static void record(const struct trace_record *r)
{
	if (!started)
		return;
	if (is_full()) {
		status.lost++;
		return;
	}
	if (sink_room(&records) < sizeof(*r))
		flush();
	sink_put(&records, r, sizeof(*r));
	status.records++;
}

static void record_event(const struct task *t, int kind, int nr, int64_t ret, int64_t now)
{
	struct trace_record r = {
		.time_ns = now, .dur_ns = -1, .ret = ret, .string = -1, .pid = t->pid, .tid = t->tid, .nr = nr, .kind = kind,
	};

	record(&r);
}

/* A call that has not returned: at its task's end, and at an interrupt, after which it may yet return. */
static void record_open_call(struct task *t)
{
	if (t->open)
		record(&t->call);
}

static void record_open_calls(void)
{
	for (struct task *t = task_first(); t; t = task_after(t)) {
		if (t->open && !t->told)
			record(&t->call);
		t->told = t->open;
	}
}

/* ---- system calls ---- */

static char planned(const struct ptrace_syscall_info *info)
{
	size_t last = options.plan_length - 1;

	if (info->arch != native_arch || (NATIVE_X32_BIT & info->entry.nr))
		return options.plan[last] == '.' ? '.' : '-'; /* the plan's numbers mean other calls there */
	return options.plan[info->entry.nr < last ? info->entry.nr : last];
}

static int abi_of(const struct ptrace_syscall_info *info)
{
	if (info->arch != native_arch)
		return ABI_COMPAT;
	return NATIVE_X32_BIT & info->entry.nr ? ABI_X32 : ABI_NATIVE;
}

static int32_t keep_string(pid_t tid, uint64_t address)
{
	char text[STRING_MAX + 1];
	ssize_t length = is_full() ? -1 : read_string(tid, address, text);

	if (length < 0)
		return -1;
	sink_put(&strings, text, length + 1);
	return string_count++;
}

static void enter(struct task *t, const struct ptrace_syscall_info *info, int64_t now)
{
	char plan;

	if (t->open) /* its seccomp stop, after its entry stop */
		return;
	if (!native_arch)
		native_arch = info->arch;
	t->call.nr = info->entry.nr;
	if (!started && info->entry.nr == SYS_execve)
		started = 1;
	plan = planned(info);
	if (!started || plan == '.')
		return;
	t->open = 1;
	t->told = 0;
	t->call = (struct trace_record){
		.time_ns = now, .dur_ns = -1, .string = -1, .pid = t->pid, .tid = t->tid, .nr = info->entry.nr,
		.kind = TRACE_CALL, .abi = abi_of(info),
	};
	memcpy(t->call.args, info->entry.args, sizeof(t->call.args));
	if (plan != '-')
		t->call.string = keep_string(t->tid, info->entry.args[plan - '0']);
}

static void leave(struct task *t, const struct ptrace_syscall_info *info, int64_t now)
{
	if (!started && t->call.nr == SYS_seccomp && !info->exit.is_error)
		filtering = 1;
	if (!t->open)
		return;
	t->open = 0;
	t->call.dur_ns = now - t->call.time_ns;
	t->call.ret = info->exit.rval;
	t->call.is_error = info->exit.is_error;
	record(&t->call);
}

static void fail(const char *what)
{
	status.error = errno;
	snprintf(status.what, sizeof(status.what), "%s", what);
	kill(child, SIGKILL);
}

static void syscall_stop(struct task *t, int64_t now)
{
	struct ptrace_syscall_info info;

	if (trace(PTRACE_GET_SYSCALL_INFO, t->tid, sizeof(info), &info) <= 0) {
		if (errno != ESRCH) /* killed while it was stopped: its end comes by wait4 */
			fail("PTRACE_GET_SYSCALL_INFO");
	} else if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
		leave(t, &info, now);
	} else if (info.op != PTRACE_SYSCALL_INFO_NONE) {
		enter(t, &info, now);
	}
}

/* ---- stops ---- */

static void go_on(const struct task *t, int signal)
{
	long request = filtering && !t->open ? PTRACE_CONT : PTRACE_SYSCALL;

	trace(request, t->tid, 0, (void *)(intptr_t)signal);
}

/* A thread that calls execve takes its leader's id; all others, the leader with them, are gone (ptrace(2)). */
static void executed(struct task *t, int64_t now)
{
	unsigned long former_tid = 0;
	struct task *former;

	started = 1;
	trace(PTRACE_GETEVENTMSG, t->tid, 0, &former_tid);
	former = (pid_t)former_tid == t->tid ? NULL : task_find(former_tid);
	if (!former)
		return;
	record_open_call(t);
	record_event(t, TRACE_SUPERSEDED, -1, former->tid, now);
	t->open = former->open;
	t->told = former->told;
	t->call = former->call;
	task_drop(former);
}

static int is_group_stop(int signal)
{
	return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

static void stopped(struct task *t, int wait_status, int64_t now)
{
	int signal = WSTOPSIG(wait_status), deliver = 0;

	switch (wait_status >> 16) {
	case 0:
		if (signal == (SIGTRAP | 0x80)) {
			syscall_stop(t, now);
			break;
		}
		record_event(t, TRACE_SIGNAL, signal, 0, now);
		deliver = signal;
		break;
	case PTRACE_EVENT_SECCOMP:
		syscall_stop(t, now);
		break;
	case PTRACE_EVENT_EXEC:
		executed(t, now);
		break;
	case PTRACE_EVENT_STOP:
		if (is_group_stop(signal)) {
			record_event(t, TRACE_STOP, signal, 0, now);
			trace(PTRACE_LISTEN, t->tid, 0, NULL);
			return;
		}
	}
	go_on(t, deliver);
}

static void ended(pid_t tid, int wait_status, int64_t now)
{
	struct task *t = task_find(tid);

	if (tid == child)
		status.wait_status = wait_status;
	if (!t)
		return;
	record_open_call(t);
	if (WIFEXITED(wait_status))
		record_event(t, TRACE_EXIT, -1, WEXITSTATUS(wait_status), now);
	else
		record_event(t, TRACE_KILLED, WTERMSIG(wait_status), 0, now);
	task_drop(t);
}

/* Waiting for one and going on with one would starve those at the end of the kernel's list, so all that are
 * ready are taken before any goes on. A single task needs no second look. Returns 0 when none is left. */
static int wait_for_all_ready(void)
{
	static struct { pid_t tid; int wait_status; int64_t time_ns; } ready[BATCH];
	int count = 0;

	do {
		pid_t tid = wait4(-1, &ready[count].wait_status, __WALL | (count ? WNOHANG : 0), NULL);

		if (tid <= 0 && count)
			break;
		if (tid < 0)
			return errno == EINTR;
		ready[count].time_ns = now_ns();
		ready[count++].tid = tid;
	} while (count < BATCH && task_count() > 1);
	for (int i = 0; i < count; i++) {
		if (WIFSTOPPED(ready[i].wait_status))
			stopped(task_get(ready[i].tid), ready[i].wait_status, ready[i].time_ns);
		else
			ended(ready[i].tid, ready[i].wait_status, ready[i].time_ns);
	}
	return 1;
}

/* ---- the run ---- */

/* After an interrupt SIGKILL may follow at any time: what there is is written out again and again. */
static void on_interrupt(int signal)
{
	const struct itimerval tick = {{0, TICK_US}, {0, TICK_US}};

	ticked = 1;
	if (signal == SIGINT)
		setitimer(ITIMER_REAL, &tick, NULL); /* a bare system call, so fit for a handler */
}

/* Our parent is dead: nobody will read this. The group is ours, so all that it holds dies. */
static void on_orphaned(int signal)
{
	(void)signal;
	kill(0, SIGKILL);
}

static void handle_signals(void)
{
	struct sigaction interrupt = {.sa_handler = on_interrupt}, orphaned = {.sa_handler = on_orphaned};

	sigaction(SIGINT, &interrupt, NULL);
	sigaction(SIGALRM, &interrupt, NULL);
	sigaction(SIGHUP, &orphaned, NULL);
	prctl(PR_SET_PDEATHSIG, SIGHUP);
	if (getppid() != options.parent)
		on_orphaned(SIGHUP);
}

/* The child waits in read(2) until it is seized and told to stop: it stops on its way back, and goes on from
 * there under trace. Where we die before that, it reads the end of the pipe and ends. */
static void seize(int go)
{
	long wanted = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACESECCOMP;

	if (options.follow)
		wanted |= PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
	if (trace(PTRACE_SEIZE, child, 0, (void *)wanted))
		fail("PTRACE_SEIZE");
	else if (trace(PTRACE_INTERRUPT, child, 0, NULL) || write(go, "", 1) != 1)
		fail("PTRACE_INTERRUPT");
}

int trace_main(int argc, char **argv)
{
	int go[2], failed[2], error;

	if (!trace_parse(argc, argv, &options))
		return 2;
	records.fd = options.records_fd;
	strings.fd = options.strings_fd;
	if (pipe2(go, O_CLOEXEC) || pipe2(failed, O_CLOEXEC))
		return 2;
	setpgid(0, 0); /* fails where it is so already, as the leader of a session */
	child = fork();
	if (child == 0)
		become_tracee(&options, go, failed[1]);
	handle_signals();
	close(failed[1]);
	close(go[0]);
	if (child < 0)
		fail("fork");
	else
		seize(go[1]);
	while (wait_for_all_ready()) {
		if (ticked) {
			ticked = 0;
			record_open_calls();
			flush();
		}
	}
	flush();
	if (!status.error && read(failed[0], &error, sizeof(error)) == sizeof(error)) {
		status.error = error;
		strcpy(status.what, "execve");
	}
	return write(options.status_fd, &status, sizeof(status)) != sizeof(status);
}
