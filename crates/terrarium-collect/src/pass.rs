//! One look at a spool: what has ended goes into segments, and out of the spool.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use terrarium_core::JobId;
use terrarium_core::report::{End, RunReport, Tracking, TrackingState};
use terrarium_segment::{Head, Usage};
use terrarium_spool::Process;

use crate::CollectError;
use crate::directory::Directory;
use crate::seal::{self, Sealed, Sealing, Taken};
use crate::take::{Known, Meaning, Source, cut, job, take};
use crate::walk::{DROPS, Entry, Found, Place, REPORT, Record, walk};

/// A report is never as long.
const LONGEST_REPORT: u64 = 1 << 20;

/// What cannot be read is told of for so long, and then removed.
const REFUSED_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// Names of own code that are kept for children that were forked.
const MOST_OWN: usize = 4096;

/// One user, as a pass knows him.
pub(crate) struct Person {
    pub(crate) meaning: Box<dyn Meaning>,
}

/// What a pass needs to know of the world.
pub(crate) struct Pass<'a> {
    /// Without symbolic links.
    pub(crate) spool: &'a Path,
    /// A directory of the collector's own.
    pub(crate) segments: &'a Path,
    /// For the head of each segment.
    pub(crate) head: Head,
    /// Whether the supervisor of a run is gone; `None`: that cannot be told.
    pub(crate) is_over: &'a dyn Fn(&JobId) -> Option<bool>,
    /// Records of processes without Python are kept too.
    pub(crate) other_programs: bool,
}

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Segments that were made.
    #[serde(skip)]
    pub sealed: Vec<Sealed>,
    /// Segments that an earlier collector had begun.
    pub recovered: u64,
    /// Records that were taken,
    pub records: u64,
    /// those of them that had Python in them,
    pub python: u64,
    /// and what they loaded.
    pub modules: u64,
    /// Runs whose report was taken.
    pub runs: u64,
    /// Records that stay, because their process or run goes on.
    pub running: u64,
    /// What could not be read, and why.
    pub refused: Vec<(PathBuf, String)>,
}

/// The lock on a directory of segments: one collector at a time.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held open")] File);

impl Lock {
    /// Makes the directory if need be, and finishes what an earlier collector left there.
    pub fn take(directory: &Path) -> Result<(Self, u64), CollectError> {
        let failed = |source| CollectError::Segments { directory: directory.to_owned(), source };
        if !directory.is_dir() {
            use std::os::unix::fs::DirBuilderExt;
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        }
        let path = directory.join(".lock");
        let file =
            fs::OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(CollectError::Busy { directory: directory.to_owned() });
            }
            Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
        let recovered = seal::recover(directory).map_err(failed)?;
        Ok((Lock(file), recovered))
    }
}

type People<'a> = &'a mut dyn FnMut(u32, u32) -> Person;

/// Names of modules that are a user's own.
type Names = Rc<HashSet<Box<[u8]>>>;

/// Where a test may interrupt.
type Step<'a> = &'a mut dyn FnMut(&'static str) -> io::Result<()>;

struct Passing<'a, 'b> {
    pass: &'a Pass<'a>,
    people: People<'b>,
    known_people: HashMap<u32, Person>,
    report: Report,
    sealing: Option<(Sealing, Known)>,
    number: u32,
    own: HashMap<(u32, u64), Names>,
    /// The batch jobs of runs, as their processes say.
    jobs: HashMap<String, terrarium_segment::Job>,
}

impl Pass<'_> {
    /// Takes what has ended. `people` knows users by their number and group.
    pub(crate) fn run(
        &self,
        _lock: &Lock,
        people: People<'_>,
        step: Step<'_>,
    ) -> Result<Report, CollectError> {
        let failed = |source| CollectError::Spool { directory: self.spool.to_owned(), source };
        let spool = Directory::open(self.spool).map_err(failed)?;
        let found = walk(spool, self.is_over).map_err(failed)?;
        let mut passing = Passing {
            pass: self,
            people,
            known_people: HashMap::new(),
            report: Report { running: found.running, ..Report::default() },
            sealing: None,
            number: 0,
            own: HashMap::new(),
            jobs: HashMap::new(),
        };
        passing
            .all(found, step)
            .map_err(|source| CollectError::Segments { directory: self.segments.to_owned(), source })?;
        Ok(passing.report)
    }
}

impl Passing<'_, '_> {
    fn all(&mut self, found: Found, step: Step<'_>) -> io::Result<()> {
        for entry in &found.entries {
            self.record(entry)?;
            self.roll(step)?;
        }
        for place in &found.runs {
            self.run_report(place)?;
        }
        self.seal(step)?;
        for (place, name) in &found.blank {
            let _ = place.directory.remove(name);
        }
        for (place, name, why) in found.refused {
            self.refuse(&place, &name, why);
        }
        // What was in them is safe. What was refused in one keeps it.
        for place in &found.runs {
            let _ = place.directory.remove(OsStr::new(DROPS));
            remove_empty(self.pass.spool, place);
        }
        Ok(())
    }

