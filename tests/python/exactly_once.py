#!/usr/bin/env python3
"""Kills collector and committer at random moments while processes write records, and counts what is in the store.

    exactly_once.py --kills 200 --writers 50 --directory DIR [--terrarium PROGRAM]

Every program that a writer starts leaves one record. In the end each must be in the store once: the number is compared with
what the writers counted, and the records' own names with themselves. Prints one line of JSON; status 1 if something is lost
or doubled.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

# Counts what it is about to start, so that a writer that is stopped in between has counted one too many at most: it is told
# to stop by a file instead, and ends by itself.
WRITER = r"""
n=0
while [ ! -e "$STOP" ]; do
    n=$((n + 1))
    if [ $((n % 8)) = 0 ]; then "$PYTHON" -S -c 'import json, os; os._exit(0)'; else sleep 0.$((RANDOM % 4)); fi
done
echo $n > "$COUNT"
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--writers", type=int, default=50)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--terrarium", type=Path, default=Path("target/release/terrarium"))
    parser.add_argument("--seed", type=int, default=None)
    args = parser.parse_args()
    terrarium = args.terrarium.resolve()
    hook = terrarium.parent / "libterrarium_hook.so"
    seed = args.seed if args.seed is not None else random.randrange(1 << 32)
    rng = random.Random(seed)

    # Records belong into memory; what is made of them, where it is told.
    spool = Path("/dev/shm") / f"terrarium-exactly-once-{os.getpid()}"
    spool.mkdir(mode=0o700)
    segments, store = args.directory / "segments", args.directory / "store"
    counts = args.directory / "counts"
    counts.mkdir(parents=True)
    stop = args.directory / "stop"
    environment = dict(os.environ, TERRARIUM_HISTORY="off")
    environment.pop("LD_PRELOAD", None)
    collect = [terrarium, "collect", "--spool", spool, "--segments", segments, "--store", store, "--json"]
    writers = []
    try:
        for i in range(args.writers):
            own = dict(
                environment,
                LD_PRELOAD=str(hook),
                TERRARIUM_SPOOL=str(spool),
                STOP=str(stop),
                COUNT=str(counts / str(i)),
                PYTHON=sys.executable,
            )
            writers.append(subprocess.Popen(["bash", "-c", WRITER], env=own, stdout=subprocess.DEVNULL))
        killed = ended = 0
        longest = 0.5
        while killed < args.kills:
            began = time.monotonic()
            child = subprocess.Popen(
                collect, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
            )
            try:
                _, errors = child.communicate(timeout=rng.uniform(0, longest))
                ended += 1
                # It came to its end: the next moments are to lie within what it takes.
                longest = max(0.02, min(longest, (time.monotonic() - began) * 1.2))
                if child.returncode not in (0,):
                    print(errors.decode(errors="replace"), file=sys.stderr)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.communicate()
                killed += 1
                longest = min(5.0, longest * 1.05)
    finally:
        stop.touch()
        for writer in writers:
            writer.wait()
    # Two looks: what a record refers to may have ended between them.
    for _ in range(2):
        subprocess.run(collect, env=environment, check=True, stdout=subprocess.DEVNULL)
    # A writer is a program too.
    truth = sum(int((counts / str(i)).read_text()) for i in range(args.writers)) + args.writers
    query = "SELECT count(*) AS n, count(DISTINCT record) AS records, sum(modules) AS modules FROM processes"
    rows = subprocess.run(
        [terrarium, "store", "sql", "--store", store, "--format", "json", query],
        env=environment, check=True, capture_output=True, text=True,
    ).stdout
    found = json.loads(rows.strip().splitlines()[-1] if not rows.lstrip().startswith("[") else rows)
    found = found[0] if isinstance(found, list) else found
    imports = subprocess.run(
        [terrarium, "store", "sql", "--store", store, "--format", "json", "SELECT count(*) AS n FROM imports"],
        env=environment, check=True, capture_output=True, text=True,
    ).stdout
    imports = json.loads(imports.strip())
    imports = imports[0] if isinstance(imports, list) else imports
    left = [entry.name for entry in spool.iterdir()]
    result = {
        "kills": killed, "ended": ended, "writers": args.writers, "seed": seed, "started": truth,
        "in_store": found["n"], "distinct": found["records"], "module_rows": imports["n"], "modules_said": found["modules"],
        "left_in_spool": len(left),
    }
    shutil.rmtree(spool)
    print(json.dumps(result))
    good = truth == found["n"] == found["records"] and imports["n"] == (found["modules"] or 0) and not left
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
