// musl STATUS [fork]: prints the status and ends with it; before that, if asked, has a child and a thread. Compiled by musl-gcc.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void *thread(void *data)
{
	return data;
}

int main(int argc, char **argv)
{
	int status = argc > 1 ? atoi(argv[1]) : 0;
	if (argc > 2) {
		pthread_t other;
		if (pthread_create(&other, NULL, thread, NULL) || pthread_join(other, NULL))
			return 100;
		pid_t child = fork();
		if (child == 0)
			return 3;
		int ended;
		if (child < 0 || waitpid(child, &ended, 0) != child || !WIFEXITED(ended) || WEXITSTATUS(ended) != 3)
			return 101;
	}
	printf("%d\n", status);
	return status;
}
