/* SPDX-License-Identifier: MIT
 * 7 getppid calls, a fork, a wait; the child makes 3 getppid calls and becomes this program again, which then
 * makes 5 and ends with 11. The parent ends with 0 where it saw that. */
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void calls(int count)
{
	while (count--)
		syscall(SYS_getppid);
}

int main(int argc, char **argv)
{
	int status;

	if (argc > 1) {
		calls(5);
		return 11;
	}
	calls(7);
	if (fork() == 0) {
		calls(3);
		execl("/proc/self/exe", argv[0], "again", (char *)0);
		_exit(1);
	}
	wait(&status);
	return !(WIFEXITED(status) && WEXITSTATUS(status) == 11);
}
