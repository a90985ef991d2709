//! The folder that segments come to.

use std::fs;
use std::path::{Path, PathBuf};

use terrarium_segment::{MOST_BYTES, Segment};

use crate::error::{Error, Result};

/// Segments that are none go here, each with a file that says why.
const REFUSED: &str = "refused";

/// A folder of segments.
#[derive(Clone, Debug)]
pub struct Inbox {
    directory: PathBuf,
}

/// A segment that was read.
#[derive(Debug)]
pub struct Arrived {
    /// Where it lies.
    pub path: PathBuf,
    /// What is in it.
    pub segment: Segment,
}

/// A file that was no segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where it is now.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

impl Inbox {
    /// The one in this directory.
    pub fn new(directory: PathBuf) -> Self {
        Inbox { directory }
    }

    /// Files that are sealed and named; what is not finished has another name. In the order of names.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let failed = |source| Error::File { path: self.directory.clone(), source };
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "segment") {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// Reads one. What is no segment is put aside; `None` then, or if it has gone.
    pub fn read(&self, path: &Path) -> Result<Result<Arrived, Option<Refused>>> {
        let failed = |source| Error::File { path: path.to_owned(), source };
        let is_plain = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Err(None)),
            meta => meta.map_err(failed)?,
        };
        if !is_plain.is_file() || is_plain.len() > MOST_BYTES as u64 {
            return self.refuse(path, "it is no plain file, or too large".to_owned()).map(|r| Err(Some(r)));
        }
        let bytes = fs::read(path).map_err(failed)?;
        match terrarium_segment::read(&bytes) {
            Ok(segment) => Ok(Ok(Arrived { path: path.to_owned(), segment })),
            Err(error) => self.refuse(path, error.to_string()).map(|refused| Err(Some(refused))),
        }
    }

    fn refuse(&self, path: &Path, why: String) -> Result<Refused> {
        let failed = |source| Error::File { path: path.to_owned(), source };
        let directory = self.directory.join(REFUSED);
        fs::create_dir_all(&directory).map_err(failed)?;
        let to = directory.join(path.file_name().unwrap_or_default());
        fs::write(to.with_extension("why"), format!("{why}\n")).map_err(failed)?;
        fs::rename(path, &to).map_err(failed)?;
        Ok(Refused { path: to, why })
    }

    /// Removes one that is in the store.
    pub fn remove(&self, path: &Path) -> Result<()> {
        match fs::remove_file(path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::File { path: path.to_owned(), source })
            }
            _ => Ok(()),
        }
    }
}
