//! Takes a person's records out of a spool, wherever in it they are.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::CollectError;
use crate::directory::Directory;

/// Runs in runs have their directories in each other.
const DEPTH: u32 = 4;

/// More than a spool holds.
const MOST: usize = 1_000_000;

/// Removes the files of those users that `is_his` says of their numbers, and directories of theirs that are empty then; how many
/// files. A process that still runs writes on into a file that has no name any more.
pub fn forget_records(spool: &Path, is_his: &dyn Fn(u32) -> bool) -> Result<u64, CollectError> {
    let failed = |source| CollectError::Spool { directory: spool.to_owned(), source };
    let directory = Directory::open(spool).map_err(failed)?;
    clear(&directory, is_his, DEPTH).map_err(failed)
}

fn clear(directory: &Directory, is_his: &dyn Fn(u32) -> bool, deeper: u32) -> io::Result<u64> {
    let mut removed = 0;
    for name in directory.names(MOST)? {
        let Ok(meta) = directory.look(&name) else { continue };
        let is_run = meta.is_dir() && deeper > 0;
        // What is not the user's may have the user's in it: a run in another's run.
        if is_run && let Ok(below) = directory.below(&name) {
            removed += clear(&below, is_his, deeper - 1)?;
            if is_his(below.owner()) {
                let _ = directory.remove_directory(&name);
            }
        } else if !meta.is_dir() && is_his(meta.uid()) {
            remove(directory, &name)?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn remove(directory: &Directory, name: &OsStr) -> io::Result<()> {
    match directory.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_of_his_is_left_and_nothing_else_is_touched() {
        let base = tempfile::tempdir().unwrap();
        let (spool, outside) = (base.path().join("spool"), base.path().join("outside"));
        fs::create_dir_all(spool.join("run-1-2-3/run-4-5-6")).unwrap();
        fs::create_dir(&outside).unwrap();
        for file in
            ["1-1.spool", "run-1-2-3/2-1.spool", "run-1-2-3/.run.json", "run-1-2-3/run-4-5-6/3-1.spool"]
        {
            fs::write(spool.join(file), "x").unwrap();
        }
        fs::write(outside.join("mine"), "x").unwrap();
        symlink(&outside, spool.join("run-7-8-9")).unwrap();
        assert_eq!(forget_records(&spool, &|_| false).unwrap(), 0);
        let user = terrarium_sys::process::user();
        // The link itself is his as well; where it leads is not.
        assert_eq!(forget_records(&spool, &|uid| uid == user).unwrap(), 5);
        assert!(fs::read_dir(&spool).unwrap().next().is_none());
        assert!(outside.join("mine").exists());
        assert!(forget_records(&base.path().join("none"), &|_| true).is_err());
    }
}
