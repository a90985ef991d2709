// An extension module for every CPython from 3.8, sub-interpreters and free-threaded builds with it, from one build: the slots
// and the length of an object's head are chosen when it is loaded. With -DREFUSES its import fails after it was mapped, with
// -DIMPORTS its own code imports others.
#include <stdlib.h>
#include <string.h>

const char *Py_GetVersion(void);
void *PyModuleDef_Init(void *);
void PyErr_SetString(void *, const char *);
extern void *PyExc_ImportError;

static void *definition[32];
static void *slots[8];

#ifdef REFUSES
static int refuse(void *module) {
    (void)module;
    PyErr_SetString(PyExc_ImportError, "this one always refuses");
    return -1;
}
#define NAME "probe_refuses"
#define INIT PyInit_probe_refuses
#define RUNS refuse
#elif defined(IMPORTS)
void *PyImport_ImportModule(const char *);

static int imports(void *module) {
    (void)module;
    return PyImport_ImportModule("colorsys") && PyImport_ImportModule("xml.dom.minicompat") ? 0 : -1;
}
#define NAME "probe_imports"
#define INIT PyInit_probe_imports
#define RUNS imports
#else
#define NAME "probe_native"
#define INIT PyInit_probe_native
#endif

__attribute__((visibility("default"))) void *INIT(void) {
    const char *version = Py_GetVersion();
    long minor = strtol(version + 2, NULL, 10);
    // PyObject_HEAD and m_init, m_index, m_copy; then m_name, m_doc, m_size, m_methods, m_slots.
    int at = (strstr(version, "free-threading") ? 4 : 2) + 3;
    definition[at] = (void *)NAME;
    definition[at + 4] = slots;
    int slot = 0;
#ifdef RUNS
    slots[slot++] = (void *)2; // Py_mod_exec
    slots[slot++] = (void *)RUNS;
#endif
    if (minor >= 12) {
        slots[slot++] = (void *)3; // Py_mod_multiple_interpreters
        slots[slot++] = (void *)2; // Py_MOD_PER_INTERPRETER_GIL_SUPPORTED
    }
    if (minor >= 13) {
        slots[slot++] = (void *)4; // Py_mod_gil
        slots[slot++] = (void *)1; // Py_MOD_GIL_NOT_USED
    }
    return PyModuleDef_Init(definition);
}
