"""A job whose every figure changes all the time: a pool, memory that comes and goes, files, children.

usage: mixed_job.py SECONDS
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from multiprocessing import Pool


def add(n):
    return sum(range(n))


if __name__ == "__main__":
    end = time.monotonic() + float(sys.argv[1])
    random.seed(1)
    blocks = []
    with Pool(3) as pool, tempfile.TemporaryFile() as file:
        while time.monotonic() < end:
            pool.map(add, [random.randrange(10**5, 10**6) for _ in range(10)])
            blocks.append(bytearray(random.randrange(10**5, 10**6)))
            if len(blocks) > 300:
                blocks = blocks[200:]
            if random.random() < 0.1:
                time.sleep(random.random() * 2)
            if random.random() < 0.05:
                file.write(os.urandom(10**5))
            if random.random() < 0.02:
                subprocess.run(["true"])
