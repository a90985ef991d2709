//! Reading: records go into the joiner, and to files when memory is full. Where reading is can be written down at any line, so that
//! it goes on there.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::join::{Chunk, Entry, Joiner};
use crate::xalt::syslog::Assembly;

/// Files by the hash of the key: each has a part that fits into memory.
const BUCKETS: usize = 256;

/// So many records that are broken are listed.
const MOST_LISTED: u64 = 100_000;

/// How often reading is written down, at least.
const OFTEN: Duration = Duration::from_secs(60);

/// Whether something is to be put away is looked at once in so many records.
const LOOK: u32 = if cfg!(test) { 1 } else { 256 };

/// Where a record is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) file: &'a str,
    pub(crate) offset: u64,
}

/// How many records of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts(pub BTreeMap<String, u64>, #[serde(skip)] Vec<(&'static str, u64)>);

impl Counts {
    /// One more.
    pub(crate) fn was(&mut self, kind: &'static str) {
        self.add(kind, 1);
    }

    /// More of a kind.
    pub(crate) fn add(&mut self, kind: &'static str, n: u64) {
        match self.1.iter_mut().find(|(name, _)| std::ptr::eq(*name, kind)) {
            Some((_, count)) => *count += n,
            None => self.1.push((kind, n)),
        }
    }

    /// All records.
    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum::<u64>() + self.1.iter().map(|(_, n)| n).sum::<u64>()
    }

    /// All of them, added up.
    pub fn all(&self) -> BTreeMap<String, u64> {
        let mut all = self.0.clone();
        for (name, n) in &self.1 {
            *all.entry((*name).to_owned()).or_default() += n;
        }
        all
    }

    /// How many of a kind.
    pub fn of(&self, kind: &str) -> u64 {
        self.all().get(kind).copied().unwrap_or(0)
    }
}

/// Records that were refused.
#[derive(Debug)]
pub(crate) struct Refused {
    file: File,
    length: u64,
    count: u64,
    /// The first ones, for people.
    first: Vec<String>,
}

#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    offset: u64,
    why: &'a str,
}

impl Refused {
    pub(crate) fn open(path: &Path, length: u64, count: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.set_len(length)?;
        file.seek(io::SeekFrom::End(0))?;
        Ok(Refused { file, length, count, first: Vec::new() })
    }

    pub(crate) fn add(&mut self, place: Place<'_>, why: &str) {
        self.count += 1;
        if self.first.len() < 10 {
            self.first.push(format!("{}, byte {}: {why}", place.file, place.offset));
        }
        if self.count > MOST_LISTED {
            return;
        }
        let line = Line { file: place.file, offset: place.offset, why };
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        // The list is for people; that it cannot be written is no reason to stop.
        if self.file.write_all(&bytes).is_ok() {
            self.length += bytes.len() as u64;
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn first(&self) -> &[String] {
        &self.first
    }
}

/// How far reading is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// Files that are done,
    pub(crate) files: u64,
    /// documents of the next one that are done,
    pub(crate) documents: u64,
    /// and bytes of the next of these.
    pub(crate) offset: u64,
}

/// What is written down.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// Of what is imported, and how: another import does not go on with it.
    pub(crate) digest: String,
    pub(crate) cursor: Cursor,
    /// All is read.
    pub(crate) is_read: bool,
    /// Buckets that were sorted into days.
    pub(crate) sorted: usize,
    /// Files and how long they are: what is behind that was written and not noted.
    pub(crate) files: BTreeMap<String, u64>,
    pub(crate) counts: Counts,
    pub(crate) refused: (u64, u64),
    assembly: Assembly,
}

/// Reading.
pub(crate) struct Gathering {
    pub(crate) joiner: Joiner,
    pub(crate) counts: Counts,
    pub(crate) assembly: Assembly,
    pub(crate) refused: Refused,
    /// Of sources that do not tell.
    pub(crate) scheduler: Option<String>,
    pub(crate) cursor: Cursor,
    /// Where reading begins in the first document.
    skip: u64,
    state: State,
    directory: PathBuf,
    budget: usize,
    noted: Instant,
    /// Records since it was looked whether something is to be put away.
    since: u32,
    /// Why what was read could not be put away.
    failure: Option<io::Error>,
}

