// forkbomb: every process forks, forever. For a limit on processes to hold, and for an ending
// that is faster than the forking. Never run it without such a limit.
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	(void)argv;
	if (argc != 1) {
		fputs("usage: forkbomb\n", stderr);
		return 64;
	}
	signal(SIGTERM, SIG_IGN);
	signal(SIGCHLD, SIG_IGN); // no zombies: they would use up the limit and end the growth
	puts("forkbomb");
	fflush(stdout);
	for (;;)
		if (fork() < 0)
			continue; // refused: try again, somebody may have died
}
