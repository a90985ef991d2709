# faults.py GIB SECONDS: with so much memory resident, maps 1 MiB, touches each of its pages and lets it go, again and
# again; prints how often a second.
import mmap
import sys
import time

gib, seconds = float(sys.argv[1]), float(sys.argv[2])
resident = mmap.mmap(-1, int(gib * (1 << 30)))
for at in range(0, len(resident), 4096):
    resident[at] = 1
count, begin = 0, time.perf_counter()
while time.perf_counter() < begin + seconds:
    for _ in range(20):
        with mmap.mmap(-1, 1 << 20) as some:
            for at in range(0, 1 << 20, 4096):
                some[at] = 1
    count += 20
print(count / (time.perf_counter() - begin))
