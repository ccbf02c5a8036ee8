/* SPDX-License-Identifier: MIT
 * Under which policy does this process run, and which may it take?
 *
 * `rtnb-core probe` tries in a process of its own, for what is tried cannot always be undone; the process then
 * ends and leaves nothing. */
#include "core.h"

#include <errno.h>
#include <linux/sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int set_attributes(struct attributes *attr)
{
	attr->size = sizeof(*attr);
	return syscall(SYS_sched_setattr, 0, attr, 0) ? errno : 0;
}

int get_attributes(struct attributes *attr)
{
	return syscall(SYS_sched_getattr, 0, attr, sizeof(*attr), 0) ? errno : 0;
}

int take_policy(uint32_t policy, uint32_t priority)
{
	struct attributes now, attr = {.policy = policy, .priority = priority};
	int error = get_attributes(&now);

	if (error)
		return error;
	attr.nice = now.nice; /* stays what it is: to lower it would take a privilege */
	return set_attributes(&attr);
}

int probe_main(int argc, char **argv)
{
	const char *what = argc == 2 ? argv[1] : "";
	/* 1 ms in 10: a share that any admission leaves on a machine that is not full */
	struct attributes deadline = {
		.policy = SCHED_DEADLINE, .runtime_ns = 1000000, .deadline_ns = 10000000, .period_ns = 10000000};

	if (!strcmp(what, "fifo"))
		return take_policy(SCHED_FIFO, 80);
	if (!strcmp(what, "deadline"))
		return set_attributes(&deadline);
	if (!strcmp(what, "mlock"))
		return mlockall(MCL_CURRENT | MCL_FUTURE) ? errno : 0;
	fprintf(stderr, "usage: rtnb-core probe fifo|deadline|mlock (the exit status is the errno)\n");
	return 255;
}
