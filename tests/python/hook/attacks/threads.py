"""50 threads, each with 20 modules of its own to import, at the same moment."""
import os
import sys
import threading

sys.path.insert(0, sys.argv[1])
barrier = threading.Barrier(50)
failed = []


def work(number):
    barrier.wait()
    for module in range(20):
        try:
            __import__("t%d_%d" % (number, module))
        except BaseException as error:
            failed.append(error)


threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(failed), sum(name.startswith("t") and "_" in name and name[1].isdigit() for name in sys.modules))
