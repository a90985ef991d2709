// zombies N: N processes lose their parent and then exit. Only PID 1 can collect them, so a
// PID 1 that does not is shown up: those of them left in state Z after 300 ms are counted.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

// Of these alone: without a PID namespace those of the whole machine are there to see.
static int count_zombies(const pid_t *pids, long n)
{
	int count = 0;
	for (long i = 0; i < n; i++) {
		char path[300], text[512];
		snprintf(path, sizeof path, "/proc/%d/stat", pids[i]);
		FILE *f = fopen(path, "r");
		if (!f)
			continue;
		size_t length = fread(text, 1, sizeof text - 1, f);
		fclose(f);
		text[length] = 0;
		count += strstr(text, "(zombies) Z") != NULL;
	}
	return count;
}

int main(int argc, char **argv)
{
	char *end = "";
	long n = argc == 2 ? strtol(argv[1], &end, 10) : 0;
	if (n < 1 || *end) {
		fputs("usage: zombies N\n", stderr);
		return 64;
	}
	pid_t *pids = mmap(NULL, (size_t)n * sizeof *pids, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (pids == MAP_FAILED) {
		perror("zombies: mmap");
		return 1;
	}
	pid_t parent = fork();
	if (parent == 0) {
		int alive[2]; // reads as ended when the parent, its only writer, is gone
		if (pipe(alive) != 0)
			_exit(1);
		for (long i = 0; i < n; i++) {
			pid_t pid = fork();
			if (pid < 0)
				_exit(1);
			if (pid == 0) {
				char c;
				close(alive[1]);
				_exit(read(alive[0], &c, 1) != 0);
			}
			pids[i] = pid;
		}
		_exit(0);
	}
	int status;
	if (parent < 0 || waitpid(parent, &status, 0) != parent || status != 0) {
		fputs("zombies: cannot fork\n", stderr);
		return 1;
	}
	usleep(300 * 1000);
	printf("zombies %d\n", count_zombies(pids, n));
	return 0;
}
