/* SPDX-License-Identifier: MIT
 * Nine openat calls: an escape sequence; invalid UTF-8; the right-to-left override; a path of 1 MiB; one that ends with its page, the next
 * unmapped; one that has no end in its page (EFAULT); NULL (EFAULT); a bad address (EFAULT); the empty string. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static void attempt(const char *path)
{
	syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
}

int main(void)
{
	size_t page = 4096, size = 1 << 20;
	char *edge = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *giant = malloc(size + 1);

	munmap(edge + page, page);
	memset(giant, 'g', size);
	giant[size] = 0;
	attempt("/none/\x1b[31mred\x1b]0;title\a");
	attempt("/none/\xff\xfe\x80");
	attempt("/none/\xe2\x80\xaegpj.exe");
	attempt(giant);
	memcpy(edge + page - 6, "/edge", 6);
	attempt(edge + page - 6);
	edge[page - 1] = 'e';
	attempt(edge + page - 6);
	attempt(NULL);
	attempt((const char *)8);
	attempt("");
	return 0;
}
