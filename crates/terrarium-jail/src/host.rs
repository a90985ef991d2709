//! What the kernel says about this process and its mounts. Parsers take text; only
//! [`Host`] opens files, below a root that tests replace.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use terrarium_core::JobId;
use terrarium_sys::step::flags;

/// One line of /proc/PID/mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Which part of the file system is mounted.
    pub root: PathBuf,
    /// Where.
    pub point: PathBuf,
    /// Options of this mount (`ro`, `nosuid`, …).
    pub options: String,
    /// Type of the file system.
    pub kind: String,
    /// Options of the file system as a whole; for cgroup v1 they name the controllers.
    pub super_options: String,
}

impl Mount {
    fn parse(line: &str) -> Option<Mount> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, point, options) = (left.next()?, left.next()?, left.next()?);
        let mut right = right.split(' ');
        let (kind, _source, super_options) = (right.next()?, right.next()?, right.next().unwrap_or(""));
        Some(Mount {
            root: unescape(root).into(),
            point: unescape(point).into(),
            options: options.to_owned(),
            kind: kind.to_owned(),
            super_options: super_options.to_owned(),
        })
    }

    /// Its options as MS_* flags: a user namespace may not drop any of them.
    pub fn flags(&self) -> u64 {
        self.options.split(',').fold(0, |all, option| {
            all | match option {
                "ro" => flags::RDONLY,
                "nosuid" => flags::NOSUID,
                "nodev" => flags::NODEV,
                "noexec" => flags::NOEXEC,
                "noatime" => flags::NOATIME,
                "nodiratime" => flags::NODIRATIME,
                "relatime" => flags::RELATIME,
                _ => 0,
            }
        })
    }
}

/// Undoes the kernel's octal escapes (`\040` for a space).
fn unescape(field: &str) -> String {
    let mut out = Vec::with_capacity(field.len());
    let bytes = field.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let octal = bytes
            .get(i + 1..i + 4)
            .filter(|d| bytes[i] == b'\\' && d.iter().all(|b| (b'0'..=b'7').contains(b)));
        match octal {
            Some(d) => {
                out.push(((d[0] - b'0') << 6) | ((d[1] - b'0') << 3) | (d[2] - b'0'));
                i += 4;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Reads /proc/PID/mountinfo; lines that make no sense are left out.
pub fn parse_mounts(text: &str) -> Vec<Mount> {
    text.lines().filter_map(Mount::parse).collect()
}

/// The mount that `path` lies on: the last one in the list wins, as it covers the others.
pub fn mount_of<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let mut best: Option<&Mount> = None;
    for mount in mounts.iter().filter(|m| path.starts_with(&m.point)) {
        if best.is_none_or(|b| mount.point.as_os_str().len() >= b.point.as_os_str().len()) {
            best = Some(mount);
        }
    }
    best
}

/// One line of /proc/PID/cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Controllers; empty for cgroup v2.
    pub controllers: Vec<String>,
    /// Path within the hierarchy, as seen from the reader's cgroup namespace.
    pub path: PathBuf,
}

/// Reads /proc/PID/cgroup.
pub fn parse_memberships(text: &str) -> Vec<Membership> {
    text.lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let named = controllers.is_empty() && id != "0";
            (!named && path.starts_with('/')).then(|| Membership {
                controllers: controllers.split(',').filter(|c| !c.is_empty()).map(str::to_owned).collect(),
                path: path.into(),
            })
        })
        .collect()
}

/// What /proc/PID/stat tells about a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Name; up to 15 bytes, chosen by the process.
    pub name: String,
    /// State letter.
    pub state: char,
    /// Parent.
    pub parent: u32,
    /// Threads, those that have ended and were not waited for included.
    pub threads: u64,
    /// CPU time of its threads, in clock ticks.
    pub own_ticks: u64,
    /// CPU time of the children that it waited for, and of theirs.
    pub waited_ticks: u64,
    /// Clock ticks from boot to its start.
    pub start_ticks: u64,
    /// Status word of wait(2), if it has ended and we may know.
    pub exit_code: i32,
}

