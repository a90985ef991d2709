"""A small analysis as people write it: a pool of workers, a shared array, and helpers that nobody ends.

Estimates how strongly the columns of a noisy data set depend on one another: each worker takes bootstrap
samples of a matrix in shared memory and computes the singular values of its covariance.
"""

import multiprocessing as mp
import os
import subprocess
import sys
import time
from multiprocessing import shared_memory

import numpy as np

ROWS, COLUMNS, SAMPLES = 200_000, 60, 24


def attach(name):
    block = shared_memory.SharedMemory(name=name)
    return block, np.ndarray((ROWS, COLUMNS), dtype=np.float64, buffer=block.buf)


def bootstrap(task):
    name, seed = task
    block, data = attach(name)
    rng = np.random.default_rng(seed)
    sample = data[rng.integers(0, ROWS, ROWS // 2)]
    values = np.linalg.svd(np.cov(sample, rowvar=False), compute_uv=False)
    del data
    block.close()
    return values[:5]


def leave_helpers_behind():
    """What makes trouble on a cluster: processes that outlive the job."""
    # A "monitor" in a session of its own, as a library starts it.
    subprocess.Popen(["sleep", "100000"], start_new_session=True)
    # Daemons that ignore SIGTERM, by the book: fork, setsid, fork.
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                import signal

                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(100_000)
            os._exit(0)


def main():
    rng = np.random.default_rng(1)
    block = shared_memory.SharedMemory(create=True, size=ROWS * COLUMNS * 8)
    data = np.ndarray((ROWS, COLUMNS), dtype=np.float64, buffer=block.buf)
    factors = rng.normal(size=(ROWS, 4))
    data[:] = factors @ rng.normal(size=(4, COLUMNS)) + 0.5 * rng.normal(size=(ROWS, COLUMNS))
    print(f"data: {ROWS} x {COLUMNS}, {data.nbytes / 2**20:.0f} MiB in shared memory", flush=True)

    start = time.perf_counter()
    results = []
    with mp.get_context("spawn").Pool(4) as pool:
        tasks = [(block.name, seed) for seed in range(SAMPLES)]
        for n, values in enumerate(pool.imap_unordered(bootstrap, tasks), 1):
            results.append(values)
            if n % 8 == 0:
                print(f"  {n} of {SAMPLES} bootstrap samples", flush=True)
    results = np.array(results)
    for i, (mean, spread) in enumerate(zip(results.mean(0), results.std(0)), 1):
        print(f"singular value {i}: {mean:8.2f} ± {spread:.2f}")
    print(f"took {time.perf_counter() - start:.1f} s", flush=True)
    del data
    block.close()
    block.unlink()
    leave_helpers_behind()
    print("main process ends; its helpers do not", flush=True)


if __name__ == "__main__":
    sys.exit(main())
