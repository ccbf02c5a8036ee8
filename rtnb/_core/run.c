/* SPDX-License-Identifier: MIT
 * Who starts the tasks together, sees that each is done in time, and that all of them end?
 *
 * Why C, and above the tasks: a Python thread beside a busy one is 5 ms late (measured), and a process that its
 * tasks can keep from running watches nothing. This one was 22 us late at FIFO 90.
 */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = 16, RTTIME_US = 1000000 };
static const int64_t NEVER = INT64_MAX;
static const int64_t START_NS = 2000000;     /* from the barrier to release 0: all have gone to sleep by then */
static const int64_t READY_NS = 30000000000; /* an interpreter takes its time to start */
static const int64_t GRACE_NS = 500000000;   /* from SIGINT to SIGKILL */
static const int64_t AGAIN_NS = 1000000;     /* an overdue task is not looked at more often than this */

/* What the supervisor knows of a task, and no other process may change. */
struct watched {
	pid_t pid;        /* of a task that was started here and has not ended; else 0 */
	int pidfd;        /* of a foreign task that may be stopped, -1: not opened */
	int64_t told_ns;  /* the expectation that was told as missed */
};

struct supervisor {
	struct run *run;
	struct task *tasks;
	struct watched *watched;
	char **interpreter;
	int memory_fd, status_fd, events_fd, control_fd, parent_fd, signal_fd;
	int ready[2], go[2];
	uint32_t ours, running, ready_count;
	pid_t pid;
	int64_t end_ns;  /* when whatever still runs is asked to end */
	int64_t kill_ns; /* when what was asked to is killed */
	int asked;       /* to end */
};

static void report(const struct supervisor *s, int error, const char *what, uint64_t task)
{
	struct status status = {.error = error, .records = task};

	strncpy(status.what, what, sizeof(status.what) - 1);
	if (write(s->status_fd, &status, sizeof(status)) != sizeof(status))
		_exit(1); /* nobody reads any more */
}

/* As long as the descriptor is open no CPU enters an idle state that it leaves late (kernel: pm_qos_interface). */
static int hold_cpu_dma_latency(int32_t us)
{
	int fd = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return errno;
	return write(fd, &us, sizeof(us)) == sizeof(us) ? 0 : errno;
}

static void signal_tasks(const struct supervisor *s, int number)
{
	for (uint32_t i = 0; i < s->run->tasks; i++)
		if (s->watched[i].pid) { /* not waited for yet: the number is still its own */
			s->tasks[i].killed = number == SIGKILL;
			kill(s->watched[i].pid, number);
		}
}

static void ask_to_end(struct supervisor *s)
{
	if (s->asked)
		return;
	s->asked = 1;
	signal_tasks(s, SIGINT);
	s->kill_ns = now_ns() + GRACE_NS;
}

static int interpret(const struct supervisor *s, uint32_t number)
{
	const int numbers[] = {(int)number, s->memory_fd, s->ready[1], s->go[0]};
	char words[4][12], *argv[WORDS + 5] = {0};
	int n = 0;

	for (; n < WORDS && s->interpreter[n]; n++)
		argv[n] = s->interpreter[n];
	for (int i = 0; i < 4; i++) {
		snprintf(words[i], sizeof(words[i]), "%d", numbers[i]);
		argv[n + i] = words[i];
		if (i)
			fcntl(numbers[i], F_SETFD, 0);
	}
	signal(SIGINT, SIG_IGN); /* until it has a handler for it: an interrupted import would print a traceback */
	execv(argv[0], argv);
	s->tasks[number].error = errno;
	strcpy(s->tasks[number].what, "execve");
	return 1;
}

