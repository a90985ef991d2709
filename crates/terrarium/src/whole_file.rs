//! Files that are written whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use terrarium_sys::fds::open_to_write;

use crate::error::CliError;

/// Where something is to be written that a reader must never see half of.
#[derive(Debug)]
pub(crate) enum Destination {
    /// A file that is replaced whole.
    File(PathBuf),
    /// What is no plain file under its own name: a pipe, a link such as /dev/stdout. It is opened before the work starts,
    /// because afterwards the name may mean something else, and a reader must not see it closed in between.
    Open(PathBuf, fs::File),
}

impl Destination {
    /// Refuses what could not be written, before a job has run for a day; `flag` asked for it.
    pub(crate) fn of(flag: &'static str, path: &Path) -> Result<Self, CliError> {
        let refuse = |why: &str| Err(CliError::Path { flag, path: path.to_owned(), why: why.to_owned() });
        if path.is_dir() {
            return refuse("is a directory; name a file");
        }
        if fs::symlink_metadata(path).is_ok_and(|m| !m.is_file()) {
            return match open_to_write(path) {
                Ok(file) => Ok(Destination::Open(path.to_owned(), file)),
                Err(error) => refuse(&format!("cannot be written to (does anybody read it?): {error}")),
            };
        }
        if !parent_of(path).is_dir() {
            return refuse("its directory does not exist");
        }
        // By doing it: permissions, read-only mounts and quotas all count.
        match create_temporary(path) {
            Ok((temporary, _)) => {
                let _ = fs::remove_file(temporary);
                Ok(Destination::File(path.to_owned()))
            }
            Err(error) => refuse(&format!("its directory cannot be written to: {error}")),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        let (Destination::File(path) | Destination::Open(path, _)) = self;
        path
    }

    /// What is open already.
    pub(crate) fn open_file(&self) -> Option<&fs::File> {
        match self {
            Destination::Open(_, file) => Some(file),
            Destination::File(_) => None,
        }
    }

    pub(crate) fn write(&mut self, content: &[u8]) -> std::io::Result<()> {
        match self {
            Destination::Open(_, file) => file.write_all(content),
            Destination::File(path) => replace(path, content, true),
        }
    }
}

/// Puts a file in the place of what is there: a reader never sees half of one, and a failure leaves what was there.
/// With `for_good` it is on the disk before this returns.
pub(crate) fn replace(path: &Path, content: &[u8], for_good: bool) -> std::io::Result<()> {
    let (temporary, mut file) = create_temporary(path)?;
    let written = file
        .write_all(content)
        .and_then(|()| if for_good { file.sync_all() } else { Ok(()) })
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(temporary);
    }
    written
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn create_temporary(path: &Path) -> std::io::Result<(PathBuf, fs::File)> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or(OsStr::new("report")));
    name.push(format!(".{}", std::process::id()));
    let temporary = parent_of(path).join(name);
    let create = || fs::OpenOptions::new().write(true).create_new(true).open(&temporary);
    let file = create().or_else(|error| match error.kind() {
        // Of an earlier process with our number, which was killed.
        std::io::ErrorKind::AlreadyExists => fs::remove_file(&temporary).and_then(|()| create()),
        _ => Err(error),
    })?;
    Ok((temporary, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::write(&path, "old").unwrap();
        Destination::of("--report", &path).unwrap().write(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        for (path, why) in
            [(directory.path().to_owned(), "directory"), (directory.path().join("a/b"), "not exist")]
        {
            let error = Destination::of("--report", &path).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
