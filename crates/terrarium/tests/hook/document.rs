//! docs/reference/hook-matrix.md: what the matrix has, by name.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use crate::endings::ENDINGS;
use crate::pythons::{self, Python};
use crate::support::workspace;
use crate::ways::WAYS;

fn path() -> PathBuf {
    workspace().join("docs/reference/hook-matrix.md")
}

const BEGIN: &str = "# What the hook is shown to see

Written by `cargo xtask hook-matrix --write`, which starts every process of the matrix, looks at its record, and writes this page if
there is nothing to complain of. Without `--write` it looks only. `make test` does all endings and ways with one Python, and with
each other one every way with one ending; the names of endings and ways on this page are compared with those that are tried.

Each process imports a package, submodules, a namespace package, an extension module and modules of its own; it tries eight things that
fail to import; it writes down its `sys.modules`, and ends. Its record must exist, be whole, belong to its user alone (0600), and
tell the interpreter, the parent (by its record, if it was forked), how it ended, and *all* of `sys.modules` with the files that the
modules tell themselves; who imported each of the modules made for this, which of them are direct, and none of the eight.

";

const AFTER: &str = "
## What is not there, and why

| | |
|---|---|
| free-threaded builds, `daemons` | CPython 3.13 itself hangs there from time to time, with and without the hook |
| sub-interpreters, `daemons` | CPython 3.11 itself crashes there about once in a thousand times, with and without the hook |
| sub-interpreters | what one may not do (`sys.exit`, signals, threads, exec, ctypes) is done by the main one while it lives |
| Jupyter | with the Python that has its packages |
| a venv of that Python | the same as the Python that it is made from |
| embedded Python | where there is a libpython |
| `RTLD_LOCAL` | extension modules fail to import there, by CPython's make; they are told as failed |

## Known differences

| | |
|---|---|
| 3.8 and 3.9, modules in a zip archive | one that raises at its end counts as loaded; who asks `importlib.import_module` is not known |
| embedded Python that a program ends and starts again | the second is not seen: CPython takes audit hooks away at its end |
| 3.8 and 3.9, `subprocess` | what it forks before it executes has a record for that moment, as a fork that executed another program |
| free-threaded builds, many threads importing at the same moment | a record that finds another thread writing is dropped and counted (50 threads × 20 modules: at most one module in 1000 was missed) |

## Expected misses

Tried as well: nothing is recorded, and nothing is disturbed.

| | |
|---|---|
| `env -i` without the preload | whoever empties the environment takes the hook away; `/etc/ld.so.preload` stays |
| a program that is linked statically | no dynamic linker, so no preload. (Debian's python3, which has *Python* linked in, is seen) |
| a program with more rights than its caller (setuid, setgid, capabilities) | the dynamic linker does not preload for it |
| Python 2.7 and 3.0 to 3.7 | no audit hooks: a record of the process, nothing of its modules |
";

/// The page's tables of endings and ways.
fn tables() -> String {
    let mut text = String::from("## Endings\n\n| name | |\n|---|---|\n");
    for ending in ENDINGS {
        writeln!(text, "| {} | {} |", ending.name, ending.what).unwrap();
    }
    text += "\n## Ways to start\n\n| name | |\n|---|---|\n";
    for way in WAYS {
        writeln!(text, "| {way:?} | {} |", way.what()).unwrap();
    }
    text
}

fn row(python: &Python) -> String {
    let (major, minor, micro) = python.version;
    let mut kinds = Vec::new();
    if python.free_threaded {
        kinds.push("free-threaded");
    }
    if python.root.is_some() {
        kinds.push("of Debian's coming release, with its C library");
    }
    if python.has_kernel {
        kinds.push("a venv with Jupyter");
    } else if python.is_watched() {
        kinds.push(if python.library.is_some() { "with a libpython" } else { "without a libpython" });
    } else {
        kinds.push("process record only");
    }
    format!("| {major}.{minor}.{micro} | {} |\n", kinds.join(", "))
}

/// Writes the page after a run of all of it.
pub(crate) fn write(processes: usize) {
    let mut text = BEGIN.to_owned() + &tables();
    write!(text, "\n## Pythons\n\nThose that this page was written with: {processes} processes.\n\n")
        .unwrap();
    text += "| version | |\n|---|---|\n";
    text.extend(pythons::all().iter().map(row));
    text += "\nThey are sought where Pythons are kept (`/usr/bin`, `PATH`, pyenv, uv, conda, `/opt`, `target/`); `TERRARIUM_TEST_PYTHONS` \
             names others. `tests/python/debian-pythons` and `tests/python/free-threaded-python` get some from Debian.\n";
    fs::write(path(), text + AFTER).unwrap();
}

#[test]
fn the_page_names_what_is_tried() {
    let text = fs::read_to_string(path()).expect("docs/reference/hook-matrix.md");
    assert!(text.starts_with(BEGIN) && text.ends_with(AFTER), "cargo xtask hook-matrix --write");
    assert!(text.contains(&tables()), "cargo xtask hook-matrix --write");
}
