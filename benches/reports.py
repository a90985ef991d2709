#!/usr/bin/env python3
"""What reports cost, from a year of a made-up site; queries on its rows beside DuckDB; and what a new day costs.

    reports.py --store [NAME=]DIR ... | --make DIR [--fraction F] [--days N] | --quick
               [--day DIR [--fraction F]] [--runs R] [--pairs P] [--only PART]... [--query TEXT]...
               [--json FILE] [--csv FILE] [--svg FILE]

A store is made by `cargo xtask synth`, `terrarium-store commit`, `import slurm`, `import domains`, `compact` and `rollup`; --make does all
that in DIR, which must be empty. Several stores, named by their part of a large site (0.01=DIR 0.1=DIR 1=DIR), show how costs grow.

reports   of each store `top`, `frameworks`, `adoption` and `origins` for all its days: without a filter, with each single one, which
          takes the value that most of the rows have; and for an odd span of days. Whole processes, from start to end; the median of R
          runs, with the least, the most, and the largest peak of memory. They take turns, so that what else goes on hits all of them.
queries   of the last store twelve queries on the rows: `terrarium-store sql` as a whole process, and DuckDB on the Parquet files that
          the tables' logs name, with a new connection for each query, in a process that has it loaded. P pairs, and who is first
          changes; the ratio is that of the medians. Both have the same two cores. What they say is compared.
day       in the folder of --day: a store of N days but the last, with accounting and rollups; then the last day is committed, accounting
          of seven days is imported as every night, and `rollup` is timed.

A status of 1: they said different things. Figures over their bound are marked, and no error: other machines are other machines.
"""

import argparse
import csv
import datetime
import decimal
import io
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / "target/store-venv"
REPORTS = ["top", "frameworks", "adoption", "origins"]
TABLES = ["processes", "imports", "jobs"]
SPAN = "some days"
# Milliseconds of a report on whole months and on any days, times DuckDB's, milliseconds of a day's rollup.
BOUNDS = {"months_ms": 300, "days_ms": 600, "ratio": 1.2, "rollup_ms": 10_000}

BLAS = " ".join(f"WHEN array_to_string(objects, ' ') LIKE '%{name}%' THEN '{name}'" for name in ("libmkl", "libopenblas", "libblis", "libblas"))
QUERIES = {
    "modules by origin": "SELECT origin, count(*) AS n FROM imports GROUP BY origin",
    "users of packages": "SELECT i.package, count(DISTINCT p.user_no) AS n FROM imports i JOIN processes p ON i.process_id = p.process_id "
                         "GROUP BY i.package",
    "modules of torch": "SELECT module, count(*) AS n FROM imports WHERE package = 'torch' GROUP BY module ORDER BY n DESC, module LIMIT 50",
    "import time by package": "SELECT package, sum(took_us) AS us, avg(took_us) AS mean, count(DISTINCT process_id) AS n FROM imports "
                              "WHERE direct GROUP BY package",
    "processes by end and class": 'SELECT "end", environment_class, count(*) AS n, avg(modules) AS modules FROM processes '
                                  'GROUP BY "end", environment_class',
    "jobs by queue and state": "SELECT queue, state, count(*) AS n, sum(nodes) AS nodes FROM jobs GROUP BY queue, state",
    "share of BLAS": f"SELECT CASE {BLAS} ELSE 'none' END AS blas, count(*) AS n, count(*) * 100.0 / sum(count(*)) OVER () AS share "
                     "FROM processes WHERE python IS NOT NULL GROUP BY 1",
    "numpy by user": 'SELECT p."user", i.version, count(*) AS n FROM imports i JOIN processes p ON i.process_id = p.process_id '
                     "WHERE i.module = 'numpy' GROUP BY 1, 2",
    "direct by month": "SELECT date_trunc('month', date) AS month, direct, count(*) AS n FROM imports GROUP BY 1, 2",
    "processes by project": "SELECT j.project, count(*) AS n, count(DISTINCT p.user_no) AS users FROM processes p JOIN jobs j "
                            "ON p.cluster = j.cluster AND p.scheduler = j.scheduler AND p.job_id = j.job_id "
                            "AND (j.holds_from IS NULL OR p.started >= j.holds_from) AND (j.holds_until IS NULL OR p.started < j.holds_until) "
                            "GROUP BY j.project",
    "own code by user": "SELECT p.user_no, count(*) AS n, count(DISTINCT i.process_id) AS processes FROM imports i JOIN processes p "
                        "ON i.process_id = p.process_id WHERE i.distribution IS NULL AND i.origin IN ('home', 'project', 'scratch') "
                        "GROUP BY p.user_no",
    "longest imports": "SELECT process_id, module, imported_by, took_us FROM imports WHERE took_us IS NOT NULL "
                       "ORDER BY took_us DESC, process_id, module LIMIT 50",
}


