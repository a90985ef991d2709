"""What every process of the matrix does: it imports, tells what it has, and ends as it is told.

$PROBE_LIB has own/, site-packages/ and native/; the process's witness goes to $PROBE_OUT, named by its number."""

import os
import sys


def load():
    lib = os.environ["PROBE_LIB"]
    sys.path[:0] = [lib + "/own", lib + "/site-packages", os.environ["PROBE_NATIVE"]]
    import probe_one  # it imports probe_deep and probe_pkg.sub
    import probe_pkg.sub  # loaded already: no event tells of it
    from probe_pkg import other, attribute
    import probe_space.inner
    import probe_mine  # our own: what it imports is asked for directly
    __import__("probe_dunder")
    import importlib
    importlib.import_module("probe_by_name")
    try:
        import probe_native
    except ImportError:  # where libpython is private, nothing finds its symbols
        pass
    failed = 0
    for name in ("probe_missing", "probe_broken", "probe_space.absent", "probe_pkg.absent", "probe_garbage", "probe_refuses"):
        try:
            __import__(name)
        except (ImportError, ZeroDivisionError):
            failed += 1
    try:
        from probe_pkg import nothing
    except ImportError:
        failed += 1
    assert failed == 7, failed


def tell():
    """Writes what is loaded, in a way that loads nothing."""
    lines = ["%d\t%d" % (os.getpid(), os.getppid())]
    for name, module in sorted(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        origin = getattr(spec, "origin", None) or ""
        path = getattr(module, "__file__", None) or ""
        lines.append("%s\t%s\t%s\t%s" % (name, getattr(spec, "name", None) or "", origin, path))
    path = "%s/%d" % (os.environ["PROBE_OUT"], os.getpid())
    with open(path, "w") as witness:
        witness.write("\n".join(lines) + "\n")


def die_by(number):
    import signal
    import time
    # Whoever started us may have had it ignored.
    if number == signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    while True:
        time.sleep(1)


def eat():
    held = []
    while True:
        held.append(bytearray(b"x") * (4 << 20))


def end(ending):
    if ending == "normal":
        pass
    elif ending == "sys_exit":
        sys.exit(3)
    elif ending == "exception":
        raise RuntimeError("nobody catches this")
    elif ending == "thread_exit":
        import threading
        thread = threading.Thread(target=sys.exit, args=(5,))
        thread.start()
        thread.join()
    elif ending == "os_exit":
        os._exit(4)
    elif ending == "sigterm":
        die_by(15)
    elif ending == "sigint":
        die_by(2)
    elif ending == "sigkill":
        die_by(9)
    elif ending == "sigsegv":
        try:
            import ctypes
        except ImportError:
            import faulthandler
            faulthandler._sigsegv()
        ctypes.string_at(0)
    elif ending == "abort":
        os.abort()
    elif ending == "memory":
        try:
            import resource
            with open("/proc/self/statm") as file:
                size = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.setrlimit(resource.RLIMIT_AS, (size + (64 << 20),) * 2)
        except ImportError:
            bytearray(1 << 61)
        eat()
    elif ending == "memory_kill":
        with open(os.environ["PROBE_CGROUP"] + "/cgroup.procs", "w") as procs:
            procs.write(str(os.getpid()))
        eat()
    elif ending == "exec":
        os.execv(os.environ["PROBE_OTHER"], ["other"])
    elif ending == "importing":
        import probe_victim
    elif ending == "daemons":
        import threading
        def busy():
            while True:
                __import__("probe_one")
        for _ in range(3):
            threading.Thread(target=busy, daemon=True).start()
    elif ending == "overflow":
        import faulthandler
        faulthandler._stack_overflow()
    else:
        raise ValueError(ending)


def main(ending):
    load()
    tell()
    end(ending)


if __name__ == "__main__":
    main(os.environ["PROBE_ENDING"])
