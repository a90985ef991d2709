# sampler_job.py PROCESSES THREADS: so many processes with so many threads each, most of which sleep, until standard input ends.
#
# Every tenth process computes a little ten times a second, as workers do that wait for a server.
import os
import select
import sys
import threading
import time

processes, threads = int(sys.argv[1]), int(sys.argv[2])
threading.stack_size(64 << 10)
stop, go = os.pipe()
ready, tell = os.pipe()


def child(number):
    os.close(go)
    for _ in range(threads - 1):
        threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    os.write(tell, b"x")
    while not select.select([stop], [], [], 0.1 if number % 10 == 0 else None)[0]:
        sum(range(1000))
    os._exit(0)


for number in range(processes):
    if os.fork() == 0:
        child(number)
there = 0
while there < processes:
    there += len(os.read(ready, processes))
print("ready", flush=True)
sys.stdin.read()
os.close(go)
os._exit(0)
