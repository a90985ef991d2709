//! A spool made by hand, and collectors that are interrupted.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use terrarium_segment::{self as segment, Direct, Head, Segment};
use terrarium_spool::sample::{By, Sample};
use terrarium_spool::{Module, Process};
use terrarium_wire::header::{
    self, AT_FLAGS, AT_FORKED_FROM, AT_ID, AT_PID, AT_START, AT_USER, ending, flag,
};

use crate::pass::{Pass, Person};
use crate::take::{Meaning, kind};
use crate::{CollectError, Lock, Report};

/// Takes everything as it is.
struct Plain(String);

impl Meaning for Plain {
    fn user(&self) -> &str {
        &self.0
    }

    fn path(&self, path: &str) -> String {
        path.to_owned()
    }

    fn script(&self, name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    fn module(&mut self, _: &Process, module: &Module, name: &str) -> segment::Module {
        let own = module.place == terrarium_spool::Place::Own;
        segment::Module {
            name: if own { "(own code)".to_owned() } else { name.to_owned() },
            distribution: None,
            version: None,
            origin: "home".to_owned(),
            place: module.origin.as_ref().map(|o| o.path.to_string()).filter(|_| !own).unwrap_or_default(),
            kind: kind(module),
        }
    }

    fn environment(&mut self, _: &Process) -> Option<segment::Environment> {
        None
    }
}

pub(crate) struct Spool {
    base: tempfile::TempDir,
}

impl Spool {
    pub(crate) fn new() -> Self {
        let base = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::create_dir(base.path().join("spool")).unwrap();
        Spool { base }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.base.path().join("spool")
    }

    fn segments(&self) -> PathBuf {
        self.base.path().join("segments")
    }

    fn put(&self, name: &str, sample: Sample) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, sample.bytes()).unwrap();
        path
    }

    fn pass(&self, step: &mut dyn FnMut(&'static str) -> io::Result<()>) -> Result<Report, CollectError> {
        self.pass_with(&|_| Some(true), step)
    }

    fn pass_with(
        &self,
        is_over: &dyn Fn(&terrarium_core::JobId) -> Option<bool>,
        step: &mut dyn FnMut(&'static str) -> io::Result<()>,
    ) -> Result<Report, CollectError> {
        let spool = self.path();
        let segments = self.segments();
        let head = Head { cluster: "c".into(), host: "n1".into(), ..Head::default() };
        let pass = Pass { spool: &spool, segments: &segments, head, is_over, other_programs: true };
        let (lock, recovered) = Lock::take(&segments)?;
        let mut people = |owner: u32, _| Person { meaning: Box::new(Plain(format!("u{owner}"))) };
        pass.run(&lock, &mut people, step).map(|report| Report { recovered, ..report })
    }

    fn collect(&self) -> Report {
        self.pass(&mut |_| Ok(())).unwrap()
    }

    fn read(&self) -> Vec<Segment> {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(self.segments()).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let sealed = paths.iter().filter(|path| path.extension().is_some_and(|e| e == "segment"));
        sealed.map(|path| segment::read(&fs::read(path).unwrap()).unwrap()).collect()
    }

    fn left(&self) -> Vec<String> {
        let mut names: Vec<String> = walk_all(&self.path())
            .into_iter()
            .map(|path| path.strip_prefix(self.path()).unwrap().display().to_string())
            .collect();
        names.sort();
        names
    }
}

fn walk_all(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        found.push(entry.path());
        if entry.file_type().unwrap().is_dir() {
            found.extend(walk_all(&entry.path()));
        }
    }
    found
}

fn user() -> u32 {
    terrarium_sys::process::user()
}

