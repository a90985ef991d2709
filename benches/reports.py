#!/usr/bin/env python3
"""What reports cost, from a year of a made-up site; and queries on its rows beside DuckDB.

    reports.py --store [NAME=]DIR ... [--runs R] [--program PROGRAM] [--since DAY] [--until DAY] [--json FILE] [--no-queries]

Stores are made by `cargo xtask synth`, `terrarium store commit`, `import slurm`, `import domains`, `store compact` and `store rollup`
(benches/README.md); several of them, of 1, 10 and 100 % of the processes, show how costs grow. Of each: `top`, `frameworks`, `adoption`
and `origins`, without a filter, with each single one, and for an odd span of days. Times are of whole processes, from start to end, in
ms: the median of R runs with the least and the most; reports take turns, so that what else goes on hits all of them.

Of the last store named, twelve queries on the rows (tables processes, imports, jobs): `terrarium store sql` as a whole process, and
DuckDB on the Parquet files that the tables have, in a process that has it loaded, with a new connection for each query; both with two
threads, in turn. Their rows are compared.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ["top", "frameworks", "adoption", "origins"]

QUERIES = {
    "modules by origin": "SELECT origin, count(*) AS n FROM imports GROUP BY origin",
    "users of packages": "SELECT i.package, count(DISTINCT p.user_no) AS n FROM imports i JOIN processes p ON i.process_id = p.process_id "
                         "GROUP BY i.package",
    "modules of torch": "SELECT module, count(*) AS n FROM imports WHERE package = 'torch' GROUP BY module",
    "import time by package": "SELECT package, sum(took_us) AS n, count(DISTINCT process_id) AS p FROM imports WHERE direct GROUP BY package",
    "processes by end and class": 'SELECT "end", environment_class, count(*) AS n FROM processes GROUP BY "end", environment_class',
    "jobs by queue and state": "SELECT queue, state, count(*) AS n, sum(nodes) AS nodes FROM jobs GROUP BY queue, state",
    "users of CUDA": "SELECT count(DISTINCT user_no) AS n FROM processes WHERE array_to_string(objects, ' ') LIKE '%libcudart%'",
    "versions of numpy": "SELECT i.version, count(DISTINCT p.user_no) AS n FROM imports i JOIN processes p ON i.process_id = p.process_id "
                         "WHERE i.module = 'numpy' GROUP BY i.version",
    "asked for, by month": "SELECT date_trunc('month', date) AS m, direct, count(*) AS n FROM imports GROUP BY 1, 2",
    "processes by project": "SELECT j.project, count(*) AS n FROM processes p JOIN jobs j ON p.scheduler = j.scheduler AND p.job_id = j.job_id "
                            "GROUP BY j.project",
    "largest processes": "SELECT process_id, count(*) AS n FROM imports GROUP BY process_id ORDER BY n DESC, process_id LIMIT 100",
    "slowest imports": "SELECT module, imported_by, max(took_us) AS n FROM imports WHERE origin = 'home' AND took_us > 100000 "
                       "GROUP BY module, imported_by",
}


def once(words):
    """Milliseconds, and the peak in MiB, of a whole process."""
    began = time.perf_counter()
    child = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, used = os.wait4(child.pid, 0)
    took = (time.perf_counter() - began) * 1000
    if status:
        sys.exit(f"{words}: {child.stderr.read().decode()}")
    child.stderr.close()
    return took, used.ru_maxrss / 1024


def asked(program, store, query):
    out = subprocess.run([program, "sql", "--store", store, "--format", "csv", query], capture_output=True, text=True, check=True)
    return out.stdout.splitlines()[1:]


def reports(program, name, store, args):
    """Times of the four, with each filter."""
    def most(column, table="jobs"):
        query = f'SELECT "{column}", count(*) AS n FROM {table} WHERE "{column}" IS NOT NULL GROUP BY "{column}" ORDER BY n DESC, 1 LIMIT 1'
        return asked(program, store, query)[0].rsplit(",", 1)[0]

    domain = asked(program, store, "SELECT domain, count(*) AS n FROM domains GROUP BY domain ORDER BY n DESC, 1 LIMIT 1")[0].rsplit(",", 1)[0]
    filters = {
        "": [], "--cluster": ["--cluster", most("cluster")], "--domain": ["--domain", domain.strip('"')],
        "--project": ["--project", most("project")], "--user": ["--user", most("user")], "--env": ["--env", "own"],
        "--origin": ["--origin", "home"], "--queue": ["--queue", most("queue")], "--gpu": ["--gpu"], "--direct": ["--direct"],
    }
    cases = {(report, about): ["--since", args.since, "--until", args.until, *words] for report in REPORTS for about, words in filters.items()}
    cases |= {(report, "span of days"): ["--since", "2026-02-11", "--until", "2026-09-19"] for report in REPORTS}
    times, peak = {case: [] for case in cases}, 0
    for _ in range(args.runs + 1):
        for case, words in cases.items():
            took, memory = once([program, "report", case[0], "--store", store, *words])
            times[case].append(took)
            peak = max(peak, memory)
    # The first one of each warms the caches of the machine.
    rows = [{"store": name, "report": report, "about": about, "ms": statistics.median(t[1:]), "least": min(t[1:]), "most": max(t[1:])}
            for (report, about), t in times.items()]
    return rows, peak


def files(store, table):
    """Data files that a table has, by its log."""
    import deltalake
    return [path.removeprefix("file://") for path in deltalake.DeltaTable(str(Path(store) / table)).file_uris()]


def cells(rows):
    def cell(value):
        if value is None or value == "":
            return ""
        if isinstance(value, bool):
            return str(value).lower()
        text = str(value)
        # A moment at midnight is a day.
        return text[:10] if len(text) > 10 and text[4] == "-" and text[7] == "-" else text
    return sorted("\x1f".join(cell(value) for value in row) for row in rows)


def queries(program, store, runs):
    """Each query in turn by both: medians, and whether they say the same."""
    import csv
    import io

    import duckdb
    views = {table: files(store, table) for table in ("processes", "imports", "jobs")}
    results = []
    for name, query in QUERIES.items():
        ours, theirs = [], []
        for _ in range(runs + 1):
            began = time.perf_counter()
            out = subprocess.run([program, "sql", "--store", store, "--format", "csv", query], capture_output=True, text=True, check=True)
            ours.append((time.perf_counter() - began) * 1000)
            began = time.perf_counter()
            connection = duckdb.connect()
            connection.execute("SET threads = 2")
            for table, paths in views.items():
                if f" {table}" in query:
                    connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet({paths!r}, hive_partitioning = true)")
            found = connection.execute(query).fetchall()
            theirs.append((time.perf_counter() - began) * 1000)
            connection.close()
        same = cells(list(csv.reader(io.StringIO(out.stdout)))[1:]) == cells(found)
        a, b = statistics.median(ours[1:]), statistics.median(theirs[1:])
        results.append({"query": name, "ours_ms": a, "duckdb_ms": b, "ratio": a / b, "same": same})
        print(f"{name:28} {a:9.0f} {b:9.0f} {a / b:7.2f} {'' if same else '  DIFFERENT ROWS'}", flush=True)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", action="append", required=True)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--program", default=str(ROOT / "target/release/terrarium-store"))
    parser.add_argument("--since", default="2025-11-01")
    parser.add_argument("--until", default="2026-10-31")
    parser.add_argument("--json")
    parser.add_argument("--no-queries", action="store_true")
    parser.add_argument("--no-reports", action="store_true")
    args = parser.parse_args()
    try:
        import deltalake  # noqa: F401
    except ImportError:
        python = ROOT / "target/store-venv/bin/python3"
        if python.exists() and sys.executable != str(python) and not args.no_queries:
            os.execv(python, [str(python), *sys.argv])
    result = {"reports": [], "peak_mib": {}, "queries": []}
    stores = [tuple(text.split("=", 1)) if "=" in text else (Path(text).name, text) for text in args.store]
    for name, store in [] if args.no_reports else stores:
        rows, peak = reports(args.program, name, store, args)
        result["reports"] += rows
        result["peak_mib"][name] = peak
        print(f"store {name}: peak {peak:.0f} MiB; ms, median (least to most) of {args.runs}")
        for row in rows:
            print(f"  {row['report']:11} {row['about']:13} {row['ms']:6.0f}  ({row['least']:.0f} to {row['most']:.0f})")
    if not args.no_queries:
        print(f"\nrows of {stores[-1][0]}: ms of terrarium, of DuckDB, and their ratio")
        result["queries"] = queries(args.program, stores[-1][1], max(1, args.runs // 2))
        ratios = [one["ratio"] for one in result["queries"]]
        result["geometric_mean"] = math.exp(statistics.mean(map(math.log, ratios)))
        print(f"geometric mean of the ratios {result['geometric_mean']:.2f}, worst {max(ratios):.2f}")
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=1) + "\n")
    if any(not one["same"] for one in result["queries"]):
        sys.exit("some queries say different things")


if __name__ == "__main__":
    main()
