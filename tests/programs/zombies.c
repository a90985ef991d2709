// zombies N: N processes lose their parent and then exit. Only PID 1 can collect them, so a
// PID 1 that does not is shown up: what is left in state Z after 300 ms is counted.
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int count_zombies(void)
{
	int count = 0;
	DIR *proc = opendir("/proc");
	for (struct dirent *e; proc && (e = readdir(proc));) {
		char path[300], text[512];
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
		FILE *f = fopen(path, "r");
		if (!f)
			continue;
		size_t n = fread(text, 1, sizeof text - 1, f);
		fclose(f);
		text[n] = 0;
		char *name_end = strrchr(text, ')'); // the name may hold anything, a ')' too
		if (name_end && !strncmp(name_end, ") Z", 3))
			count++;
	}
	if (proc)
		closedir(proc);
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
		}
		_exit(0);
	}
	int status;
	if (parent < 0 || waitpid(parent, &status, 0) != parent || status != 0) {
		fputs("zombies: cannot fork\n", stderr);
		return 1;
	}
	usleep(300 * 1000);
	printf("zombies %d\n", count_zombies());
	return 0;
}
