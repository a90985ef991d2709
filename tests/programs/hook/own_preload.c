// A library that somebody preloads for reasons of their own: it stands in for getppid and says so.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void start(void) { setenv("OWN_PRELOAD", "started", 1); }

pid_t getppid(void) { return 12345; }

int system(const char *command) {
    int (*next)(const char *) = dlsym(RTLD_NEXT, "system");
    return next(command) + 1000;
}

// Somebody else's _exit is called as well.
void _exit(int status) {
    void (*next)(int) = dlsym(RTLD_NEXT, "_exit");
    next(status == 9 ? 10 : status);
    __builtin_unreachable();
}
