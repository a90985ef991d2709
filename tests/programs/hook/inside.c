// inside ROOT PROGRAM ARGUMENT...: executes PROGRAM in the tree ROOT, in a mount namespace of its own, in which /proc, /sys,
// /dev and /tmp are this machine's. Linked statically, so that no library is loaded into it.
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char here[4096];
    if (argc < 3 || !getcwd(here, sizeof here)) return 64;
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL)) return 65;
    const char *const shared[] = {"/proc", "/sys", "/dev", "/tmp"};
    for (int i = 0; i < 4; i++) {
        char into[4096];
        snprintf(into, sizeof into, "%s%s", argv[1], shared[i]);
        if (mount(shared[i], into, NULL, MS_BIND | MS_REC, NULL)) return 66;
    }
    // Where the caller stands, if that is there.
    if (chroot(argv[1]) || (chdir(here) && chdir("/"))) return 67;
    execv(argv[2], argv + 2);
    return 68;
}
