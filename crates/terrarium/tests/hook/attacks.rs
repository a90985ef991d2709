//! Spools that are full, missing or in the way, and programs that take away what the hook needs: the job goes on as it would
//! without the hook, and what is lost is counted.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use terrarium_spool::{End, Process, Stopped};

use crate::pythons::{self, Python};
use crate::spool::{Record, records};
use crate::support::{
    self, Done, compiled, directory, hook, numbered, own_user, requires, run, scripts, spools,
};

/// The Python that is attacked.
pub(crate) fn python() -> &'static Path {
    static PYTHON: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    PYTHON.get_or_init(|| pythons::first().map(|python| python.executable.clone()).unwrap_or_default())
}

pub(crate) fn can_run() -> bool {
    hook().is_some() && pythons::first().is_some()
}

/// A script of attacks/ with these arguments, and the same environment each time.
pub(crate) fn script(program: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.arg(scripts().join("attacks").join(words[0])).args(&words[1..]);
    bare(&mut command);
    command
}

fn bare(command: &mut Command) {
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C.UTF-8")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .current_dir("/");
}

pub(crate) fn hooked<'a>(command: &'a mut Command, spool: &Path) -> &'a mut Command {
    command.env("LD_PRELOAD", hook().unwrap()).env("TERRARIUM_SPOOL", spool)
}

#[track_caller]
fn same(with: &Done, without: &Done) {
    let of = |done: &Done| (done.status, done.out.clone(), done.err.clone());
    assert_eq!(of(with), of(without));
}

pub(crate) fn of(records: &[Record], pid: i32) -> &Process {
    let of_it: Vec<&Process> =
        records.iter().map(|record| &record.process).filter(|process| process.pid as i32 == pid).collect();
    assert_eq!(of_it.len(), 1, "records of {pid}");
    of_it[0]
}

pub(crate) fn has(process: &Process, name: &str) -> bool {
    process.modules.iter().any(|module| module.is_loaded() && module.name.to_text() == name)
}

/// Eight counters, as the hook finds them in a spool that keeps them.
fn with_drops(spool: &Path) {
    fs::write(spool.join("drops"), [0; 64]).unwrap();
}

fn drops(spool: &Path) -> [u64; 2] {
    let bytes = fs::read(spool.join("drops")).unwrap();
    assert_eq!(bytes.len(), 64);
    [0, 8].map(|at| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()))
}

#[test]
fn a_spool_that_is_missing_or_in_the_way_disturbs_nothing() {
    requires!(can_run(), "there is no hook, or no Python");
    let alone = run(&mut script(python(), &["steady.py"]));
    assert_eq!(alone.status, 5, "{alone:?}");
    let file = numbered(spools(), "file").join("file");
    fs::write(&file, "in the way").unwrap();
    let link = numbered(spools(), "link").join("loop");
    std::os::unix::fs::symlink(&link, &link).unwrap();
    let long = Path::new("/dev/shm").join("x".repeat(200)).join("y".repeat(5000));
    for spool in
        [Path::new("/nonexistent/spool"), &file, &link, &long, Path::new("relative"), Path::new("/proc")]
    {
        same(&run(hooked(&mut script(python(), &["steady.py"]), spool)), &alone);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "in the way");
}

#[test]
fn a_spool_that_one_may_not_write_disturbs_nothing() {
    requires!(can_run(), "there is no hook, or no Python");
    requires!(own_user() == 0, "only root can become somebody else");
    let spool = numbered(spools(), "closed");
    with_drops(&spool);
    let as_nobody = |command: &mut Command| run(command.uid(65534).gid(65534));
    let alone = as_nobody(&mut script(python(), &["steady.py"]));
    assert_eq!(alone.status, 5, "{alone:?}");
    same(&as_nobody(hooked(&mut script(python(), &["steady.py"]), &spool)), &alone);
    // Where all may write the count, it is told: this process and one for each that it executed.
    fs::set_permissions(spool.join("drops"), fs::Permissions::from_mode(0o666)).unwrap();
    same(&as_nobody(hooked(&mut script(python(), &["steady.py"]), &spool)), &alone);
    assert_eq!(drops(&spool)[0], 0);
    assert!(drops(&spool)[1] >= 2, "{:?}", drops(&spool));
    assert_eq!(fs::read_dir(&spool).unwrap().count(), 1);
}

