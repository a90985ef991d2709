"""Forks again and again while four threads import: forks_and_threads.py DIRECTORY."""
import os
import sys
import threading
import warnings

warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
done = threading.Event()
sys.setswitchinterval(0.0002)


def work(number):
    module = 0
    while not done.is_set():
        name = "t%d_%d" % (number, module % 20)
        sys.modules.pop(name, None)
        __import__(name)
        module += 1


threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
failed = 0
for number in range(25):
    pid = os.fork()
    if pid == 0:
        __import__("t%d_0" % (10 + number % 40))
        os._exit(0)
    failed += os.waitpid(pid, 0)[1] != 0
done.set()
for thread in threads:
    thread.join()
print(failed)
