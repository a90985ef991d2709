//! Many children and many threads at once.

use std::fs;
use std::path::PathBuf;

use terrarium_spool::{End, Stopped};

use crate::attacks::{can_run, has, hooked, of, python, script};
use crate::pythons::{self, Python};
use crate::spool::records;
use crate::support::{self, directory, numbered, requires, run};

#[test]
fn a_child_that_shares_its_parents_memory_does_not_end_it() {
    requires!(can_run(), "there is no hook, or no Python");
    for python in pythons::watched().filter(|python| python.root.is_none() && !python.has_kernel) {
        let spool = support::spool();
        let done = run(hooked(&mut script(&python.executable, &["vforked.py"]), &spool));
        assert_eq!(
            (done.status, done.out.as_str(), done.err.as_str()),
            (-9, "after\n", ""),
            "{}",
            python.label()
        );
        let records = records(&spool).unwrap();
        let process = of(&records, done.pid);
        assert!(has(process, "json"), "{}", python.label());
        assert_eq!(process.end, End::Unknown, "{}", python.label());
    }
}

#[test]
fn every_child_of_a_fork_bomb_has_a_record() {
    requires!(can_run(), "there is no hook, or no Python");
    let spool = support::spool();
    let done = run(hooked(&mut script(python(), &["bomb.py"]), &spool));
    assert_eq!((done.status, done.out.as_str(), done.err.as_str()), (0, "0\n", ""));
    let records = records(&spool).unwrap();
    assert_eq!(records.len(), 201);
    let parent = of(&records, done.pid).id;
    for record in records.iter().filter(|record| record.process.pid as i32 != done.pid) {
        let child = &record.process;
        assert_eq!((child.forked_from, child.end), (Some(parent), End::AtOnce { status: 0 }));
        assert!(has(child, "json"), "{:?}", child.modules);
    }
}

fn a_thousand_modules() -> PathBuf {
    let modules = numbered(directory(), "modules");
    for thread in 0..50 {
        for module in 0..20 {
            fs::write(modules.join(format!("t{thread}_{module}.py")), "x = 1\n").unwrap();
        }
    }
    modules
}

/// A fork in the middle of another thread's import: the child must not wait for that thread, which it has not.
#[test]
fn forks_while_threads_import_do_not_hang() {
    requires!(can_run(), "there is no hook, or no Python");
    let modules = a_thousand_modules();
    // Without a GIL such a child hangs without the hook as well.
    let plain = |python: &&Python| python.root.is_none() && !python.has_kernel && !python.free_threaded;
    for python in pythons::watched().filter(plain) {
        let spool = support::spool();
        let words = ["forks_and_threads.py", modules.to_str().unwrap()];
        let done = run(hooked(&mut script(&python.executable, &words), &spool));
        assert_eq!((done.status, done.out.as_str(), done.err.as_str()), (0, "0\n", ""), "{}", python.label());
        let records = records(&spool).unwrap();
        assert_eq!(records.len(), 26, "{}", python.label());
        for record in records.iter().filter(|record| record.process.pid as i32 != done.pid) {
            let is_ours = |name: &str| name.starts_with('t') && name.ends_with("_0") && name.len() >= 5;
            let found = record
                .process
                .modules
                .iter()
                .any(|module| module.is_loaded() && is_ours(&module.name.to_text()));
            assert!(found, "{}: {:?}", python.label(), record.process.modules);
        }
    }
}

#[test]
fn what_fifty_threads_import_at_once_is_recorded_or_counted() {
    requires!(can_run(), "there is no hook, or no Python");
    let modules = a_thousand_modules();
    let plain = |python: &&Python| python.root.is_none() && !python.has_kernel;
    for python in pythons::watched().filter(plain) {
        let spool = support::spool();
        let words = ["threads.py", modules.to_str().unwrap()];
        let done = run(hooked(&mut script(&python.executable, &words), &spool));
        assert_eq!(
            (done.status, done.out.as_str(), done.err.as_str()),
            (0, "0 1000\n", ""),
            "{}",
            python.label()
        );
        let records = records(&spool).unwrap();
        let process = of(&records, done.pid);
        let ours = |name: &str| name.starts_with('t') && name.as_bytes()[1].is_ascii_digit();
        let mut recorded: Vec<_> = process.modules.iter().filter(|module| module.is_loaded()).collect();
        recorded.retain(|module| ours(&module.name.to_text()));
        let lost = process.dropped.busy as usize;
        assert_eq!(process.stopped, Stopped::End, "{}", python.label());
        assert!(
            recorded.len() + lost >= 1000,
            "{}: {} recorded, {lost} counted as lost",
            python.label(),
            recorded.len()
        );
        println!("{}: {} of 1000 recorded, {lost} dropped", python.label(), recorded.len());
    }
}
