/* SPDX-License-Identifier: MIT
 *
 * perf_sleeps: sleeps 7 times for 2 ms, so that it is switched out at least 7 times; then burns 50 ms of CPU time.
 *
 * Prints how often it was switched out from the start to the end of main (getrusage), and the nanoseconds of CPU time that it saw.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

static long switches(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_nvcsw + usage.ru_nivcsw;
}

static long cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

int main(void)
{
	const struct timespec nap = { .tv_nsec = 2000000 };
	long switched = switches(), start = cpu_ns();

	for (int i = 0; i < 7; i++)
		nanosleep(&nap, NULL);
	while (cpu_ns() - start < 50000000)
		;
	printf("%ld %ld\n", switches() - switched, cpu_ns() - start);
	return 0;
}