def environment():
    return {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", "TERRARIUM_STORE")}


def timed(words, takes_output=False):
    """Milliseconds, peak in MiB (this script's own at least: the kernel counts what was there before the program), what it printed."""
    with tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        child = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stderr=errors, env=environment(),
                                 stdout=subprocess.PIPE if takes_output else subprocess.DEVNULL)
        said = child.stdout.read() if takes_output else b""
        _, status, used = os.wait4(child.pid, 0)
        took = (time.perf_counter() - began) * 1000
        child.returncode = os.waitstatus_to_exitcode(status)
        if takes_output:
            child.stdout.close()
        if status:
            errors.seek(0)
            sys.exit(f"{' '.join(map(str, words))}: {errors.read().decode(errors='replace')}")
    return took, used.ru_maxrss / 1024, said.decode()


def asked(args, store, query):
    return list(csv.reader(io.StringIO(timed([args.program, "sql", "--store", store, "--format", "csv", query], True)[2])))[1:]


def progress(text):
    print(text, file=sys.stderr, flush=True)


# Making stores

def step(*words):
    took, _, said = timed(words, True)
    progress(f"  {took / 1000:8.1f} s  {Path(str(words[0])).name} {' '.join(str(word) for word in words[1:3])}")
    return took, said


def synth(args, directory, fraction, days, until="2026-10-31"):
    xtask = [args.xtask] if args.xtask else ["cargo", "xtask"]
    step(*xtask, "synth", "--out", directory, "--fraction", fraction, "--days", days, "--until", until)


def make(args, directory, fraction, days):
    """A store with a year as it lies there after some nights."""
    progress(f"making {directory}: {fraction} of a large site, {days} days")
    synth(args, directory, fraction, days)
    store, program = directory / "store", args.program
    step(program, "commit", "--segments", directory / "segments", "--store", store, "--quiet")
    step(program, "import", "slurm", directory / "sacct.txt", "--zone", "utc", "--store", store, "--quiet")
    step(program, "import", "domains", directory / "domains.csv", "--store", store, "--quiet")
    step(program, "compact", "--keep", "0d", "--store", store)
    step(program, "rollup", "--store", store)
    return store


def accounting(source, into, first, last):
    """Lines of jobs that ended from a day on, and before another, as sacct prints them."""
    lines = source.read_text().splitlines(keepends=True)
    names = lines[0].rstrip("\n").split("|")
    number, end = names.index("JobID"), names.index("End")
    kept, jobs = [lines[0]], set()
    for line in lines[1:]:
        values = line.split("|")
        is_step = "." in values[number]
        if not is_step and first <= values[end][:10] < last:
            jobs.add(values[number])
        if values[number].split(".")[0] in jobs:
            kept.append(line)
    into.write_text("".join(kept))


