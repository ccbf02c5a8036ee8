/* SPDX-License-Identifier: MIT
 * 23 getppid calls, then exit status 7. */
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	for (int i = 0; i < 23; i++)
		syscall(SYS_getppid);
	return 7;
}
