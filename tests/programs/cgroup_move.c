// cgroup_move [SIZE]: tries everything to leave its cgroup or to lift its limits: moves to every
// group that it can see (and to new ones there), writes to limits, takes mounts away to see what
// is below, and mounts the hierarchies afresh in namespaces of its own. Says whether any of it
// worked; then, given a SIZE, takes that much memory.
//
// Run as root without protection it does succeed: it loosens the limits of this machine's groups
// and stays in another one. Run it where that does no harm.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1024L * 1024)
#define TEXT 16384
#define MOUNTS 64
#define LEVELS 2

static pid_t self;	  // whom to move: the first process, whoever does the writing
static char before[TEXT]; // its /proc/PID/cgroup at the start
#define HIERARCHIES 32
static struct {
	int raised;
	char moved[HIERARCHIES]; // by the line in "before"
} *result; // shared with the children
static int hierarchy; // the one that is being tried, or -1
static int ask = -1, answer = -1; // in a child: to and from the first process

static struct mount {
	char root[1024], point[1024];
	int v2;
	char controllers[256];
} mounts[MOUNTS];
static int mount_count;

static int read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	size_t n = 0;
	ssize_t r;
	while (n < size - 1 && (r = read(fd, text + n, size - 1 - n)) > 0)
		n += r;
	text[n] = 0;
	close(fd);
	return 0;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	int ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok ? 0 : -1;
}

static void own_groups(char *text)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/cgroup", self);
	if (read_file(path, text, TEXT) != 0)
		text[0] = 0;
}

static const char *next_line(const char *line)
{
	const char *end = strchr(line, '\n');
	return end ? end + 1 : line + strlen(line);
}

// The path in the line of a hierarchy ("4:memory:/a/b"), found by what comes before the path.
static int path_of(const char *groups, const char *key, size_t key_length, char *path, size_t size)
{
	for (const char *line = groups; *line; line = next_line(line))
		if (!strncmp(line, key, key_length)) {
			snprintf(path, size, "%.*s", (int)strcspn(line + key_length, "\n"), line + key_length);
			return 0;
		}
	return -1;
}

// To be further down, in one's own subtree, is no escape: its limits are above.
static void compare_groups(void)
{
	char now[TEXT];
	own_groups(now);
	int i = 0;
	for (const char *line = before; *line && i < HIERARCHIES; line = next_line(line), i++) {
		char old[4096], new[4096];
		const char *colon = strchr(line, ':');
		colon = colon ? strchr(colon + 1, ':') : NULL;
		if (!colon)
			continue;
		size_t key = colon + 1 - line;
		if (path_of(before, line, key, old, sizeof old) || path_of(now, line, key, new, sizeof new))
			continue;
		size_t n = strcmp(old, "/") ? strlen(old) : 0;
		int inside = !strcmp(old, new) || (!strncmp(old, new, n) && new[n] == '/');
		// Seen from a cgroup namespace, outside of it is "/..".
		if (inside && !strncmp(new + n, "/..", 3))
			inside = 0;
		if (!inside)
			result->moved[i] = 1;
	}
}

// A child may be in another cgroup namespace, where all paths read differently.
static void compare(void)
{
	char c = 0;
	if (ask < 0)
		compare_groups();
	else if (write(ask, &c, 1) != 1 || read(answer, &c, 1) != 1)
		_exit(1);
}

static void move_to(const char *dir)
{
	static const char *const files[] = {"cgroup.procs", "tasks"};
	char path[4400], text[256], pid[16];
	snprintf(path, sizeof path, "%s/cgroup.events", dir);
	if (read_file(path, text, sizeof text) == 0 && strstr(text, "frozen 1"))
		return; // that would be the end of us
	snprintf(path, sizeof path, "%s/freezer.state", dir);
	if (read_file(path, text, sizeof text) == 0 && !strstr(text, "THAWED"))
		return;
	snprintf(pid, sizeof pid, "%d", self);
	for (int i = 0; i < 2; i++) {
		// Once outside, it stays there: the next group might be the old one again.
		if (hierarchy >= 0 && result->moved[hierarchy])
			return;
		snprintf(path, sizeof path, "%s/%s", dir, files[i]);
		if (write_file(path, pid) == 0)
			compare();
	}
}

// Counts where the limit was not open before and is another one after.
static void raise_limits(const char *dir)
{
	static const char *const limits[][2] = {
		{"memory.max", "max"},	      {"memory.high", "max"},
		{"memory.swap.max", "max"},   {"memory.memsw.limit_in_bytes", "-1"},
		{"memory.limit_in_bytes", "-1"}, {"pids.max", "max"},
	};
	char path[4400], old[256], new[256];
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, limits[i][0]);
		if (read_file(path, old, sizeof old) == 0 && write_file(path, limits[i][1]) == 0 &&
		    read_file(path, new, sizeof new) == 0 && strcmp(old, new))
			__atomic_add_fetch(&result->raised, 1, __ATOMIC_SEQ_CST);
	}
}

