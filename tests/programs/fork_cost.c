// fork_cost {fork|exec|vfork-exec|thread|syscall} N: the median time in ns of N rounds, each of
// one process (or thread) made and waited for; for "syscall" of one getppid(2), timed by the
// thousand. To see what running under something costs a job that does a lot of this.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *const program[] = {"/bin/true", NULL};

static void check(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static void await(pid_t pid)
{
	int status;
	check(pid > 0, "fork");
	check(waitpid(pid, &status, 0) == pid, "waitpid");
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child failed");
}

static void by_fork(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	await(pid);
}

static void by_exec(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		execv(program[0], program);
		_exit(127);
	}
	await(pid);
}

static void by_vfork_exec(void)
{
	pid_t pid = vfork();
	if (pid == 0) {
		execv(program[0], program);
		_exit(127);
	}
	await(pid);
}

static void *nothing(void *arg) { return arg; }

static void by_thread(void)
{
	pthread_t thread;
	check(pthread_create(&thread, NULL, nothing, NULL) == 0, "pthread_create");
	pthread_join(thread, NULL);
}

static void by_syscall(void)
{
	for (int i = 0; i < 1000; i++)
		syscall(SYS_getppid);
}

static const struct {
	const char *name;
	void (*round)(void);
	int divisor;
} kinds[] = {
	{"fork", by_fork, 1},	  {"exec", by_exec, 1},		{"vfork-exec", by_vfork_exec, 1},
	{"thread", by_thread, 1}, {"syscall", by_syscall, 1000},
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	size_t kind = 0, count = sizeof kinds / sizeof *kinds;
	char *end = "";
	long n = argc == 3 ? strtol(argv[2], &end, 10) : 0;
	while (argc == 3 && kind < count && strcmp(argv[1], kinds[kind].name))
		kind++;
	if (n < 1 || *end || kind == count) {
		fputs("usage: fork_cost {fork|exec|vfork-exec|thread|syscall} N\n", stderr);
		return 64;
	}
	double *times = calloc(n, sizeof *times);
	check(times != NULL, "calloc");
	for (long i = 0; i < n; i++) {
		struct timespec a, b;
		clock_gettime(CLOCK_MONOTONIC, &a);
		kinds[kind].round();
		clock_gettime(CLOCK_MONOTONIC, &b);
		times[i] = ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / kinds[kind].divisor;
	}
	qsort(times, n, sizeof *times, compare);
	printf("%s %.0f ns\n", kinds[kind].name, n % 2 ? times[n / 2] : (times[n / 2 - 1] + times[n / 2]) / 2);
	return 0;
}
