"""Children of one parent, one for each ending in $PROBE_ENDINGS: workers.py fork|spawn|forkserver|os_fork.

Prints a line `ENDING PID STATUS` for each, as wait tells it: a negative status is a signal."""

import multiprocessing
import os
import sys


def work(ending):
    import payload
    payload.main(ending)


def bare_fork(ending):
    pid = os.fork()
    if pid == 0:
        sys.stderr = open(os.devnull, "w")
        try:
            work(ending)
        finally:
            # A daemon thread's or an exception's end is the interpreter's own.
            pass
        sys.exit(0)
    status = os.waitpid(pid, 0)[1]
    return pid, os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)


def main(way, endings):
    if way == "os_fork":
        for ending in endings:
            print(ending, *bare_fork(ending), flush=True)
        return
    context = multiprocessing.get_context(way)
    for ending in endings:
        process = context.Process(target=work, args=(ending,))
        process.start()
        process.join()
        print(ending, process.pid, process.exitcode, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], os.environ["PROBE_ENDINGS"].split())
