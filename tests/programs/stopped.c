// stopped N: N processes, each in a session of its own, that have stopped themselves. A stopped
// process acts on no signal but SIGKILL and SIGCONT, so asking it to end is asking for ever.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char *end = "";
	long n = argc == 2 ? strtol(argv[1], &end, 10) : 0;
	if (n < 1 || *end) {
		fputs("usage: stopped N\n", stderr);
		return 64;
	}
	for (long i = 0; i < n; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			setsid();
			for (;;)
				raise(SIGSTOP);
		}
		if (pid < 0) {
			perror("stopped: fork");
			return 1;
		}
	}
	for (long stopped = 0; stopped < n;) {
		int status;
		if (waitpid(-1, &status, WUNTRACED) < 0 || !WIFSTOPPED(status)) {
			fputs("stopped: a child ended\n", stderr);
			return 1;
		}
		stopped++;
	}
	printf("stopped %ld\n", n);
	return 0;
}
