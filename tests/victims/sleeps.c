/* SPDX-License-Identifier: MIT
 * Two nanosleep calls of 7 ms. */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
	const struct timespec wait = {0, 7000000};

	for (int i = 0; i < 2; i++)
		syscall(SYS_nanosleep, &wait, 0);
	return 0;
}
