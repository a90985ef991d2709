// without_userns [UID GID] COMMAND...: runs COMMAND where no user namespace can be made, as on a host with
// user.max_user_namespaces=0.
//
// The limit is a property of each user namespace, so it is set in a new one, and nothing of the machine is changed. Every
// user and group is mapped to itself there if root runs this; else only the caller.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what)
{
	fprintf(stderr, "without_userns: %s: %s\n", what, strerror(errno));
	exit(125);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fail(path);
	close(fd);
}

int main(int argc, char **argv)
{
	int root = geteuid() == 0;
	char **command = argv + 1;
	uid_t uid = geteuid();
	gid_t gid = getegid();
	if (root) {
		if (argc < 4)
			return 64;
		uid = atoi(argv[1]);
		gid = atoi(argv[2]);
		command = argv + 3;
	}
	int made[2], mapped[2];
	if (pipe2(made, O_CLOEXEC) || pipe2(mapped, O_CLOEXEC))
		fail("pipe");
	// The maps have to be written from outside for more than the caller alone; the caller itself stays
	// the process that becomes the command, so that its PID, group and parent are what they were.
	pid_t mapper = root ? fork() : 0;
	if (root && mapper == 0) {
		char path[64], byte;
		close(made[1]); // else it would wait for itself if its parent is killed
		if (read(made[0], &byte, 1) != 1)
			_exit(1);
		snprintf(path, sizeof path, "/proc/%d/uid_map", getppid());
		put(path, "0 0 4294967295");
		snprintf(path, sizeof path, "/proc/%d/gid_map", getppid());
		put(path, "0 0 4294967295");
		_exit(0);
	}
	if (unshare(CLONE_NEWUSER))
		fail("unshare");
	if (root) {
		int status;
		if (write(made[1], "x", 1) != 1 || waitpid(mapper, &status, 0) < 0 || status != 0)
			fail("mapping");
	} else {
		char map[64];
		put("/proc/self/setgroups", "deny");
		snprintf(map, sizeof map, "%d %d 1", uid, uid);
		put("/proc/self/uid_map", map);
		snprintf(map, sizeof map, "%d %d 1", gid, gid);
		put("/proc/self/gid_map", map);
	}
	put("/proc/sys/user/max_user_namespaces", "0");
	if (root && (setgroups(0, NULL) || setgid(gid) || setuid(uid)))
		fail("becoming the user");
	execvp(command[0], command);
	fail(command[0]);
}
