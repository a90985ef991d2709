#!/usr/bin/env python3
"""How many package records of XALT a second are imported on one core: read, joined, deduplicated, committed.

    import_rate.py --directory DIR [--packages N] [--runs R] [--store-program PROGRAM]

Makes records as XALT 3.2.4 writes them (their texts are made up; for each run a start, an end and some hundred packages), as lines
in a .zst and as an archive of small files in a .tar.zst. Beside them DuckDB reads the lines into memory, without any join, where
target/store-venv has it. Each on one core, one after the other, R times. Prints a line of JSON with all rates, and medians.
"""

import argparse
import io
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
import uuid
from pathlib import Path

PROGRAMS = 60
PACKAGES = 600


def made(packages, rng):
    """Lines: for each run its packages, its start and its end."""
    base = "/soft/applications/conda/2026-07-01/mconda3/lib/python3.11/site-packages"
    programs = []
    for number in range(PROGRAMS):
        home = base if number % 3 else f"/home/user{number}/.conda/envs/env{number}/lib/python3.11/site-packages"
        names = set()
        for _ in range(rng.randrange(3, 30)):
            package = f"package{int(PACKAGES ** rng.random())}"
            names |= {f"{package}.part{module % 5}.module{module}" for module in range(rng.randrange(1, 60))} | {package}
        libraries = [[f"{home}/package{i}/_core{i}.cpython-311-x86_64-linux-gnu.so", "0"] for i in range(rng.randrange(4, 200))]
        programs.append((home, sorted(names), libraries))
    count = number = 0
    while count < packages:
        home, names, libraries = programs[int(PROGRAMS ** rng.random()) - 1]
        start = 1_795_000_000 + number * 0.5
        run = str(uuid.UUID(int=(int(start * 1000) << 80) | 7 << 76 | rng.getrandbits(12) << 64 | 2 << 62 | rng.getrandbits(62)))
        for name in names:
            path = f"{home}/{name.replace('.', '/')}.py"
            yield (f'{{"crc":"0x{rng.getrandbits(16):04X}","program":"python","xalt_run_uuid":"{run}","package_version":"3.11.7",'
                   f'"package_name":"{name}","package_path":"{path}"}}')
        user = f"user{number % 97}"
        texts = {"syshost": "polaris", "run_uuid": run, "exec_path": home.replace("lib/python3.11/site-packages", "bin/python3.11"),
                 "exec_type": "binary", "cwd": f"/home/{user}/run", "currentEpoch": str(start), "user": user, "scheduler": "PBS",
                 "account": f"P{number % 31}", "job_id": str(100000 + number // 2), "queue": "prod", "submit_host": "login1"}
        for end in (0.0, start + 9.5):
            values = {"start_time": start, "end_time": end, "run_time": 9.5 if end else 0.0, "probability": 1.0, "num_tasks": 1.0,
                      "num_gpus": 0.0, "exec_epoch": start, "num_threads": 1.0, "num_cores": 1.0, "num_nodes": 2.0}
            yield json.dumps({"crc": "0x1", "cmdlineA": ["python", "solve.py"], "hash_id": "0" * 40, "libA": libraries if end else [],
                              "ptA": [{"cmd_name": "bash", "cmd_path": "/usr/bin/bash", "pid": 7, "cmdlineA": ["bash"]}],
                              "envT": {"PATH": "/usr/bin:/bin"}, "userT": texts, "userDT": values, "xaltLinkT": {}},
                             separators=(",", ":"))
        count += len(names)
        number += 1


def write(directory, packages):
    directory.mkdir(parents=True)
    lines = directory / "lines.jsonl"
    counts = {"packages": 0, "records": 0}
    with open(lines, "w") as out, tarfile.open(directory / "files.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        for record in made(packages, random.Random(7)):
            out.write(record + "\n")
            info = tarfile.TarInfo(f"xalt/{counts['records'] % 997}/record.{counts['records']}.json")
            body = record.encode() + b"\n\n"
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
            counts["records"] += 1
            counts["packages"] += '"package_name"' in record
    for path in (lines, directory / "files.tar"):
        subprocess.run(["zstd", "-3", "-q", "--rm", "-f", str(path)], check=True)
    return counts


def resident_peak(pid):
    """Bytes. What wait4 tells holds the memory of this script too, from before the program was executed."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


DUCKDB = """
import duckdb, sys, time
duckdb.execute("SET threads = 1")
began = time.monotonic()
duckdb.execute("CREATE TABLE t AS SELECT * FROM read_json(?, format = 'newline_delimited', maximum_object_size = 67108864, "
    "columns = {crc: 'VARCHAR', program: 'VARCHAR', xalt_run_uuid: 'VARCHAR', package_version: 'VARCHAR', package_name: 'VARCHAR', "
    "package_path: 'VARCHAR'})", [sys.argv[1]])
print(time.monotonic() - began)
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--packages", type=int, default=2_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--store-program", type=Path, default=Path("target/release/terrarium-store"))
    args = parser.parse_args()
    program = args.store_program.resolve()
    data = args.directory / "data"
    counts = write(data, args.packages)
    environment = dict(os.environ, HOME=str(args.directory))
    environment.pop("LD_PRELOAD", None)
    duckdb = Path(__file__).resolve().parent.parent / "target/store-venv/bin/python3"
    rates, memory = {}, {}
    for _ in range(args.runs):
        for name in ("lines.jsonl.zst", "files.tar.zst"):
            store = args.directory / "store"
            shutil.rmtree(store, ignore_errors=True)
            command = ["taskset", "-c", "0", str(program), "import", "xalt", str(data / name), "--store", str(store), "--json"]
            began = time.monotonic()
            process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
            peak = 0
            while process.poll() is None:
                peak = max(peak, resident_peak(process.pid))
                time.sleep(0.02)
            seconds = time.monotonic() - began
            status, said = process.returncode, json.loads(process.stdout.read())
            if status != 0 or said["read"]["packages"] != counts["packages"]:
                sys.exit(f"{name}: status {status}, {said}")
            rates.setdefault(name, []).append(counts["packages"] / seconds)
            memory[name] = max(memory.get(name, 0), peak)
        if duckdb.exists():
            run = subprocess.run(["taskset", "-c", "0", str(duckdb), "-c", DUCKDB, str(data / "lines.jsonl.zst")],
                                 env=environment, stdout=subprocess.PIPE)
            if run.returncode == 0:
                rates.setdefault("duckdb, lines into memory, no join", []).append(counts["packages"] / float(run.stdout.split()[-1]))
    shutil.rmtree(args.directory / "store", ignore_errors=True)
    result = {name: {"median": round(statistics.median(all)), "all": [round(rate) for rate in all]} for name, all in rates.items()}
    print(json.dumps({**counts, "packages_a_second": result, "peak_bytes": memory}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
