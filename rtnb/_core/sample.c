/* SPDX-License-Identifier: MIT
 * How late does a periodic task wake up? The wake-up loop of %rt_task.
 *
 * Why it is C, and a process of its own (1 ms period, FIFO 80, under hackbench, medians measured): this loop
 * 26.6 us late, the same through ctypes 31.9 us, a Python thread beside another that runs bytecode 5,083 us.
 */
#include "core.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { STACK_BYTES = 64 * 1024, NS_PER_S = 1000000000, RTTIME_US = 1000000 };

struct request {
	int status_fd, map_fd, policy, priority, cpu;
	uint64_t period_ns, releases;
};

static volatile sig_atomic_t stop;

static void on_interrupt(int signal)
{
	(void)signal;
	stop = 1;
}

static void report(int fd, int error, const char *what, uint64_t records)
{
	struct status status = {.error = error, .records = records};

	strncpy(status.what, what, sizeof(status.what) - 1);
	if (write(fd, &status, sizeof(status)) != sizeof(status))
		_exit(1); /* nobody reads any more */
}

static int pin(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus); /* a number past the set's end leaves it empty, which the kernel refuses */
	return sched_setaffinity(0, sizeof(cpus), &cpus) ? errno : 0;
}

/* A task that never sleeps for a second of CPU time is not this loop: the kernel ends it. */
static int bound_cpu_time(void)
{
	struct rlimit limit = {RTTIME_US, RTTIME_US};

	return setrlimit(RLIMIT_RTTIME, &limit) ? errno : 0;
}

/* As long as the descriptor is open no CPU enters an idle state that it leaves late (kernel: pm_qos_interface). */
static int hold_cpu_dma_latency(void)
{
	int32_t none_us = 0;
	int fd = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return errno;
	return write(fd, &none_us, sizeof(none_us)) == sizeof(none_us) ? 0 : errno;
}

static void touch_stack(void)
{
	volatile char page[STACK_BYTES];

	for (size_t i = 0; i < sizeof(page); i += 4096)
		page[i] = 0;
}

/* Everything that could fault or be refused comes before the loop. Returns the call that failed, or NULL. */
static const char *prepare(const struct request *ask, struct sample_head *head)
{
	touch_stack(); /* before MCL_FUTURE, under which a growing stack may hit RLIMIT_MEMLOCK */
	head->mlock_error = mlockall(MCL_CURRENT | MCL_FUTURE) ? errno : 0;
	head->dma_latency_error = hold_cpu_dma_latency();
	if (ask->cpu >= 0 && (errno = pin(ask->cpu)))
		return "sched_setaffinity";
	if ((errno = bound_cpu_time()))
		return "setrlimit(RLIMIT_RTTIME)";
	if (prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)) /* FIFO and RR have none anyway; for the others 50 us is usual */
		return "prctl(PR_SET_TIMERSLACK)";
	if ((errno = take_policy(ask->policy, ask->priority)))
		return "sched_setattr";
	if ((errno = read_policy(head)))
		return "sched_getattr";
	head->timer_slack_ns = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
	head->pid = getpid();
	return NULL;
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

static int sleep_until(int64_t ns)
{
	struct timespec until = {ns / NS_PER_S, ns % NS_PER_S};
	int error;

	do
		error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	while (error == EINTR && !stop);
	return error;
}

/* Release k of `releases` is due at start + k * period. Each one is woken for, or was missed: slept through by
 * the wake-up before it, which came after it was due. So the run ends on time however late the wake-ups are. */
static void sample(const struct request *ask, struct sample_head *head, struct wakeup *rows)
{
	const int64_t period = ask->period_ns, start = now_ns();
	uint64_t n = 0;

	for (uint64_t k = 1; k <= ask->releases && !stop; n++) {
		int64_t release = start + (int64_t)k * period, wake;
		uint64_t missed = 0, left = ask->releases - k;

		if (sleep_until(release))
			break;
		wake = now_ns();
		if (wake > release)
			missed = (wake - release - 1) / period; /* due before now, not at this very moment */
		if (missed > left)
			missed = left;
		rows[n] = (struct wakeup){release, wake, sched_getcpu(), missed};
		k += 1 + missed;
		head->done = k - 1;
		__atomic_store_n(&head->records, n + 1, __ATOMIC_RELEASE);
	}
}

static int orphaned(int status_fd)
{
	struct pollfd status = {.fd = status_fd};

	/* The death signal is asked for too late if the parent died first; then nobody holds the pipe's other end. */
	return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) || (poll(&status, 1, 0) == 1 && status.revents & POLLERR);
}

static int parse(int argc, char **argv, struct request *ask)
{
	*ask = (struct request){.status_fd = -1, .map_fd = -1, .cpu = -1};
	for (int option; (option = getopt(argc, argv, "s:m:P:p:c:i:n:")) != -1;)
		switch (option) {
		case 's': ask->status_fd = atoi(optarg); break;
		case 'm': ask->map_fd = atoi(optarg); break;
		case 'P': ask->policy = atoi(optarg); break;
		case 'p': ask->priority = atoi(optarg); break;
		case 'c': ask->cpu = atoi(optarg); break;
		case 'i': ask->period_ns = strtoull(optarg, NULL, 10); break;
		case 'n': ask->releases = strtoull(optarg, NULL, 10); break;
		default: return 0;
		}
	return ask->status_fd >= 0 && ask->map_fd >= 0 && ask->period_ns > 0;
}

int sample_main(int argc, char **argv)
{
	struct sigaction interrupt = {.sa_handler = on_interrupt}; /* no SA_RESTART: it must end the sleep */
	struct request ask;
	struct sample_head *head;
	const char *failed;
	size_t bytes;

	if (!parse(argc, argv, &ask))
		return 2;
	if (orphaned(ask.status_fd))
		return 1;
	sigaction(SIGINT, &interrupt, NULL);
	bytes = sizeof(*head) + ask.releases * sizeof(struct wakeup);
	head = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ask.map_fd, 0);
	if (head == MAP_FAILED) {
		report(ask.status_fd, errno, "mmap", 0);
		return 1;
	}
	memset(head, 0, bytes); /* MAP_POPULATE only reads a shared mapping; the loop shall not take the first fault */
	if ((failed = prepare(&ask, head))) {
		report(ask.status_fd, errno, failed, 0);
		return 1;
	}
	sample(&ask, head, (struct wakeup *)(head + 1));
	report(ask.status_fd, 0, "", head->records);
	return 0;
}
