//! What others recorded, made ours: XALT, Customs and snapshots become segments as a node's own records do.
//!
//! An import reads all that was named ([`Import::read`]), puts the pieces of each process together (`join.rs`; in memory, or through
//! files of a work directory where that does not do), gives them meaning by the site's rules (`meaning.rs`), and writes units of
//! segments, day by day (`unit.rs`), which the store commits. It may be killed anywhere: what was read is noted, and units are made
//! again as they were.

mod accounts;
mod customs;
mod gather;
mod intern;
mod join;
mod json;
mod lines;
mod meaning;
mod module;
mod snapshot;
mod times;
mod unit;
mod walk;
mod xalt;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::Digest;
use terrarium_site::Site;

pub use accounts::{Accounts, Batch, sacct_fields};
pub use gather::Counts;
pub use snapshot::Mapping;
pub use terrarium_accounting::Zone;
pub use unit::{Answers, Day, Doubts, UNIT, Written};

use gather::{Cursor, Gathering, Place};
use meaning::Source;
use unit::Units;
use walk::{Walk, documents};

/// Why nothing can be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The work directory.
    #[error("cannot work in {}: {source}", path.display())]
    Work {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing of what was named is there.
    #[error("there is no file in what was named")]
    Nothing,
    /// The file that says which column is which.
    #[error("{}: {why}", path.display())]
    Mapping {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// What is imported.
#[derive(Clone, Debug)]
pub enum What {
    /// Records of XALT.
    Xalt,
    /// Messages of Customs.
    Customs,
    /// Snapshots.
    Snapshot(Box<Mapping>),
}

impl What {
    fn source(&self) -> Source {
        match self {
            What::Xalt => Source { name: "xalt".to_owned(), loses_packages: true, has_starts: true },
            What::Customs => Source { name: "customs".to_owned(), loses_packages: false, has_starts: false },
            What::Snapshot(mapping) => {
                Source { name: mapping.name.clone(), loses_packages: false, has_starts: false }
            }
        }
    }
}

/// How it is imported.
#[derive(Clone, Debug)]
pub struct Options {
    /// The site's rules.
    pub site: Site,
    /// In place of the cluster that records name.
    pub cluster: Option<String>,
    /// Of records that do not name theirs.
    pub scheduler: Option<String>,
    /// Where to work.
    pub work: PathBuf,
    /// Bytes of memory that reading may take.
    pub memory: usize,
    /// Rows that are committed at once: [`UNIT`].
    pub unit_rows: u64,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Bytes of files that were read,
    pub bytes: u64,
    /// of so many.
    pub of_bytes: u64,
    /// Records so far.
    pub records: u64,
}

/// Told now and then.
pub type Told<'a> = &'a mut dyn FnMut(Progress);

/// An import.
pub struct Import {
    what: What,
    paths: Vec<PathBuf>,
    work: PathBuf,
    gathering: Gathering,
    units: Units,
    total: Total,
    days: std::vec::IntoIter<i32>,
    /// Places by day, of what is in memory.
    in_memory: BTreeMap<i32, Vec<u32>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Total {
    files: u64,
    bytes: u64,
}

impl Import {
    /// Looks at what there is, and goes on with an import of the same that was interrupted.
    pub fn open(what: What, paths: &[PathBuf], options: Options) -> Result<Self, ImportError> {
        let failed = |source| ImportError::Work { path: options.work.clone(), source };
        let mut digest = sha2::Sha256::new();
        let mut total = Total::default();
        digest.update(format!("{what:?} {:?} {:?} {:?}", options.cluster, options.scheduler, options.site));
        for found in Walk::new(paths).flatten() {
            total.files += 1;
            total.bytes += found.size;
            digest.update(found.path.as_os_str().as_encoded_bytes());
            digest.update([found.size.to_le_bytes(), found.modified_ms.to_le_bytes()].concat());
        }
        if total.files == 0 {
            return Err(ImportError::Nothing);
        }
        make_private(&options.work).map_err(failed)?;
        let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let gathering = Gathering::open(&options.work, &digest, options.memory, options.scheduler.clone())
            .map_err(failed)?;
        let unfinished = units_of(&options.work).join("unfinished");
        if unfinished.is_dir() {
            std::fs::remove_dir_all(&unfinished).map_err(failed)?;
        }
        let units = Units::new(
            &units_of(&options.work),
            options.site.clone(),
            what.source(),
            options.cluster.clone(),
            options.unit_rows,
        )
        .map_err(failed)?;
        Ok(Import {
            what,
            paths: paths.to_vec(),
            work: options.work,
            gathering,
            units,
            total,
            days: Vec::new().into_iter(),
            in_memory: BTreeMap::new(),
        })
    }

    /// The name of the source in the tables.
    pub fn source(&self) -> String {
        self.what.source().name
    }

    /// Whether it goes on with one that was interrupted.
    pub fn goes_on(&self) -> bool {
        self.gathering.is_read() || self.gathering.cursor != Cursor::default()
    }

    fn failed(&self, source: io::Error) -> ImportError {
        ImportError::Work { path: self.work.clone(), source }
    }

    /// Reads everything.
    pub fn read(&mut self, told: Told<'_>) -> Result<(), ImportError> {
        if !self.gathering.is_read() {
            self.read_files(told)?;
        }
        let day = |entry: &join::Entry| day(entry.started_us());
        self.gathering.finish(&day).map_err(|error| self.failed(error))?;
        let mut days = self.gathering.days();
        if !self.gathering.has_spilled() {
            for (place, entry) in self.gathering.joiner.entries.iter().enumerate() {
                self.in_memory.entry(day(entry)).or_default().push(place as u32);
            }
            days = self.in_memory.keys().copied().collect();
        }
        self.days = days.into_iter();
        Ok(())
    }

    fn read_files(&mut self, told: Told<'_>) -> Result<(), ImportError> {
        let count = Arc::new(AtomicU64::new(0));
        let done = self.gathering.cursor;
        let mut walk = Walk::new(&self.paths);
        let mut number = 0;
        let mut skipped = 0;
        for found in walk.by_ref() {
            let found = match found {
                Ok(found) => found,
                Err((path, error)) => {
                    let file = path.display().to_string();
                    self.gathering.broken(Place { file: &file, offset: 0 }, &error.to_string());
                    continue;
                }
            };
            number += 1;
            if number <= done.files {
                skipped += found.size;
                continue;
            }
            let skip = if number == done.files + 1 { done.documents } else { 0 };
            let mut documents_seen = 0;
            let mut fatal: Option<io::Error> = None;
            let (what, gathering) = (&self.what, &mut self.gathering);
            let total = self.total;
            let mut records = 0;
            let mut take = |name: walk::Name<'_>, document: walk::Document<'_>| -> io::Result<()> {
                documents_seen += 1;
                if documents_seen <= skip {
                    return Ok(());
                }
                let read = match what {
                    What::Xalt => xalt::read(name, document, gathering),
                    What::Customs => customs::read(name, document, gathering),
                    What::Snapshot(mapping) => mapping.read(name, document, gathering),
                };
                // What cannot be read any further is listed; what cannot be written ends the import.
                match gathering.take_failure() {
                    Some(error) => {
                        fatal = Some(error);
                        return Err(io::Error::other("stopped"));
                    }
                    None => read?,
                }
                if let Err(error) = gathering.document_done() {
                    fatal = Some(error);
                    return Err(io::Error::other("stopped"));
                }
                records += 1;
                if records % 256 == 0 {
                    let bytes = skipped + count.load(Ordering::Relaxed);
                    told(Progress {
                        bytes,
                        of_bytes: total.bytes,
                        records: gathering.joiner.entries.len() as u64,
                    });
                }
                Ok(())
            };
            let read = documents(&found.path, &count, &mut take);
            if let Some(error) = fatal {
                return Err(self.failed(error));
            }
            if let Err(error) = read {
                let file = found.path.display().to_string();
                let offset = count.load(Ordering::Relaxed);
                self.gathering
                    .broken(Place { file: &file, offset: offset.min(found.size) }, &error.to_string());
            }
            skipped += found.size;
            count.store(0, Ordering::Relaxed);
            self.gathering.file_done().map_err(|error| self.failed(error))?;
            told(Progress {
                bytes: skipped,
                of_bytes: self.total.bytes,
                records: self.gathering.joiner.entries.len() as u64,
            });
        }
        let passed = walk.passed;
        if passed > 0 {
            self.gathering.counts.add("links and devices passed over", passed);
        }
        Ok(())
    }

    /// The next day that has something.
    pub fn next_day(&mut self) -> Result<Option<Day>, ImportError> {
        let Some(date) = self.days.next() else { return Ok(None) };
        let joiner = match self.in_memory.remove(&date) {
            // All of it: no need of another copy.
            Some(places) if places.len() == self.gathering.joiner.entries.len() => {
                std::mem::take(&mut self.gathering.joiner)
            }
            Some(places) => {
                let whole = &self.gathering.joiner;
                let entries = places.iter().map(|place| &whole.entries[*place as usize]);
                whole.part(entries)
            }
            None => self.gathering.day(date).map_err(|error| self.failed(error))?,
        };
        let day = Day::new(date, joiner);
        Ok(Some(day))
    }

    /// By cluster: processes of a day of which the store says something else.
    pub fn differing(&self, day: &Day, answers: &Answers) -> HashMap<String, HashSet<i64>> {
        self.units.differing(day, answers)
    }

    /// Writes a day. A unit that is full is a directory of segments, to be committed before the next day is written.
    pub fn write(&mut self, day: &Day, answers: &Answers) -> Result<Option<PathBuf>, ImportError> {
        self.units.write(day, answers).map_err(|error| self.failed(error))
    }

    /// The last unit.
    pub fn finish(&mut self) -> Result<Option<PathBuf>, ImportError> {
        self.units.seal().map_err(|error| self.failed(error))
    }

    /// What became of processes.
    pub fn written(&self) -> Written {
        self.units.written
    }

    /// What was read.
    pub fn counts(&self) -> &Counts {
        &self.gathering.counts
    }

    /// How much was refused, the first of it, and where all of it is listed.
    pub fn refused(&self) -> (u64, &[String], PathBuf) {
        (self.gathering.refused.count(), self.gathering.refused.first(), self.work.join("refused.jsonl"))
    }

    /// All is committed: what was noted goes, but for the list of what was refused.
    pub fn done(self) -> Result<(), ImportError> {
        let failed = |source| ImportError::Work { path: self.work.clone(), source };
        for name in ["buckets", "days", "units"] {
            let path = self.work.join(name);
            if path.is_dir() {
                std::fs::remove_dir_all(&path).map_err(failed)?;
            }
        }
        match std::fs::remove_file(self.work.join("state.json")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }
}

/// Where units are.
pub fn units_of(work: &Path) -> PathBuf {
    work.join("units")
}

/// Units that are finished, in their order.
pub fn waiting(work: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(units_of(work)).into_iter().flatten().flatten();
    let is_unit = |path: &PathBuf| {
        path.is_dir()
            && path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit))
    };
    let mut units: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_unit).collect();
    units.sort();
    units
}

/// Removes all that was read, and the list of what was refused.
pub fn clear(work: &Path) -> Result<(), ImportError> {
    let failed = |source| ImportError::Work { path: work.to_owned(), source };
    for name in ["buckets", "days", "units"] {
        let path = work.join(name);
        if path.is_dir() {
            std::fs::remove_dir_all(&path).map_err(failed)?;
        }
    }
    for name in ["state.json", "state.new", "refused.jsonl"] {
        match std::fs::remove_file(work.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    Ok(())
}

/// Makes a directory that is nobody else's: names stand in it as they came.
fn make_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if directory.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Days since 1970, as the store counts them.
fn day(micros: i64) -> i32 {
    micros.div_euclid(86_400_000_000).clamp(0, 100_000) as i32
}
