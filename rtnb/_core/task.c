/* SPDX-License-Identifier: MIT
 * How late does a periodic task start, and how long does it take? The loop of one task, a process of its own.
 *
 * Why it is C, and a process of its own (1 ms period, FIFO 80, under hackbench, medians measured): such a loop
 * 26.6 us late, the same through ctypes 31.9 us, a Python thread beside another that runs bytecode 5,083 us.
 */
#include "run.h"

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { STACK_BYTES = 64 * 1024, RTTIME_LEFT_US = 100000 };

volatile sig_atomic_t stop;
static uint64_t *dl_overruns;

static void on_interrupt(int signal)
{
	(void)signal;
	stop = 1;
}

static void on_overrun(int signal)
{
	(void)signal;
	++*dl_overruns;
}

static void touch_stack(void)
{
	volatile char page[STACK_BYTES];

	for (size_t i = 0; i < sizeof(page); i += 4096)
		page[i] = 0;
}

static int pin(const struct task *task)
{
	return sched_setaffinity(0, sizeof(task->cpus), (const cpu_set_t *)task->cpus) ? errno : 0;
}

/* A task that takes more CPU time than it can need without a sleep is not this loop: the kernel ends it, by SIGXCPU and,
 * should a load have blocked that, by SIGKILL. */
static int bound_cpu_time(const struct task *task)
{
	struct rlimit limit = {task->rttime_us, task->rttime_us + RTTIME_LEFT_US}, no_core = {0, 0};

	return setrlimit(RLIMIT_CORE, &no_core) || setrlimit(RLIMIT_RTTIME, &limit) ? errno : 0;
}

static int take_attributes(struct task *task)
{
	struct attributes attr = task->attr, now;
	int error = get_attributes(&now);

	if (error)
		return error;
	if (attr.policy == SCHED_FIFO || attr.policy == SCHED_RR)
		attr.flags |= SCHED_FLAG_RESET_ON_FORK; /* what a job starts may outlive the run, and is not to be real-time */
	if (!(task->option & TASK_NICE))
		attr.nice = now.nice; /* stays what it is: to lower it would take a privilege */
	return set_attributes(&attr);
}

/* All that could be refused, in the order in which it can be had. Returns the call that failed, or NULL. */
static const char *obtain(struct task *task)
{
	touch_stack(); /* before MCL_FUTURE, under which a growing stack may hit RLIMIT_MEMLOCK */
	if (task->option & TASK_LOCK_MEMORY)
		task->mlock_error = mlockall(MCL_CURRENT | MCL_FUTURE) ? errno : 0;
	if (task->option & TASK_PINNED && (errno = pin(task)))
		return "sched_setaffinity";
	if ((errno = bound_cpu_time(task)))
		return "setrlimit(RLIMIT_RTTIME)";
	if (task->option & TASK_SLACK && prctl(PR_SET_TIMERSLACK, task->timer_slack_ns, 0, 0, 0))
		return "prctl(PR_SET_TIMERSLACK)";
	if ((errno = take_attributes(task)))
		return "sched_setattr";
	if ((errno = get_attributes(&task->got)))
		return "sched_getattr";
	task->got_timer_slack_ns = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
	return NULL;
}

static int sleep_until(int64_t ns)
{
	struct timespec until = as_timespec(ns);
	int error;

	do
		error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	while (error == EINTR && !stop);
	return error;
}

static int64_t preemptions(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nivcsw;
}

/* The load of one job, measured; -1 where it was cut short. A task without one is over when it starts. */
static int work(struct load *load, struct job *job)
{
	if (!load->task->steps) {
		job->end_ns = job->start_ns;
		return 0;
	}
	const int64_t switched = preemptions(), cpu = cpu_ns();
	const int cut = load_run(load, job->number, &job->waited_ns);

	job->execution_ns = cpu_ns() - cpu;
	job->preemptions = preemptions() - switched;
	job->end_ns = now_ns();
	return cut;
}

/* Releases that were due before the job was over, not at that very moment: it has slept through them. */
static uint64_t missed(const struct task *task, const struct job *job)
{
	const uint64_t left = task->releases - 1 - job->number;
	uint64_t slept_through = 0;

	if (task->option & TASK_CONTINUE)
		return 0;
	if (job->end_ns > job->release_ns)
		slept_through = (job->end_ns - job->release_ns - 1) / task->period_ns;
	return slept_through < left ? slept_through : left;
}

