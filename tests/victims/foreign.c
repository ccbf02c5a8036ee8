/* SPDX-License-Identifier: MIT
 * On x86_64: 5 times i386's getpid (20 there, writev here) by int 0x80, 3 times 64-bit getppid, one call of an
 * unknown number (0x7ff). Ends with 0 where the kernel gave its pid 5 times. */
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	int right = 0;

	for (int i = 0; i < 5; i++) {
#ifdef __x86_64__
		long result = 20;
		__asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
		right += result == getpid();
#endif
	}
	for (int i = 0; i < 3; i++)
		syscall(SYS_getppid);
	syscall(0x7ff);
	return 5 - right;
}
