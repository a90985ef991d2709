//! A segment on its way: made, sealed, and only then are the records removed that are in it.
//!
//! Whatever is killed when, a record is in a sealed segment or still in the spool, and never in both for good:
//!
//! 1. `NAME.tmp` is written, and `NAME.taken`, which lists the records that are in it; both are on disk.
//! 2. `NAME.tmp` becomes `NAME.pending`. From here on the segment counts.
//! 3. The records are removed.
//! 4. `NAME.pending` becomes `NAME.segment`, which others may take; `NAME.taken` goes.
//!
//! Who begins finishes what another left: a `.pending` goes on with step 3, a `.tmp` without it never was.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use terrarium_segment::{Head, Writer};

use crate::directory::Directory;

/// A segment is sealed when it has so many module rows,
const MOST_ROWS: u64 = 4_000_000;
/// or so many bytes,
const MOST_BYTES: u64 = 64 << 20;
/// or so many records.
const MOST_RECORDS: usize = 100_000;

/// A list of what was taken is never longer: it names some hundred thousand records.
const MOST_LISTED: u64 = 256 << 20;

/// A record that is in a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    /// The parts of its path below the spool.
    parts: Vec<Vec<u8>>,
    /// A file of the same name later is another.
    inode: (u64, u64),
}

impl Taken {
    pub(crate) fn new(parts: &[&std::ffi::OsStr], file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        let parts = parts.iter().map(|part| part.as_bytes().to_owned()).collect();
        Ok(Taken { parts, inode: (meta.dev(), meta.ino()) })
    }
}

/// All that goes with a segment.
#[derive(Debug, Default, Serialize, Deserialize)]
struct List {
    spool: Vec<u8>,
    taken: Vec<Taken>,
}

/// A segment that is being written.
pub(crate) struct Sealing {
    pub(crate) writer: Writer<BufWriter<File>>,
    directory: PathBuf,
    name: String,
    list: List,
}

/// A segment that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Where it is.
    pub path: PathBuf,
    /// Module rows in it.
    pub rows: u64,
    /// Bytes of it.
    pub bytes: u64,
}

impl Sealing {
    /// Begins one. `name` is of this process and moment.
    pub(crate) fn new(directory: &Path, spool: &Path, name: String, head: &Head) -> io::Result<Self> {
        let file = create(&directory.join(format!("{name}.tmp")))?;
        let writer = Writer::new(BufWriter::with_capacity(1 << 18, file), head)?;
        let list = List { spool: spool.as_os_str().as_bytes().to_owned(), taken: Vec::new() };
        Ok(Sealing { writer, directory: directory.to_owned(), name, list })
    }

    /// A record that is in it now.
    pub(crate) fn took(&mut self, taken: Taken) {
        self.list.taken.push(taken);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.writer.rows() >= MOST_ROWS
            || self.writer.length() >= MOST_BYTES
            || self.list.taken.len() >= MOST_RECORDS
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.taken.is_empty()
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.directory.join(format!("{}.{suffix}", self.name))
    }

    /// Nothing is in it.
    pub(crate) fn discard(self) {
        let _ = fs::remove_file(self.path("tmp"));
    }

    /// Steps 1 to 4.
    pub(crate) fn seal(self, step: &mut dyn FnMut(&'static str) -> io::Result<()>) -> io::Result<Sealed> {
        let (tmp, taken) = (self.path("tmp"), self.path("taken"));
        let (pending, segment) = (self.path("pending"), self.path("segment"));
        let rows = self.writer.rows();
        let (out, _) = self.writer.finish()?;
        let file = out.into_inner().map_err(|error| error.into_error())?;
        file.sync_all()?;
        let bytes = file.metadata()?.len();
        step("written")?;
        let mut list = create(&taken)?;
        list.write_all(&postcard::to_stdvec(&self.list).map_err(io::Error::other)?)?;
        list.sync_all()?;
        step("listed")?;
        fs::rename(&tmp, &pending)?;
        sync_directory(&self.directory)?;
        step("sealed")?;
        finish(&self.list, step)?;
        fs::rename(&pending, &segment)?;
        sync_directory(&self.directory)?;
        step("named")?;
        fs::remove_file(&taken)?;
        Ok(Sealed { path: segment, rows, bytes })
    }
}

/// Step 3: removes what is in a sealed segment. What is gone, or is another by now, is left alone.
fn finish(list: &List, step: &mut dyn FnMut(&'static str) -> io::Result<()>) -> io::Result<()> {
    let spool = PathBuf::from(std::ffi::OsString::from_vec(list.spool.clone()));
    let mut last: Option<(&[Vec<u8>], Directory)> = None;
    for taken in &list.taken {
        let Some((name, parents)) = taken.parts.split_last() else { continue };
        if last.as_ref().is_none_or(|(known, _)| *known != parents) {
            last = walk(&spool, parents).map(|directory| (parents, directory));
        }
        let name = std::ffi::OsStr::from_bytes(name);
        if let Some((_, directory)) = last.as_ref().filter(|(known, _)| *known == parents)
            && directory.look(name).is_ok_and(|meta| (meta.dev(), meta.ino()) == taken.inode)
        {
            directory.remove(name)?;
            step("removed")?;
        }
    }
    Ok(())
}

fn walk(spool: &Path, parents: &[Vec<u8>]) -> Option<Directory> {
    let mut directory = Directory::open(spool).ok()?;
    for part in parents {
        directory = directory.below(std::ffi::OsStr::from_bytes(part)).ok()?;
    }
    Some(directory)
}

/// Finishes what a collector that was killed had begun. The lock on the directory is held.
pub(crate) fn recover(directory: &Path) -> io::Result<u64> {
    let mut finished = 0;
    for entry in fs::read_dir(directory)?.flatten() {
        let path = entry.path();
        match path.extension().and_then(|e| e.to_str()) {
            Some("pending") => {
                finish(&listed(&path.with_extension("taken"))?, &mut |_| Ok(()))?;
                fs::rename(&path, path.with_extension("segment"))?;
                sync_directory(directory)?;
                let _ = fs::remove_file(path.with_extension("taken"));
                finished += 1;
            }
            Some("tmp") => {
                let _ = fs::remove_file(&path);
            }
            Some("taken") if !path.with_extension("pending").exists() => {
                let _ = fs::remove_file(&path);
            }
            _ => {}
        }
    }
    Ok(finished)
}

fn listed(path: &Path) -> io::Result<List> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_LISTED).read_to_end(&mut bytes)?;
    postcard::from_bytes(&bytes).map_err(io::Error::other)
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
