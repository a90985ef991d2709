"""usage: hook_events.py KIND COUNT: raises COUNT audit events of a kind and prints how many ns each took.

import: one for each of COUNT names that are modules indeed, from code of a hundred files in turn; the median of the
        hundred. open: as open() raises it, without opening anything. id: calls id(), which raises one. Of the last two
        the least of a hundred.
"""

import statistics
import sys
import time
import types

PARTS = 100


def imports(names, audit=sys.audit, clock=time.perf_counter_ns):
    path, finders, hooks = sys.path, sys.meta_path, sys.path_hooks
    begin = clock()
    for name in names:
        audit("import", name, None, path, finders, hooks)
    return clock() - begin


def opens(names, audit=sys.audit, clock=time.perf_counter_ns):
    begin = clock()
    for name in names:
        audit("open", name, "r", 0o2000000)
    return clock() - begin


def ids(names, id=id, clock=time.perf_counter_ns):
    begin = clock()
    for name in names:
        id(name)
    return clock() - begin


def main(kind, count):
    deed = {"import": imports, "open": opens, "id": ids}[kind]
    times = []
    for part in range(PARTS):
        package = f"package{part:02}"
        names = [f"{package}.module{k:05}" for k in range(count // PARTS)]
        if kind == "import":
            sys.modules.update((name, types.ModuleType(name)) for name in names)
        # The same code, as if it stood in another module.
        code = deed.__code__.replace(co_filename=f"/library/{package}/__init__.py")
        of_package = types.FunctionType(
            code, {"__name__": package, "sys": sys}, deed.__name__, deed.__defaults__
        )
        times.append(of_package(names) / len(names))
    print((statistics.median if kind == "import" else min)(times))


main(sys.argv[1], max(PARTS, int(sys.argv[2])))
