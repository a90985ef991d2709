// sigcount [SECONDS] [--stay]: says which signals arrive, and how many, for SECONDS (30). To see what is
// passed on to a job, once and not twice. SIGTERM: exit 3, unless it is to stay. SIGTSTP: stops as it would by default.
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const int signals[] = {SIGINT,  SIGTERM,	 SIGHUP,  SIGUSR1, SIGUSR2,
			      SIGWINCH, SIGCONT, SIGTSTP, SIGQUIT};
#define COUNT (sizeof signals / sizeof *signals)

static void caught(int signal) { (void)signal; }

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	char *end = "";
	int stay = argc > 1 && !strcmp(argv[argc - 1], "--stay");
	argc -= stay;
	double seconds = argc == 2 ? strtod(argv[1], &end) : 30;
	if (argc > 2 || *end || seconds <= 0) {
		fputs("usage: sigcount [SECONDS] [--stay]\n", stderr);
		return 64;
	}
	// Blocked and waited for, so that printing is safe; caught, so that /proc shows it.
	int counts[NSIG] = {0};
	sigset_t set, stop;
	sigemptyset(&set);
	for (size_t i = 0; i < COUNT; i++) {
		signal(signals[i], caught);
		sigaddset(&set, signals[i]);
	}
	sigemptyset(&stop);
	sigaddset(&stop, SIGTSTP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	puts("ready");
	fflush(stdout);

	double deadline = now() + seconds;
	for (double left; (left = deadline - now()) > 0;) {
		struct timespec t = {(time_t)left, (long)((left - (time_t)left) * 1e9)};
		int s = sigtimedwait(&set, NULL, &t);
		if (s < 0)
			continue;
		printf("SIG%s %d\n", sigabbrev_np(s), ++counts[s]);
		fflush(stdout);
		if (s == SIGTERM && !stay)
			return 3;
		if (s == SIGTSTP) {
			signal(SIGTSTP, SIG_DFL);
			raise(SIGTSTP);
			sigprocmask(SIG_UNBLOCK, &stop, NULL); // stops here
			sigprocmask(SIG_BLOCK, &stop, NULL);
			signal(SIGTSTP, caught);
		}
	}
	printf("totals");
	for (size_t i = 0; i < COUNT; i++)
		printf(" SIG%s %d", sigabbrev_np(signals[i]), counts[signals[i]]);
	puts("");
	return 0;
}
