//! Shared memory that outlives its users: files in /dev/shm and System V IPC objects.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use terrarium_core::Bytes;
use terrarium_core::report::SharedObject;
use terrarium_sys::fds::is_unused;
use terrarium_sys::ipc::{self, Kind};

use crate::host::Host;

/// One object, with what is needed to judge it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What and which.
    pub id: Id,
    /// Owner.
    pub uid: u32,
    /// Size.
    pub bytes: Bytes,
    /// A living process uses it, or may do so.
    pub held: bool,
}

/// What and which.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Id {
    /// A file in /dev/shm: path and inode, for a name can be used again.
    File(PathBuf, u64),
    /// A System V object.
    SysV(SysVKind, i32),
}

/// The three kinds of System V object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SysVKind {
    /// Shared memory segment.
    Shm,
    /// Semaphore set.
    Sem,
    /// Message queue.
    Queue,
}

impl Object {
    /// For people and reports.
    pub fn record(&self, deleted: bool) -> SharedObject {
        let name = match &self.id {
            Id::File(path, _) => path.display().to_string(),
            Id::SysV(SysVKind::Shm, id) => format!("sysv shm {id}"),
            Id::SysV(SysVKind::Sem, id) => format!("sysv sem {id}"),
            Id::SysV(SysVKind::Queue, id) => format!("sysv queue {id}"),
        };
        SharedObject { name, bytes: self.bytes, held: self.held, deleted }
    }

    /// Deletes it, unless somebody holds it; whether it is gone.
    pub fn delete(&self, host: &Host) -> bool {
        if self.held {
            return false;
        }
        match &self.id {
            Id::File(path, inode) => {
                let path = host.path(path);
                let same = fs::symlink_metadata(&path).is_ok_and(|m| m.ino() == *inode && m.is_file());
                same && is_unused(&path) && fs::remove_file(path).is_ok()
            }
            Id::SysV(kind, id) => {
                let kind = match kind {
                    SysVKind::Shm => Kind::Shm,
                    SysVKind::Sem => Kind::Sem,
                    SysVKind::Queue => Kind::Queue,
                };
                ipc::remove(kind, *id).is_ok()
            }
        }
    }
}

/// Everything that is there now and belongs to `uid` (`None`: to anybody).
pub fn list(host: &Host, uid: Option<u32>) -> Vec<Object> {
    let mut objects = files(host);
    objects.extend(system_v(host));
    objects.retain(|o| uid.is_none_or(|uid| o.uid == uid));
    if objects.iter().any(|o| matches!(o.id, Id::File(..))) {
        let held = held_inodes(host);
        for object in &mut objects {
            if let Id::File(_, inode) = &object.id {
                object.held = held.contains(inode);
                if let Id::File(path, _) = &object.id {
                    object.held |= !is_unused(&host.path(path));
                }
            }
        }
    }
    objects
}

/// What is there now, to be compared with later.
pub fn snapshot(host: &Host, uid: u32) -> HashSet<Id> {
    let objects = files(host).into_iter().chain(system_v(host));
    objects.filter(|o| o.uid == uid).map(|o| o.id).collect()
}

/// What came since the snapshot.
pub fn left_since(host: &Host, uid: u32, before: &HashSet<Id>) -> Vec<Object> {
    list(host, Some(uid)).into_iter().filter(|o| !before.contains(&o.id)).collect()
}

fn files(host: &Host) -> Vec<Object> {
    let Ok(entries) = fs::read_dir(host.path("/dev/shm")) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let meta = fs::symlink_metadata(entry.path()).ok()?;
            meta.is_file().then(|| Object {
                id: Id::File(PathBuf::from("/dev/shm").join(entry.file_name()), meta.ino()),
                uid: meta.uid(),
                bytes: Bytes(meta.blocks() * 512),
                held: true,
            })
        })
        .collect()
}

/// Inodes in /dev/shm that some process has open or mapped. Processes of others cannot be
/// looked into without privilege: but then their files are not ours to delete either.
fn held_inodes(host: &Host) -> HashSet<u64> {
    let mut held = HashSet::new();
    for pid in host.pids() {
        if let Ok(maps) = host.read(format!("/proc/{pid}/maps")) {
            // address perms offset dev inode path
            let lines = maps.lines().filter(|l| l.contains(" /dev/shm/"));
            held.extend(lines.filter_map(|l| l.split_ascii_whitespace().nth(4)?.parse::<u64>().ok()));
        }
        let Ok(fds) = fs::read_dir(host.path(format!("/proc/{pid}/fd"))) else { continue };
        for fd in fds.flatten() {
            if fs::read_link(fd.path()).is_ok_and(|to| to.starts_with("/dev/shm"))
                && let Ok(meta) = fs::metadata(fd.path())
            {
                held.insert(meta.ino());
            }
        }
    }
    held
}

