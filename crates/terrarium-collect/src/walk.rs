//! What is in a spool, and what of it may be taken: records of processes that have ended, and what their runs left.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use terrarium_core::JobId;
use terrarium_spool::{Header, MOST_BYTES, ReadError};
use terrarium_sys::fds::is_open_to_write;
use terrarium_wire::header;

use crate::directory::Directory;

/// Runs in runs have their directories in each other.
const DEPTH: u32 = 4;

/// Entries of one directory; what is beyond comes at the next look.
const MOST_ENTRIES: usize = 100_000;

/// A run in another PID namespace that has had no new process for so long is taken to be over.
const SILENCE: Duration = Duration::from_secs(24 * 3600);

const RUN: &str = "run-";
const RECORD: &[u8] = b".spool";

/// A file of 64 bytes in a run's directory: two counters of 8 bytes.
pub(crate) const DROPS: &str = "drops";

/// The run's report.
pub(crate) const REPORT: &str = ".run.json";

/// A directory of records: the spool itself, or a run's.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) directory: Directory,
    /// Below the spool.
    pub(crate) parts: Vec<OsString>,
    /// The run whose it is.
    pub(crate) run: Option<JobId>,
}

/// A record that may be taken.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) place: Rc<Place>,
    pub(crate) name: OsString,
    pub(crate) header: Header,
}

/// A record that was opened again.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) file: File,
    pub(crate) owner: u32,
    pub(crate) group: u32,
    pub(crate) bytes: Vec<u8>,
}

/// What a look at a spool found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Parents before those that were forked from them.
    pub(crate) entries: Vec<Entry>,
    /// Runs that are over, those in runs first.
    pub(crate) runs: Vec<Rc<Place>>,
    /// Records of processes that have not ended.
    pub(crate) running: u64,
    /// Files in which nothing was written before their process ended.
    pub(crate) blank: Vec<(Rc<Place>, OsString)>,
    /// What was refused, and why.
    pub(crate) refused: Vec<(Rc<Place>, OsString, String)>,
}

/// Looks through a spool. `is_over` says of a run whether its supervisor is gone; `None`: that cannot be told.
pub(crate) fn walk(spool: Directory, is_over: &dyn Fn(&JobId) -> Option<bool>) -> io::Result<Found> {
    let mut found = Found::default();
    let mut held = HashSet::new();
    let place = Rc::new(Place { directory: spool, parts: Vec::new(), run: None });
    found.look(&place, DEPTH, is_over, &mut held)?;
    found.hold_back(held);
    found.entries.sort_by_key(|entry| (entry.header.start, entry.header.id));
    Ok(found)
}

impl Found {
    fn look(
        &mut self,
        place: &Rc<Place>,
        deeper: u32,
        is_over: &dyn Fn(&JobId) -> Option<bool>,
        held: &mut HashSet<(u32, u64)>,
    ) -> io::Result<()> {
        for name in place.directory.names(MOST_ENTRIES)? {
            if name.as_encoded_bytes().ends_with(RECORD) {
                match record(place, &name) {
                    Ok(Some(header)) => {
                        self.entries.push(Entry { place: Rc::clone(place), name, header });
                    }
                    Ok(None) => {}
                    Err(Not::Begun) => self.blank.push((Rc::clone(place), name)),
                    Err(Not::Running(parent)) => {
                        self.running += 1;
                        held.extend(parent);
                    }
                    Err(Not::Refused(why)) => self.refused.push((Rc::clone(place), name, why)),
                }
            } else if let Some(run) = job_of(&name).filter(|_| deeper > 0) {
                self.run(place, &name, run, deeper, is_over, held);
            }
        }
        Ok(())
    }

    fn run(
        &mut self,
        place: &Rc<Place>,
        name: &OsStr,
        run: JobId,
        deeper: u32,
        is_over: &dyn Fn(&JobId) -> Option<bool>,
        held: &mut HashSet<(u32, u64)>,
    ) {
        // While it goes on, its processes refer to each other.
        let over = is_over(&run);
        if over == Some(false) {
            self.running += 1;
            return;
        }
        let below = match place.directory.below(name) {
            Ok(below) => below,
            Err(error) => {
                // It may have gone in between.
                if error.kind() != io::ErrorKind::NotFound {
                    self.refused.push((Rc::clone(place), name.to_owned(), error.to_string()));
                }
                return;
            }
        };
        let parts = place.parts.iter().cloned().chain([name.to_owned()]).collect();
        let below = Rc::new(Place { directory: below, parts, run: Some(run) });
        let before = self.running;
        if let Err(error) = self.look(&below, deeper - 1, is_over, held) {
            self.refused.push((Rc::clone(place), name.to_owned(), error.to_string()));
        } else if self.running == before && (over == Some(true) || is_old(place, name)) {
            self.runs.push(below);
        }
    }

