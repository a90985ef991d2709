// embed SCRIPT [LIBPYTHON]: a program that has Python inside, linked to it (-DLINKED) or loading LIBPYTHON for itself alone
// (RTLD_LOCAL). Runs SCRIPT as __main__. No Python header is needed: these functions have been the same since 3.0.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef LINKED
void Py_Initialize(void);
int PyRun_SimpleStringFlags(const char *, void *);
int Py_FinalizeEx(void);
#endif

static char text[1 << 20];

int main(int argc, char **argv) {
    if (argc < 2) return 64;
    FILE *file = fopen(argv[1], "r");
    if (!file) return 66;
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
#ifdef LINKED
    void (*initialize)(void) = Py_Initialize;
    int (*run)(const char *, void *) = PyRun_SimpleStringFlags;
    int (*finalize)(void) = Py_FinalizeEx;
#else
    void *library = argc > 2 ? dlopen(argv[2], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 65;
    }
    void (*initialize)(void) = dlsym(library, "Py_Initialize");
    int (*run)(const char *, void *) = dlsym(library, "PyRun_SimpleStringFlags");
    int (*finalize)(void) = dlsym(library, "Py_FinalizeEx");
#endif
    if (getenv("PROBE_TWICE")) {
        initialize();
        run("import json", NULL);
        finalize();
    }
    initialize();
    int failed = run(text, NULL);
    int unflushed = finalize();
    return failed ? 1 : unflushed ? 120 : 0;
}
