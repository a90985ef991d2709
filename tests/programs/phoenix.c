// phoenix LINEAGES [--stay]: each lineage is one process at a time that forks its successor into
// a new session and exits, forever. A killer that lists processes and then signals them always
// has the one before last.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void live(void)
{
	for (;;) {
		pid_t next = fork();
		if (next > 0)
			_exit(0);
		if (next == 0)
			setsid();
		// fork refused: this one stays and tries again
	}
}

int main(int argc, char **argv)
{
	char *end = "";
	long n = argc > 1 ? strtol(argv[1], &end, 10) : 0;
	int stay = argc == 3 && !strcmp(argv[2], "--stay");
	if (n < 1 || *end || argc > 2 + stay) {
		fputs("usage: phoenix LINEAGES [--stay]\n", stderr);
		return 64;
	}
	signal(SIGCHLD, SIG_IGN);
	for (long i = 0; i < n; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			signal(SIGTERM, SIG_IGN);
			signal(SIGINT, SIG_IGN);
			signal(SIGHUP, SIG_IGN);
			live();
		}
		if (pid < 0) {
			perror("phoenix: fork");
			return 1;
		}
	}
	printf("phoenix %ld\n", n);
	fflush(stdout);
	usleep(200 * 1000);
	while (stay)
		pause();
	return 0;
}
