// ptrace_init [--hold]: attacks PID 1, which in a PID namespace is what ends everything else.
// One line for each attempt: the errno, or "ok" where the kernel let it through. (A signal to
// PID 1 can be let through and still do nothing.)
// --hold: finally a daemon traces PID 1 and keeps it stopped, while this program exits.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *outcome(int ok) { return ok ? "ok" : strerrorname_np(errno); }

static void report(const char *name, const char *what)
{
	printf("%s: %s\n", name, what);
	fflush(stdout);
}

// Ends the tracing that an attempt began, and does so within a second or not at all.
static void let_go(void)
{
	ptrace(PTRACE_INTERRUPT, 1, 0, 0);
	for (int i = 0; i < 100; i++, usleep(10 * 1000))
		if (waitpid(1, NULL, WNOHANG | __WALL) == 1)
			break;
	ptrace(PTRACE_DETACH, 1, 0, 0);
}

static void hold(void)
{
	int told[2];
	char line[32] = "no answer";
	if (pipe(told) != 0)
		return;
	if (fork() == 0) {
		setsid();
		if (fork() != 0)
			_exit(0);
		signal(SIGTERM, SIG_IGN);
		signal(SIGINT, SIG_IGN);
		signal(SIGHUP, SIG_IGN);
		// The tracer is the thread that seizes, so it has to be the daemon that does.
		int held = ptrace(PTRACE_SEIZE, 1, 0, 0) == 0 &&
			   ptrace(PTRACE_INTERRUPT, 1, 0, 0) == 0 &&
			   waitpid(1, NULL, __WALL) == 1;
		const char *what = outcome(held);
		if (write(told[1], what, strlen(what) + 1) < 0 || !held)
			_exit(1);
		close(told[0]);
		close(told[1]);
		for (;;)
			pause();
	}
	close(told[1]);
	wait(NULL);
	if (read(told[0], line, sizeof line - 1) < 0)
		strcpy(line, "no answer");
	report("hold", line);
}

int main(int argc, char **argv)
{
	int holding = argc == 2 && !strcmp(argv[1], "--hold");
	if (argc > 1 + holding) {
		fputs("usage: ptrace_init [--hold]\n", stderr);
		return 64;
	}
	int ok = ptrace(PTRACE_SEIZE, 1, 0, 0) == 0;
	report("ptrace-seize", outcome(ok));
	if (ok)
		let_go();
	ok = ptrace(PTRACE_ATTACH, 1, 0, 0) == 0;
	report("ptrace-attach", outcome(ok));
	if (ok)
		let_go();
	report("kill-kill", outcome(kill(1, SIGKILL) == 0));
	report("kill-stop", outcome(kill(1, SIGSTOP) == 0));
	int fd = open("/proc/1/mem", O_RDWR);
	report("mem-write", outcome(fd >= 0));
	// Nothing is mapped at address 1: EFAULT says that the access itself was granted.
	char byte = 0;
	struct iovec here = {&byte, 1}, there = {(void *)1, 1};
	ok = process_vm_writev(1, &here, 1, &there, 1, 0) >= 0 || errno == EFAULT;
	report("vm-writev", outcome(ok));
	if (holding)
		hold();
	return 0;
}
