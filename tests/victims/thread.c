/* SPDX-License-Identifier: MIT
 * thread N M: N threads make M getppid calls each, the main thread makes 7 before and 5 after them. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int m;

static void *calls(void *unused)
{
	(void)unused;
	for (int i = 0; i < m; i++)
		syscall(SYS_getppid);
	return NULL;
}

int main(int argc, char **argv)
{
	int n = argc > 2 ? atoi(argv[1]) : 0;
	pthread_t threads[64];

	m = 7;
	calls(NULL);
	m = argc > 2 ? atoi(argv[2]) : 0;
	for (int i = 0; i < n; i++)
		pthread_create(&threads[i], NULL, calls, NULL);
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	m = 5;
	calls(NULL);
	return 0;
}
