/* SPDX-License-Identifier: MIT
 *
 * Why C: a killed notebook can end nothing any more, and its command's children would run on. So a process of
 * its own outlives it, for a moment.
 *
 *     rtnb-core watch
 *
 * The standard input is a pipe that the notebook alone can write to. It writes the number of a process group
 * there, four bytes in the machine's order, and 0 when there is none any more; the last number counts. The end of
 * the pipe is the notebook's end: the group is killed. Where all went well, this process is killed before that.
 *
 * poll(2) for no event at all returns at the hang-up only: what is written wakes nobody beside the command.
 */
#include "core.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

int watch_main(void)
{
	struct pollfd notebook = {.fd = STDIN_FILENO};
	int32_t number, group = 0;

	while (poll(&notebook, 1, -1) < 0)
		;
	while (read(STDIN_FILENO, &number, sizeof(number)) == sizeof(number))
		group = number;
	if (group > 1)
		kill(-group, SIGKILL);
	return 0;
}
