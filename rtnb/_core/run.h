/* SPDX-License-Identifier: MIT
 *
 * The memory that a run of periodic tasks shares with its caller, and what its files tell each other.
 */
#ifndef RTNB_RUN_H
#define RTNB_RUN_H

#include "core.h"

#include <pthread.h>
#include <signal.h>

/* rtnb-core run -m MEMORY_FD -s STATUS_FD -e EVENTS_FD -c CONTROL_FD -p PARENT_PID [-- INTERPRETER...]
 *
 * MEMORY_FD is a memfd that holds struct run, then its struct task's, then its struct mutex'es, then the rings that
 * the tasks name. The caller writes what it asks for and starts this program; all can be read while it runs.
 * The program is the tasks' supervisor and their watchdog: each task is a process of its own below it, forked, or
 * INTERPRETER with the task's number and the descriptors of the memory and of the barrier (-> PYTHON).
 * A byte on CONTROL_FD: look at `stop` and at the tasks again. EVENTS_FD gets a struct miss each.
 * SIGINT ends the tasks, and then the program; what has been written by then stands. The end of PARENT_PID ends all. */
enum { STEPS = 32, CPUS = 1024, RUN_BYTES = 128, TASK_BYTES = 1344 };

enum step_kind { STEP_BUSY, STEP_TOUCH, STEP_SYSCALLS, STEP_SLEEP, STEP_LOCK, STEP_UNLOCK, STEP_CALL };

struct step {
	uint32_t kind;  /* enum step_kind */
	uint32_t mutex; /* of a lock and an unlock: its number */
	int64_t amount; /* ns of CPU time or of sleep; pages; calls */
};
_Static_assert(sizeof(struct step) == 16, "struct step is mirrored in rtnb/rt/plan.py");

struct run {
	/* asked */
	uint32_t tasks, mutexes;
	int64_t length_ns;           /* so long after the start whatever still runs is ended */
	int32_t priority;            /* of the supervisor, under FIFO, or as far as RLIMIT_RTPRIO lets it; 0: as it is */
	int32_t dma_latency_us;      /* to be held in /dev/cpu_dma_latency while it runs; -1: not */
	uint32_t stop;               /* set by the caller at any time: end the tasks */
	/* obtained */
	int32_t pid;                 /* of the supervisor; 0 until it watches */
	int64_t start_ns;            /* release 0 of a task without offset; 0 until all are ready */
	int32_t priority_error;      /* errno of sched_setattr(2) for the supervisor */
	int32_t dma_latency_error;   /* errno of /dev/cpu_dma_latency */
	uint64_t misses, unheard;    /* events, and those that did not fit into EVENTS_FD */
	int64_t worst_late_ns;       /* how late the supervisor saw a miss, at worst */
	uint32_t overdue;            /* tasks were asked to end because their time was over */
	uint8_t reserved[RUN_BYTES - 76];
};
_Static_assert(sizeof(struct run) == RUN_BYTES, "struct run is mirrored in rtnb/rt/plan.py");

enum task_option {
	TASK_LOCK_MEMORY = 1, /* mlockall(2) and a touched stack; goes on without, and says so */
	TASK_CONTINUE = 2,    /* a late job delays the next; else the releases that it slept through are missed */
	TASK_WATCH = 4,       /* the supervisor tells when `expect_ns` is past */
	TASK_STOP = 8,        /* and kills it then */
	TASK_PYTHON = 16,     /* an INTERPRETER is the task */
	TASK_FOREIGN = 32,    /* not started here: only watched */
	TASK_PINNED = 64,     /* `cpus` is asked for */
	TASK_NICE = 128,      /* `attr.nice` is asked for; else it stays */
	TASK_SLACK = 256,     /* `timer_slack_ns` is asked for */
};

