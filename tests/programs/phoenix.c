// phoenix LINEAGES [--stay] [--while FILE]: each lineage is one process at a time that forks its successor into a new session
// and exits, forever. A killer that lists processes and then signals them always has the one before last.
//
// To be run where nothing holds it: with --while they end when FILE is gone, and after 20 s in any case, and each lives for
// 50 ms. At full speed the dead come faster than PID 1 of a machine may collect them, until it has no PID left.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *file;
static time_t deadline;

static void live(void)
{
	for (;;) {
		if (file && (access(file, F_OK) != 0 || time(NULL) > deadline))
			_exit(0);
		if (file)
			usleep(50 * 1000);
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
	int stay = 0;
	for (int i = 2; i < argc; i++) {
		if (!strcmp(argv[i], "--stay"))
			stay = 1;
		else if (!strcmp(argv[i], "--while") && argv[i + 1])
			file = argv[++i];
		else
			n = 0;
	}
	if (n < 1 || *end) {
		fputs("usage: phoenix LINEAGES [--stay] [--while FILE]\n", stderr);
		return 64;
	}
	deadline = time(NULL) + 20;
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
