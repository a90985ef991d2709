#!/usr/bin/env python3
"""Kills an import of XALT records at random moments, starts it again, and compares the tables with those of one clean run.

    import_kills.py --kills 100 --directory DIR [--store-program PROGRAM]

The records are made here: runs with starts, ends and packages, in lines, a folder and an archive, in no order. Memory is kept so
short that reading goes through files, and units so small that there are many. Numbers of processes and batches are compared too.
Prints one line of JSON; status 1 if anything differs.
"""

import argparse
import gzip
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import uuid
from pathlib import Path

TABLES = [
    "SELECT * FROM processes ORDER BY process_id",
    "SELECT * FROM imports ORDER BY process_id, module, place",
    "SELECT * FROM environments ORDER BY environment_id",
    "SELECT * FROM users ORDER BY user_no",
    "SELECT * FROM jobs ORDER BY scheduler, job_id, first_seen",
    "SELECT date, package, origin, environment_class, direct, sum(processes), sum(modules), user_count(users) FROM daily "
    "GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5",
]


def records(runs, rng):
    """Lines of all records, and how many runs and packages they are of."""
    lines = []
    for number in range(runs):
        run = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        user = f"user{rng.randrange(40)}"
        start = 1_795_000_000 + rng.randrange(6 * 86_400)
        base = f"/home/{user}/env{number}/lib/python3.11/site-packages"
        texts = {
            "syshost": "polaris", "run_uuid": run, "exec_path": f"/home/{user}/env{number}/bin/python3.11", "user": user,
            "scheduler": "PBS", "job_id": str(1000 + number // 3), "account": f"P{number % 9}", "queue": "prod",
        }
        for end in [0.0, start + 5.5] if rng.random() < 0.9 else [0.0]:
            values = {"start_time": start + 0.25, "end_time": end, "run_time": 5.25 if end else 0.0, "probability": 1.0,
                      "num_tasks": 1.0, "num_nodes": 2.0}
            lines.append(json.dumps({"crc": "0x1", "cmdlineA": ["python", "a.py"], "libA": [["/lib/libm.so.6", "0"]],
                                     "userT": texts, "userDT": values}))
        for module in range(rng.randrange(30, 90)):
            name = f"package{rng.randrange(200)}.m{module}"
            lines.append(json.dumps({
                "crc": "0x1", "program": "python", "xalt_run_uuid": run, "package_version": "3.11.7", "package_name": name,
                "package_path": f"{base}/{name.replace('.', '/')}.py",
            }, separators=(",", ":")))
    rng.shuffle(lines)
    return lines


def write(lines, directory):
    third = len(lines) // 3
    (directory / "lines").mkdir(parents=True)
    with gzip.open(directory / "lines" / "a.jsonl.gz", "wt", compresslevel=1) as out:
        out.write("\n".join(lines[:third]) + "\n")
    with tarfile.open(directory / "b.tar", "w", format=tarfile.USTAR_FORMAT) as out:
        for i, line in enumerate(lines[third:2 * third]):
            info = tarfile.TarInfo(f"{i % 997}/{i}.json")
            info.size = len(line)
            out.addfile(info, io.BytesIO(line.encode()))
    (directory / "c.jsonl").write_text("\n".join(lines[2 * third:]) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--runs", type=int, default=6000)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--store-program", type=Path, default=Path("target/release/terrarium-store"))
    parser.add_argument("--seed", type=int, default=None)
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else random.randrange(1 << 32)
    rng = random.Random(seed)
    program = args.store_program.resolve()
    data = args.directory / "data"
    write(records(args.runs, rng), data)
    environment = dict(os.environ, HOME=str(args.directory))
    environment.pop("LD_PRELOAD", None)

    def command(store):
        return [program, "import", "xalt", data, "--store", store, "--json", "--memory", "64M", "--unit-rows", "20000"]

    def tables(store):
        return [subprocess.run([program, "sql", "--store", store, "--format", "csv", query], env=environment, check=True,
                               stdout=subprocess.PIPE).stdout for query in TABLES]

    clean = args.directory / "clean"
    began = time.monotonic()
    subprocess.run(command(clean), env=environment, check=True, stdout=subprocess.PIPE)
    whole = time.monotonic() - began
    expected = tables(clean)

    kills = finished = rounds = 0
    longest = 0
    wrong = []
    while kills < args.kills and not wrong:
        store = args.directory / f"store{rounds}"
        rounds += 1
        in_a_row = 0
        while True:
            process = subprocess.Popen(command(store), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            if kills < args.kills and in_a_row < 12:
                try:
                    process.wait(timeout=rng.uniform(0.0, whole * 1.1))
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                    kills += 1
                    in_a_row += 1
                    continue
            said = process.communicate()[1]
            if process.returncode != 0:
                wrong.append(f"status {process.returncode}: {said.decode(errors='replace')[-500:]}")
            break
        longest = max(longest, in_a_row)
        finished += 1
        found = tables(store)
        wrong += [query for query, a, b in zip(TABLES, expected, found) if a != b]
        check = subprocess.run([program, "check", "--store", store], env=environment, stdout=subprocess.PIPE)
        if check.returncode != 0:
            wrong.append(check.stdout.decode(errors="replace"))
        if not wrong:
            shutil.rmtree(store)
    print(json.dumps({"kills": kills, "imports": finished, "most_in_a_row": longest, "clean_seconds": round(whole, 2),
                      "processes": expected[0].count(b"\n") - 1, "modules": expected[1].count(b"\n") - 1, "seed": seed,
                      "wrong": wrong}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
