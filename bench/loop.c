/* SPDX-License-Identifier: MIT
 * The plain loop that `%rt_task` is compared with: 1 ms, FIFO 80, locked memory, one CPU; prints each latency in ns. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	const long loops = argc > 2 ? atol(argv[1]) : 0;
	long *late = calloc(loops, sizeof(*late));
	struct sched_param param = {.sched_priority = 80};
	int32_t none_us = 0;
	int fd = open("/dev/cpu_dma_latency", O_WRONLY);
	cpu_set_t cpus;
	struct timespec next, now;

	if (!late || write(fd, &none_us, sizeof(none_us)) < 0)
		return 1;
	CPU_ZERO(&cpus);
	CPU_SET(atoi(argv[2]), &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) || mlockall(MCL_CURRENT | MCL_FUTURE) ||
	    sched_setscheduler(0, SCHED_FIFO, &param))
		return 1;
	clock_gettime(CLOCK_MONOTONIC, &next);
	for (long i = 0; i < loops; i++) {
		next.tv_nsec += 1000000;
		if (next.tv_nsec >= 1000000000) {
			next.tv_nsec -= 1000000000;
			next.tv_sec++;
		}
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
		clock_gettime(CLOCK_MONOTONIC, &now);
		late[i] = (now.tv_sec - next.tv_sec) * 1000000000L + now.tv_nsec - next.tv_nsec;
	}
	for (long i = 0; i < loops; i++)
		printf("%ld\n", late[i]);
	return 0;
}
