// frozen: leaves a daemon behind in a frozen cgroup below its own one. A frozen process in the v1
// hierarchy does not even die of SIGKILL before somebody thaws it, so a tool that kills and then
// waits for the end waits for ever. Exit 77 where it may not make such a group.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char reason[5000] = "no freezer and no cgroup v2 hierarchy";

static int fails(const char *what, const char *path)
{
	snprintf(reason, sizeof reason, "%s %s: %s", what, path, strerrorname_np(errno));
	return -1;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (!ok)
		fails("write", path);
	if (fd >= 0)
		close(fd);
	return ok ? 0 : -1;
}

static int file_says(const char *path, const char *word)
{
	char text[512] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	return n > 0 && strstr(text, word) != NULL;
}

// The directory of this process's group in the freezer hierarchy (or in v2's), as mounted here.
static int own_directory(int v2, char *dir, size_t size)
{
	static char line[8192];
	char path[4096] = "";
	FILE *f = fopen("/proc/self/cgroup", "r");
	while (f && fgets(line, sizeof line, f)) {
		char *names = strchr(line, ':'), *group = names ? strchr(names + 1, ':') : NULL;
		if (!group)
			continue;
		*group++ = 0;
		group[strcspn(group, "\n")] = 0;
		// "0::/a/b" (v2) and "6:freezer:/a/b", cut at the second colon
		if (v2 ? !strcmp(line, "0:") : strstr(names, "freezer") != NULL)
			snprintf(path, sizeof path, "%s", group);
	}
	if (f)
		fclose(f);
	if (!path[0])
		return -1;
	if (!path[1]) // the root group: "/"
		path[0] = 0;
	f = fopen("/proc/self/mountinfo", "r");
	int found = -1;
	while (f && fgets(line, sizeof line, f)) {
		char root[1024], point[1024], type[64], options[1024] = "";
		char *tail = strstr(line, " - ");
		if (!tail || sscanf(line, "%*s %*s %*s %1023s %1023s", root, point) != 2 ||
		    sscanf(tail, " - %63s %*s %1023s", type, options) < 1 ||
		    strcmp(type, v2 ? "cgroup2" : "cgroup") || (!v2 && !strstr(options, "freezer")))
			continue;
		size_t n = strcmp(root, "/") ? strlen(root) : 0;
		if (strncmp(path, root, n))
			n = 0; // a view from another cgroup namespace; try it as it is
		if (snprintf(dir, size, "%s%s", point, path + n) < (int)size)
			found = 0;
	}
	if (f)
		fclose(f);
	return found;
}

static pid_t start_daemon(void)
{
	int told[2];
	pid_t pid = -1;
	if (pipe(told) != 0)
		return -1;
	if (fork() == 0) {
		setsid();
		signal(SIGTERM, SIG_IGN);
		signal(SIGINT, SIG_IGN);
		signal(SIGHUP, SIG_IGN);
		pid = fork();
		if (pid != 0)
			_exit(write(told[1], &pid, sizeof pid) != sizeof pid);
		close(told[0]);
		close(told[1]);
		for (;;)
			pause();
	}
	close(told[1]);
	if (read(told[0], &pid, sizeof pid) != sizeof pid)
		pid = -1;
	close(told[0]);
	wait(NULL);
	return pid;
}

static int freeze(int v2)
{
	char own[4096], dir[4200], path[4300], text[16];
	if (own_directory(v2, own, sizeof own) != 0)
		return -1;
	snprintf(dir, sizeof dir, "%s/frozen.%d", own, getpid());
	if (mkdir(dir, 0755) != 0)
		return fails("mkdir", dir);
	pid_t daemon = start_daemon();
	if (daemon < 0) {
		fails("fork", "a daemon");
		rmdir(dir);
		return -1;
	}
	snprintf(path, sizeof path, "%s/cgroup.procs", dir);
	snprintf(text, sizeof text, "%d", daemon);
	int ok = write_file(path, text) == 0;
	if (ok) {
		snprintf(path, sizeof path, "%s/%s", dir, v2 ? "cgroup.freeze" : "freezer.state");
		ok = write_file(path, v2 ? "1" : "FROZEN") == 0;
	}
	if (!ok) {
		kill(daemon, SIGKILL);
		for (int i = 0; i < 100 && rmdir(dir) != 0; i++)
			usleep(10 * 1000);
		return -1;
	}
	snprintf(path, sizeof path, "%s/%s", dir, v2 ? "cgroup.events" : "freezer.state");
	while (!file_says(path, v2 ? "frozen 1" : "FROZEN"))
		usleep(1000);
	printf("frozen %s\n", dir);
	return 0;
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc != 1) {
		fputs("usage: frozen\n", stderr);
		return 64;
	}
	if (freeze(0) == 0 || freeze(1) == 0)
		return 0;
	printf("cannot: %s\n", reason);
	return 77;
}
