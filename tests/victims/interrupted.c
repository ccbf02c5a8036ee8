/* SPDX-License-Identifier: MIT
 * interrupted MODE FILE: 23 getppid calls, makes FILE, then waits in pause(). At SIGINT: default, MODE d; exit
 * status 42, MODE c; nothing, MODE i. */
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static void on_interrupt(int number)
{
	(void)number;
	_exit(42);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 1;
	if (argv[1][0] == 'c')
		signal(SIGINT, on_interrupt);
	if (argv[1][0] == 'i')
		signal(SIGINT, SIG_IGN);
	for (int i = 0; i < 23; i++)
		syscall(SYS_getppid);
	close(open(argv[2], O_CREAT | O_WRONLY, 0600));
	for (;;)
		syscall(SYS_ppoll, 0, 0, 0, 0, 0);
}
