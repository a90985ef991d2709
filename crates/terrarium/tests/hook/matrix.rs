//! Every ending × every way to start × every Python: each process leaves a record, and the record is right.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use terrarium_spool::End;

use crate::check::{Cell, Seen, complaints};
use crate::endings::{ENDINGS, Ending};
use crate::pythons::{self, Python};
use crate::spool::{records, witness};
use crate::support::{self, hook, numbered, requires, run, spools};
use crate::ways::{WAYS, Way};

/// Processes that are started together.
struct Work {
    cell: Cell,
    endings: Vec<Ending>,
}

/// What became of it.
struct Result {
    /// Processes looked at.
    processes: usize,
    wrong: Vec<String>,
}

fn attempt(work: &Work, hooked: bool) -> Result {
    let Cell { python, way } = work.cell;
    let spool = support::spool();
    let out = numbered(spools(), "out");
    fs::set_permissions(&out, fs::Permissions::from_mode(0o777)).unwrap();
    let names: Vec<&str> = work.endings.iter().map(|ending| ending.name).collect();
    let done = run(&mut way.command(python, &names.join(" "), &spool, &out, hooked));
    let mut wrong = Vec::new();
    let seen: Vec<Seen> = if way.starts_many() {
        if done.status != 0 {
            wrong.push(format!("the parent ended with {}: {}", done.status, done.err));
        }
        let lines = done.out.lines().filter_map(|line| parent_says(line, &work.endings));
        lines.collect()
    } else {
        work.endings.iter().map(|&ending| Seen { ending, pid: done.pid, status: done.status }).collect()
    };
    if seen.len() != work.endings.len() {
        wrong.push(format!("{} processes for {} endings: {}", seen.len(), work.endings.len(), done.out));
    }
    if done.err.ends_with("it hung and was ended") {
        wrong.push("it hung".to_owned());
    }
    match records(&spool) {
        Err(error) => wrong.push(error),
        Ok(records) => {
            for &seen in &seen {
                let witness = witness(&out, seen.pid);
                let found = complaints(work.cell, seen, witness.as_ref(), &records);
                wrong.extend(found.into_iter().map(|text| format!("{}: {text}", seen.ending.name)));
            }
        }
    }
    if !wrong.is_empty() && !done.err.is_empty() {
        wrong.push(format!("stderr: {}", done.err.trim_end().lines().last().unwrap_or_default()));
    }
    for directory in [&spool, &out] {
        keep_or_remove(directory, !wrong.is_empty());
    }
    Result { processes: seen.len(), wrong }
}

/// `TERRARIUM_TEST_KEEP=1`: what a complaint is about can be looked at.
fn keep_or_remove(directory: &Path, is_wrong: bool) {
    if is_wrong && std::env::var_os("TERRARIUM_TEST_KEEP").is_some() {
        eprintln!("kept: {}", directory.display());
    } else {
        let _ = fs::remove_dir_all(directory);
    }
}

/// `ENDING PID STATUS`.
fn parent_says(line: &str, endings: &[Ending]) -> Option<Seen> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let ending = *endings.iter().find(|ending| ending.name == name)?;
    Some(Seen { ending, pid: words.next()?.parse().ok()?, status: words.next()?.parse().ok()? })
}

/// The work for these endings with this Python.
fn works(python: &'static Python, endings: impl Fn(usize) -> Vec<Ending>) -> Vec<Work> {
    let mut works = Vec::new();
    for (number, way) in WAYS.into_iter().enumerate().filter(|(_, way)| way.cannot(python).is_none()) {
        let cell = Cell { python, way };
        let mut endings = endings(number);
        endings.retain(|ending| ending.cannot(python, way).is_none());
        if way.starts_many() {
            works.push(Work { cell, endings });
        } else {
            works.extend(endings.into_iter().map(|ending| Work { cell, endings: vec![ending] }));
        }
    }
    works
}

/// The endings that can be made on this machine.
fn endings() -> Vec<Ending> {
    let has_cgroup = crate::cgroup::limited().is_some();
    if !has_cgroup {
        support::skip("no cgroup with a memory limit can be made: nothing is killed by one");
    }
    ENDINGS.into_iter().filter(|ending| has_cgroup || !ending.is("memory_kill")).collect()
}