static void visit(const char *dir, int levels)
{
	char path[4200];
	raise_limits(dir);
	move_to(dir);
	snprintf(path, sizeof path, "%s/escape.%d", dir, getpid());
	if (mkdir(path, 0755) == 0) {
		// In the v1 cpuset hierarchy a new group takes nobody in before it has these.
		static const char *const sets[] = {"cpuset.cpus", "cpuset.mems"};
		for (int i = 0; i < 2; i++) {
			char from[4400], to[4400], text[256];
			snprintf(from, sizeof from, "%s/%s", dir, sets[i]);
			snprintf(to, sizeof to, "%s/%s", path, sets[i]);
			if (read_file(from, text, sizeof text) == 0)
				write_file(to, text);
		}
		move_to(path);
		raise_limits(path);
		rmdir(path); // fails, as it should, where we are in it
	}
	DIR *d = levels > 0 ? opendir(dir) : NULL;
	for (struct dirent *e; d && (e = readdir(d));) {
		if (e->d_type != DT_DIR || e->d_name[0] == '.' || !strncmp(e->d_name, "escape.", 7))
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		visit(path, levels - 1);
	}
	if (d)
		closedir(d);
}

static void unescape(char *to, size_t size, const char *from)
{
	size_t n = 0;
	for (; *from && n < size - 1; n++) {
		if (*from == '\\' && strlen(from) >= 4) {
			to[n] = (char)strtol((char[]){from[1], from[2], from[3], 0}, NULL, 8);
			from += 4;
		} else {
			to[n] = *from++;
		}
	}
	to[n] = 0;
}

static void find_mounts(void)
{
	static char line[8192];
	FILE *f = fopen("/proc/self/mountinfo", "r");
	mount_count = 0;
	while (f && mount_count < MOUNTS && fgets(line, sizeof line, f)) {
		char root[1024], point[1024], type[64] = "", options[1024] = "";
		char *tail = strstr(line, " - ");
		if (!tail || sscanf(line, "%*s %*s %*s %1023s %1023s", root, point) != 2 ||
		    sscanf(tail, " - %63s %*s %1023s", type, options) < 1 || strncmp(type, "cgroup", 6))
			continue;
		struct mount *m = &mounts[mount_count++];
		m->v2 = !strcmp(type, "cgroup2");
		unescape(m->root, sizeof m->root, root);
		unescape(m->point, sizeof m->point, point);
		// "rw,xattr,name=systemd", "rw,cpu,cpuacct": the last word is enough to tell which
		char *last = strrchr(options, ',');
		snprintf(m->controllers, sizeof m->controllers, "%.255s", last ? last + 1 : "");
	}
	if (f)
		fclose(f);
}

// The number of the mounted hierarchy's line in /proc/PID/cgroup, and the path that is in it.
static int line_of(const struct mount *m, const char *groups, char *path, size_t size)
{
	int i = 0;
	for (const char *line = groups; *line && i < HIERARCHIES; line = next_line(line), i++) {
		char names[256] = "", *last; // "cpu,cpuacct", "name=systemd", or none for v2
		if (sscanf(line, "%*d:%255[^:\n]:", names) != 1)
			names[0] = 0;
		last = strrchr(names, ',');
		if (m->v2 ? names[0] != 0 : strcmp(last ? last + 1 : names, m->controllers) != 0)
			continue;
		const char *colon = strchr(strchr(line, ':') + 1, ':');
		snprintf(path, size, "%.*s", (int)strcspn(colon + 1, "\n"), colon + 1);
		return i;
	}
	return -1;
}

// The own group, as found under a mount, and the ones around it: its ancestors, with what is
// below them. (visit() from the top goes only so deep.)
static void visit_around(const struct mount *m, char *path)
{
	char dir[4096];
	size_t n = strcmp(m->root, "/") ? strlen(m->root) : 0;
	if (strncmp(path, m->root, n))
		n = 0;
	for (int up = 0; strlen(path) > n; up++) {
		if (snprintf(dir, sizeof dir, "%s%s", m->point, path + n) < (int)sizeof dir)
			visit(dir, up < 2 ? 1 : 0);
		*strrchr(path, '/') = 0;
	}
}

static void visit_mounts(void)
{
	char groups[TEXT], path[4096];
	find_mounts();
	own_groups(groups);
	for (int i = 0; i < mount_count; i++) {
		hierarchy = line_of(&mounts[i], groups, path, sizeof path);
		visit(mounts[i].point, LEVELS);
		if (hierarchy >= 0)
			visit_around(&mounts[i], path);
	}
	hierarchy = -1;
}

