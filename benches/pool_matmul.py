"""Four processes multiply matrices with whatever number of threads their library starts: what
scientists write without thinking of threads. Prints the seconds from making the pool to its end.
"""

import multiprocessing
import time

import numpy

PROCESSES = 4
TASKS = 16
ROUNDS = 40
SIZE = 400


def task(seed):
    matrix = numpy.random.default_rng(seed).standard_normal((SIZE, SIZE))
    product = matrix
    for _ in range(ROUNDS):
        product = matrix @ product
        product /= numpy.abs(product).max()
    return float(product.sum())


def main():
    start = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        results = pool.map(task, range(TASKS), chunksize=1)
    seconds = time.perf_counter() - start
    if not numpy.isfinite(results).all():
        raise SystemExit("results are not finite")
    print(f"{seconds:.4f}")


if __name__ == "__main__":
    main()
