/* SPDX-License-Identifier: MIT
 * What does a job do? Its steps, one after the other.
 *
 * Why C: a load that is to take 200 us of CPU time has to look at that clock every fraction of a microsecond.
 */
#include "run.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096 };

/* CPU time, not time: a job that was preempted still has all of its work to do. */
static void busy(int64_t ns)
{
	const int64_t until = cpu_ns() + ns;

	while (cpu_ns() < until && !stop)
		;
}

static void touch(struct load *load, int64_t pages)
{
	for (int64_t i = 0; i < pages && !stop; i++)
		load->pages[i * PAGE]++;
}

static void system_calls(int64_t calls)
{
	for (int64_t i = 0; i < calls && !stop; i++)
		syscall(SYS_getppid);
}

static void rest(int64_t ns)
{
	struct timespec time = as_timespec(ns);

	clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

static int lock(struct mutex *mutex, int64_t *waited_ns) /* returns an errno */
{
	const int64_t begin = now_ns();
	int error = pthread_mutex_trylock(&mutex->mutex), contended = error == EBUSY;
	int64_t waited;

	if (contended)
		error = pthread_mutex_lock(&mutex->mutex);
	if (error == EOWNERDEAD) {
		mutex->dead++;
		error = pthread_mutex_consistent(&mutex->mutex);
	}
	if (error)
		return error;
	waited = contended ? now_ns() - begin : 0;
	mutex->owner = gettid();
	mutex->locks++;
	mutex->contentions += contended;
	mutex->total_wait_ns += waited;
	if (waited > mutex->worst_wait_ns)
		mutex->worst_wait_ns = waited;
	*waited_ns += waited;
	return 0;
}

static int unlock(struct mutex *mutex)
{
	mutex->owner = 0;
	return pthread_mutex_unlock(&mutex->mutex);
}

static int step_run(struct load *load, const struct step *step, uint64_t job, int64_t *waited_ns)
{
	switch (step->kind) {
	case STEP_BUSY: busy(step->amount); return 0;
	case STEP_TOUCH: touch(load, step->amount); return 0;
	case STEP_SYSCALLS: system_calls(step->amount); return 0;
	case STEP_SLEEP: rest(step->amount); return 0;
	case STEP_LOCK: return lock(load->mutexes + step->mutex, waited_ns);
	case STEP_UNLOCK: return unlock(load->mutexes + step->mutex);
	case STEP_CALL: load->call(job); return 0;
	default: return EINVAL;
	}
}

static void mark(struct load *load, uint64_t job, uint32_t step, int64_t begin_ns)
{
	const uint64_t n = load->task->marked;

	load->marks[n % load->task->marks] = (struct mark){job, begin_ns, now_ns(), step, 0};
	__atomic_store_n(&load->task->marked, n + 1, __ATOMIC_RELEASE);
}

int load_run(struct load *load, uint64_t job, int64_t *waited_ns)
{
	for (uint32_t i = 0; i < load->task->steps && !stop; i++) {
		const int64_t begin = load->marks ? now_ns() : 0;

		if ((load->task->error = step_run(load, load->task->step + i, job, waited_ns))) {
			strncpy(load->task->what, load->task->step[i].kind == STEP_UNLOCK ? "unlock" : "lock", sizeof(load->task->what) - 1);
			return -1;
		}
		if (load->marks)
			mark(load, job, i, begin);
	}
	return stop ? -1 : 0;
}

const char *load_prepare(struct load *load)
{
	int64_t pages = 0;
	int calls = 0;

	for (uint32_t i = 0; i < load->task->steps; i++) {
		const struct step *step = load->task->step + i;

		if (step->kind == STEP_TOUCH && step->amount > pages)
			pages = step->amount;
		calls += step->kind == STEP_CALL;
	}
	if (pages) {
		load->pages = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (load->pages == MAP_FAILED)
			return "mmap of pages";
	}
	if (calls) {
		void *library = dlopen(load->task->library, RTLD_NOW);

		if (!library)
			fprintf(stderr, "%s\n", dlerror());
		errno = ENOEXEC;
		if (!library)
			return "dlopen";
		errno = ENOENT;
		if (!(*(void **)&load->call = dlsym(library, load->task->symbol)))
			return "dlsym";
	}
	return NULL;
}
