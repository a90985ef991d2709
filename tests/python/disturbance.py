#!/usr/bin/env python3
"""Runs test suites of others without and with the hook, and compares what became of every single test.

    disturbance.py --python PYTHON --hook LIBRARY [--cpython NAME ... | --cpython-all] [--libraries NAME ...]

CPython's own suite is the `test` package of that PYTHON; for libraries, their own tests as installed beside PYTHON, by pytest.
A difference that does not come again twice is told as unsteady, and is none. Ends with 1 if there is a difference.
"""

import argparse
import concurrent.futures
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as tree

# What is run of each library: packages that hold tests, as pytest's --pyargs takes them.
LIBRARIES = {
    "numpy": ["numpy.linalg", "numpy.fft", "numpy.ma"],
    "joblib": ["joblib.test.test_hashing", "joblib.test.test_memory", "joblib.test.test_numpy_pickle",
               "joblib.test.test_parallel"],
    "networkx": ["networkx.classes", "networkx.algorithms.shortest_paths", "networkx.algorithms.flow"],
    "sympy": ["sympy.core", "sympy.logic", "sympy.sets"],
    "tornado": ["tornado.test"],
}
# They ask for a terminal, the network or a person; or they measure memory or time.
NOT_HERE = {
    "test_curses", "test_ioctl", "test_tix", "test_tk", "test_ttk_guionly", "test_ttk_textonly", "test_tcl", "test_idle",
    "test_turtle", "test_urllibnet", "test_urllib2net", "test_socketserver", "test_ossaudiodev", "test_winreg",
    "test_winsound", "test_winconsoleio", "test_msilib", "test_bigmem", "test_gdb", "test_tools", "test_peg_generator",
    "test_zipfile64", "test_largefile", "test_perf_profiler", "test_dtrace", "test_devpoll", "test_kqueue", "test_startfile",
}


def environment(hook, spool):
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LD_", "TERRARIUM"))}
    variables.update(PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1", OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    if hook:
        variables.update(LD_PRELOAD=hook, TERRARIUM_SPOOL=spool)
    return variables


def outcomes(path):
    """The outcome of every test in a JUnit report. What one says beside it may hold addresses and times."""
    found = {}
    for case in tree.parse(path).iter("testcase"):
        # regrtest tells of a skip and of a failure by an element, or by an attribute.
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        outcome = min(kinds) if kinds else case.get("result", "completed")
        name = (case.get("classname") or "") + "." + (case.get("name") or "")
        found.setdefault(name, []).append(outcome)
    return found


def attempt(options, unit, hook, limit):
    """Outcomes of one unit of a suite, and what its process said."""
    kind, name = unit
    directory = tempfile.mkdtemp(prefix="disturbance-", dir=options.scratch)
    spool = os.path.join(directory, "spool")
    os.mkdir(spool)
    report = os.path.join(directory, "report.xml")
    if kind == "cpython":
        command = [options.python, "-m", "test", "--junit-xml", report, "--tempdir", directory, name]
    else:
        command = [options.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p",
                   "no:randomly", "--junit-xml", report, "--basetemp", os.path.join(directory, "tmp"), "--pyargs", name]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               cwd=directory, env=environment(hook, spool), start_new_session=True)
    try:
        text = process.communicate(timeout=limit)[0]
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        text, status = process.communicate()[0], "too long"
    try:
        tests = outcomes(report)
    except (OSError, tree.ParseError):
        tests = {}
    records = sum(name.endswith(".spool") for name in os.listdir(spool)) if os.path.isdir(spool) else 0
    shutil.rmtree(directory, ignore_errors=True)
    return {"status": status, "tests": tests, "text": text[-3000:].decode("utf-8", "replace"), "records": records}


def difference(without, with_):
    """Names of tests that came out in another way."""
    names = set(without["tests"]) | set(with_["tests"])
    found = sorted(name for name in names if without["tests"].get(name) != with_["tests"].get(name))
    if without["status"] != with_["status"]:
        found.append("the status: %s, not %s" % (with_["status"], without["status"]))
    return found


