// forkbomb [--at-most N --while FILE]: every process forks, forever. For a limit on processes to hold, and for an ending
// that is faster than the forking. Never run it without such a limit.
//
// Where nothing else limits it: --at-most N processes at once, each of which lives for some 0.1 s and is followed by
// another, as long as FILE is there, and for 20 s at most.
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static void bounded(long most, const char *file)
{
	atomic_long *alive = mmap(NULL, sizeof *alive, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (alive == MAP_FAILED) {
		perror("forkbomb: mmap");
		_exit(1);
	}
	*alive = 1;
	time_t end = time(NULL) + 20;
	puts("forkbomb");
	fflush(stdout);
	for (int turn = 0; access(file, F_OK) == 0 && time(NULL) < end; turn++) {
		// The one that leaves makes room, so that the processes change all the time.
		if (turn > 4 && *alive > most / 2)
			break;
		if (++*alive > most) {
			--*alive;
		} else {
			pid_t pid = fork();
			if (pid < 0)
				--*alive;
			if (pid == 0) {
				setsid();
				turn = -1;
			}
		}
		usleep(20 * 1000);
	}
	--*alive;
	_exit(0);
}

int main(int argc, char **argv)
{
	char *end = "x";
	long most = argc == 5 && !strcmp(argv[1], "--at-most") && !strcmp(argv[3], "--while") ? strtol(argv[2], &end, 10) : 0;
	if (argc != 1 && (most < 1 || *end)) {
		fputs("usage: forkbomb [--at-most N --while FILE]\n", stderr);
		return 64;
	}
	signal(SIGTERM, SIG_IGN);
	signal(SIGCHLD, SIG_IGN); // no zombies: they would use up the limit and end the growth
	if (most > 0)
		bounded(most, argv[4]);
	puts("forkbomb");
	fflush(stdout);
	for (;;)
		if (fork() < 0)
			continue; // refused: try again, somebody may have died
}