/// A Python that imported `yaml`, and that is gone.
fn python(id: u64) -> Sample {
    let mut sample = Sample::new()
        .short(AT_FLAGS, flag::PYTHON)
        .short(AT_PID, id as u32)
        .short(AT_USER, user())
        .long(AT_ID, id)
        .long(AT_START, 1_700_000_000_000_000_000 + id * 1_000_000)
        .prefix("/v", "/usr", "/v/bin/python");
    let yaml = sample.file(100, By::Main, "yaml", "/v/lib/python3.11/site-packages/yaml/__init__.py");
    sample.file(200, By::Module(yaml), "yaml.reader", "/v/lib/python3.11/site-packages/yaml/reader.py");
    sample
}

fn loaded(segments: &[Segment]) -> BTreeMap<u64, Vec<(String, String, bool)>> {
    let mut all = BTreeMap::new();
    for segment in segments {
        for process in &segment.processes {
            let loads = process.loads.iter().map(|load| {
                let module = &segment.modules[load.module as usize];
                (
                    module.name.clone(),
                    segment.names[load.importer as usize].clone(),
                    load.direct == Direct::Yes,
                )
            });
            assert!(
                all.insert(process.record, loads.collect()).is_none(),
                "{} is there twice",
                process.record
            );
        }
    }
    all
}

#[test]
fn what_has_ended_is_taken_and_nothing_else() {
    let spool = Spool::new();
    spool.put("1-1.spool", python(1).short(header::AT_ENDING, ending::EXIT).short(header::AT_STATUS, 3));
    spool.put("2-1.spool", python(2));
    let running = spool.put("3-1.spool", python(3));
    let held = fs::OpenOptions::new().write(true).open(&running).unwrap();
    fs::write(spool.path().join("4-1.spool"), "garbage").unwrap();
    fs::write(spool.path().join("5-1.spool"), [0; 4096]).unwrap();
    fs::write(spool.path().join("notes"), "mine").unwrap();
    let report = spool.collect();
    assert_eq!((report.records, report.python, report.modules, report.running), (2, 2, 4, 1));
    assert_eq!(report.refused.len(), 1, "{report:?}");
    assert_eq!(spool.left(), ["3-1.spool", "4-1.spool", "notes"]);
    let segments = spool.read();
    let yaml = |direct| ("yaml".to_owned(), "__main__".to_owned(), direct);
    let reader = ("yaml.reader".to_owned(), "yaml".to_owned(), false);
    assert_eq!(loaded(&segments)[&1], [yaml(true), reader.clone()]);
    let ends: Vec<_> = segments[0].processes.iter().map(|p| (p.end, p.status)).collect();
    assert_eq!(ends, [(segment::End::Exited, Some(3)), (segment::End::Gone, None)]);
    assert_eq!(segments[0].processes[0].user, format!("u{}", user()));
    drop(held);
    assert_eq!(spool.collect().records, 1);
    assert_eq!(loaded(&spool.read()).len(), 3);
}

#[test]
fn a_run_is_taken_when_it_is_over_and_its_directory_goes() {
    let spool = Spool::new();
    let run = "run-17-4242-4026531836";
    spool.put(&format!("{run}/1-1.spool"), python(1));
    spool.put(&format!("{run}/run-18-4242-4026531836/2-1.spool"), python(2));
    let mut drops = [0; 64];
    drops[0] = 2;
    fs::write(spool.path().join(run).join("drops"), drops).unwrap();
    let report = spool.pass_with(&|_| Some(false), &mut |_| Ok(())).unwrap();
    assert_eq!((report.records, report.running), (0, 1));
    let report = spool.collect();
    assert_eq!((report.records, report.runs), (2, 1));
    assert_eq!(spool.left(), [""; 0]);
    let segments = spool.read();
    let usage = &segments[0].usages[0];
    assert_eq!((usage.run.as_str(), usage.end.as_str(), usage.processes_dropped), (&run[4..], "lost", 2));
    assert_eq!(segments[0].processes[0].run.as_deref(), Some(&run[4..]));
}

