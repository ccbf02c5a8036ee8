/* SPDX-License-Identifier: MIT
 * Forks a child that kills itself by SIGKILL, so that its kill(2) never returns; ends with 0 if it saw that. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	int status;
	pid_t child = fork();

	if (child == 0)
		kill(getpid(), SIGKILL);
	waitpid(child, &status, 0);
	return !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