/// A job whose spool is a file system of its own, mounted with these options. Gives what is in it at the end.
fn in_tmpfs(options: &str, before: &str, hooked: bool) -> (Done, PathBuf) {
    let (spool, kept) = (numbered(spools(), "tmpfs"), numbered(spools(), "kept"));
    let text = format!(
        "mount -t tmpfs -o {options} none {spool} || exit 99; cd {spool}; {before}\n\
         cd /; \"$@\"; code=$?; cp -a {spool}/. {kept} || exit 98; exit $code",
        spool = spool.display(),
        kept = kept.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", &text, "sh", "env"]);
    if hooked {
        command.arg(format!("LD_PRELOAD={}", hook().unwrap().display()));
        command.arg(format!("TERRARIUM_SPOOL={}", spool.display()));
    }
    command.arg(python()).arg(scripts().join("attacks/steady.py"));
    bare(&mut command);
    (run(&mut command), kept)
}

#[test]
fn a_full_spool_disturbs_nothing_and_its_drops_are_counted() {
    requires!(can_run(), "there is no hook, or no Python");
    requires!(own_user() == 0, "only root can mount");
    let drops_file = "head -c 64 /dev/zero >drops; chmod 666 drops;";
    let fill = format!("{drops_file} cat /dev/zero >fill 2>/dev/null;");
    let (alone, _) = in_tmpfs("size=64k", "", false);
    assert_eq!(alone.status, 5, "{alone:?}");

    // Nothing free: no file at all, and each process counts itself.
    let (full, kept) = in_tmpfs("size=32k", &fill, true);
    same(&full, &alone);
    assert_eq!(drops(&kept), [2, 0], "the interpreter, and the one that it starts");
    assert!(records_of(&kept).is_empty());

    // No inode free.
    let (full, kept) = in_tmpfs("size=1m,nr_inodes=2", drops_file, true);
    same(&full, &alone);
    assert_eq!(drops(&kept), [2, 0], "the interpreter, and the one that it starts");

    // Read-only.
    let (full, kept) = in_tmpfs("size=64k,ro", "", true);
    same(&full, &alone);
    assert_eq!(fs::read_dir(&kept).unwrap().count(), 0);

    // The first pages find room, then no more: what was written stays readable, the rest is counted in the file.
    let (full, kept) = in_tmpfs("size=16k", drops_file, true);
    same(&full, &alone);
    let records = records_of(&kept);
    let cut = records
        .iter()
        .find(|process| process.dropped.no_space > 0)
        .expect("no process says that it had no space");
    assert_eq!(cut.stopped, Stopped::End);
    assert!(!cut.modules.is_empty());
    assert!(cut.end != End::Unknown, "the end is in the header, which has its room: {:?}", cut.end);
}

fn records_of(kept: &Path) -> Vec<Process> {
    let mut all = Vec::new();
    for entry in fs::read_dir(kept).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name != "drops" && name != "fill" {
            let bytes = fs::read(entry.path()).unwrap();
            all.push(terrarium_spool::process(&bytes).unwrap_or_else(|e| panic!("{name}: {e}")));
        }
    }
    all
}

#[test]
fn a_file_that_is_taken_away_while_it_is_mapped_disturbs_nothing() {
    requires!(can_run(), "there is no hook, or no Python");
    let spool = support::spool();
    let done = run(hooked(&mut script(python(), &["unlinked.py"]), &spool));
    // The child has a file of its own.
    assert_eq!((done.status, done.out.as_str(), done.err.as_str()), (0, "child 0 1\n", ""));
    let records = records(&spool).unwrap();
    assert_eq!(records.len(), 1);
    assert!(has(&records[0].process, "sqlite3"));
}

/// A limit on the length of files would end a program that writes beyond it.
#[test]
fn a_limit_on_files_ends_nothing() {
    requires!(can_run(), "there is no hook, or no Python");
    let other = compiled("other.c", &[]);
    for limit in ["0", "4096", "8192"] {
        let (spool, mut command) = (support::spool(), Command::new("prlimit"));
        command.arg(format!("--fsize={limit}")).arg(&other);
        bare(&mut command);
        assert_eq!(run(hooked(&mut command, &spool)).status, 7, "{limit}");
        let mut command = Command::new("prlimit");
        command.arg(format!("--fsize={limit}")).arg(python()).args(["-c", "import asyncio, json; print(1)"]);
        bare(&mut command);
        let done = run(hooked(&mut command, &spool));
        assert_eq!((done.status, done.out.as_str(), done.err.as_str()), (0, "1\n", ""), "{limit}");
    }
}

