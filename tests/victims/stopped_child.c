/* SPDX-License-Identifier: MIT
 * Forks a child that stops itself (SIGSTOP), sees it stopped, continues it, sees it end with 5: exit status 0. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		raise(SIGSTOP);
		_exit(5);
	}
	if (waitpid(child, &status, WUNTRACED) != child || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP)
		return 1;
	kill(child, SIGCONT);
	if (waitpid(child, &status, WCONTINUED) == child && WIFCONTINUED(status))
		waitpid(child, &status, 0);
	return !(WIFEXITED(status) && WEXITSTATUS(status) == 5);
}