def new_day(args, directory, fraction, days):
    """How long a rollup takes when a day has come."""
    progress(f"a new day: {fraction} of a large site, {days} days before it")
    # A Wednesday: weekends have half of the work.
    synth(args, directory, fraction, days + 1, "2026-10-28")
    truth = json.loads((directory / "truth.json").read_text())
    last = datetime.date.fromisoformat(truth["last_day"])
    late = directory / "late"
    late.mkdir()
    for path in (directory / "segments").glob(f"{last}-*.segment"):
        path.rename(late / path.name)
    store, program, sacct = directory / "store", args.program, directory / "sacct.txt"
    week = str(last - datetime.timedelta(days=6))
    accounting(sacct, directory / "before.txt", "0", str(last))
    accounting(sacct, directory / "night.txt", week, str(last + datetime.timedelta(days=1)))
    step(program, "commit", "--segments", directory / "segments", "--store", store, "--quiet")
    step(program, "import", "slurm", directory / "before.txt", "--zone", "utc", "--store", store, "--quiet")
    step(program, "import", "domains", directory / "domains.csv", "--store", store, "--quiet")
    step(program, "compact", "--keep", "0d", "--store", store)
    step(program, "rollup", "--store", store)
    # A night, without and with accounting, which also changes the days on which the jobs began.
    result = {"fraction": fraction, "days": days}
    shutil.rmtree(directory / "segments")
    step(program, "commit", "--segments", late, "--store", store, "--quiet")
    count = (f"SELECT (SELECT count(*) FROM processes WHERE date = DATE '{last}') AS p, "
             f"(SELECT count(*) FROM imports WHERE date = DATE '{last}') AS i")
    result["processes"], result["module_rows"] = map(int, asked(args, store, count)[0])
    for name in ("rows", "rows and accounting"):
        if name != "rows":
            step(program, "import", "slurm", directory / "night.txt", "--zone", "utc", "--store", store, "--quiet")
        runs = []
        for _ in range(3):
            place = directory / "copy"
            shutil.copytree(store, place)
            took, peak, said = timed([program, "rollup", "--store", place, "--json"], True)
            again = timed([program, "rollup", "--store", place])[0]
            runs.append({"ms": took, "peak_mib": peak, "again_ms": again, "days": json.loads(said)["days"]})
            shutil.rmtree(place)
        result[name] = {"ms": statistics.median(run["ms"] for run in runs), "peak_mib": max(run["peak_mib"] for run in runs),
                        "again_ms": statistics.median(run["again_ms"] for run in runs), "days": runs[0]["days"], "runs": runs}
    return result


# Reports