impl Stat {
    /// Whether the whole process has ended. One whose first thread has ended looks dead while others live.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }
}

/// Reads /proc/PID/stat. The name may hold spaces and parentheses: it ends at the last `)`.
pub fn parse_stat(text: &str) -> Option<Stat> {
    let (open, close) = (text.find('(')?, text.rfind(')')?);
    let name = text.get(open + 1..close)?.to_owned();
    let fields: Vec<&str> = text.get(close + 1..)?.split_ascii_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    Some(Stat {
        name,
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        threads: fields.get(17)?.parse().ok()?,
        own_ticks: ticks(11) + ticks(12),
        waited_ticks: ticks(13) + ticks(14),
        start_ticks: fields.get(19)?.parse().ok()?,
        exit_code: fields.get(49).and_then(|f| f.parse().ok()).unwrap_or(0),
    })
}

/// The files of the kernel, below a root.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
}

impl Default for Host {
    fn default() -> Self {
        Host { root: "/".into() }
    }
}

impl Host {
    /// Another root, for tests.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Host { root: root.into() }
    }

    /// `path` (absolute) below the root.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Text of a file below the root; bytes that are no UTF-8 are replaced.
    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<String> {
        // Files of the kernel have no size to go by: std would read them in small pieces, and each
        // piece makes the kernel write the whole text again.
        let mut bytes = Vec::with_capacity(8192);
        fs::File::open(self.path(path))?.read_to_end(&mut bytes)?;
        Ok(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
    }

    /// This process's mounts.
    pub fn mounts(&self) -> io::Result<Vec<Mount>> {
        self.read("/proc/self/mountinfo").map(|t| parse_mounts(&t))
    }

    /// This process's cgroups.
    pub fn memberships(&self) -> io::Result<Vec<Membership>> {
        self.read("/proc/self/cgroup").map(|t| parse_memberships(&t))
    }

    /// What /proc says about a process; `None` if it is gone.
    pub fn stat(&self, pid: u32) -> Option<Stat> {
        parse_stat(&self.read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Children of a process, of all its threads.
    pub fn children(&self, pid: u32) -> Vec<u32> {
        let Ok(tasks) = fs::read_dir(self.path(format!("/proc/{pid}/task"))) else { return Vec::new() };
        let lists = tasks.flatten().filter_map(|t| fs::read_to_string(t.path().join("children")).ok());
        lists
            .flat_map(|l| l.split_ascii_whitespace().filter_map(|p| p.parse().ok()).collect::<Vec<_>>())
            .collect()
    }

    /// All that descend from a process, as long as their parents live or it adopts orphans.
    pub fn descendants(&self, pid: u32) -> Vec<u32> {
        let mut found = self.children(pid);
        let mut next = 0;
        while let Some(&pid) = found.get(next) {
            next += 1;
            found.extend(self.children(pid));
        }
        found
    }

    /// Whether SIGKILL was sent to a process that is still there.
    pub fn is_being_killed(&self, pid: u32) -> bool {
        const KILL: u64 = 1 << (9 - 1);
        let text = self.read(format!("/proc/{pid}/status")).unwrap_or_default();
        let pending = |name: &str| {
            let mask = text.lines().find_map(|l| l.strip_prefix(name))?;
            u64::from_str_radix(mask.trim(), 16).ok()
        };
        ["SigPnd:", "ShdPnd:"].iter().filter_map(|name| pending(name)).any(|mask| mask & KILL != 0)
    }

    /// Processes and threads of a user, as far as /proc shows them.
    pub fn tasks_of(&self, uid: u32) -> u64 {
        let threads = |pid| -> Option<u64> {
            let text = self.read(format!("/proc/{pid}/status")).ok()?;
            let field =
                |name: &str| text.lines().find_map(|l| l.strip_prefix(name))?.split_ascii_whitespace().next();
            (field("Uid:")? == uid.to_string()).then(|| field("Threads:")?.parse().ok())?
        };
        self.pids().into_iter().filter_map(threads).sum()
    }

    /// PIDs that /proc shows.
    pub fn pids(&self) -> Vec<u32> {
        fs::read_dir(self.path("/proc"))
            .map(|dir| dir.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect())
            .unwrap_or_default()
    }

    /// Inode of this process's PID namespace.
    pub fn pid_namespace(&self) -> Option<u64> {
        let link = fs::read_link(self.path("/proc/self/ns/pid")).ok()?;
        link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
    }

    /// The name of a run supervised by this process.
    pub fn job_id(&self, pid: u32) -> Option<JobId> {
        Some(JobId { pid, start_ticks: self.stat(pid)?.start_ticks, pid_namespace: self.pid_namespace()? })
    }

    /// Whether the supervisor of a run still lives. `None`: its PIDs are not ours to judge
    /// (another PID namespace).
    pub fn is_supervised(&self, job: &JobId) -> Option<bool> {
        if self.pid_namespace()? != job.pid_namespace {
            return None;
        }
        Some(self.stat(job.pid).is_some_and(|s| s.start_ticks == job.start_ticks && !s.is_dead()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mounts_with_spaces_and_optional_fields() {
        let text = "36 35 98:0 /mnt1 /mnt\\0402 rw,nosuid,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n\
                    22 1 0:21 / /proc rw - proc proc rw\nnonsense\n";
        let mounts = parse_mounts(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].point, Path::new("/mnt 2"));
        assert_eq!(mounts[0].root, Path::new("/mnt1"));
        assert_eq!(mounts[0].kind, "ext3");
        assert_eq!(mounts[0].flags(), flags::NOSUID | flags::NOATIME);
        assert_eq!(mounts[1].kind, "proc");
    }

    #[test]
    fn the_nearest_and_newest_mount_counts() {
        let line = |point: &str, kind: &str| format!("1 1 0:1 / {point} rw - {kind} x rw\n");
        let text = [line("/", "a"), line("/home", "b"), line("/home", "c"), line("/homework", "d")].concat();
        let mounts = parse_mounts(&text);
        assert_eq!(mount_of(&mounts, Path::new("/home/x")).unwrap().kind, "c");
        assert_eq!(mount_of(&mounts, Path::new("/home2")).unwrap().kind, "a");
    }

    #[test]
    fn memberships_of_a_hybrid_host() {
        let got = parse_memberships("9:name=systemd:/\n4:cpu,cpuacct:/a:b\n0::/user.slice\n3::/odd\n");
        assert_eq!(got.len(), 3);
        assert_eq!(got[1].controllers, ["cpu", "cpuacct"]);
        assert_eq!(got[1].path, Path::new("/a:b"));
        assert!(got[2].controllers.is_empty());
    }

    #[test]
    fn a_name_cannot_forge_a_stat_line() {
        let tail = "S 7 1 1 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        let stat = parse_stat(&format!("12 (x) Z 1 (y) {tail}")).unwrap();
        assert_eq!(
            (stat.name.as_str(), stat.state, stat.parent, stat.start_ticks),
            ("x) Z 1 (y", 'S', 7, 4242)
        );
        assert_eq!(parse_stat("12 (x"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn this_process_is_supervised_by_itself() {
        let host = Host::default();
        let mut job = host.job_id(std::process::id()).unwrap();
        assert_eq!(host.is_supervised(&job), Some(true));
        job.start_ticks += 1;
        assert_eq!(host.is_supervised(&job), Some(false));
        job.pid_namespace += 1;
        assert_eq!(host.is_supervised(&job), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(s in "\\PC{0,80}") {
            let _ = (parse_mounts(&s), parse_memberships(&s), parse_stat(&s));
        }
    }
}
