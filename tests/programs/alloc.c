// alloc KIND SIZE [--hold SECONDS]: takes SIZE bytes of memory by one of the ways there are and
// touches them. Some limits see only some of these ways: a resource limit is blind to shared
// memory and counts each process for itself. Exit 0: had it all; 3: refused.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1024L * 1024)
#define STEP (4 * MIB)
#define CHILDREN 4

enum kind { MALLOC, SHARED, MEMFD_MAP, MEMFD_WRITE, SHM, BRK, IN_CHILDREN, KINDS };
static const char *const kinds[KINDS] = {"malloc", "shared", "memfd-map", "memfd-write",
					 "shm",	   "brk",    "children"};

static long size_of(const char *text)
{
	char *end;
	double n = strtod(text, &end);
	const char *units = "KMG", *unit = *end ? strchr(units, *end) : NULL;
	if (end == text || n <= 0 || (*end && (!unit || end[1])))
		return -1;
	for (long i = unit ? unit - units : -1; i >= 0; i--)
		n *= 1024;
	return (long)n;
}

static void refused(long had)
{
	printf("refused at %ld MiB: %s\n", had / MIB, strerrorname_np(errno));
	fflush(stdout);
	_exit(3);
}

static void touch(char *p, long n)
{
	for (long i = 0; i < n; i += 4096)
		((volatile char *)p)[i] = 1;
	((volatile char *)p)[n - 1] = 1;
}

static void take(enum kind kind, long size)
{
	static char block[STEP];
	int fd = -1;
	if (kind == MEMFD_MAP || kind == MEMFD_WRITE) {
		fd = memfd_create("alloc", 0);
	} else if (kind == SHM) {
		// Without a name from the start: killed half-way, it must not fill the machine's.
		char name[] = "/dev/shm/alloc.XXXXXX";
		fd = mkstemp(name);
		if (fd >= 0)
			unlink(name);
	}
	if (kind != MALLOC && kind != SHARED && kind != BRK && fd < 0)
		refused(0);

	for (long had = 0; had < size; had += STEP) {
		long n = size - had < STEP ? size - had : STEP;
		void *p = NULL;
		switch (kind) {
		case MALLOC:
			p = malloc(n);
			if (!p)
				refused(had);
			break;
		case SHARED:
			p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
			break;
		case MEMFD_MAP:
			if (ftruncate(fd, had + n) != 0)
				refused(had);
			p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, had);
			break;
		case BRK:
			p = sbrk(n);
			break;
		default:
			for (long done = 0; done < n;) {
				ssize_t w = write(fd, block, n - done);
				if (w <= 0)
					refused(had + done);
				done += w;
			}
			continue;
		}
		if (p == MAP_FAILED) // which is sbrk's failure, too
			refused(had);
		touch(p, n);
	}
}

static void had_all(const char *text, long hold)
{
	printf("had %s\n", text);
	fflush(stdout);
	sleep(hold);
}

// Splits the size over children, which all have their share before any of them goes.
static int in_children(long size, long hold, const char *text)
{
	int had[2], go[2], status;
	pid_t pids[CHILDREN];
	if (pipe(had) != 0 || pipe(go) != 0)
		refused(0);
	for (int i = 0; i < CHILDREN; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			refused(0);
		if (pids[i] == 0) {
			char c = 0;
			close(go[1]);
			take(MALLOC, size / CHILDREN);
			_exit(write(had[1], &c, 1) == 1 && read(go[0], &c, 1) == 0 ? 0 : 1);
		}
	}
	for (int ready = 0; ready < CHILDREN;) {
		struct pollfd p = {had[0], POLLIN, 0};
		char c;
		if (poll(&p, 1, 50) == 1 && read(had[0], &c, 1) == 1) {
			ready++;
			continue;
		}
		for (int i = 0; i < CHILDREN; i++) {
			if (waitpid(pids[i], &status, WNOHANG) != pids[i])
				continue;
			if (WIFSIGNALED(status)) {
				printf("a child died of signal %d\n", WTERMSIG(status));
				return 128 + WTERMSIG(status);
			}
			return WEXITSTATUS(status);
		}
	}
	had_all(text, hold);
	close(go[1]);
	while (wait(&status) > 0)
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			return 1;
	return 0;
}

int main(int argc, char **argv)
{
	int kind = 0;
	long size = -1, hold = 0;
	char *end = "";
	while (argc > 2 && kind < KINDS && strcmp(argv[1], kinds[kind]))
		kind++;
	if (argc > 2)
		size = size_of(argv[2]);
	if (argc == 5 && !strcmp(argv[3], "--hold"))
		hold = strtol(argv[4], &end, 10);
	else if (argc != 3)
		size = -1;
	if (kind == KINDS || size < 0 || hold < 0 || *end) {
		fputs("usage: alloc KIND SIZE[K|M|G] [--hold SECONDS]\n"
		      "KIND: malloc shared memfd-map memfd-write shm brk children\n", stderr);
		return 64;
	}
	if (kind == IN_CHILDREN)
		return in_children(size, hold, argv[2]);
	take(kind, size);
	had_all(argv[2], hold);
	return 0;
}