def choices(args, store):
    """Filters, with the values that most of the rows have; and the days."""
    def most(column, source):
        query = f'SELECT "{column}", count(*) AS n FROM {source} WHERE "{column}" IS NOT NULL GROUP BY 1 ORDER BY n DESC, 1 LIMIT 1'
        return asked(args, store, query)[0][0]

    first, last = map(datetime.date.fromisoformat, asked(args, store, "SELECT min(date), max(date) FROM processes")[0])
    days = (last - first).days + 1
    some = [first + datetime.timedelta(days=days * 102 // 365), last - datetime.timedelta(days=days * 42 // 365)]
    whole = ["--since", first, "--until", last]
    filters = {"": []}
    for flag, source in (("cluster", "processes"), ("domain", "process_jobs"), ("project", "process_jobs"), ("user", "processes"),
                         ("queue", "process_jobs")):
        filters[f"--{flag}"] = [f"--{flag}", most(flag, source)]
    filters |= {"--env": ["--env", "own"], "--origin": ["--origin", "home"], "--gpu": ["--gpu"], "--direct": ["--direct"]}
    return {about: [*whole, *words] for about, words in filters.items()} | {SPAN: ["--since", some[0], "--until", some[1]]}


def reports(args, name, store):
    cases = {(report, about): words for about, words in choices(args, store).items() for report in REPORTS}
    times, peaks = {case: [] for case in cases}, dict.fromkeys(cases, 0)
    for number in range(args.runs + 1):
        for case, words in cases.items():
            took, peak, _ = timed([args.program, "report", case[0], "--store", store, *words])
            peaks[case] = max(peaks[case], peak)
            # The first one of each warms the caches of the machine.
            if number:
                times[case].append(took)
    rows = []
    for (report, about), all in times.items():
        bound = BOUNDS["days_ms" if about == SPAN else "months_ms"]
        rows.append({"store": name, "report": report, "about": about, "words": [str(word) for word in cases[report, about]],
                     "ms": statistics.median(all), "least_ms": min(all), "most_ms": max(all), "peak_mib": peaks[report, about],
                     "is_over": statistics.median(all) > bound})
    return rows


def print_reports(name, rows, size):
    print(f"\nreports of {name} ({size['processes']} processes, {size['module_rows']} module rows), whole processes: ms, median (least "
          f"to most); bounds {BOUNDS['months_ms']} and, for {SPAN}, {BOUNDS['days_ms']}")
    print(f"  {'':10} " + " ".join(f"{report:>22}" for report in REPORTS))
    for about in dict.fromkeys(row["about"] for row in rows):
        cells = []
        for report in REPORTS:
            row = next(row for row in rows if row["report"] == report and row["about"] == about)
            text = f"{row['ms']:.0f} ({row['least_ms']:.0f} to {row['most_ms']:.0f}){'!' if row['is_over'] else ' '}"
            cells.append(f"{text:>22}")
        print(f"  {about or 'all':10} " + " ".join(cells))
    print(f"  peak memory: {max(row['peak_mib'] for row in rows):.0f} MiB", flush=True)


def growth(rows, sizes):
    """Unfiltered, by size; the slope is that of a straight line through logarithms: 1 is in proportion."""
    print(f"\ngrowth: ms (MiB at most); 1 would be in proportion\n  {'':10} " +
          " ".join(f"{name:>16}" for name in sizes) + f" {'exponent':>10}")
    exponents = {}
    for report in REPORTS:
        of = [next(row for row in rows if row["store"] == name and row["report"] == report and not row["about"]) for name in sizes]
        x = [math.log(size["module_rows"]) for size in sizes.values()]
        y = [math.log(row["ms"]) for row in of]
        exponents[report] = statistics.linear_regression(x, y).slope if len(set(x)) > 1 else None
        text = "" if exponents[report] is None else f"{exponents[report]:10.2f}"
        print(f"  {report:10} " + " ".join(f"{row['ms']:8.0f} ({row['peak_mib']:.0f})".rjust(16) for row in of) + f" {text}")
    return exponents


def svg(rows, sizes):
    """Time over module rows, both in logarithms."""
    colours = dict(zip(REPORTS, ("#1f5fa8", "#b5541c", "#2e7d4f", "#7a3e9d")))
    plain = [row for row in rows if not row["about"]]
    low, high = (f(size["module_rows"] for size in sizes.values()) for f in (min, max))
    floor = 10 ** math.floor(math.log10(min(row["ms"] for row in plain)))
    top = max(1000, 10 ** math.ceil(math.log10(max(row["ms"] for row in plain))))

    def x(value):
        return 70 + 400 * (math.log(value / low) / math.log(high / low) if high > low else 0.5)

    def y(value):
        return 270 - 240 * math.log(value / floor) / math.log(top / floor)

    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 310" font-family="sans-serif" font-size="12">'
             '<rect width="600" height="310" fill="white"/>']
    value = floor
    while value <= top:
        parts.append(f'<line x1="70" x2="470" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>'
                     f'<text x="64" y="{y(value) + 4:.1f}" text-anchor="end">{value:g} ms</text>')
        value *= 10
    bound = y(BOUNDS["months_ms"])
    parts.append(f'<line x1="70" x2="470" y1="{bound:.1f}" y2="{bound:.1f}" stroke="#888" stroke-dasharray="4 3"/>'
                 f'<text x="476" y="{bound + 4:.1f}" fill="#555">bound {BOUNDS["months_ms"]} ms</text>')
    for size in sizes.values():
        rows_text = f"{size['module_rows'] / 1e6:.3g} M rows"
        parts.append(f'<text x="{x(size["module_rows"]):.1f}" y="290" text-anchor="middle">{rows_text}</text>')
    labels = sorted((y(next(r["ms"] for r in reversed(plain) if r["report"] == report)), report) for report in REPORTS)
    place = -math.inf
    for height, report in labels:
        points = [(x(sizes[row["store"]]["module_rows"]), y(row["ms"])) for row in plain if row["report"] == report]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colours[report]}" stroke-width="2"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colours[report]}"/>' for a, b in points]
        place = max(height, place + 14)
        parts.append(f'<text x="476" y="{place + 18:.1f}" fill="{colours[report]}">{report}</text>')
    return "\n".join([*parts, "</svg>", ""])


# Queries

def worker():
    """DuckDB, in a process of its own: a line with a query in, a line with what it took and said out."""
    import deltalake
    import duckdb

    def plain(value):
        if isinstance(value, decimal.Decimal):
            return float(value)
        return value.isoformat() if isinstance(value, (datetime.date, datetime.datetime)) else value

    store = Path(sys.argv[2])
    files = {table: [uri.removeprefix("file://") for uri in deltalake.DeltaTable(str(store / table)).file_uris()] for table in TABLES}
    print(json.dumps({"duckdb": duckdb.__version__, "files": {table: len(paths) for table, paths in files.items()}}), flush=True)
    for line in sys.stdin:
        query = json.loads(line)
        began = time.perf_counter()
        connection = duckdb.connect()
        connection.execute("SET threads = 2; SET TimeZone = 'UTC'")
        for table, paths in files.items():
            if f"FROM {table}" in query or f"JOIN {table}" in query:
                connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet({paths!r}, hive_partitioning = true)")
        cursor = connection.execute(query)
        rows = cursor.fetchall()
        took = (time.perf_counter() - began) * 1000
        kinds = [str(column[1]) for column in cursor.description]
        connection.close()
        print(json.dumps({"ms": took, "kinds": kinds, "rows": [[plain(value) for value in row] for row in rows]}), flush=True)