    /// What a running process was forked from says what is its own code: it stays as long.
    fn hold_back(&mut self, mut held: HashSet<(u32, u64)>) {
        let parents: HashMap<(u32, u64), u64> = self
            .entries
            .iter()
            .filter(|entry| entry.header.is_forked())
            .map(|entry| (entry.key(), entry.header.forked_from))
            .collect();
        let mut next: Vec<(u32, u64)> = held.iter().copied().collect();
        while let Some((owner, id)) = next.pop() {
            if let Some(parent) = parents.get(&(owner, id)).filter(|parent| held.insert((owner, **parent))) {
                next.push((owner, *parent));
            }
        }
        let all = self.entries.len();
        self.entries.retain(|entry| !held.contains(&entry.key()));
        self.running += (all - self.entries.len()) as u64;
    }
}

impl Entry {
    /// Records refer to each other by this, within what one user wrote.
    pub(crate) fn key(&self) -> (u32, u64) {
        (self.header_owner(), self.header.id)
    }

    fn header_owner(&self) -> u32 {
        // In a run's directory all is its owner's; elsewhere the header says it, and a lie hurts who lies.
        if self.place.run.is_some() { self.place.directory.owner() } else { self.header.user }
    }

    /// Reads it, whole.
    pub(crate) fn read(&self) -> Result<Record, String> {
        let text = |error: io::Error| error.to_string();
        let file = self.place.directory.plain(&self.name).map_err(text)?;
        let meta = file.metadata().map_err(text)?;
        allowed(&self.place, &meta)?;
        let mut bytes = Vec::with_capacity(meta.len() as usize);
        (&file).take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(text)?;
        Ok(Record { file, owner: meta.uid(), group: meta.gid(), bytes })
    }
}

/// Whether a run of which nobody here knows has had no new process for so long that it is taken to be over.
fn is_old(place: &Place, name: &OsStr) -> bool {
    let changed = place.directory.look(name).and_then(|meta| meta.modified());
    changed.ok().and_then(|then| SystemTime::now().duration_since(then).ok()).is_some_and(|age| age > SILENCE)
}

/// Why a record is left where it is.
enum Not {
    /// Nothing was ever written in it.
    Begun,
    /// Its process has it open; and what that was forked from.
    Running(Option<(u32, u64)>),
    Refused(String),
}

/// `None`: it has just gone.
fn record(place: &Place, name: &OsStr) -> Result<Option<Header>, Not> {
    let refused = |error: io::Error| Not::Refused(error.to_string());
    let file = match place.directory.plain(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(refused)?,
    };
    let meta = file.metadata().map_err(refused)?;
    allowed(place, &meta).map_err(Not::Refused)?;
    // Asked before it is read, or what is written in between would be missing.
    let is_running = is_open_to_write(&file).unwrap_or_else(|| is_mapped(&meta));
    let mut bytes = Vec::with_capacity(header::LENGTH);
    (&file).take(header::LENGTH as u64).read_to_end(&mut bytes).map_err(refused)?;
    match Header::read(&bytes) {
        Ok(header) if is_running => {
            let owner = if place.run.is_some() { place.directory.owner() } else { header.user };
            Err(Not::Running(header.is_forked().then_some((owner, header.forked_from))))
        }
        Ok(header) => Ok(Some(header)),
        Err(_) if is_running => Err(Not::Running(None)),
        Err(ReadError::Empty) => Err(Not::Begun),
        Err(error) => Err(Not::Refused(error.to_string())),
    }
}

fn allowed(place: &Place, meta: &std::fs::Metadata) -> Result<(), String> {
    if meta.len() > MOST_BYTES as u64 {
        return Err(format!("it has {} bytes, and a record has at most {MOST_BYTES}", meta.len()));
    }
    // A second name may be one that somebody else gave to another's file.
    if meta.nlink() != 1 {
        return Err("it has more than one name".to_owned());
    }
    if place.run.is_some() && meta.uid() != place.directory.owner() {
        return Err("it is not the owner's of its directory".to_owned());
    }
    Ok(())
}

/// Whether a process has this file mapped: where the kernel gives no lease.
fn is_mapped(meta: &std::fs::Metadata) -> bool {
    let inode = meta.ino().to_string();
    let has = |maps: &[u8]| {
        maps.split(|byte| *byte == b'\n').any(|line| {
            let mut fields = line.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
            line.ends_with(RECORD) && fields.nth(4) == Some(inode.as_bytes())
        })
    };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .map(|entry| entry.path().join("maps"))
        .any(|maps| std::fs::read(maps).is_ok_and(|text| has(&text)))
}

/// The run to which a directory belongs, by its name.
fn job_of(name: &OsStr) -> Option<JobId> {
    name.to_str()?.strip_prefix(RUN)?.parse().ok()
}