#[test]
fn descriptors_are_not_needed() {
    requires!(can_run(), "there is no hook, or no Python");
    for how in ["none", "closed"] {
        let alone = run(&mut script(python(), &["descriptors.py", how]));
        assert_eq!((alone.status, alone.out.as_str()), (0, "7\n"));
        let spool = support::spool();
        let done = run(hooked(&mut script(python(), &["descriptors.py", how]), &spool));
        same(&done, &alone);
        let records = records(&spool).unwrap();
        let process = of(&records, done.pid);
        if how == "none" {
            // A child that cannot open a file has none.
            assert_eq!((records.len(), process.dropped.children), (1, 1));
        } else {
            assert!(has(process, "asyncio"));
            assert_eq!(records.len(), 2);
        }
    }
}

#[test]
fn a_process_that_goes_elsewhere_is_recorded_until_then() {
    requires!(can_run(), "there is no hook, or no Python");
    requires!(own_user() == 0, "only root can change its root and its user");
    let elsewhere = numbered(directory(), "elsewhere");
    for name in ["after_one.py", "after_two.py"] {
        fs::write(elsewhere.join(name), "x = 1\n").unwrap();
    }
    for how in ["chroot", "setuid"] {
        let spool = support::spool();
        let words = ["elsewhere.py", how, elsewhere.to_str().unwrap()];
        let done = run(hooked(&mut script(python(), &words), &spool));
        assert_eq!((done.status, done.err.as_str()), (0, ""), "{how}: {done:?}");
        let numbers: Vec<i32> = done.out.split_whitespace().map(|word| word.parse().unwrap()).collect();
        assert_eq!(numbers[2], 8);
        let records = records(&spool).unwrap();
        let process = of(&records, done.pid);
        assert!(has(process, "after_one"), "{how}");
        if how == "chroot" {
            // The spool is not there.
            assert_eq!((records.len(), process.dropped.children), (1, 1));
        } else {
            let child = records.iter().find(|record| record.process.pid as i32 == numbers[1]).unwrap();
            assert_eq!((child.owner, child.mode), (65534, 0o100_600));
            assert!(has(&child.process, "after_two"));
        }
    }
}

#[test]
fn a_preload_of_the_programs_own_works_as_before() {
    requires!(can_run(), "there is no hook, or no Python");
    let own = compiled("own_preload.c", &["-shared", "-fPIC"]);
    let own = own.to_str().unwrap();
    let hook = hook().unwrap().to_str().unwrap();
    for order in [format!("{own}:{hook}"), format!("{hook}:{own}")] {
        let spool = support::spool();
        let mut command = script(python(), &["own_preload.py"]);
        command.env("LD_PRELOAD", &order).env("TERRARIUM_SPOOL", &spool);
        let done = run(&mut command);
        // `system` runs a shell that is told to end with 3: 768 as wait tells it.
        assert_eq!(
            (done.status, done.out.as_str(), done.err.as_str()),
            (10, "12345 started 1\n1768\n", ""),
            "{order}"
        );
        let records = records(&spool).unwrap();
        let process = of(&records, done.pid);
        assert!(has(process, "json"));
        assert!(matches!(process.end, End::AtOnce { status: 9 | 10 }), "{order}: {:?}", process.end);
    }
}

#[test]
fn an_audit_hook_of_the_programs_own_works_as_before() {
    requires!(can_run(), "there is no hook, or no Python");
    for python in pythons::watched().filter(|python| python.root.is_none() && !python.has_kernel) {
        let alone = run(&mut script(&python.executable, &["hooked_too.py"]));
        assert!(alone.out.starts_with("forbidden: not here\nFalse"), "{alone:?}");
        let spool = support::spool();
        let done = run(hooked(&mut script(&python.executable, &["hooked_too.py"]), &spool));
        same(&done, &alone);
        let records = records(&spool).unwrap();
        let process = of(&records, done.pid);
        assert!(has(process, "sqlite3") && !has(process, "wave"), "{}", python.label());
    }
}

