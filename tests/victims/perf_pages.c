/* SPDX-License-Identifier: MIT
 *
 * perf_pages N [thread|fork|exec]: touches N fresh pages, each once: N page faults more than with N = 0.
 *
 * In the main thread; or in a second thread; or in a forked child; or in a forked child that executes
 * `perf_pages N` anew. Everything else is the same for every N.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static long pages;

static void *touch(void *unused)
{
	/* One page more than is touched, so that N = 0 maps something too. No huge page may serve several. */
	long size = sysconf(_SC_PAGESIZE);
	char *fresh = mmap(NULL, (pages + 1) * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (fresh == MAP_FAILED)
		exit(1);
	madvise(fresh, (pages + 1) * size, MADV_NOHUGEPAGE);
	for (long i = 0; i < pages; i++)
		fresh[i * size] = 1;
	return unused;
}

int main(int argc, char **argv)
{
	const char *where = argc > 2 ? argv[2] : "";
	int status = 0;

	pages = argc > 1 ? atol(argv[1]) : 0;
	if (!strcmp(where, "thread")) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, touch, NULL))
			return 1;
		pthread_join(thread, NULL);
	} else if (*where) {
		if (!fork()) {
			if (!strcmp(where, "exec"))
				execl(argv[0], argv[0], argv[1], NULL);
			touch(NULL);
			_exit(0);
		}
		wait(&status);
	} else {
		touch(NULL);
	}
	return status != 0;
}