// In a child, for namespaces cannot be left again; and a mount namespace first of all, so that
// the machine's own mounts stay if we may change them.
static void in_child(void (*attempt)(void), int namespaces)
{
	int to_parent[2], to_child[2];
	char c = 0;
	if (pipe(to_parent) != 0 || pipe(to_child) != 0)
		return;
	pid_t pid = fork();
	if (pid == 0) {
		close(to_parent[0]);
		close(to_child[1]);
		ask = to_parent[1];
		answer = to_child[0];
		int entered = unshare(namespaces) == 0;
		compare(); // the first question: whereupon the ids are mapped
		if (entered)
			mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
		else if (namespaces != CLONE_NEWNS)
			_exit(0);
		attempt();
		_exit(0);
	}
	close(to_parent[1]);
	close(to_child[0]);
	for (int first = 1; pid > 0 && read(to_parent[0], &c, 1) == 1; first = 0) {
		if (first && (namespaces & CLONE_NEWUSER)) {
			char path[64], map[64];
			snprintf(path, sizeof path, "/proc/%d/setgroups", pid);
			write_file(path, "deny");
			snprintf(path, sizeof path, "/proc/%d/gid_map", pid);
			snprintf(map, sizeof map, "0 %d 1", getegid());
			write_file(path, map);
			snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
			snprintf(map, sizeof map, "0 %d 1", geteuid());
			write_file(path, map);
		}
		compare_groups();
		if (write(to_child[1], &c, 1) != 1)
			break;
	}
	close(to_parent[0]);
	close(to_child[1]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

// Takes away the mounts, innermost first, and visits what comes to light.
static void unmount(void)
{
	find_mounts();
	int gone = 0;
	for (int i = mount_count - 1; i >= 0; i--)
		gone += umount2(mounts[i].point, 0) == 0 || umount2(mounts[i].point, MNT_DETACH) == 0;
	gone += umount2("/sys/fs/cgroup", MNT_DETACH) == 0;
	if (!gone)
		return;
	visit_mounts();
	visit("/sys/fs/cgroup", 1);
}

static void mount_afresh(void)
{
	static const char *const controllers[] = {NULL, "memory", "pids", "cpuset"};
	static const char *const places[] = {"/tmp", "/dev/shm"};
	for (size_t p = 0; p < 2; p++) {
		char dir[64];
		snprintf(dir, sizeof dir, "%s/cgroup_move.XXXXXX", places[p]);
		if (!mkdtemp(dir))
			continue;
		for (size_t i = 0; i < sizeof controllers / sizeof *controllers; i++) {
			if (mount("none", dir, controllers[i] ? "cgroup" : "cgroup2", 0, controllers[i]) != 0)
				continue;
			visit_mounts(); // the new one is among them
			umount2(dir, MNT_DETACH);
		}
		rmdir(dir);
		return;
	}
}

static void print_groups(const char *name, const char *groups)
{
	printf("%s:", name);
	for (const char *p = groups; *p; p++) {
		if (p == groups)
			putchar(' ');
		if (*p != '\n')
			putchar(*p);
		else if (p[1])
			putchar(' ');
	}
	putchar('\n');
	fflush(stdout);
}

static long size_of(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);
	int shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
	return n <= 0 || end[!!shift] || (*end && !shift) ? -1 : n << shift;
}

int main(int argc, char **argv)
{
	static char after[TEXT];
	long size = argc == 2 ? size_of(argv[1]) : 0;
	if (argc > 2 || size < 0) {
		fputs("usage: cgroup_move [SIZE[K|M|G]]\n", stderr);
		return 64;
	}
	self = getpid();
	result = mmap(NULL, sizeof *result, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (result == MAP_FAILED) {
		perror("cgroup_move: mmap");
		return 1;
	}
	own_groups(before);
	print_groups("before", before);

	signal(SIGPIPE, SIG_IGN);
	visit_mounts();
	in_child(unmount, CLONE_NEWNS);
	in_child(unmount, CLONE_NEWUSER | CLONE_NEWNS);
	in_child(mount_afresh, CLONE_NEWNS);
	in_child(mount_afresh, CLONE_NEWNS | CLONE_NEWCGROUP);
	in_child(mount_afresh, CLONE_NEWUSER | CLONE_NEWNS);
	in_child(mount_afresh, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP);

	compare_groups();
	own_groups(after);
	print_groups("after", after);
	printf("raised: %d files\n", result->raised);
	printf("moved: %s\n", memchr(result->moved, 1, HIERARCHIES) ? "yes" : "no");
	fflush(stdout);
	if (size == 0)
		return 0;

	for (long had = 0; had < size; had += 4 * MIB) {
		long n = size - had < 4 * MIB ? size - had : 4 * MIB;
		char *p = malloc(n);
		if (!p) {
			printf("refused at %ld MiB: %s\n", had / MIB, strerrorname_np(errno));
			return 3;
		}
		memset(p, 1, n);
		__asm__ volatile("" : : "r"(p) : "memory"); // the memory counts as used
	}
	printf("had %s\n", argv[1]);
	return 0;
}