void task_expect(struct task *task, int64_t release, int64_t now)
{
	if (!(task->option & TASK_WATCH) || task->option & TASK_FOREIGN)
		return;
	task->kick_ns = now;
	__atomic_store_n(&task->expect_ns, release ? release + task->deadline_ns + task->tolerance_ns : 0, __ATOMIC_RELEASE);
}

/* Release k is due at start + offset + k * period. Each one is answered by a job, or was missed. So the run ends on
 * time however late the jobs are, unless they are to continue. */
static void jobs(struct task *task, int64_t start, struct load *load, struct job *ring)
{
	const int64_t first = start + task->offset_ns, length = task->releases * task->period_ns;
	uint64_t n = 0;

	while (task->done < task->releases && !stop) {
		struct job job = {.number = task->done, .release_ns = first + (int64_t)task->done * task->period_ns};

		if (sleep_until(job.release_ns))
			break;
		job.start_ns = now_ns();
		job.cpu = sched_getcpu();
		if (work(load, &job))
			break;
		job.missed = missed(task, &job);
		task->overruns += job.end_ns > job.release_ns + task->deadline_ns + task->tolerance_ns;
		ring[n % task->ring] = job;
		task->done += 1 + job.missed;
		__atomic_store_n(&task->records, ++n, __ATOMIC_RELEASE);
		if (task->option & TASK_CONTINUE && job.end_ns > first + length)
			break; /* its time is over; the releases that are left are not done */
		task_expect(task, task->done < task->releases ? first + (int64_t)task->done * task->period_ns : 0, job.end_ns);
	}
	task_expect(task, 0, now_ns());
}

/* Map what the task writes to, and nothing of the others: all that is mapped is locked. */
static void *map(int memory_fd, uint64_t offset, uint64_t bytes)
{
	void *there = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memory_fd, offset);

	if (there != MAP_FAILED)
		memset(there, 0, bytes); /* MAP_POPULATE only reads a shared mapping; the loop shall not take the first fault */
	return there;
}

static const char *prepare(struct task *task, int memory_fd, struct load *load, struct job **ring)
{
	struct sigaction interrupt = {.sa_handler = on_interrupt}; /* no SA_RESTART: it must end the sleep */
	struct sigaction overrun = {.sa_handler = on_overrun, .sa_flags = SA_RESTART};
	const char *failed;

	sigaction(SIGINT, &interrupt, NULL);
	if (task->attr.flags & SCHED_FLAG_DL_OVERRUN) { /* else SIGXCPU is RLIMIT_RTTIME's, and deadly */
		dl_overruns = &task->dl_overruns;
		sigaction(SIGXCPU, &overrun, NULL);
	}
	if ((*ring = map(memory_fd, task->ring_offset, task->ring * sizeof(**ring))) == MAP_FAILED)
		return "mmap";
	if (task->marks && (load->marks = map(memory_fd, task->marks_offset, task->marks * sizeof(*load->marks))) == MAP_FAILED)
		return "mmap";
	if ((failed = load_prepare(load)))
		return failed;
	return obtain(task);
}

int task_run(struct run *run, uint32_t number, int memory_fd, int ready_fd, int go_fd)
{
	struct task *task = (struct task *)(run + 1) + number;
	struct mutex *mutexes = (struct mutex *)((struct task *)(run + 1) + run->tasks);
	struct load load = {.task = task, .mutexes = mutexes};
	struct job *ring;
	char byte = 0;

	const char *failed = prepare(task, memory_fd, &load, &ring);
	if (failed) {
		task->error = errno;
		strncpy(task->what, failed, sizeof(task->what) - 1);
		return 1;
	}
	task->pid = getpid();
	if (write(ready_fd, &byte, 1) != 1 || read(go_fd, &byte, 1) != 1)
		return stop ? 0 : 1;
	jobs(task, run->start_ns, &load, ring);
	fflush(NULL); /* what a function of the user's has printed */
	return task->error != 0;
}