const STATE: &str = "state.json";

impl Gathering {
    /// In this directory, which is made if need be. What an earlier one left there is used if it is of the same import.
    pub(crate) fn open(
        directory: &Path,
        digest: &str,
        budget: usize,
        scheduler: Option<String>,
    ) -> io::Result<Self> {
        let known = fs::read(directory.join(STATE)).ok();
        let state: Option<State> = known.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut state = state.filter(|state| state.digest == digest).unwrap_or_default();
        state.digest = digest.to_owned();
        for kind in ["buckets", "days"] {
            fs::create_dir_all(directory.join(kind))?;
            for entry in fs::read_dir(directory.join(kind))? {
                let path = entry?.path();
                let name = format!("{kind}/{}", path.file_name().unwrap_or_default().to_string_lossy());
                match state.files.get(&name) {
                    Some(length) => OpenOptions::new().write(true).open(&path)?.set_len(*length)?,
                    None => fs::remove_file(&path)?,
                }
            }
        }
        let refused = Refused::open(&directory.join("refused.jsonl"), state.refused.0, state.refused.1)?;
        Ok(Gathering {
            joiner: Joiner::default(),
            counts: state.counts.clone(),
            assembly: std::mem::take(&mut state.assembly),
            refused,
            scheduler,
            cursor: state.cursor,
            skip: state.cursor.offset,
            state,
            directory: directory.to_owned(),
            budget,
            noted: Instant::now(),
            since: 0,
            failure: None,
        })
    }

    pub(crate) fn is_read(&self) -> bool {
        self.state.is_read
    }

    /// Whether anything went to files.
    pub(crate) fn has_spilled(&self) -> bool {
        !self.state.files.is_empty()
    }

    /// Something that is no record, or a broken one.
    pub(crate) fn broken(&mut self, place: Place<'_>, why: &str) {
        self.refused.add(place, why);
    }

    /// Whether what is at this place of the document was taken before.
    pub(crate) fn is_done(&self, offset: u64) -> bool {
        offset < self.skip
    }

    /// Between two records of a document.
    pub(crate) fn pause(&mut self, offset: u64) -> io::Result<()> {
        if offset <= self.skip {
            return Ok(());
        }
        self.cursor.offset = offset;
        self.note_if_due()
    }

    /// A document is done.
    pub(crate) fn document_done(&mut self) -> io::Result<()> {
        self.cursor = Cursor { documents: self.cursor.documents + 1, offset: 0, ..self.cursor };
        self.skip = 0;
        self.note_if_due()
    }

    /// A file is done.
    pub(crate) fn file_done(&mut self) -> io::Result<()> {
        self.cursor = Cursor { files: self.cursor.files + 1, documents: 0, offset: 0 };
        self.skip = 0;
        self.note_if_due()
    }

    /// Why reading stopped, if not for what was read.
    pub(crate) fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    fn note_if_due(&mut self) -> io::Result<()> {
        // Looking at the clock costs as much as a package.
        self.since += 1;
        if self.since < LOOK {
            return Ok(());
        }
        self.since = 0;
        self.put_away()
            .inspect_err(|error| self.failure = Some(io::Error::new(error.kind(), error.to_string())))
    }

    fn put_away(&mut self) -> io::Result<()> {
        let is_full = self.joiner.size() > self.budget;
        if is_full || (self.noted.elapsed() > OFTEN && !self.joiner.is_empty()) {
            self.spill()?;
            self.note()?;
        }
        Ok(())
    }

    /// In the middle of something that can only be read from its beginning.
    pub(crate) fn relieve(&mut self) -> io::Result<()> {
        if self.joiner.size() <= self.budget {
            return Ok(());
        }
        self.spill().inspect_err(|error| self.failure = Some(io::Error::new(error.kind(), error.to_string())))
    }