/* The child: a task in C, or an interpreter that is one. */
static int be_task(const struct supervisor *s, uint32_t number)
{
	sigset_t none;

	/* Asked for too late if the supervisor died first. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) || getppid() != s->pid)
		return 1;
	/* What only the supervisor uses; a job's own children would keep the other ends open. */
	const int not_ours[] = {s->status_fd, s->events_fd, s->control_fd, s->parent_fd, s->signal_fd, s->ready[0], s->go[1]};
	for (size_t i = 0; i < sizeof(not_ours) / sizeof(*not_ours); i++)
		close(not_ours[i]);
	prctl(PR_SET_NAME, s->tasks[number].name, 0, 0, 0); /* so that others see who it is, cut at 15 bytes */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (s->tasks[number].option & TASK_PYTHON)
		return interpret(s, number);
	return task_run(s->run, number, s->memory_fd, s->ready[1], s->go[0]);
}

static int start_tasks(struct supervisor *s)
{
	for (uint32_t i = 0; i < s->run->tasks; i++) {
		s->watched[i] = (struct watched){.pidfd = -1};
		if (s->tasks[i].option & TASK_FOREIGN)
			continue;
		s->watched[i].pid = fork();
		if (s->watched[i].pid < 0) {
			s->watched[i].pid = 0;
			return errno;
		}
		if (!s->watched[i].pid)
			_exit(be_task(s, i));
		s->ours++;
	}
	s->running = s->ours;
	return 0;
}

/* All are ready: from here on time counts. */
static void open_barrier(struct supervisor *s)
{
	char bytes[64] = {0};

	s->run->start_ns = now_ns() + START_NS;
	s->end_ns = s->run->start_ns + s->run->length_ns;
	for (uint32_t i = 0; i < s->run->tasks; i++)
		task_expect(s->tasks + i, s->run->start_ns + s->tasks[i].offset_ns, s->run->start_ns);
	for (uint32_t left = s->ours; left;) {
		ssize_t some = write(s->go[1], bytes, left < sizeof(bytes) ? left : sizeof(bytes));

		if (some <= 0)
			break;
		left -= some;
	}
}

static void reap(struct supervisor *s)
{
	for (uint32_t i = 0; i < s->run->tasks; i++) {
		struct task *task = s->tasks + i;
		int status = 0;

		if (!s->watched[i].pid || !waitpid(s->watched[i].pid, &status, WNOHANG))
			continue; /* an error: somebody else has waited for it */
		s->watched[i].pid = 0;
		s->running--;
		task->expect_ns = 0;
		__atomic_store_n(&task->wait_status, status, __ATOMIC_RELEASE);
		if (!s->run->start_ns && !s->asked) { /* it could not become what was asked for */
			report(s, task->error ? task->error : ECHILD, task->error ? task->what : "a task", i);
			ask_to_end(s);
			s->kill_ns = now_ns();
		}
	}
}

static int stop_task(struct supervisor *s, uint32_t number)
{
	struct watched *watched = s->watched + number;

	if (!(s->tasks[number].option & TASK_STOP))
		return 0;
	if (!(s->tasks[number].option & TASK_FOREIGN))
		return watched->pid && !kill(watched->pid, SIGKILL);
	return watched->pidfd >= 0 && !syscall(SYS_pidfd_send_signal, watched->pidfd, SIGKILL, NULL, 0);
}

static void note_lateness(struct supervisor *s, int64_t late)
{
	if (late > s->run->worst_late_ns)
		s->run->worst_late_ns = late;
}

static void tell(struct supervisor *s, uint32_t number, int64_t expected, int64_t now)
{
	struct miss miss = {expected, now, s->tasks[number].kick_ns, number, stop_task(s, number)};

	s->watched[number].told_ns = expected;
	s->run->misses++;
	note_lateness(s, now - expected);
	if (write(s->events_fd, &miss, sizeof(miss)) != sizeof(miss))
		s->run->unheard++;
}

/* Tell what should have been done by now; returns when to look again. A task that is overdue, or rests, sets its next
 * expectation at some time, and for a period from then on at least: so that is seen in time. */
