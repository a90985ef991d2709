//! What the records of a run say, added up. Whoever ran in the job may have written anything there, of any size.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use terrarium_core::report::{Tracking, TrackingState};
use terrarium_jail::track::{RunDirectory, job_of};
use terrarium_spool::{Module, Place};
use terrarium_sys::fds::open_plain;
use terrarium_wire::header::{self, flag};

/// The end of a run waits for the reading: so many records, so many bytes, and so long at most. The rest is counted as
/// unread.
const MOST_RECORDS: u64 = 10_000;
const MOST_BYTES: u64 = 256 << 20;
const LONGEST: Duration = Duration::from_secs(1);

/// Names that are told apart, in bytes of all.
const MOST_NAMES: usize = 32 << 20;

/// Packages in the report.
const MOST_DIRECT: usize = 50;

/// A package's name is never as long.
const LONGEST_NAME: usize = 100;

/// Runs in runs in runs have their directories in each other.
const DEPTH: u32 = 4;

/// What all records of a run say together.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    processes: u64,
    python_processes: u64,
    unread: u64,
    bytes: u64,
    names: HashSet<Box<[u8]>>,
    names_bytes: usize,
    /// Modules that are the user's own code in any process.
    own: HashSet<Box<[u8]>>,
    /// Records of forked children, which are read when the others were: what their parents had loaded imports in them too.
    forked: Vec<PathBuf>,
    /// By name: whose it is (the least counts), and in how many processes.
    direct: BTreeMap<String, (u8, u64)>,
}

/// What to do with the record of a forked child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forked {
    Later,
    Read,
}

/// Whether there was time.
struct Clock(Instant);

impl Loaded {
    /// Reads the records in a run's directory.
    pub(crate) fn read(directory: &RunDirectory) -> Self {
        let mut loaded = Loaded::default();
        if directory.is_the_same() {
            let clock = Clock(Instant::now());
            loaded.directory(directory.path(), 0, &clock);
            for path in std::mem::take(&mut loaded.forked) {
                loaded.count(&path, Forked::Read, &clock);
            }
        }
        loaded
    }

    fn directory(&mut self, path: &Path, depth: u32, clock: &Clock) {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.as_encoded_bytes().ends_with(b".spool") {
                self.count(&entry.path(), Forked::Later, clock);
                // Not even counted for ever.
                if self.unread > 10 * MOST_RECORDS {
                    return;
                }
            } else if depth < DEPTH && job_of(&name).is_some() && entry.file_type().is_ok_and(|t| t.is_dir())
            {
                self.directory(&entry.path(), depth + 1, clock);
            }
        }
    }

    fn count(&mut self, path: &Path, forked: Forked, clock: &Clock) {
        let is_over = self.processes + self.unread >= MOST_RECORDS
            || self.bytes >= MOST_BYTES
            || clock.0.elapsed() >= LONGEST;
        if is_over || self.record(path, forked).is_none() {
            self.unread += 1;
        }
    }

    fn record(&mut self, path: &Path, forked: Forked) -> Option<()> {
        let mut file = open_plain(path).ok()?;
        let mut bytes = vec![0; header::LENGTH];
        file.read_exact(&mut bytes).ok()?;
        if bytes[..header::MAGIC.len()] != header::MAGIC {
            return None;
        }
        let flags = u32::from_le_bytes(bytes[header::AT_FLAGS..][..4].try_into().ok()?);
        if forked == Forked::Later && flags & flag::FORKED != 0 && self.forked.len() < MOST_RECORDS as usize {
            self.forked.push(path.to_owned());
            return Some(());
        }
        self.bytes += bytes.len() as u64;
        if flags & flag::PYTHON != 0 {
            let most = (terrarium_spool::MOST_BYTES as u64).min(MOST_BYTES - self.bytes.min(MOST_BYTES)) + 1;
            self.bytes += file.take(most).read_to_end(&mut bytes).ok()? as u64;
            let own = &self.own;
            let process = terrarium_spool::process_forked(&bytes, &|name| own.contains(name)).ok()?;
            self.python_processes += 1;
            for module in process.own_modules().map(|name| name.as_bytes()) {
                if self.names_bytes + module.len() <= MOST_NAMES && !self.own.contains(module) {
                    self.names_bytes += module.len();
                    self.own.insert(module.into());
                }
            }
            self.modules(process.modules.iter().filter(|module| module.is_loaded()));
        }
        self.processes += 1;
        Some(())
    }

    fn modules<'a>(&mut self, modules: impl Iterator<Item = &'a Module>) {
        let mut direct: BTreeMap<String, u8> = BTreeMap::new();
        for module in modules {
            let name = module.name.as_bytes();
            if self.names_bytes + name.len() <= MOST_NAMES && !self.names.contains(name) {
                self.names_bytes += name.len();
                self.names.insert(name.into());
            }
            let top = name.split(|byte| *byte == b'.').next().unwrap_or_default();
            if module.direct && !top.is_empty() && top.len() <= LONGEST_NAME && top != b"__main__" {
                let place = place(module.place);
                let known = direct.entry(String::from_utf8_lossy(top).into_owned()).or_insert(place);
                *known = place.min(*known);
            }
        }
        for (name, place) in direct {
            if self.direct.len() < MOST_DIRECT * 20 || self.direct.contains_key(&name) {
                let known = self.direct.entry(name).or_insert((place, 0));
                *known = (place.min(known.0), known.1 + 1);
            }
        }
    }

    /// For the run's report.
    pub(crate) fn report(self, directory: &RunDirectory) -> Tracking {
        let mut direct: Vec<_> = self.direct.into_iter().collect();
        direct.sort_by_key(|(_, (place, processes))| (*place, std::cmp::Reverse(*processes)));
        let (no_space, other) = directory.dropped();
        Tracking {
            state: TrackingState::On,
            why: None,
            spool: Some(directory.path().display().to_string()),
            processes: self.processes,
            python_processes: self.python_processes,
            modules: self.names.len() as u64,
            dropped: no_space.saturating_add(other),
            unread: self.unread,
            direct: direct.into_iter().take(MOST_DIRECT).map(|(name, _)| name).collect(),
        }
    }
}

/// What was installed is worth naming first.
fn place(place: Place) -> u8 {
    match place {
        Place::Installed => 0,
        Place::Own => 1,
        Place::Unknown => 2,
        Place::Standard => 3,
    }
}