struct task {
	/* asked */
	char name[32];
	struct attributes attr;
	uint64_t cpus[CPUS / 64];
	int64_t period_ns, offset_ns, deadline_ns, tolerance_ns;
	uint64_t releases;
	uint64_t ring, ring_offset;   /* its struct job's: how many, and where in the memory; a multiple of the page size */
	uint64_t marks, marks_offset; /* its struct mark's, likewise */
	uint64_t rttime_us;           /* RLIMIT_RTTIME: more CPU time than this without a sleep ends it */
	uint64_t timer_slack_ns;
	uint32_t option;              /* enum task_option */
	uint32_t steps;
	struct step step[STEPS];
	char library[256], symbol[64]; /* of STEP_CALL: void symbol(uint64_t job) */
	/* obtained */
	struct attributes got;        /* as sched_getattr(2) read them back */
	uint64_t got_timer_slack_ns;
	int32_t pid;                  /* 0 until all of the above was obtained */
	int32_t mlock_error;          /* errno of mlockall(2), 0: memory is locked, if it was to be */
	int32_t error;                /* errno of what failed, before the first release or in a step */
	int32_t wait_status;          /* as from waitpid(2); -1 until it has ended */
	char what[40];                /* the call that failed */
	uint64_t records;             /* jobs written, stored last: job n is in the ring at n modulo `ring` */
	uint64_t marked;              /* likewise of `marks` */
	uint64_t done;                /* releases that are over: answered by a job, or missed */
	uint64_t overruns;            /* jobs that ended later than deadline and tolerance allow */
	uint64_t dl_overruns;         /* SIGXCPU that SCHED_FLAG_DL_OVERRUN sent: at a tick, so not for each overrun */
	int64_t expect_ns;            /* by when the present job must have ended; 0: nothing is due */
	int64_t kick_ns;              /* when the one before it did */
	int64_t overhead_ns;          /* of an INTERPRETER: what an empty job takes from start to end */
	uint32_t killed;              /* by the supervisor, since it did not end when asked to */
	uint8_t reserved[TASK_BYTES - 1316];
};
_Static_assert(sizeof(struct task) == TASK_BYTES, "struct task is mirrored in rtnb/rt/plan.py");

struct job {
	int64_t number, release_ns, start_ns, end_ns; /* CLOCK_MONOTONIC */
	int64_t execution_ns; /* CPU time of its load */
	int64_t waited_ns;    /* in its lock steps */
	int32_t cpu;
	int32_t missed;       /* releases slept through because this job came or ended so late */
	int32_t preemptions;  /* involuntary context switches in its load */
	int32_t reserved;
};
_Static_assert(sizeof(struct job) == 64, "struct job is mirrored in rtnb/rt/plan.py");

/* One step of a job. */
struct mark {
	int64_t job, begin_ns, end_ns;
	int32_t step;
	int32_t reserved;
};
_Static_assert(sizeof(struct mark) == 32, "struct mark is mirrored in rtnb/rt/plan.py");

/* A job was not done in time. */
struct miss {
	int64_t expected_ns; /* by when it should have been done */
	int64_t detected_ns; /* when that was seen */
	int64_t kick_ns;     /* when the job before it was done; 0: none was */
	int32_t task;
	int32_t stopped;     /* it was killed for it */
};
_Static_assert(sizeof(struct miss) == 32, "struct miss is mirrored in rtnb/rt/plan.py");

/* A mutex over processes, made by rtnb/rt/mutex.py. The counts are written by its owner alone. (load.c) */
struct mutex {
	union {
		pthread_mutex_t mutex;
		uint8_t bytes[64];
	};
	int32_t protocol, ceiling;
	int32_t owner; /* tid; 0: none */
	int32_t dead;  /* owners that died with it */
	uint64_t locks, contentions;
	int64_t total_wait_ns, worst_wait_ns;
	uint8_t reserved[16];
};
_Static_assert(sizeof(struct mutex) == 128, "struct mutex is mirrored in rtnb/rt/mutex.py");

/* Set by SIGINT: a task ends, and so does the load that it is in. (task.c) */
extern volatile sig_atomic_t stop;

/* What a task runs its load with. (load.c) */
struct load {
	struct task *task;
	struct mutex *mutexes;
	struct mark *marks;
	volatile char *pages;
	void (*call)(uint64_t job);
};
/* Make ready all that it will need, so that no job takes the first fault. Returns the call that failed, or NULL. */
const char *load_prepare(struct load *load);
/* Run the steps of a job; returns 0, or -1 where it was cut short: by SIGINT, or by what the task's error says. */
int load_run(struct load *load, uint64_t job, int64_t *waited_ns);

/* Let the watchdog expect the end of the job of this release; 0: of none. `now` is when the one before it ended. */
void task_expect(struct task *task, int64_t release, int64_t now);

/* Be task `number`: obtain what it asks for, wait at the barrier, run its jobs; the exit status. (task.c) */
int task_run(struct run *run, uint32_t number, int memory_fd, int ready_fd, int go_fd);

#endif