    fn refuse(&mut self, place: &Place, name: &OsStr, mut why: String) {
        let changed = place.directory.look(name).and_then(|meta| meta.modified());
        let age = changed.ok().and_then(|then| SystemTime::now().duration_since(then).ok());
        if age.is_some_and(|age| age > REFUSED_FOR) && place.directory.remove(name).is_ok() {
            why.push_str("; removed, after a week");
        }
        self.report.refused.push((place.directory.path().join(name), why));
    }

    fn person(&mut self, owner: u32, group: u32) -> &mut Person {
        self.known_people.entry(owner).or_insert_with(|| (self.people)(owner, group))
    }

    fn record(&mut self, entry: &Entry) -> io::Result<()> {
        let read = entry.read().and_then(|record| {
            let process = self.process(entry, &record)?;
            Ok((record, process))
        });
        let (record, process) = match read {
            Ok(read) => read,
            Err(why) => {
                self.refuse(&entry.place, &entry.name, why);
                return Ok(());
            }
        };
        let parts: Vec<&OsStr> =
            entry.place.parts.iter().chain([&entry.name]).map(|p| p.as_os_str()).collect();
        let taken = Taken::new(&parts, &record.file)?;
        if let (Some(run), Some(job)) = (entry.place.run, job(&process)) {
            self.jobs.entry(run.to_string()).or_insert(job);
        }
        let is_python = process.python.watched || process.python.too_old;
        self.begin()?;
        self.report.records += 1;
        if is_python || self.pass.other_programs {
            self.report.python += u64::from(is_python);
            self.report.modules += process.modules.iter().filter(|module| module.is_loaded()).count() as u64;
            let run =
                entry.place.run.map(|run| run.to_string()).or_else(|| variable(&process, "TERRARIUM_RUN"));
            let host = self.pass.head.host.clone();
            let source = Source { owner: record.owner, host: &host, run };
            self.person(record.owner, record.group);
            if let (Some((sealing, known)), Some(person)) =
                (&mut self.sealing, self.known_people.get_mut(&record.owner))
            {
                take(&mut sealing.writer, known, &process, &source, person.meaning.as_mut())?;
            }
        }
        if let Some((sealing, _)) = &mut self.sealing {
            sealing.took(taken);
        }
        Ok(())
    }

    /// What is in a record; of a forked child with what its parents had loaded.
    fn process(&mut self, entry: &Entry, record: &Record) -> Result<Process, String> {
        let before = entry.header.is_forked().then_some((record.owner, entry.header.forked_from));
        let before = before.and_then(|key| self.own.get(&key).cloned()).unwrap_or_default();
        let process = terrarium_spool::process_forked(&record.bytes, &|name| before.contains(name));
        let process = process.map_err(|error| error.to_string())?;
        if process.python.watched {
            let own = process.own_modules().map(|name| name.as_bytes().into());
            let own: HashSet<Box<[u8]>> = before.iter().cloned().chain(own).take(MOST_OWN).collect();
            self.own.insert((record.owner, entry.header.id), Rc::new(own));
        }
        Ok(process)
    }

    fn begin(&mut self) -> io::Result<()> {
        if self.sealing.is_none() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let name = format!(
                "{}-{:016x}-{}-{}",
                plain(&self.pass.head.host),
                now.as_nanos() as u64,
                std::process::id(),
                self.number
            );
            self.number += 1;
            let head = Head { made_ms: now.as_millis() as i64, ..self.pass.head.clone() };
            let sealing = Sealing::new(self.pass.segments, self.pass.spool, name, &head)?;
            self.sealing = Some((sealing, Known::default()));
        }
        Ok(())
    }

    fn roll(&mut self, step: Step<'_>) -> io::Result<()> {
        match &self.sealing {
            Some((sealing, _)) if sealing.is_full() => self.seal(step),
            _ => Ok(()),
        }
    }

    fn seal(&mut self, step: Step<'_>) -> io::Result<()> {
        let Some((sealing, _)) = self.sealing.take() else { return Ok(()) };
        if sealing.is_empty() {
            sealing.discard();
            return Ok(());
        }
        self.report.sealed.push(sealing.seal(step)?);
        Ok(())
    }

    /// A run that is over: its report, or that there is none.
    fn run_report(&mut self, place: &Place) -> io::Result<()> {
        let Some(run) = place.run else { return Ok(()) };
        let name = OsStr::new(REPORT);
        let read = place.directory.plain(name).ok().and_then(|file| {
            let mut bytes = Vec::new();
            (&file).take(LONGEST_REPORT).read_to_end(&mut bytes).ok()?;
            Some((file, serde_json::from_slice::<RunReport>(&bytes).ok()))
        });
        let dropped = drops(&place.directory);
        let (taken, report) = match read {
            Some((file, report)) => {
                let parts: Vec<&OsStr> = place.parts.iter().map(|p| p.as_os_str()).chain([name]).collect();
                (Some(Taken::new(&parts, &file)?), report)
            }
            None => (None, None),
        };
        // Without its report the supervisor was killed; that is worth a row if something is missing because of it.
        if report.is_none() && dropped == 0 && taken.is_none() {
            return Ok(());
        }
        self.begin()?;
        let owner = place.directory.owner();
        self.person(owner, owner);
        let user = self.known_people.get(&owner).map(|p| p.meaning.user().to_owned()).unwrap_or_default();
        let job = self.jobs.get(&run.to_string()).cloned();
        let usage = Usage { job, ..usage(&run, user, &self.pass.head.host, report, dropped) };
        if let Some((sealing, _)) = &mut self.sealing {
            sealing.writer.usage(&usage)?;
            sealing.took(match taken {
                Some(taken) => taken,
                None => drops_taken(place)?,
            });
        }
        self.report.runs += 1;
        Ok(())
    }
}