def read(text, kind):
    """A value of ours, as DuckDB has it."""
    if text == "":
        return None
    if kind.startswith(("DOUBLE", "FLOAT", "DECIMAL")):
        return float(text)
    if "INT" in kind:
        return int(text)
    if kind.startswith("BOOL"):
        return text == "true"
    return text.removesuffix("T00:00:00") if kind == "DATE" else text


def difference(ours, theirs, kinds):
    """What is not the same, or nothing."""
    if len(ours) != len(theirs):
        return f"{len(ours)} rows, DuckDB {len(theirs)}"

    def order(row):
        exact = [("" if value is None else str(value), value is None) for value in row if not isinstance(value, float)]
        return exact, [value for value in row if isinstance(value, float)]

    mine = sorted(([read(text, kind) for text, kind in zip(row, kinds)] for row in ours), key=order)
    other = sorted(([None if value == "" else value for value in row] for row in theirs), key=order)
    for a, b in zip(mine, other):
        for p, q in zip(a, b):
            is_float = isinstance(p, float) and isinstance(q, float)
            if not (math.isclose(p, q, rel_tol=1e-6, abs_tol=1e-6) if is_float else p == q):
                return f"{a}, DuckDB {b}"
    return ""


def queries(args, store):
    python = VENV / "bin/python3" if args.python is None else args.python
    if args.python is None:
        subprocess.run([ROOT / "tests/python/tables-venv", VENV, "store"], check=True)
    duckdb = subprocess.Popen([python, __file__, "worker", store], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              env=environment())
    about = json.loads(duckdb.stdout.readline())
    print(f"\nqueries on the rows: ms of terrarium-store, a whole process, and of DuckDB {about['duckdb']}, loaded; medians of {args.pairs} "
          f"pairs; bound {BOUNDS['ratio']}; files: {', '.join(f'{n} of {table}' for table, n in about['files'].items())}")
    results = []

    def ours(query):
        return timed([args.program, "sql", "--store", store, "--format", "csv", query], True)

    def theirs(query):
        duckdb.stdin.write(json.dumps(query) + "\n")
        duckdb.stdin.flush()
        line = duckdb.stdout.readline()
        if not line:
            sys.exit(f"DuckDB: no answer to {query}")
        return json.loads(line)

    for name, query in QUERIES.items():
        if args.query and not any(text in name for text in args.query):
            continue
        mine, other = [], []
        for number in range(args.pairs + 1):
            if number % 2:
                there, here = theirs(query), ours(query)
            else:
                here, there = ours(query), theirs(query)
            if number == 0:
                unlike = difference(list(csv.reader(io.StringIO(here[2])))[1:], there["rows"], there["kinds"])
                peak = here[1]
            else:
                mine.append(here[0])
                other.append(there["ms"])
        a, b = statistics.median(mine), statistics.median(other)
        pairs = sorted(p / q for p, q in zip(mine, other))
        results.append({"query": name, "sql": query, "ms": a, "duckdb_ms": b, "ratio": a / b, "least_ratio": pairs[0], "most_ratio": pairs[-1],
                        "all_ms": mine, "duckdb_all_ms": other, "rows": len(there["rows"]), "peak_mib": peak, "difference": unlike,
                        "is_over": a / b > BOUNDS["ratio"]})
        print(f"  {name:27} {a:8.0f} {b:8.0f}  {a / b:5.2f}{'!' if a / b > BOUNDS['ratio'] else ' '} ({pairs[0]:.2f} to {pairs[-1]:.2f})"
              f"  {peak:5.0f} MiB {len(there['rows']):6} rows{'  DIFFERENT: ' + unlike if unlike else ''}", flush=True)
    duckdb.stdin.close()
    duckdb.wait()
    mean = math.exp(statistics.mean(math.log(one["ratio"]) for one in results))
    print(f"  geometric mean of the ratios {mean:.2f}, worst {max(one['ratio'] for one in results):.2f}", flush=True)
    return results, mean, about


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", action="append", default=[], metavar="[NAME=]DIR")
    parser.add_argument("--make", type=Path, metavar="DIR", help="make a store there, and measure it")
    parser.add_argument("--day", type=Path, metavar="DIR", help="make one there, and see what a new day costs")
    parser.add_argument("--quick", action="store_true", help="all of it with small stores in a temporary folder")
    parser.add_argument("--fraction", default="0.01", help="part of a large site, for --make and --day")
    parser.add_argument("--days", type=int, help="days (365; 45 before the new one)")
    parser.add_argument("--runs", type=int, help="of each report (7)")
    parser.add_argument("--pairs", type=int, help="of each query (5)")
    parser.add_argument("--only", action="append", choices=["reports", "queries", "day"], help="not the other parts")
    parser.add_argument("--query", action="append", default=[], metavar="TEXT", help="of the queries those that have this in their name")
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/terrarium-store")
    parser.add_argument("--xtask", type=Path, help="in place of `cargo xtask`")
    parser.add_argument("--python", type=Path, help="one with duckdb and deltalake, in place of target/store-venv")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--svg", type=Path, help="how reports grow")
    args = parser.parse_args()
    args.program = args.program.resolve()
    args.runs = args.runs or (3 if args.quick else 7)
    args.pairs = args.pairs or (3 if args.quick else 5)
    parts = args.only or ["reports", "queries", "day"]
    cores = sorted(os.sched_getaffinity(0))
    # All children have the same two.
    os.sched_setaffinity(0, cores[:2])
    temporary = tempfile.TemporaryDirectory(prefix="terrarium-reports-") if args.quick else None
    stores = [tuple(text.split("=", 1)) if "=" in text else (Path(text).name, text) for text in args.store]
    if temporary:
        args.day, args.fraction = Path(temporary.name) / "day", "0.01"
        if not stores:
            stores = [("quick", make(args, Path(temporary.name) / "quick", "0.005", args.days or 60))]
    if args.make:
        stores.append((args.fraction, make(args, args.make, args.fraction, args.days or 365)))
    if not stores and not args.day:
        parser.error("name a --store, or --make one, or --day, or --quick")
    if not any(text in name for name in QUERIES for text in args.query or [""]):
        parser.error("no query has such a name")
    result = {"bounds": BOUNDS, "cores": len(cores[:2]), "load": os.getloadavg(), "sizes": {}, "reports": [], "queries": []}
    for name, store in stores:
        count = "SELECT (SELECT count(*) FROM processes) AS p, (SELECT count(*) FROM imports) AS i, (SELECT count(*) FROM jobs) AS j"
        result["sizes"][name] = dict(zip(("processes", "module_rows", "jobs"), map(int, asked(args, store, count)[0])))
        if "reports" in parts:
            rows = reports(args, name, store)
            result["reports"] += rows
            print_reports(name, rows, result["sizes"][name])
    if len(stores) > 1 and "reports" in parts:
        result["exponents"] = growth(result["reports"], result["sizes"])
    if stores and "queries" in parts:
        result["queries"], result["geometric_mean"], result["duckdb"] = queries(args, stores[-1][1])
    if args.day and "day" in parts:
        day = result["day"] = new_day(args, args.day, args.fraction, args.days or (20 if args.quick else 45))
        print(f"\nrollup after a new day of {day['processes']} processes and {day['module_rows']} module rows, bound {BOUNDS['rollup_ms']} ms")
        for name in ("rows", "rows and accounting"):
            one = day[name]
            print(f"  {name:20} {one['ms']:7.0f} ms{'!' if one['ms'] > BOUNDS['rollup_ms'] else ' '} {one['peak_mib']:5.0f} MiB, "
                  f"{one['days']} days added up; once more, with nothing new: {one['again_ms']:.0f} ms")
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    if args.csv:
        with open(args.csv, "w", newline="") as out:
            names = ["store", "report", "about", "ms", "least_ms", "most_ms", "peak_mib"]
            table = csv.DictWriter(out, ["module_rows", *names], extrasaction="ignore")
            table.writeheader()
            table.writerows({"module_rows": result["sizes"][row["store"]]["module_rows"], **row} for row in result["reports"])
    if args.svg and result["reports"]:
        args.svg.write_text(svg(result["reports"], result["sizes"]))
    if temporary:
        temporary.cleanup()
    return 1 if any(one["difference"] for one in result["queries"]) else 0


if __name__ == "__main__":
    sys.exit(worker() if sys.argv[1:2] == ["worker"] else main())