    /// All that is in memory goes to files.
    fn spill(&mut self) -> io::Result<()> {
        let joiner = std::mem::take(&mut self.joiner);
        let mut buckets: Vec<Vec<&Entry>> = vec![Vec::new(); BUCKETS];
        for entry in &joiner.entries {
            buckets[bucket(entry.key)].push(entry);
        }
        for (number, entries) in buckets.into_iter().enumerate() {
            if !entries.is_empty() {
                self.append(&format!("buckets/{number:03}"), &joiner.chunk(entries.into_iter()))?;
            }
        }
        Ok(())
    }

    fn append(&mut self, name: &str, chunk: &Chunk) -> io::Result<()> {
        let bytes = postcard::to_extend(chunk, Vec::new()).map_err(io::Error::other)?;
        let mut packer = zstd::bulk::Compressor::new(1)?;
        packer.include_checksum(true)?;
        let packed = packer.compress(&bytes)?;
        let mut file = OpenOptions::new().create(true).append(true).open(self.directory.join(name))?;
        file.write_all(&[(bytes.len() as u64).to_le_bytes(), (packed.len() as u64).to_le_bytes()].concat())?;
        file.write_all(&packed)?;
        *self.state.files.entry(name.to_owned()).or_default() += 16 + packed.len() as u64;
        Ok(())
    }

    /// Writes down where reading is.
    fn note(&mut self) -> io::Result<()> {
        self.state.cursor = self.cursor;
        self.state.counts = Counts(self.counts.all(), Vec::new());
        self.state.refused = (self.refused.length, self.refused.count);
        self.state.assembly = std::mem::take(&mut self.assembly);
        let bytes = serde_json::to_vec(&self.state).map_err(io::Error::other);
        self.assembly = std::mem::take(&mut self.state.assembly);
        let new = self.directory.join("state.new");
        fs::write(&new, bytes?)?;
        fs::rename(new, self.directory.join(STATE))?;
        self.noted = Instant::now();
        Ok(())
    }

    /// All is read. What went to files is sorted into days; if nothing did, all is in memory.
    pub(crate) fn finish(&mut self, day: &dyn Fn(&Entry) -> i32) -> io::Result<()> {
        for (file, offset, why) in self.assembly.rest() {
            self.refused.add(Place { file: &file, offset }, &why);
        }
        if !self.has_spilled() {
            return Ok(());
        }
        if !self.state.is_read {
            self.spill()?;
            self.state.is_read = true;
            self.note()?;
        }
        while self.state.sorted < BUCKETS {
            let name = format!("buckets/{:03}", self.state.sorted);
            let mut joiner = Joiner::default();
            for chunk in chunks(&self.directory.join(&name))? {
                joiner.take(chunk?);
            }
            let mut days: BTreeMap<i32, Vec<&Entry>> = BTreeMap::new();
            for entry in &joiner.entries {
                days.entry(day(entry)).or_default().push(entry);
            }
            for (day, entries) in days {
                let chunk = joiner.chunk(entries.into_iter());
                self.append(&format!("days/{day:06}"), &chunk)?;
            }
            self.state.sorted += 1;
            self.state.files.remove(&name);
            self.note()?;
            let _ = fs::remove_file(self.directory.join(&name));
        }
        Ok(())
    }

    /// Days that are in files, in their order.
    pub(crate) fn days(&self) -> Vec<i32> {
        let names = self.state.files.keys().filter_map(|name| name.strip_prefix("days/"));
        names.filter_map(|day| day.parse().ok()).collect()
    }

    /// All of a day that is in a file.
    pub(crate) fn day(&self, day: i32) -> io::Result<Joiner> {
        let mut joiner = Joiner::default();
        for chunk in chunks(&self.directory.join(format!("days/{day:06}")))? {
            joiner.take(chunk?);
        }
        Ok(joiner)
    }
}

