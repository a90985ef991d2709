// bytes [--children N] [--until-pid] [--bandwidth ITER] [--show] [--timeout SECONDS]: ranks 0 and 1 send each other
// messages of 0 B to 16 MiB and look at every byte; exit 1 if one is wrong. Further ranks only wait.
//
// MPI libraries on one node read each other's memory by PID (process_vm_readv, "CMA"). Where each rank has a PID
// namespace of its own that PID is somebody else's, or nobody's: messages then fail, or come with wrong bytes and no error.
//   --children N    each rank first forks N children that sleep, as a pool of workers does
//   --until-pid     the rank with the lower PID forks until a living child of it has the PID that the other rank has in
//                   its own namespace: what a read by PID then finds is that child
//   --bandwidth N   instead of looking at bytes: N times 16 MiB to and fro, prints the median
//   --show          each rank first prints its PID, its PID namespace and how many processes it sees
//   --timeout S     ends a rank that hangs, with exit 124 (default 60)
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <mpi.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LARGEST (16u << 20)
#define WINDOW 4
#define TRIES_SECONDS 10

// Short ones go through shared memory at once; from some 4 to 64 KiB on the receiver fetches them.
static const size_t sizes[] = {0,	  1,	   7,	     64,	255,	   1024,      4095,	  4096,	   4097,
			       8192,	  16383,   32768,    65535,	65536,	   65537,     262144,	  1048573, 1 << 20,
			       4u << 20, LARGEST};
#define SIZES (sizeof sizes / sizeof *sizes)

static int rank, other;
static pid_t *children;
static long child_count;
static unsigned char *out[WINDOW], *in[WINDOW];

