// Preloaded into Python, adds an audit hook that does nothing: what any hook costs before it does something.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

static int hook(const char *event, void *arguments, void *data)
{
	(void)event, (void)arguments, (void)data;
	return 0;
}

__attribute__((constructor)) static void add(void)
{
	int (*add_hook)(int (*)(const char *, void *, void *), void *);
	*(void **)&add_hook = dlsym(RTLD_DEFAULT, "PySys_AddAuditHook");
	if (add_hook)
		add_hook(hook, NULL);
}