fn system_v(host: &Host) -> Vec<Object> {
    let mut found = Vec::new();
    for (file, kind) in [("shm", SysVKind::Shm), ("sem", SysVKind::Sem), ("msg", SysVKind::Queue)] {
        let text = host.read(format!("/proc/sysvipc/{file}")).unwrap_or_default();
        found.extend(parse_system_v(&text, kind, |pid| host.stat(pid).is_some()));
    }
    found
}

/// Reads a file of /proc/sysvipc by the names in its first line; they differ between kernels.
fn parse_system_v(text: &str, kind: SysVKind, alive: impl Fn(u32) -> bool) -> Vec<Object> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or("").split_ascii_whitespace().collect();
    lines
        .filter_map(|line| {
            let values: Vec<&str> = line.split_ascii_whitespace().collect();
            let field = |name: &str| -> Option<u64> {
                values.get(names.iter().position(|n| *n == name)?)?.parse().ok()
            };
            let id_name = match kind {
                SysVKind::Shm => "shmid",
                SysVKind::Sem => "semid",
                SysVKind::Queue => "msqid",
            };
            let users = |names: &[&str]| {
                names.iter().filter_map(|n| field(n)).any(|pid| pid != 0 && alive(pid as u32))
            };
            let held = match kind {
                SysVKind::Shm => field("nattch")? > 0 || users(&["cpid"]),
                SysVKind::Queue => users(&["lspid", "lrpid"]),
                // Nobody attaches to a semaphore, and no file tells who made it: the last one to act on it counts.
                SysVKind::Sem => i32::try_from(field("semid")?)
                    .ok()
                    .and_then(ipc::last_semaphore_pid)
                    .is_none_or(|pid| pid == 0 || alive(pid)),
            };
            Some(Object {
                id: Id::SysV(kind, i32::try_from(field(id_name)?).ok()?),
                uid: u32::try_from(field("uid")?).ok()?,
                bytes: Bytes(match kind {
                    SysVKind::Shm => field("size")?,
                    SysVKind::Queue => field("cbytes")?,
                    SysVKind::Sem => 0,
                }),
                held,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHM: &str = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n\
         0          3  1600                  4096   100   100      0  1000  1000  1000  1000          0          0          1                  4096                     0\n\
         0          4  1600                  4096   100   100      2  1000  1000  1000  1000          0          0          1                  4096                     0\n\
         0          5  1600                  4096   200   100      0  1000  1000  1000  1000          0          0          1                  4096                     0\n\
         broken line\n";

    #[test]
    fn attached_segments_and_those_of_the_living_are_held() {
        let found = parse_system_v(SHM, SysVKind::Shm, |pid| pid == 200);
        let brief: Vec<_> = found.iter().map(|o| (o.id.clone(), o.held)).collect();
        assert_eq!(
            brief,
            [
                (Id::SysV(SysVKind::Shm, 3), false),
                (Id::SysV(SysVKind::Shm, 4), true),
                (Id::SysV(SysVKind::Shm, 5), true),
            ]
        );
    }

    #[test]
    fn files_that_came_and_who_holds_them() {
        let dir = tempfile::tempdir().unwrap();
        let shm = dir.path().join("dev/shm");
        fs::create_dir_all(&shm).unwrap();
        fs::create_dir_all(dir.path().join("proc/77")).unwrap();
        fs::write(shm.join("old"), "x").unwrap();
        let host = Host::at(dir.path());
        let uid = fs::metadata(&shm).unwrap().uid();
        let before = snapshot(&host, uid);
        for name in ["free", "held"] {
            fs::write(shm.join(name), "x").unwrap();
        }
        let inode = fs::metadata(shm.join("held")).unwrap().ino();
        fs::write(
            dir.path().join("proc/77/maps"),
            format!("7f0000-7f1000 rw-s 00000000 00:1c {inode}   /dev/shm/held\n"),
        )
        .unwrap();
        let mut left = left_since(&host, uid, &before);
        left.sort_by_key(|o| o.held);
        assert_eq!(left.iter().map(|o| o.held).collect::<Vec<_>>(), [false, true]);
        assert!(left[0].delete(&host) && !left[1].delete(&host));
        assert!(!shm.join("free").exists() && shm.join("held").exists() && shm.join("old").exists());
    }
}