/// Does all of it, two at a time; says what is wrong.
fn carry_out(works: Vec<Work>) -> (usize, Vec<String>) {
    // What takes longest first.
    let (long, short): (Vec<Work>, Vec<Work>) =
        works.into_iter().partition(|work| work.cell.way.starts_many());
    let queue = Mutex::new(VecDeque::from_iter(long.into_iter().chain(short)));
    let (processes, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(work) = queue.lock().unwrap().pop_front() else {
                        return;
                    };
                    let result = attempt(&work, true);
                    processes.fetch_add(result.processes, Ordering::Relaxed);
                    let place = format!("{}, {:?}", work.cell.python.label(), work.cell.way);
                    wrong
                        .lock()
                        .unwrap()
                        .extend(result.wrong.into_iter().map(|text| format!("{place}, {text}")));
                }
            });
        }
    });
    (processes.into_inner(), wrong.into_inner().unwrap())
}

pub(crate) fn every_process_is_seen() {
    requires!(hook().is_some(), "there is no hook: make build");
    requires!(pythons::first().is_some(), "there is no Python from 3.8");
    let is_full = std::env::var_os("TERRARIUM_TEST_MATRIX").is_some_and(|value| value == "full");
    let only = std::env::var("TERRARIUM_TEST_ONLY").unwrap_or_default();
    let began = Instant::now();
    let all = endings();
    let first = pythons::first().unwrap();
    let mut todo = Vec::new();
    for (number, python) in pythons::watched().enumerate() {
        let is_first = std::ptr::eq(python, first);
        let diagonal = |way: usize| vec![all[(way + number) % all.len()]];
        todo.extend(works(python, |way| if is_full || is_first { all.clone() } else { diagonal(way) }));
    }
    todo.retain(|work| format!("{} {:?}", work.cell.python.label(), work.cell.way).contains(&only));
    let (processes, wrong) = carry_out(todo);
    let pythons = pythons::watched().count();
    println!("{processes} processes of {pythons} Pythons in {:.0} s", began.elapsed().as_secs_f64());
    assert!(processes > 0);
    assert!(wrong.is_empty(), "{} complaints:\n{}", wrong.len(), wrong.join("\n"));
    if std::env::var_os("TERRARIUM_TEST_MATRIX_WRITE").is_some() {
        assert!(
            is_full && only.is_empty() && all.len() == ENDINGS.len(),
            "the page is written after all of it"
        );
        crate::document::write(processes);
    }
}

pub(crate) fn older_pythons_leave_a_record_of_the_process() {
    requires!(hook().is_some(), "there is no hook: make build");
    let older = || pythons::all().iter().filter(|python| !python.is_watched());
    requires!(older().count() > 0, "there is no Python before 3.8");
    for python in older() {
        for (code, wanted) in [
            ("import json", 0),
            ("import json, sys; sys.exit(3)", 3),
            ("import json; 1 / 0", 1),
            ("import json, os; os._exit(4)", 4),
            ("import json, os; os.kill(os.getpid(), 9)", -9),
            ("import json, os; os.abort()", -6),
        ] {
            let spool = support::spool();
            let mut command = Command::new(&python.executable);
            command.env_clear().env("LD_PRELOAD", hook().unwrap()).env("TERRARIUM_SPOOL", &spool);
            let done = run(command.args(["-c", code]).stdin(Stdio::null()).current_dir("/"));
            let place = format!("{}: {code}", python.label());
            assert_eq!(done.status, wanted, "{place}: {}", done.err);
            let records = records(&spool).unwrap();
            let [record] = &records[..] else { panic!("{place}: {} records", records.len()) };
            let process = &record.process;
            assert!(process.python.too_old && !process.python.watched, "{place}: {:?}", process.python);
            assert!(process.modules.is_empty(), "{place}");
            let end = match process.end {
                End::Exited { status } | End::AtOnce { status } => status as i32,
                End::Unknown => done.status.min(-1),
                other => panic!("{place}: {other:?}"),
            };
            assert_eq!(end, wanted, "{place}: {:?}", process.end);
        }
    }
}

/// The test can fail: without the hook nothing is seen.
pub(crate) fn without_the_hook_nothing_is_seen() {
    let Some(python) = pythons::first() else {
        return support::skip("there is no Python from 3.8");
    };
    for way in [Way::Script, Way::Fork] {
        let work = Work { cell: Cell { python, way }, endings: vec![ENDINGS[0]] };
        let result = attempt(&work, false);
        assert_eq!(result.processes, 1);
        let text = result.wrong.join("\n");
        assert!(text.contains("normal: 0 records of it"), "{text}");
    }
}
