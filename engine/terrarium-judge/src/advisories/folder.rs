//! A folder of records. The only place here that opens files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{Advisories, RecordError, Taken};

/// Why a folder could not be read at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the folder of advisories {}: {source}; unpack OSV's export for PyPI there", path.display())]
pub struct FolderError {
    /// The folder.
    pub path: PathBuf,
    /// What the system says.
    pub source: std::io::Error,
}

/// A file or a folder that was left out, and why.
#[derive(Debug)]
pub struct Unread {
    /// Where it lies.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: RecordError,
}

/// What became of the files of a folder.
#[derive(Debug, Default)]
pub struct FolderRead {
    /// Records that are kept.
    pub kept: usize,
    /// Records that were withdrawn.
    pub withdrawn: usize,
    /// Records that speak of no distribution on PyPI.
    pub elsewhere: usize,
    /// Ranges that name a version that PEP 440 does not know; see [`Taken::Kept`].
    pub unusable_ranges: usize,
    /// What could not be read, by path.
    pub unread: Vec<Unread>,
}

impl Advisories {
    /// Takes all `.json` files in a folder and those in it, by name. What cannot be read is listed, and the
    /// rest goes on. Links are not followed, so that none leads in a circle or out; one to a record is listed.
    pub fn read_folder(&mut self, folder: &Path) -> Result<FolderRead, FolderError> {
        let mut read = FolderRead::default();
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        let failed = |source| FolderError { path: folder.to_owned(), source };
        list(fs::read_dir(folder).map_err(failed)?, folder, &mut files, &mut folders, &mut read.unread);
        while let Some(inner) = folders.pop() {
            match fs::read_dir(&inner) {
                Ok(entries) => list(entries, &inner, &mut files, &mut folders, &mut read.unread),
                Err(source) => read.unread.push(Unread { path: inner, why: RecordError::Read { source } }),
            }
        }
        files.sort_unstable();
        for path in files {
            let taken = File::open(&path)
                .map_err(|source| RecordError::Read { source })
                .and_then(|file| self.read(file));
            match taken {
                Ok(Taken::Kept { unusable_ranges }) => {
                    read.kept += 1;
                    read.unusable_ranges += unusable_ranges;
                }
                Ok(Taken::Withdrawn) => read.withdrawn += 1,
                Ok(Taken::Elsewhere) => read.elsewhere += 1,
                Err(why) => read.unread.push(Unread { path, why }),
            }
        }
        read.unread.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(read)
    }
}

fn list(
    entries: fs::ReadDir,
    folder: &Path,
    files: &mut Vec<PathBuf>,
    folders: &mut Vec<PathBuf>,
    unread: &mut Vec<Unread>,
) {
    for entry in entries {
        let found = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)));
        let (path, kind) = match found {
            Ok(found) => found,
            Err(source) => {
                unread.push(Unread { path: folder.to_owned(), why: RecordError::Read { source } });
                continue;
            }
        };
        let is_record = path.extension().is_some_and(|extension| extension == "json");
        if kind.is_dir() {
            folders.push(path);
        } else if is_record && kind.is_file() {
            files.push(path);
        } else if is_record {
            let source =
                std::io::Error::other("it is a link or a device, not a file; put the file itself there");
            unread.push(Unread { path, why: RecordError::Read { source } });
        }
    }
}