static int64_t look(struct supervisor *s, int64_t now)
{
	int64_t next = NEVER;

	for (uint32_t i = 0; i < s->run->tasks; i++) {
		const int64_t period = s->tasks[i].period_ns, step = period > AGAIN_NS ? period : AGAIN_NS;
		int64_t expected = __atomic_load_n(&s->tasks[i].expect_ns, __ATOMIC_ACQUIRE);

		if (!(s->tasks[i].option & TASK_WATCH) || (!expected && !(s->tasks[i].option & TASK_FOREIGN)))
			continue; /* a foreign one that rests may begin again at any time */
		if (expected && expected <= now && expected != s->watched[i].told_ns)
			tell(s, i, expected, now);
		if (expected <= now)
			expected += step * ((now - expected) / step + 1); /* and not from now on: lateness would add up */
		if (expected < next)
			next = expected;
	}
	return next;
}

/* A foreign task that is to be stopped is held by a descriptor, for its number may become another's. */
static void hold_foreign(struct supervisor *s)
{
	for (uint32_t i = 0; i < s->run->tasks; i++) {
		struct task *task = s->tasks + i;
		struct watched *watched = s->watched + i;

		if (!(task->option & TASK_FOREIGN) || (watched->pidfd >= 0) == (task->option & TASK_STOP && task->pid))
			continue;
		if (watched->pidfd >= 0)
			close(watched->pidfd);
		watched->pidfd = task->option & TASK_STOP && task->pid ? (int)syscall(SYS_pidfd_open, task->pid, 0) : -1;
	}
}

static void on_control(struct supervisor *s)
{
	char bytes[64];

	if (read(s->control_fd, bytes, sizeof(bytes)) <= 0 || s->run->stop)
		ask_to_end(s);
	hold_foreign(s);
}

static void on_signal(struct supervisor *s)
{
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo == SIGCHLD)
			reap(s);
		else
			ask_to_end(s);
}

static void on_ready(struct supervisor *s)
{
	char bytes[64];
	ssize_t some = read(s->ready[0], bytes, sizeof(bytes));

	if (some > 0)
		s->ready_count += some;
	if (s->ready_count == s->ours && !s->run->start_ns)
		open_barrier(s);
}

/* Sleep until something comes, or until `until`; returns what poll does. */
static int wait_until(struct supervisor *s, int64_t until)
{
	struct pollfd fds[] = {
		{s->parent_fd, POLLIN, 0}, {s->signal_fd, POLLIN, 0}, {s->control_fd, POLLIN, 0}, {s->ready[0], POLLIN, 0}};
	int64_t left = until - now_ns();
	struct timespec time = as_timespec(left);
	int ready;

	if (left <= 0)
		return 0;
	ready = ppoll(fds, s->run->start_ns ? 3 : 4, until == NEVER ? NULL : &time, NULL);
	if (ready <= 0)
		return ready;
	if (fds[0].revents) /* the notebook is gone: all of the group goes, this process too */
		kill(0, SIGKILL);
	if (fds[1].revents)
		on_signal(s);
	if (fds[2].revents)
		on_control(s);
	if (fds[3].revents)
		on_ready(s);
	return ready;
}

/* What a time that has come calls for. */
static void on_time(struct supervisor *s, int64_t now)
{
	if (now >= s->kill_ns) {
		signal_tasks(s, SIGKILL);
		s->kill_ns = now + GRACE_NS;
	} else if (now >= s->end_ns && !s->asked) {
		s->run->overdue = 1;
		if (!s->run->start_ns)
			report(s, ETIMEDOUT, "the barrier", 0);
		ask_to_end(s);
	}
}

static void supervise(struct supervisor *s)
{
	while (s->ours ? s->running > 0 : !s->asked) {
		const int64_t next = look(s, now_ns()), end = s->asked ? s->kill_ns : s->end_ns;
		const int64_t until = next < end ? next : end;

		if (wait_until(s, until))
			continue;
		int64_t now = now_ns();

		if (until == next)
			note_lateness(s, now - next);
		on_time(s, now);
	}
}

