//! Finds and opens records. A spool may be written to by anybody: no link in it is followed, and nothing but plain files of
//! bounded size is read.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use terrarium_sys::fds::open_plain;
use terrarium_wire::header;
use terrarium_wire::read::{self, Header, MOST_BYTES, Process, ReadError};

use crate::error::CliError;

/// A record that was read.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Whose file it is.
    pub(super) owner: u32,
    pub(super) process: Process,
}

/// Why a file is no record.
#[derive(Debug)]
pub(super) enum Unread {
    /// It is something else, or there is nothing in it yet.
    Foreign(ReadError),
    /// It could not be read.
    Failed(String),
}

impl Unread {
    pub(super) fn why(&self) -> String {
        match self {
            Unread::Foreign(error) => error.to_string(),
            Unread::Failed(why) => why.clone(),
        }
    }
}

/// Reads one record.
pub(super) fn read(path: &Path) -> Result<Found, Unread> {
    let failed = |error: io::Error| Unread::Failed(reason(&error));
    let file = open_plain(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    // Before anything is read: it may be as long as a disk.
    if metadata.len() > MOST_BYTES as u64 {
        return Err(Unread::Failed(ReadError::TooLarge { length: metadata.len() }.to_string()));
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    match read::process(&bytes) {
        Ok(process) => Ok(Found { path: path.to_owned(), owner: metadata.uid(), process }),
        Err(error @ (ReadError::NotASpoolFile | ReadError::Empty)) => Err(Unread::Foreign(error)),
        Err(error) => Err(Unread::Failed(error.to_string())),
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied: only its owner and an administrator may read it".to_owned()
        }
        _ => error.to_string(),
    }
}

/// The plain files of a spool and of its directories one level down, by name.
pub(super) fn files(spool: &Path) -> Result<Vec<PathBuf>, CliError> {
    let failed = |source| CliError::Spool { directory: spool.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(spool).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // Of the entry itself, not of what a link leads to.
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_file() {
            files.push(entry.path());
        } else if kind.is_dir() {
            // Another user's may be closed to us, or be gone by now.
            let below = fs::read_dir(entry.path()).into_iter().flatten().flatten();
            files.extend(below.filter(|e| e.file_type().is_ok_and(|kind| kind.is_file())).map(|e| e.path()));
        }
    }
    files.sort();
    Ok(files)
}

/// The newest record of a process in a spool.
pub(super) fn newest(spool: &Path, pid: u32) -> Result<PathBuf, CliError> {
    let others = |path: &PathBuf| {
        // `PID-START.spool` is what the hook calls them; a header need not be read to tell others'.
        let name = path.file_name().and_then(|name| name.to_str())?.strip_suffix(".spool")?;
        let (of, _) = name.split_once('-')?;
        of.parse::<u32>().ok().filter(|of| *of != pid)
    };
    let of_pid = files(spool)?.into_iter().filter(|path| others(path).is_none()).filter_map(|path| {
        let header = header_of(&path)?;
        (header.pid == pid).then_some((header.start, path))
    });
    let newest = of_pid.max_by_key(|(start, _)| *start);
    newest.map(|(_, path)| path).ok_or_else(|| CliError::NoSuchRecord { directory: spool.to_owned(), pid })
}

fn header_of(path: &Path) -> Option<Header> {
    let file: File = open_plain(path).ok()?;
    let mut bytes = Vec::new();
    file.take(header::LENGTH as u64).read_to_end(&mut bytes).ok()?;
    Header::read(&bytes).ok()
}
