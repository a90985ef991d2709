//! Directories that somebody else may change under our hands: everything is opened from a directory that is held open, and no
//! link is followed.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use terrarium_sys::fds::{DIRECTORY_NO_LINK, open_plain};

/// A directory that is open.
#[derive(Debug)]
pub(crate) struct Directory {
    file: File,
    /// How to name it to people.
    path: PathBuf,
    owner: u32,
}

impl Directory {
    /// Opens one by its path, which the caller trusts up to its last part.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::opened(path, path.to_owned())
    }

    fn opened(place: &Path, path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).custom_flags(DIRECTORY_NO_LINK).open(place)?;
        let owner = file.metadata()?.uid();
        Ok(Directory { file, path, owner })
    }

    /// One in it.
    pub(crate) fn below(&self, name: &OsStr) -> io::Result<Self> {
        Self::opened(&self.at(name)?, self.path.join(name))
    }

    /// Whose it is.
    pub(crate) fn owner(&self) -> u32 {
        self.owner
    }

    /// Its path when it was opened: for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A plain file in it, to read.
    pub(crate) fn plain(&self, name: &OsStr) -> io::Result<File> {
        open_plain(&self.at(name)?)
    }

    /// What a name in it stands for, itself and not what it leads to.
    pub(crate) fn look(&self, name: &OsStr) -> io::Result<Metadata> {
        std::fs::symlink_metadata(self.at(name)?)
    }

    /// The names in it, `most` at most.
    pub(crate) fn names(&self, most: usize) -> io::Result<Vec<OsString>> {
        let entries = std::fs::read_dir(self.own())?;
        Ok(entries.flatten().take(most).map(|entry| entry.file_name()).collect())
    }

    /// Removes a file.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        std::fs::remove_file(self.at(name)?)
    }

    /// Removes a directory that is empty.
    pub(crate) fn remove_directory(&self, name: &OsStr) -> io::Result<()> {
        std::fs::remove_dir(self.at(name)?)
    }

    /// The kernel's name for what is open, whatever its path leads to by now.
    fn own(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }

    fn at(&self, name: &OsStr) -> io::Result<PathBuf> {
        let bytes = name.as_encoded_bytes();
        // One part: `..` or `a/b` would lead elsewhere.
        if bytes.is_empty() || bytes.contains(&b'/') || matches!(bytes, b"." | b"..") {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no name of a file"));
        }
        Ok(self.own().join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_leads_out() {
        let base = tempfile::tempdir().unwrap();
        let (inside, outside) = (base.path().join("in"), base.path().join("out"));
        fs::create_dir_all(inside.join("d")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "x").unwrap();
        fs::write(inside.join("d/plain"), "y").unwrap();
        symlink(&outside, inside.join("link")).unwrap();
        symlink(outside.join("secret"), inside.join("d/file-link")).unwrap();
        let directory = Directory::open(&inside).unwrap();
        let name = OsStr::new;
        assert!(directory.below(name("link")).is_err());
        assert!(directory.below(name("..")).is_err() && directory.plain(name("../out/secret")).is_err());
        let below = directory.below(name("d")).unwrap();
        assert!(below.plain(name("file-link")).is_err() && below.plain(name("plain")).is_ok());
        assert!(Directory::open(&inside.join("link")).is_err());
        // Another directory in its place is another.
        fs::rename(inside.join("d"), inside.join("old")).unwrap();
        symlink(&outside, inside.join("d")).unwrap();
        assert!(below.plain(name("secret")).is_err() && below.plain(name("plain")).is_ok());
        below.remove(name("file-link")).unwrap();
        assert!(outside.join("secret").exists());
        let mut names = below.names(10).unwrap();
        names.sort();
        assert_eq!(names, ["plain"]);
    }

    #[test]
    fn what_is_no_plain_file_is_not_opened() {
        let base = tempfile::tempdir().unwrap();
        let fifo = base.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let directory = Directory::open(base.path()).unwrap();
        assert!(directory.plain(OsStr::new("fifo")).is_err());
    }
}
