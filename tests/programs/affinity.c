// affinity show|widen|narrow CPU: what CPUs this process may use, and the ways to get more.
// A mask set with sched_setaffinity(2) alone is undone by the same call. "widen" tries each way
// in a process of its own, so that each starts from the mask that was given to it.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

// "0-3,5" of the calling thread
static const char *list(void)
{
	static char text[4096];
	cpu_set_t set;
	size_t n = 0;
	text[0] = 0;
	if (sched_getaffinity(0, sizeof set, &set) != 0)
		return strerrorname_np(errno);
	for (int i = 0; i < CPU_SETSIZE && n < sizeof text - 32; i++) {
		int j = i;
		if (!CPU_ISSET(i, &set))
			continue;
		while (j + 1 < CPU_SETSIZE && CPU_ISSET(j + 1, &set))
			j++;
		n += sprintf(text + n, i == j ? "%s%d" : "%s%d-%d", n ? "," : "", i, j);
		i = j;
	}
	return text;
}

static void report(const char *name, int error)
{
	printf("%s: %s -> %s\n", name, error ? strerrorname_np(error) : "ok", list());
	fflush(stdout);
}

static cpu_set_t all(void)
{
	cpu_set_t set;
	memset(&set, 0xff, sizeof set);
	return set;
}

static void by_process(const char *name)
{
	cpu_set_t set = all();
	report(name, sched_setaffinity(0, sizeof set, &set) ? errno : 0);
}

static void by_thread(const char *name)
{
	cpu_set_t set = all();
	report(name, pthread_setaffinity_np(pthread_self(), sizeof set, &set));
}

// The 32-bit system call has another number, which a filter of calls must know as well.
static void by_int80(const char *name)
{
#ifdef __x86_64__
	cpu_set_t *set = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (set == MAP_FAILED) {
		report(name, errno);
		return;
	}
	*set = all();
	long result = 241; // sched_setaffinity on i386
	__asm__ volatile("int $0x80"
			 : "+a"(result)
			 : "b"(0L), "c"(sizeof *set), "d"(set)
			 : "r8", "r9", "r10", "r11", "memory");
	report(name, (int)result < 0 ? -(int)result : 0);
#else
	printf("%s: not on this architecture -> %s\n", name, list());
#endif
}

static void by_child(const char *name)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		by_process(name);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void attempt(const char *name, void (*way)(const char *))
{
	int status;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		way(name);
		fflush(stdout);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		report(name, errno);
	else if (WIFSIGNALED(status))
		printf("%s: SIG%s -> %s\n", name, sigabbrev_np(WTERMSIG(status)), list());
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "show")) {
		puts(list());
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "widen")) {
		attempt("sched_setaffinity", by_process);
		attempt("pthread_setaffinity_np", by_thread);
		attempt("int80", by_int80);
		attempt("child", by_child);
		return 0;
	}
	char *end = "";
	long cpu = argc == 3 && !strcmp(argv[1], "narrow") ? strtol(argv[2], &end, 10) : -1;
	if (cpu < 0 || cpu >= CPU_SETSIZE || *end) {
		fputs("usage: affinity show | widen | narrow CPU\n", stderr);
		return 64;
	}
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof set, &set) != 0) {
		report("narrow", errno);
		return 1;
	}
	puts(list());
	return 0;
}
