// daemons N [--close-fds] [--stay]: N textbook daemons, which no process group, session, signal
// or "is the pipe still open?" finds: forked twice, each in a session of its own, deaf to polite
// signals. Whoever starts this must end them all.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void close_all(void)
{
#ifdef SYS_close_range
	if (syscall(SYS_close_range, 0, ~0u, 0) == 0)
		return;
#endif
	for (int fd = 0; fd < 4096; fd++)
		close(fd);
}

#define BATCH 64

int main(int argc, char **argv)
{
	int close_fds = 0, stay = 0;
	char *end = "";
	long n = argc > 1 ? strtol(argv[1], &end, 10) : -1;
	for (int i = 2; i < argc; i++) {
		if (!strcmp(argv[i], "--close-fds"))
			close_fds = 1;
		else if (!strcmp(argv[i], "--stay"))
			stay = 1;
		else
			n = -1;
	}
	if (n < 0 || *end || end == (argc > 1 ? argv[1] : NULL)) {
		fputs("usage: daemons N [--close-fds] [--stay]\n", stderr);
		return 64;
	}

	// Shared memory, for it costs no descriptor, which the daemons might close.
	struct {
		atomic_long started, running;
		atomic_int error;
	} *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED) {
		perror("daemons: mmap");
		return 1;
	}
	// Ignored here once and inherited by all.
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	// One process in the middle has many daemons, and there are several at work at once.
	for (long i = 0; i < n; i += BATCH) {
		pid_t middle = fork();
		if (middle < 0) {
			shared->error = errno;
			break;
		}
		if (middle > 0)
			continue;
		setsid();
		for (long j = i; j < n && j < i + BATCH; j++) {
			pid_t pid = fork();
			if (pid < 0) {
				shared->error = errno;
				break;
			}
			if (pid > 0) {
				shared->started++;
				continue;
			}
			setsid();
			if (chdir("/") != 0)
				_exit(1);
			if (close_fds)
				close_all();
			shared->running++;
			for (;;)
				pause();
		}
		_exit(0);
	}
	while (wait(NULL) > 0)
		;
	while (shared->running < shared->started)
		usleep(500);
	if (shared->running < n) {
		printf("daemons %ld of %ld: %s\n", shared->running, n, strerrorname_np(shared->error));
		return 1;
	}
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	printf("daemons %ld\n", n);
	fflush(stdout);
	while (stay)
		pause();
	return 0;
}