fn drops_taken(place: &Place) -> io::Result<Taken> {
    let name = OsStr::new(DROPS);
    let parts: Vec<&OsStr> = place.parts.iter().map(|p| p.as_os_str()).chain([name]).collect();
    Taken::new(&parts, &place.directory.plain(name)?)
}

/// Removes the directory of a run of which all was taken. What was refused in it keeps it.
fn remove_empty(spool: &Path, place: &Place) {
    let Some((last, parents)) = place.parts.split_last() else { return };
    let mut directory = Directory::open(spool).ok();
    for part in parents {
        directory = directory.and_then(|directory| directory.below(part).ok());
    }
    if let Some(directory) = directory {
        let _ = directory.remove_directory(last);
    }
}

/// Processes that could not record, as they counted themselves.
fn drops(directory: &Directory) -> u64 {
    let mut bytes = [0; 16];
    let read = directory.plain(OsStr::new(DROPS)).and_then(|mut file| file.read_exact(&mut bytes));
    let counter = |at: usize| bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
    if read.is_ok() { counter(0).saturating_add(counter(8)) } else { 0 }
}

fn variable(process: &Process, name: &str) -> Option<String> {
    let found = process.variables.iter().find(|(other, _)| *other == name);
    found.map(|(_, value)| cut(&value.to_text()))
}

/// A name of a host as part of a file's name.
fn plain(host: &str) -> String {
    host.chars().take(64).map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// The row of a run; what names people or their files is left out.
fn usage(run: &JobId, user: String, host: &str, report: Option<RunReport>, dropped: u64) -> Usage {
    let mut row = Usage {
        run: run.to_string(),
        user,
        host: host.to_owned(),
        job: None,
        started_us: 0,
        wall_seconds: 0.0,
        end: "lost".to_owned(),
        exit_status: 0,
        tier: String::new(),
        ranks: None,
        cpu_seconds: None,
        cpus: None,
        memory_peak_bytes: None,
        memory_limit_bytes: None,
        processes_peak: None,
        left_behind: 0,
        gpus: None,
        gpus_used: None,
        gpu_use_percent: None,
        gpu_memory_peak_bytes: None,
        tracking: "on".to_owned(),
        processes_dropped: dropped,
    };
    let Some(report) = report else { return row };
    let seconds = |s: f64| if s.is_finite() && (0.0..1e12).contains(&s) { s } else { 0.0 };
    row.started_us = (seconds(report.started) * 1e6) as i64;
    row.wall_seconds = seconds(report.wall_seconds);
    row.end = match report.end {
        End::Exited { .. } => "exited",
        End::Signaled { .. } => "signaled",
        End::TimeLimit => "time-limit",
        End::OutOfMemory => "out-of-memory",
        End::Terminated => "terminated",
        End::Survivors => "survivors",
        End::InitKilled => "init-killed",
    }
    .to_owned();
    row.exit_status = report.exit_status;
    row.tier = report.tier.to_string();
    row.ranks = report.ranks;
    row.cpu_seconds = report.usage.cpu_seconds.map(|m| seconds(m.value));
    row.cpus = report.cpus;
    row.memory_peak_bytes = report.usage.memory_peak.map(|m| m.value.0);
    row.memory_limit_bytes = report.limits.memory.map(|limit| limit.value.0);
    row.processes_peak = report.usage.processes_peak.map(|m| m.value);
    row.left_behind = report.left_behind.processes;
    if let Some(gpu) = report.usage.gpu {
        (row.gpus, row.gpus_used) = (Some(gpu.devices), Some(gpu.used));
        row.gpu_use_percent = gpu.use_percent.map(seconds);
        row.gpu_memory_peak_bytes = gpu.memory_peak.map(|bytes| bytes.0);
    }
    if let Some(Tracking { state, .. }) = report.tracking {
        row.tracking = match state {
            TrackingState::On => "on",
            TrackingState::OptedOut => "opted-out",
            TrackingState::Off => "off",
        }
        .to_owned();
    }
    row
}