def compare(options, unit):
    began = time.monotonic()
    without = attempt(options, unit, None, options.limit)
    result = {"unit": unit, "seconds": time.monotonic() - began, "tests": 0, "differences": [], "unsteady": [], "records": 0}
    if without["status"] == "too long":
        result["left_out"] = "takes more than %d s" % options.limit
        return result
    if not without["tests"]:
        result["left_out"] = "no test ran"
        return result
    with_ = attempt(options, unit, options.hook, options.limit * 3)
    result["tests"] = sum(map(len, without["tests"].values()))
    result["passed"] = sum(o in ("completed", "run") for all_ in without["tests"].values() for o in all_)
    result["records"] = with_["records"]
    differences = difference(without, with_)
    if differences:
        # A test that comes out in either way without the hook is not steady. So is one that passes with it at another time.
        steady = set(differences)
        for _ in range(2):
            without = attempt(options, unit, None, options.limit * 3)
            with_ = attempt(options, unit, options.hook, options.limit * 3)
            steady &= set(difference(without, with_))
        result["differences"] = sorted(steady)
        result["unsteady"] = sorted(set(differences) - steady)
        result["text"] = with_["text"] if steady else ""
    return result


def cpython_tests(options):
    code = "import os, test; print('\\n'.join(sorted(os.listdir(os.path.dirname(test.__file__)))))"
    names = subprocess.run([options.python, "-c", code], stdout=subprocess.PIPE, universal_newlines=True, check=True).stdout
    names = [name[:-3] if name.endswith(".py") else name for name in names.split()]
    return [name for name in names if name.startswith("test_") and name not in NOT_HERE]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--python", required=True)
    parser.add_argument("--hook", required=True)
    parser.add_argument("--cpython", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--cpython-all", action="store_true")
    parser.add_argument("--libraries", nargs="*", default=[], choices=sorted(LIBRARIES), metavar="NAME")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--limit", type=int, default=60, help="seconds for one test file or package, without the hook")
    parser.add_argument("--budget", type=int, default=3600, help="seconds after which nothing more is begun")
    parser.add_argument("--json", help="write all results there as well")
    options = parser.parse_args()
    options.hook = os.path.abspath(options.hook)
    if not os.path.exists(options.hook):
        parser.error("there is no " + options.hook)
    began = time.monotonic()
    # Those that are named come first.
    names = options.cpython + [name for name in cpython_tests(options) if name not in options.cpython] * options.cpython_all
    units = [("cpython", name) for name in names]
    units += [("library", package) for library in options.libraries for package in LIBRARIES[library]]
    results, not_begun = [], 0
    with tempfile.TemporaryDirectory(prefix="disturbance-") as options.scratch:
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:

            def one(unit):
                return compare(options, unit) if time.monotonic() - began < options.budget else None

            for result in pool.map(one, units):
                if result is None:
                    not_begun += 1
                    continue
                results.append(result)
                if options.json:
                    with open(options.json, "w") as file:
                        json.dump(results, file, indent=1)
                for name in result["differences"]:
                    print("DIFFERENT %s: %s\n%s" % (result["unit"][1], name, result["text"]), flush=True)
                for name in result["unsteady"]:
                    print("unsteady %s: %s" % (result["unit"][1], name), flush=True)
                if "left_out" in result:
                    print("left out %s: %s" % (result["unit"][1], result["left_out"]), flush=True)
    ran = [result for result in results if "left_out" not in result]
    different = sum(len(result["differences"]) for result in ran)
    print("%d tests in %d files or packages, %d processes recorded: %d differences, %d unsteady, %d left out, %d not begun" % (
        sum(result["tests"] for result in ran), len(ran), sum(result["records"] for result in ran), different,
        sum(len(result["unsteady"]) for result in ran), len(results) - len(ran), not_begun))
    if not ran or any(result["records"] == 0 for result in ran):
        print("the hook was not there: %s" % [r["unit"][1] for r in ran if r["records"] == 0])
        return 1
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
