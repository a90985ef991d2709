// tiocsti: pushes a character into the input of its terminal, as if the user had typed it.
// What a job types this way is run by the shell that is there after the job.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	(void)argv;
	if (argc != 1) {
		fputs("usage: tiocsti\n", stderr);
		return 64;
	}
	int fd = open("/dev/tty", O_RDWR);
	if (fd < 0)
		fd = STDIN_FILENO;
	int failed = ioctl(fd, TIOCSTI, "#") != 0;
	printf("tiocsti: %s\n", failed ? strerrorname_np(errno) : "ok");
	return 0;
}