/// CPython takes all audit hooks away when it ends. A program that starts it again has two, of which the first is seen.
#[test]
fn a_python_that_is_started_twice_in_a_process_is_not_disturbed() {
    requires!(can_run(), "there is no hook, or no Python");
    let linked =
        |python: &&'static Python| python.root.is_none() && !python.has_kernel && python.library.is_some();
    let file = numbered(directory(), "twice").join("second.py");
    fs::write(&file, "import csv\nprint('second')\n").unwrap();
    for python in pythons::watched().filter(linked) {
        let host = pythons::linked(python).unwrap();
        let ask = "import sys; print(sys.base_prefix)";
        let home = run(Command::new(&python.executable).args(["-c", ask]).stdin(Stdio::null())).out;
        let command = || {
            let mut command = Command::new(&host);
            bare(command.arg(&file));
            command.env("PYTHONHOME", home.trim_end()).env("PROBE_TWICE", "1");
            command
        };
        let spool = support::spool();
        let (alone, done) = (run(&mut command()), run(hooked(&mut command(), &spool)));
        assert_eq!((alone.status, alone.out.as_str()), (0, "second\n"), "{alone:?}");
        same(&done, &alone);
        assert!(has(of(&records(&spool).unwrap(), done.pid), "json"), "{}", python.label());
    }
}

/// CPython is told to check the memory that it frees, of which the audit hook's came from before it was told.
#[test]
fn a_python_that_checks_its_memory_does_not_stop_over_the_hooks() {
    requires!(can_run(), "there is no hook, or no Python");
    let spool = support::spool();
    for python in pythons::watched().filter(|python| python.root.is_none()) {
        for allocator in ["", "malloc_debug", "malloc"] {
            let command = || {
                let mut command = Command::new(&python.executable);
                command
                    .args(["-X", "dev", "-W", "ignore"])
                    .args(["-c", "import os; os.fork() or os._exit(0)"]);
                bare(&mut command);
                match allocator {
                    "" => command.env_remove("PYTHONMALLOC"),
                    name => command.env("PYTHONMALLOC", name),
                };
                command
            };
            let alone = run(&mut command());
            let done = run(hooked(&mut command(), &spool));
            assert_eq!(
                (done.status, &done.out),
                (alone.status, &alone.out),
                "{} {allocator}: {done:?}",
                python.label()
            );
            let memory = run(hooked(command().env("PYTHONTRACEMALLOC", "3"), &spool));
            assert_eq!(memory.status, alone.status, "{} {allocator}: {memory:?}", python.label());
        }
    }
}

/// A program with more rights than its caller is not told what to load by it; one that is linked statically loads nothing; and a
/// process that is not given the preload has none.
#[test]
fn the_expected_misses_are_missed_and_not_disturbed() {
    requires!(can_run(), "there is no hook, or no Python");
    let spool = support::spool();
    let fixed = compiled("other.c", &["-static"]);
    let mut command = Command::new(&fixed);
    bare(&mut command);
    assert_eq!(run(hooked(&mut command, &spool)).status, 7);
    assert_eq!(fs::read_dir(&spool).unwrap().count(), 0, "a static program");

    let mut command = Command::new("/usr/bin/env");
    command.args(["-i"]).arg(python()).args(["-c", "pass"]);
    bare(&mut command);
    let done = run(hooked(&mut command, &spool));
    assert_eq!(done.status, 0);
    let found = records(&spool).unwrap();
    assert!(found.iter().all(|record| !record.process.python.watched), "env -i");

    requires!(own_user() == 0, "only root can make a program that anybody runs as root");
    let spool = support::spool();
    let privileged = compiled("other.c", &[]);
    fs::set_permissions(&privileged, fs::Permissions::from_mode(0o4755)).unwrap();
    assert_eq!(fs::metadata(&privileged).unwrap().uid(), 0);
    let mut command = Command::new(&privileged);
    bare(&mut command);
    assert_eq!(run(hooked(&mut command, &spool).uid(65534).gid(65534)).status, 7);
    assert_eq!(fs::read_dir(&spool).unwrap().count(), 0, "setuid");
    let as_itself = run(hooked(Command::new(&privileged).current_dir("/"), &spool));
    assert_eq!(
        (as_itself.status, fs::read_dir(&spool).unwrap().count()),
        (7, 1),
        "as root it is a program as others"
    );
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

pub(crate) fn a_thousand_modules() -> PathBuf {
    let modules = numbered(directory(), "modules");
    for thread in 0..50 {
        for module in 0..20 {
            fs::write(modules.join(format!("t{thread}_{module}.py")), "x = 1\n").unwrap();
        }
    }
    modules
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
