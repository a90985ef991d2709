// mini_tracer COMMAND...: runs COMMAND with every process and thread of it traced, and does nothing else: what the kernel's
// ptrace(2) costs at least, for `cargo xtask bench inside`. No part of terrarium; it counts nothing and ends nothing but
// what the kernel ends with it.
//
// As under terrarium, clone3(2) is said not to exist, so that C libraries use clone(2). Its status is that of COMMAND.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void check(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	_exit(125);
}

// clone3 has one number in all tables, so that the architecture need not be looked at.
static void refuse_clone3(void)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
	check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
	check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "seccomp");
}

int main(int argc, char **argv)
{
	int held_back[2], status, end = 125;
	char byte;
	if (argc < 2) {
		fputs("usage: mini_tracer COMMAND...\n", stderr);
		return 64;
	}
	// Who waits is woken all the same.
	struct sigaction no_signals_for_stops = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP};
	sigaction(SIGCHLD, &no_signals_for_stops, NULL);
	check(pipe(held_back) == 0, "pipe");
	pid_t pid = fork();
	check(pid >= 0, "fork");
	if (pid == 0) {
		close(held_back[1]);
		if (read(held_back[0], &byte, 1) != 1)
			_exit(125);
		close(held_back[0]);
		refuse_clone3();
		execvp(argv[1], argv + 1);
		perror(argv[1]);
		_exit(127);
	}
	long options = PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
	check(ptrace(PTRACE_SEIZE, pid, 0, options) == 0, "seize");
	check(write(held_back[1], "g", 1) == 1, "write");
	close(held_back[0]);
	close(held_back[1]);
	for (pid_t tid; (tid = waitpid(-1, &status, __WALL)) > 0;) {
		if (!WIFSTOPPED(status)) {
			if (tid == pid)
				end = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
			continue;
		}
		int event = status >> 16, signal = WSTOPSIG(status);
		if (event == PTRACE_EVENT_STOP && signal != SIGTRAP)
			ptrace(PTRACE_LISTEN, tid, 0, 0);
		else
			ptrace(PTRACE_CONT, tid, 0, event ? 0 : signal);
	}
	check(errno == ECHILD, "waitpid");
	return end;
}
