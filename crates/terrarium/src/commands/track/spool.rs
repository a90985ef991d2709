//! Finds and opens records. A spool may be written to by anybody: no link in it is followed, and nothing but plain files of
//! bounded size is read.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use terrarium_jail::track::RunDirectory;
use terrarium_spool::{Header, MOST_BYTES, Process, ReadError};
use terrarium_sys::fds::{is_open_to_write, open_plain};
use terrarium_wire::header;

use super::forks::Forks;
use crate::error::CliError;

/// A record that was read.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Whose file it is.
    pub(super) owner: u32,
    /// Whether a process has it mapped; `None`: not known.
    pub(super) mapped: Option<bool>,
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

/// What the file of a record tells by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfFile {
    pub(super) owner: u32,
    mapped: Option<bool>,
}

/// Reads one record.
pub(super) fn read(path: &Path, forks: &mut Forks) -> Result<Found, Unread> {
    let (OfFile { owner, mapped }, bytes) = bytes(path).map_err(Unread::Failed)?;
    let process = Header::read(&bytes).and_then(|header| {
        let before = if header.is_forked() { forks.own_before(path, &header, owner) } else { Rc::default() };
        terrarium_spool::process_forked(&bytes, &|name| before.contains(name))
    });
    match process {
        Ok(process) => Ok(Found { path: path.to_owned(), owner, mapped, process }),
        Err(error @ (ReadError::NotASpoolFile | ReadError::Empty)) => Err(Unread::Foreign(error)),
        Err(error) => Err(Unread::Failed(error.to_string())),
    }
}

/// All of a file that may be a record, or why it is not to be had.
pub(super) fn bytes(path: &Path) -> Result<(OfFile, Vec<u8>), String> {
    let failed = |error: io::Error| reason(&error);
    let file = open_plain(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    // Before anything is read: it may be as long as a disk.
    if metadata.len() > MOST_BYTES as u64 {
        return Err(ReadError::TooLarge { length: metadata.len() }.to_string());
    }
    // Asked first: what ends in between is then said to run, and not to have been killed.
    let mapped = is_open_to_write(&file);
    let mut bytes = Vec::new();
    file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok((OfFile { owner: metadata.uid(), mapped }, bytes))
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

/// Runs in runs have their directories in each other.
const DEPTH: u32 = 4;

/// What a spool holds.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Plain files, by name.
    pub(super) files: Vec<PathBuf>,
    /// Processes that could not make a file: for want of space, and for other reasons.
    pub(super) without_file: [u64; 2],
}

/// The plain files of a spool and of the directories in it. No link is followed.
pub(super) fn content(spool: &Path) -> Result<Content, CliError> {
    let failed = |source| CliError::Spool { directory: spool.to_owned(), source };
    let mut content = Content::default();
    for entry in fs::read_dir(spool).map_err(failed)? {
        content.add(&entry.map_err(failed)?, DEPTH);
    }
    content.files.sort();
    Ok(content)
}

impl Content {
    /// Leaves the records of the processes that began last, by what their names say.
    pub(super) fn keep_newest(&mut self, most: usize) {
        let start = |path: &PathBuf| start_of_name(path).unwrap_or(0);
        self.files.sort_by_cached_key(|path| std::cmp::Reverse(start(path)));
        self.files.truncate(most);
    }

    fn add(&mut self, entry: &fs::DirEntry, deeper: u32) {
        // Of the entry itself, not of what a link leads to.
        let Ok(kind) = entry.file_type() else { return };
        if kind.is_file() && RunDirectory::is_drops(&entry.file_name()) {
            for (sum, more) in self.without_file.iter_mut().zip(drops(&entry.path())) {
                *sum = sum.saturating_add(more);
            }
        // What is hidden is no record: the user's own spool says so when it was looked through.
        } else if kind.is_file() && !entry.file_name().as_encoded_bytes().starts_with(b".") {
            self.files.push(entry.path());
        } else if kind.is_dir() && deeper > 0 {
            // Another user's may be closed to us, or be gone by now.
            for below in fs::read_dir(entry.path()).into_iter().flatten().flatten() {
                self.add(&below, deeper - 1);
            }
        }
    }
}

/// The two counters at the start of a spool's count of what it has no file of.
fn drops(path: &Path) -> [u64; 2] {
    let mut bytes = [0; 16];
    match open_plain(path).and_then(|mut file| file.read_exact(&mut bytes)) {
        Ok(()) => [0, 8].map(|at| bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes)),
        Err(_) => [0; 2],
    }
}

/// The record of a process: the one that it has mapped, or else the newest with its PID.
pub(super) fn of_process(spools: &[PathBuf], pid: u32) -> Result<PathBuf, CliError> {
    let mapped = mapped_by(pid);
    let mut newest: Option<(u64, PathBuf)> = None;
    for spool in spools {
        for path in content(spool)?.files {
            if let Some((name, inode)) = &mapped
                && path.file_name() == Some(name)
                && fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.ino() == *inode)
            {
                return Ok(path);
            }
            // The headers of others need not be read.
            if pid_of_name(&path).is_some_and(|of| of != pid) {
                continue;
            }
            if let Some(header) = header_of(&path).filter(|header| header.pid == pid)
                && newest.as_ref().is_none_or(|(start, _)| header.start > *start)
            {
                newest = Some((header.start, path));
            }
        }
    }
    newest.map(|(_, path)| path).ok_or_else(|| CliError::NoSuchRecord { spools: spools.to_owned(), pid })
}

/// The PID in the name of a record, `PID-START.spool`.
pub(super) fn pid_of_name(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?.strip_suffix(".spool")?;
    name.split_once('-')?.0.parse().ok()
}

fn start_of_name(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".spool")?;
    u64::from_str_radix(name.split_once('-')?.1, 16).ok()
}

/// Name and inode of the record that a process has mapped. In a container it has another PID in its own record.
fn mapped_by(pid: u32) -> Option<(OsString, u64)> {
    let maps = fs::read(format!("/proc/{pid}/maps")).ok()?;
    maps.split(|byte| *byte == b'\n').find_map(|line| {
        // Addresses, permissions, offset, device, inode, path: the last may have spaces in it.
        let path = line.ends_with(b".spool").then(|| line.rsplit(|byte| *byte == b'/').next())??;
        let inode = line.split(|byte| *byte == b' ').filter(|field| !field.is_empty()).nth(4)?;
        let inode = std::str::from_utf8(inode).ok()?.parse().ok()?;
        Some((OsString::from_vec(path.to_owned()), inode))
    })
}

pub(super) fn header_of(path: &Path) -> Option<Header> {
    let file: File = open_plain(path).ok()?;
    let mut bytes = Vec::new();
    file.take(header::LENGTH as u64).read_to_end(&mut bytes).ok()?;
    Header::read(&bytes).ok()
}
