//! A directory for temporary files, for a job with `--only` that cannot have a /tmp of its own.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use terrarium_core::JobId;
use terrarium_sys::process::user;

use crate::error::JailError;

/// The run's name follows, which tells whether it lives.
pub(crate) const PREFIX: &str = "terrarium-";

/// Where they are.
pub(crate) const PLACE: &str = "/tmp";

/// Where programs look for it.
const VARIABLES: [&str; 3] = ["TMPDIR", "TMP", "TEMP"];

/// Trees are removed by recursion, which holds a descriptor and some stack for each level.
const DEPTH: usize = 50;

/// Gone with this.
pub(crate) struct OwnTmp {
    pub(crate) path: PathBuf,
}

impl OwnTmp {
    pub(crate) fn make(job: &JobId) -> Result<OwnTmp, JailError> {
        let path = Path::new(PLACE).join(format!("{PREFIX}{job}"));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(OwnTmp { path }),
            Err(source) => Err(JailError::Host { what: path.display().to_string(), source }),
        }
    }

    /// What a variable of the job's is to be, if it says where temporary files go.
    pub(crate) fn value_of(&self, name: &OsStr) -> Option<&OsStr> {
        VARIABLES.iter().any(|v| name == *v).then_some(self.path.as_os_str())
    }

    /// The variables that `is_set` does not have, as they are to be.
    pub(crate) fn missing(&self, is_set: impl Fn(&str) -> bool) -> Vec<String> {
        let missing = VARIABLES.iter().filter(|v| !is_set(v));
        missing.map(|v| format!("{v}={}", self.path.display())).collect()
    }

    /// Removes it, once nothing of the job is left; `Some`: it could not be.
    pub(crate) fn remove(self) -> Option<PathBuf> {
        let path = self.path.clone();
        drop(self);
        path.exists().then_some(path)
    }
}

impl Drop for OwnTmp {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Removes a tree of any depth, also where directories in it are closed to their owner.
pub(crate) fn remove(path: &Path) {
    // Root follows no path in somebody else's directory, where a link may take a directory's place at any moment; nor
    // does it need to open anything. (The removal itself goes by descriptors.)
    let is_own = fs::symlink_metadata(path).is_ok_and(|m| m.uid() == user());
    // Each round takes DEPTH levels off the deepest branches.
    for round in 0..if is_own { 100_000 } else { 0 } {
        let mut deep = Vec::new();
        open_up(path, 0, &mut deep);
        for (i, deep) in deep.iter().enumerate() {
            let _ = fs::rename(deep, path.join(format!("deep-{round}-{i}")));
        }
        if deep.is_empty() {
            break;
        }
    }
    let _ = fs::remove_dir_all(path);
}

/// Makes directories down to DEPTH accessible, and collects those that lie just below. No process is left that could
/// put a link in the place of one.
fn open_up(directory: &Path, depth: usize, deep: &mut Vec<PathBuf>) {
    if depth == DEPTH {
        deep.push(directory.to_owned());
        return;
    }
    let is_open = fs::symlink_metadata(directory).is_ok_and(|m| m.permissions().mode() & 0o700 == 0o700);
    if !is_open {
        let _ = fs::set_permissions(directory, Permissions::from_mode(0o700));
    }
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
        open_up(&entry.path(), depth + 1, deep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_and_very_deep_trees_are_removed() {
        let place = tempfile::tempdir().unwrap();
        let top = place.path().join("top");
        fs::create_dir_all(top.join("closed/inner")).unwrap();
        fs::write(top.join("closed/inner/file"), "x").unwrap();
        std::os::unix::fs::symlink("/etc", top.join("link")).unwrap();
        // Longer than any path can be named: made from the inside out.
        let mut deep = place.path().join("0");
        fs::create_dir(&deep).unwrap();
        for i in 1..600 {
            let outer = place.path().join(i.to_string());
            fs::create_dir(&outer).unwrap();
            fs::rename(&deep, outer.join("a-rather-long-name")).unwrap();
            deep = outer;
        }
        fs::rename(&deep, top.join("deep")).unwrap();
        for closed in ["closed/inner", "closed"] {
            fs::set_permissions(top.join(closed), Permissions::from_mode(0o555)).unwrap();
        }
        remove(&top);
        assert!(!top.exists() && fs::exists("/etc/passwd").unwrap());
    }
}
