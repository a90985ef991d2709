// zombies N: N processes lose their parent and then exit. Only an init can collect them, so one
// that does not is shown up: what is left of them in state Z after 300 ms is counted.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int is_zombie(pid_t pid)
{
	char path[64], text[512];
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	FILE *f = fopen(path, "r");
	if (!f)
		return 0;
	size_t n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[n] = 0;
	char *name_end = strrchr(text, ')'); // the name may hold anything, a ')' too
	return name_end && !strncmp(name_end, ") Z", 3);
}

int main(int argc, char **argv)
{
	char *end = "";
	long n = argc == 2 ? strtol(argv[1], &end, 10) : 0;
	if (n < 1 || *end) {
		fputs("usage: zombies N\n", stderr);
		return 64;
	}
	pid_t *orphans = mmap(NULL, n * sizeof *orphans, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (orphans == MAP_FAILED)
		return 1;
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
			orphans[i] = pid;
		}
		_exit(0);
	}
	int status;
	if (parent < 0 || waitpid(parent, &status, 0) != parent || status != 0) {
		fputs("zombies: cannot fork\n", stderr);
		return 1;
	}
	usleep(300 * 1000);
	int count = 0;
	for (long i = 0; i < n; i++)
		count += is_zombie(orphans[i]);
	printf("zombies %d\n", count);
	return 0;
}
