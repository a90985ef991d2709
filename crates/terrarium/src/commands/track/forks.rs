//! What a forked process has from its parents: code of the user's that was loaded before the fork imports in the child as well.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use terrarium_spool::Header;

use super::spool;

/// Forks of forks are followed so far.
const DEPTH: u32 = 16;

type Names = Rc<HashSet<Box<[u8]>>>;

/// Remembers what was looked up last: the children of a pool follow each other.
#[derive(Debug, Default)]
pub(super) struct Forks {
    /// A directory, and the files in it by the PID in their names.
    directory: Option<(PathBuf, HashMap<u32, Vec<PathBuf>>)>,
    /// By ID and owner of a record: the names of own code, also of its parents'.
    names: Option<((u64, u32), Names)>,
}

impl Forks {
    /// Names of the user's own code that was loaded before the fork. Only files of the same owner in the same directory count.
    pub(super) fn own_before(&mut self, path: &Path, header: &Header, owner: u32) -> Names {
        self.follow(path, header, owner, DEPTH).unwrap_or_default()
    }

    fn follow(&mut self, path: &Path, header: &Header, owner: u32, deeper: u32) -> Option<Names> {
        let key = (header.forked_from, owner);
        if let Some((known, names)) = &self.names
            && *known == key
        {
            return Some(Rc::clone(names));
        }
        if !header.is_forked() || deeper == 0 {
            return None;
        }
        let candidates = self.of_pid(path.parent()?, header.parent);
        let (parent, of_parent) = candidates.into_iter().find_map(|path| {
            let of_file = spool::header_of(&path)?;
            (of_file.id == header.forked_from).then_some((path, of_file))
        })?;
        let (found, bytes) = spool::bytes(&parent).ok().filter(|(found, _)| found.owner == owner)?;
        let process = terrarium_spool::process(&bytes).ok()?;
        drop((found, bytes));
        let mut names: HashSet<Box<[u8]>> =
            process.own_modules().map(|name| name.as_bytes().into()).collect();
        if let Some(before) = self.follow(&parent, &of_parent, owner, deeper - 1) {
            names.extend(before.iter().cloned());
        }
        let names = Rc::new(names);
        self.names = Some((key, Rc::clone(&names)));
        Some(names)
    }

    /// Files of a directory that bear the PID.
    fn of_pid(&mut self, directory: &Path, pid: u32) -> Vec<PathBuf> {
        if self.directory.as_ref().is_none_or(|(known, _)| known != directory) {
            let mut files: HashMap<u32, Vec<PathBuf>> = HashMap::new();
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                if let Some(pid) = spool::pid_of_name(&entry.path()) {
                    files.entry(pid).or_default().push(entry.path());
                }
            }
            self.directory = Some((directory.to_owned(), files));
        }
        self.directory.as_ref().and_then(|(_, files)| files.get(&pid).cloned()).unwrap_or_default()
    }
}
