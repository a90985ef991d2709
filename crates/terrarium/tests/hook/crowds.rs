//! Children that share what their parent has, at the wrong moment.

use terrarium_spool::End;

use crate::attacks::{a_thousand_modules, can_run, has, hooked, of, script};
use crate::pythons::{self, Python};
use crate::spool::records;
use crate::support::{self, requires, run};

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