static void too_long(int signal)
{
	(void)signal;
	static const char text[] = "bytes: timed out\n";
	_exit(write(2, text, sizeof text - 1) < 0 ? 125 : 124);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

// At an address that every rank agrees on, whatever the kernel randomises: a read of the wrong process then finds memory
// and not a hole, which the library would notice.
static unsigned char *buffer(int number)
{
	void *wish = (void *)(0x200000000000ull + (unsigned)number * 2ull * LARGEST);
	void *got = mmap(wish, LARGEST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (got == MAP_FAILED)
		got = mmap(NULL, LARGEST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (got == MAP_FAILED) {
		perror("bytes: mmap");
		MPI_Abort(MPI_COMM_WORLD, 1);
	}
	memset(got, 0x5a, LARGEST);
	return got;
}

// Eight bytes that belong to this sender, message and position, and to no other.
static uint64_t word(int sender, unsigned message, size_t position)
{
	uint64_t x = ((uint64_t)(unsigned)sender << 56) ^ ((uint64_t)message << 32) ^ position;
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static void fill(unsigned char *to, size_t size, int sender, unsigned message)
{
	for (size_t i = 0; i < size; i += 8) {
		uint64_t w = word(sender, message, i / 8);
		memcpy(to + i, &w, size - i < 8 ? size - i : 8);
	}
}

static uint64_t wrong(const unsigned char *from, size_t size, int sender, unsigned message)
{
	uint64_t count = 0;
	for (size_t i = 0; i < size; i += 8) {
		uint64_t w = word(sender, message, i / 8);
		size_t n = size - i < 8 ? size - i : 8;
		if (memcmp(from + i, &w, n) != 0)
			for (size_t k = 0; k < n; k++)
				count += from[i + k] != ((unsigned char *)&w)[k];
	}
	return count;
}

// What came, and what of it is wrong; a length that is not the sender's counts as well.
static void look(unsigned char *at, size_t size, unsigned message, MPI_Status *status, uint64_t totals[2])
{
	int count = -1;
	MPI_Get_count(status, MPI_BYTE, &count);
	totals[0] += size;
	totals[1] += (size_t)count == size ? wrong(at, size, other, message) : size + 1;
	memset(at, 0x5a, size);
}

static void exchange(uint64_t totals[2])
{
	unsigned message = 0;
	for (size_t s = 0; s < SIZES; s++) {
		int size = (int)sizes[s];
		// One after the other, each side sends first once.
		for (int first = 0; first < 2; first++, message++) {
			MPI_Status status;
			fill(out[0], sizes[s], rank, message);
			if (rank == first)
				MPI_Send(out[0], size, MPI_BYTE, other, (int)message, MPI_COMM_WORLD);
			MPI_Recv(in[0], LARGEST, MPI_BYTE, other, (int)message, MPI_COMM_WORLD, &status);
			if (rank != first)
				MPI_Send(out[0], size, MPI_BYTE, other, (int)message, MPI_COMM_WORLD);
			look(in[0], sizes[s], message, &status, totals);
		}
		// Several under way in both directions at once.
		MPI_Request requests[2 * WINDOW];
		MPI_Status statuses[2 * WINDOW];
		for (unsigned k = 0; k < WINDOW; k++) {
			int tag = (int)(message + k);
			fill(out[k], sizes[s], rank, message + k);
			MPI_Irecv(in[k], LARGEST, MPI_BYTE, other, tag, MPI_COMM_WORLD, &requests[k]);
			MPI_Isend(out[k], size, MPI_BYTE, other, tag, MPI_COMM_WORLD, &requests[WINDOW + k]);
		}
		MPI_Waitall(2 * WINDOW, requests, statuses);
		for (unsigned k = 0; k < WINDOW; k++, message++)
			look(in[k], sizes[s], message, &statuses[k], totals);
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void bandwidth(long times)
{
	double *seconds = calloc((size_t)times, sizeof *seconds);
	for (long i = -2; seconds && i < times; i++) { // two first, to warm up
		double start = now();
		if (rank == 0)
			MPI_Send(out[0], LARGEST, MPI_BYTE, other, 0, MPI_COMM_WORLD);
		MPI_Recv(in[0], LARGEST, MPI_BYTE, other, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
		if (rank == 1)
			MPI_Send(out[0], LARGEST, MPI_BYTE, other, 0, MPI_COMM_WORLD);
		if (i >= 0)
			seconds[i] = (now() - start) / 2;
	}
	if (seconds)
		qsort(seconds, (size_t)times, sizeof *seconds, by_value);
	if (rank == 0 && seconds)
		printf("bandwidth %.0f MiB/s\n", (LARGEST >> 20) / seconds[times / 2]);
	free(seconds);
}

static pid_t sleeping_child(void)
{
	pid_t parent = getpid(), pid = fork();
	if (pid != 0)
		return pid;
	// Not to be left over, however the rank ends. In a namespace of its own getppid() tells if it was too late.
	alarm(0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	for (;;)
		pause();
}

static void keep(pid_t child)
{
	if (child < 0) {
		perror("bytes: fork");
		MPI_Abort(MPI_COMM_WORLD, 1);
	}
	children = realloc(children, (size_t)(child_count + 1) * sizeof *children);
	if (!children)
		MPI_Abort(MPI_COMM_WORLD, 1);
	children[child_count++] = child;
}

static void end_children(void)
{
	for (long i = 0; i < child_count; i++) {
		kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
	}
}

// Short-lived children advance the counter of PIDs; the one that meets the other rank's PID stays.
static void until_pid(void)
{
	long own = getpid(), wanted = 0;
	MPI_Sendrecv(&own, 1, MPI_LONG, other, 1, &wanted, 1, MPI_LONG, other, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
	if (own == wanted) {
		if (rank == 0)
			printf("until-pid: both ranks have PID %ld\n", own);
	} else if (own < wanted) {
		double start = now();
		pid_t child = 0;
		long tried = 0;
		// Beyond it, the counter would have to go all round.
		while (now() - start < TRIES_SECONDS && child < wanted) {
			child = sleeping_child();
			tried++;
			if (child == wanted || child < 0)
				break;
			kill(child, SIGKILL);
			waitpid(child, NULL, 0);
		}
		if (child == wanted || child < 0) {
			keep(child);
			printf("until-pid: rank %d, PID %ld, has a child with PID %ld, rank %d's\n", rank, own, wanted, other);
		} else {
			printf("until-pid: rank %d, PID %ld, given up after %ld children: none got PID %ld\n", rank, own, tried,
			       wanted);
		}
	}
	fflush(stdout);
}

static void show(void)
{
	struct stat namespace = {0};
	stat("/proc/self/ns/pid", &namespace);
	int seen = 0;
	DIR *proc = opendir("/proc");
	for (struct dirent *e; proc && (e = readdir(proc));)
		seen += isdigit((unsigned char)e->d_name[0]) != 0;
	if (proc)
		closedir(proc);
	printf("rank %d pid %d namespace %lu processes %d\n", rank, getpid(), (unsigned long)namespace.st_ino, seen);
	fflush(stdout);
}

static long number(char **argv, int *i)
{
	char *end = "x";
	long n = argv[*i + 1] ? strtol(argv[++*i], &end, 10) : -1;
	return *end || n < 1 || n > 1000000 ? -1 : n;
}

int main(int argc, char **argv)
{
	long workers = 0, times = 0, timeout = 60;
	int meet = 0, shown = 0;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--children"))
			workers = number(argv, &i);
		else if (!strcmp(argv[i], "--bandwidth"))
			times = number(argv, &i);
		else if (!strcmp(argv[i], "--timeout"))
			timeout = number(argv, &i);
		else if (!strcmp(argv[i], "--until-pid"))
			meet = 1;
		else if (!strcmp(argv[i], "--show"))
			shown = 1;
		else
			workers = -1;
		if (workers < 0 || times < 0 || timeout < 0) {
			fputs("usage: bytes [--children N] [--until-pid] [--bandwidth ITER] [--show] [--timeout SECONDS]\n", stderr);
			return 64;
		}
	}
	signal(SIGALRM, too_long);
	alarm((unsigned)timeout);

	int size;
	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	other = 1 - rank;
	if (shown)
		show();
	if (size < 2) {
		fputs("bytes: needs two ranks (mpirun -n 2)\n", stderr);
		MPI_Abort(MPI_COMM_WORLD, 64);
	}
	// Before the children: they have this memory too, with what it holds now.
	for (int k = 0; k < WINDOW; k++) {
		out[k] = buffer(k);
		in[k] = buffer(WINDOW + k);
	}
	for (long i = 0; i < workers; i++)
		keep(sleeping_child());
	uint64_t totals[2] = {0, 0};
	if (rank < 2) {
		if (meet)
			until_pid();
		if (times)
			bandwidth(times);
		else
			exchange(totals);
	}
	if (rank < 2 && !times) {
		printf("from rank %d to %d: bytes %llu wrong %llu\n", other, rank, (unsigned long long)totals[0],
		       (unsigned long long)totals[1]);
		fflush(stdout);
	}
	end_children();
	int bad = totals[1] != 0, any = 0;
	MPI_Allreduce(&bad, &any, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
	MPI_Finalize();
	return any;
}
