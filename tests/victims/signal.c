/* SPDX-License-Identifier: MIT
 * Sends itself SIGUSR1 three times and SIGRTMIN+2 (36) twice, handles each, counts them: exit status 32.
 * With an argument it then ends by SIGTERM instead. */
#include <signal.h>
#include <unistd.h>

static volatile int seen;

static void on_signal(int number)
{
	seen += number == SIGUSR1 ? 10 : 1;
}

int main(int argc, char **argv)
{
	(void)argv;
	signal(SIGUSR1, on_signal);
	signal(SIGRTMIN + 2, on_signal);
	for (int i = 0; i < 5; i++)
		kill(getpid(), i % 2 ? SIGRTMIN + 2 : SIGUSR1);
	if (argc > 1)
		kill(getpid(), SIGTERM);
	return seen;
}