/* Above the tasks where that is allowed; else as far up as RLIMIT_RTPRIO lets it. */
static void take_priority(struct run *run)
{
	struct rlimit allowed;

	run->priority_error = take_policy(SCHED_FIFO, run->priority);
	if (run->priority_error != EPERM || getrlimit(RLIMIT_RTPRIO, &allowed) || !allowed.rlim_cur)
		return;
	if (allowed.rlim_cur < (rlim_t)run->priority) {
		run->priority = allowed.rlim_cur;
		run->priority_error = take_policy(SCHED_FIFO, run->priority);
	}
}

static int become_supervisor(struct supervisor *s)
{
	const struct rlimit limit = {RTTIME_US, RTTIME_US}; /* it sleeps nearly always; should it not, it is ended */
	int error;

	if (s->run->dma_latency_us >= 0)
		s->run->dma_latency_error = hold_cpu_dma_latency(s->run->dma_latency_us);
	if ((error = start_tasks(s))) {
		signal_tasks(s, SIGKILL);
		report(s, error, "fork", 0);
		return error;
	}
	/* After the forks: the tasks shall begin as what they are, not as this. */
	if (s->run->priority) {
		mlockall(MCL_CURRENT);
		if (setrlimit(RLIMIT_RTTIME, &limit))
			return errno;
		take_priority(s->run);
	}
	s->run->pid = getpid();
	return 0;
}

static int parse(int argc, char **argv, struct supervisor *s, pid_t *parent)
{
	*s = (struct supervisor){.memory_fd = -1, .status_fd = -1, .events_fd = -1, .control_fd = -1};
	s->kill_ns = NEVER;
	for (int option; (option = getopt(argc, argv, "+m:s:e:c:p:")) != -1;)
		switch (option) {
		case 'm': s->memory_fd = atoi(optarg); break;
		case 's': s->status_fd = atoi(optarg); break;
		case 'e': s->events_fd = atoi(optarg); break;
		case 'c': s->control_fd = atoi(optarg); break;
		case 'p': *parent = atoi(optarg); break;
		default: return 0;
		}
	s->interpreter = argv + optind;
	return s->memory_fd >= 0 && s->status_fd >= 0 && s->events_fd >= 0 && s->control_fd >= 0 && *parent > 0;
}

/* The memory's head: the run, its tasks and its mutexes. */
static struct run *map_head(int fd)
{
	struct run run;

	if (pread(fd, &run, sizeof(run), 0) != sizeof(run))
		return MAP_FAILED;
	return mmap(NULL, sizeof(run) + run.tasks * sizeof(struct task) + run.mutexes * sizeof(struct mutex),
		    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
}

static int open_all(struct supervisor *s, pid_t parent)
{
	const int ours[] = {s->status_fd, s->events_fd, s->control_fd};
	sigset_t signals;

	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		fcntl(ours[i], F_SETFD, FD_CLOEXEC);
	s->pid = getpid();
	signal(SIGCHLD, SIG_DFL); /* where it is ignored nobody can be waited for, and that is inherited */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	s->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	s->parent_fd = syscall(SYS_pidfd_open, parent, 0); /* of the process: a thread of it that ends is not its end */
	if (s->signal_fd < 0 || s->parent_fd < 0 || getppid() != parent)
		return 0;
	return !pipe2(s->ready, O_CLOEXEC) && !pipe2(s->go, O_CLOEXEC);
}

int run_main(int argc, char **argv)
{
	struct supervisor s;
	pid_t parent = 0;

	if (!parse(argc, argv, &s, &parent))
		return 2;
	if (!open_all(&s, parent))
		return 1;
	if ((s.run = map_head(s.memory_fd)) == MAP_FAILED) {
		report(&s, errno, "mmap", 0);
		return 1;
	}
	s.tasks = (struct task *)(s.run + 1);
	s.watched = calloc(s.run->tasks + 1, sizeof(*s.watched));
	s.end_ns = now_ns() + READY_NS;
	if (!s.watched || become_supervisor(&s))
		return 1;
	if (!s.ours)
		open_barrier(&s);
	supervise(&s);
	if (s.run->start_ns)
		report(&s, 0, "", 0);
	return 0;
}