#[test]
fn a_forked_child_knows_what_its_parent_called_its_own() {
    let spool = Spool::new();
    let mut parent = python(1);
    parent.file(300, By::Main, "mine", "/home/a/mine.py");
    let mut child = python(2).short(AT_FLAGS, flag::PYTHON | flag::FORKED).long(AT_FORKED_FROM, 1);
    child.file(400, By::Named("mine"), "json", "/v/lib/python3.11/site-packages/json/__init__.py");
    spool.put("1-1.spool", parent);
    let path = spool.put("2-1.spool", child);
    // While the child runs its parent's record is needed.
    let held = fs::OpenOptions::new().write(true).open(&path).unwrap();
    assert_eq!((spool.collect().records, spool.left().len()), (0, 2));
    drop(held);
    assert_eq!(spool.collect().records, 2);
    let all = loaded(&spool.read());
    assert!(all[&2].iter().any(|(name, _, direct)| name == "json" && *direct), "{all:?}");
    assert!(all[&1].iter().any(|(name, _, _)| name == "(own code)"));
}

#[test]
fn no_link_is_followed_and_no_second_name_is_read() {
    let spool = Spool::new();
    let elsewhere = spool.base.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("1-1.spool"), python(1).bytes()).unwrap();
    symlink(elsewhere.join("1-1.spool"), spool.path().join("1-1.spool")).unwrap();
    symlink(&elsewhere, spool.path().join("run-1-2-3")).unwrap();
    fs::hard_link(elsewhere.join("1-1.spool"), spool.path().join("2-1.spool")).unwrap();
    assert!(
        std::process::Command::new("mkfifo").arg(spool.path().join("3-1.spool")).status().unwrap().success()
    );
    let report = spool.collect();
    assert_eq!((report.records, report.refused.len()), (0, 4), "{report:?}");
    assert!(elsewhere.join("1-1.spool").exists());
}

#[test]
fn whatever_is_interrupted_when_each_record_counts_once() {
    let fill = |spool: &Spool| {
        for id in 1..=4 {
            spool.put(&format!("{id}-1.spool"), python(id));
        }
        spool.put("run-17-4242-4026531836/5-1.spool", python(5));
        fs::write(spool.path().join("run-17-4242-4026531836/.run.json"), "{}").unwrap();
    };
    let mut steps = Vec::new();
    let whole = Spool::new();
    fill(&whole);
    whole
        .pass(&mut |step| {
            steps.push(step);
            Ok(())
        })
        .unwrap();
    assert_eq!(whole.left(), [""; 0]);
    assert!(steps.len() >= 10, "{steps:?}");
    for (interrupted, at) in steps.iter().enumerate() {
        let spool = Spool::new();
        fill(&spool);
        let mut n = 0;
        let result = spool.pass(&mut |_| {
            n += 1;
            if n > interrupted { Err(io::Error::other("killed")) } else { Ok(()) }
        });
        assert!(result.is_err());
        // What is interrupted is not always what began it: twice over.
        spool.put("6-1.spool", python(6));
        let _ =
            spool.pass(&mut |step| if step == "sealed" { Err(io::Error::other("killed")) } else { Ok(()) });
        spool.collect();
        assert_eq!(loaded(&spool.read()).len(), 6, "interrupted at {at}");
        assert_eq!(spool.read().iter().map(|s| s.usages.len()).sum::<usize>(), 1);
        let names: Vec<String> = fs::read_dir(spool.segments())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.ends_with(".segment") && name != ".lock")
            .collect();
        assert!(names.is_empty() && spool.left().is_empty(), "{names:?} {:?}", spool.left());
    }
}

#[test]
fn one_collector_at_a_time() {
    let spool = Spool::new();
    let (lock, _) = Lock::take(&spool.segments()).unwrap();
    assert!(matches!(spool.pass(&mut |_| Ok(())), Err(CollectError::Busy { .. })));
    drop(lock);
    spool.collect();
    assert_eq!(fs::metadata(spool.segments()).unwrap().permissions().mode() & 0o777, 0o700);
}