fn bucket(key: u128) -> usize {
    // The low half of every kind of UUID is random but for its first bits.
    ((key as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as usize % BUCKETS
}

/// Chunks of a file; none if there is none.
fn chunks(path: &Path) -> io::Result<impl Iterator<Item = io::Result<Chunk>>> {
    let mut reader = match File::open(path) {
        Ok(file) => Some(BufReader::new(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let mut next = move || -> io::Result<Option<Chunk>> {
        let Some(reader) = &mut reader else { return Ok(None) };
        let mut head = [0; 16];
        if reader.fill_buf_is_empty()? {
            return Ok(None);
        }
        reader.read_exact(&mut head)?;
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0usize, |n, byte| n << 8 | usize::from(*byte));
        let (length, size) = (number(&head[..8]), number(&head[8..]));
        let mut packed = Vec::new();
        (&mut *reader).take(size as u64).read_to_end(&mut packed)?;
        let bytes = zstd::bulk::decompress(&packed, length)?;
        postcard::from_bytes(&bytes).map(Some).map_err(io::Error::other)
    };
    Ok(std::iter::from_fn(move || next().transpose()))
}

trait IsEmpty {
    fn fill_buf_is_empty(&mut self) -> io::Result<bool>;
}

impl<R: io::BufRead> IsEmpty for R {
    fn fill_buf_is_empty(&mut self) -> io::Result<bool> {
        Ok(self.fill_buf()?.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::join::Run;

    fn fill(gathering: &mut Gathering, keys: std::ops::Range<u128>) {
        for key in keys {
            for module in 0..5 {
                let name = format!("m{}", (key as usize + module) % 100);
                gathering.joiner.module(key, &name, "/p", "");
            }
            gathering
                .joiner
                .run(key, Run { started_us: (key as i64 % 3) * 86_400_000_000, ..Run::default() });
            gathering.counts.was("runs");
            gathering.document_done().unwrap();
        }
    }

    fn all(gathering: &Gathering) -> Vec<(i32, usize)> {
        gathering.days().into_iter().map(|day| (day, gathering.day(day).unwrap().entries.len())).collect()
    }

    #[test]
    fn what_does_not_fit_goes_to_files_and_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let day = |entry: &Entry| (entry.started_us() / 86_400_000_000) as i32;
        let mut gathering = Gathering::open(directory.path(), "x", 40_000, None).unwrap();
        fill(&mut gathering, 0..3000);
        assert!(gathering.has_spilled());
        gathering.finish(&day).unwrap();
        assert_eq!(all(&gathering), [(0, 1000), (1, 1000), (2, 1000)]);
    }

    #[test]
    fn it_goes_on_where_it_was_noted() {
        let directory = tempfile::tempdir().unwrap();
        let day = |entry: &Entry| (entry.started_us() / 86_400_000_000) as i32;
        let mut gathering = Gathering::open(directory.path(), "x", 40_000, None).unwrap();
        fill(&mut gathering, 0..1000);
        // Written and not noted: it is as if it had not been.
        gathering.spill().unwrap();
        drop(gathering);
        let mut gathering = Gathering::open(directory.path(), "x", 40_000, None).unwrap();
        let from = u128::from(gathering.cursor.documents);
        assert!(from > 0 && from < 1000, "{from}");
        assert_eq!(gathering.counts.of("runs"), from as u64);
        fill(&mut gathering, from..3000);
        gathering.finish(&day).unwrap();
        drop(gathering);
        let gathering = Gathering::open(directory.path(), "x", 40_000, None).unwrap();
        assert!(gathering.is_read());
        assert_eq!(all(&gathering), [(0, 1000), (1, 1000), (2, 1000)]);
        assert_eq!(gathering.counts.of("runs"), 3000);
        // Another import has nothing to do with it.
        let gathering = Gathering::open(directory.path(), "y", 40_000, None).unwrap();
        assert_eq!((gathering.days().len(), gathering.cursor), (0, Cursor::default()));
    }
}
