/* SPDX-License-Identifier: MIT
 * A thread that is not the first becomes this program again, which makes 3 getppid calls and ends with 13,
 * while the first thread pauses and a third one too. */
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

static char **words;

static void *wait_here(void *unused)
{
	(void)unused;
	pause();
	return NULL;
}

static void *become(void *unused)
{
	(void)unused;
	usleep(20000); /* for the others to pause */
	execl("/proc/self/exe", words[0], "again", (char *)0);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc > 1) {
		for (int i = 0; i < 3; i++)
			syscall(SYS_getppid);
		return 13;
	}
	words = argv;
	pthread_create(&thread, NULL, wait_here, NULL);
	pthread_create(&thread, NULL, become, NULL);
	pause();
	return 1;
}
