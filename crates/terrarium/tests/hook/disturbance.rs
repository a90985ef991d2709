//! The test suites of others give the same results with the hook: a short part here, all of it by `tests/python/disturbance.py`.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::pythons::{self, Python};
use crate::support::{hook, requires, run, run_within, workspace};

/// Those that look at what the hook has to do with, and are quick.
const TESTS: [&str; 9] = [
    "test_audit",
    "test_atexit",
    "test_fork1",
    "test_gc",
    "test_import",
    "test_pkgutil",
    "test_runpy",
    "test_threadsignals",
    "test_zipimport",
];

/// Whether CPython's own tests came with it.
fn has_tests(python: &&Python) -> bool {
    let ask = "import test.test_audit, test.test_runpy, test.libregrtest";
    let mut command = Command::new(&python.executable);
    command.args(["-c", ask]).env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    python.root.is_none() && !python.has_kernel && !python.free_threaded && run(&mut command).status == 0
}

#[test]
fn cpythons_own_tests_give_the_same_results() {
    requires!(hook().is_some(), "there is no hook: make build");
    let newest = pythons::watched().filter(has_tests).last();
    requires!(newest.is_some(), "no Python here has CPython's own tests");
    let mut command = Command::new(&newest.unwrap().executable);
    command.arg(workspace().join("tests/python/disturbance.py"));
    command.arg("--python").arg(&newest.unwrap().executable).arg("--hook").arg(hook().unwrap());
    command.args(["--jobs", "2", "--cpython"]).args(TESTS).stdin(Stdio::null());
    let done = run_within(&mut command, Duration::from_secs(900));
    assert_eq!(done.status, 0, "{}{}", done.out, done.err);
    assert!(done.out.contains(" 0 differences") && done.out.contains(" 0 left out"), "{}", done.out);
    println!("{}", done.out);
}
