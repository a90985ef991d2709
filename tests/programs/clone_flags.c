// clone_flags: one process that stays, deaf and in a session of its own, for each way in which Linux makes processes: the
// system calls by themselves, with flags that change the parent or hide the child from a tracer, by the 32-bit entry of
// x86-64, and from a thread. Says how many stay, and which ways the kernel refused. Whoever starts this must end them all.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
	atomic_int running;
	atomic_int error;
} *shared;

static char stack[64 << 10] __attribute__((aligned(16)));

__attribute__((noreturn)) static int stay(void *unused)
{
	(void)unused;
	setsid();
	shared->running++;
	for (;;)
		pause();
}

// All below return the child's PID, or -1 with errno; never in the child.

static long with_fork(unsigned long flags)
{
	(void)flags;
	pid_t pid = fork();
	return pid == 0 ? stay(NULL) : pid;
}

static long with_vfork(unsigned long flags)
{
	(void)flags;
	// It holds up its parent until it becomes another program, which cannot count itself.
	pid_t pid = vfork();
	if (pid == 0) {
		execl("/proc/self/exe", "clone_flags", "--stay", (char *)NULL);
		_exit(1);
	}
	return pid;
}

static long with_clone(unsigned long flags)
{
	long pid = syscall(SYS_clone, flags, NULL, NULL, NULL, 0);
	return pid == 0 ? stay(NULL) : pid;
}

static long with_clone_vm(unsigned long flags)
{
	return clone(stay, stack + sizeof stack, (int)flags, NULL);
}

static long with_clone3(unsigned long flags)
{
	struct clone_args args = {.flags = flags & ~0xfful, .exit_signal = flags & 0xff};
	long pid = syscall(SYS_clone3, &args, sizeof args);
	return pid == 0 ? stay(NULL) : pid;
}

static void *thread(void *result)
{
	*(long *)result = with_clone(SIGCHLD);
	return NULL;
}

static long from_thread(unsigned long flags)
{
	(void)flags;
	pthread_t id;
	long pid = -1;
	errno = pthread_create(&id, NULL, thread, &pid);
	if (errno == 0)
		pthread_join(id, NULL);
	return pid;
}

#ifdef __x86_64__
// System calls of 32-bit programs: 2 is fork, 120 is clone.
static long with_int80(unsigned long number, unsigned long flags)
{
	long result;
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(flags), "c"(0), "d"(0), "S"(0), "D"(0)
			 : "memory", "r8", "r9", "r10", "r11");
	if (result < 0) {
		errno = (int)-result;
		return -1;
	}
	return result == 0 ? stay(NULL) : result;
}

static long with_int80_fork(unsigned long flags)
{
	(void)flags;
	return with_int80(2, 0);
}

static long with_int80_clone(unsigned long flags) { return with_int80(120, flags); }
#endif

static const struct {
	const char *name;
	long (*make)(unsigned long);
	unsigned long flags;
} ways[] = {
	{"fork", with_fork, 0},
	{"vfork", with_vfork, 0},
	{"clone", with_clone, SIGCHLD},
	{"clone without exit signal", with_clone, 0},
	{"clone VM", with_clone_vm, CLONE_VM | CLONE_FILES | CLONE_FS | SIGCHLD},
	{"clone PARENT", with_clone, CLONE_PARENT | SIGCHLD},
	{"clone UNTRACED", with_clone, CLONE_UNTRACED | SIGCHLD},
	{"clone UNTRACED PARENT", with_clone, CLONE_UNTRACED | CLONE_PARENT | SIGCHLD},
	{"clone NEWUSER NEWPID", with_clone, CLONE_NEWUSER | CLONE_NEWPID | SIGCHLD},
	{"clone3", with_clone3, SIGCHLD},
	{"clone3 UNTRACED", with_clone3, CLONE_UNTRACED | SIGCHLD},
	{"clone3 UNTRACED PARENT", with_clone3, CLONE_UNTRACED | CLONE_PARENT},
	{"thread", from_thread, 0},
#ifdef __x86_64__
	{"int 0x80 fork", with_int80_fork, 0},
	{"int 0x80 clone UNTRACED", with_int80_clone, CLONE_UNTRACED | SIGCHLD},
#endif
};
#define WAYS (sizeof ways / sizeof *ways)

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--stay")) {
		setsid();
		for (;;)
			pause();
	}
	if (argc != 1) {
		fputs("usage: clone_flags\n", stderr);
		return 64;
	}
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED) {
		perror("clone_flags: mmap");
		return 1;
	}
	// Ignored here once and inherited by all.
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	char refused[1024] = "";
	int made = 0;
	for (size_t i = 0; i < WAYS; i++) {
		// Each from a process of its own: a way that is answered with a signal ends only that.
		shared->error = 0;
		pid_t pid = fork();
		if (pid == 0) {
			if (ways[i].make(ways[i].flags) < 0)
				shared->error = errno;
			_exit(0);
		}
		int status = 0;
		if (pid < 0 || waitpid(pid, &status, 0) != pid) {
			perror("clone_flags: fork");
			return 1;
		}
		if (!WIFSIGNALED(status) && shared->error == 0) {
			made++;
			shared->running += ways[i].make == with_vfork;
			continue;
		}
		const char *why = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : strerrorname_np(shared->error);
		size_t length = strlen(refused);
		snprintf(refused + length, sizeof refused - length, "%s %s (%s)", length ? "," : ", refused:", ways[i].name,
			 why ? why : "?");
	}
	for (int i = 0; i < 2000 && shared->running < made; i++)
		usleep(500);
	printf("clone_flags %d of %zu%s\n", shared->running, WAYS, refused);
	return 0;
}
