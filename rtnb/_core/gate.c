/* SPDX-License-Identifier: MIT
 *
 * Why C: a program can be attached to a process only once there is one, and must be attached before it runs.
 * Python cannot stop between its fork and its exec without running an interpreter there.
 *
 *     rtnb-core gate FD PATH ARGV0 [ARG ...]
 *
 * Waits until a byte comes on the socket FD, then becomes PATH. The socket closes with the execve; where that
 * fails, its errno is written first, four bytes in the machine's order. No byte and the end of the socket: exit.
 * What a probe sees of it is the return of that read, and the execve.
 */
#include "core.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int gate_main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	int fd = atoi(argv[1]);
	char go;
	/* It goes with whoever started it, and so does the command: an execve keeps the setting. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || fcntl(fd, F_SETFD, FD_CLOEXEC))
		return 2;
	if (read(fd, &go, 1) != 1)
		return 2;
	execv(argv[2], argv + 3);
	int32_t error = errno;
	return write(fd, &error, sizeof(error)) == sizeof(error) ? 127 : 2;
}
