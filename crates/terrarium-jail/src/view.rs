//! From a [`View`] to the mounts that make it: pure, so that it can be tested without a kernel.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use terrarium_core::{Bytes, Tier};
use terrarium_sys::step::{Planned, SLOTS, Step, When, flags};

use crate::cgroup::Cover;
use crate::host::{Mount, mount_of};
use crate::new_root;
use crate::only;
use crate::spec::{Bind, Shm, View};

pub use crate::error::ViewError;

/// Notes of steps that may fail ([`Planned::note`]).
pub mod note {
    /// The job's own /proc could not be mounted.
    pub const PROC: u8 = 0;
    /// Nor the message queues of its own IPC namespace.
    pub const MQUEUE: u8 = 1;
    /// sched_setaffinity cannot be answered.
    pub const AFFINITY: u8 = 2;
    /// A socket could not be covered.
    pub const SOCKET: u8 = 3;
    /// The job keeps the view of all cgroups.
    pub const CGROUP: u8 = 4;
    /// The root directory is no mount: this is a chroot.
    pub const CHROOT: u8 = 5;
    /// In a chroot, /proc is no mount of its own.
    pub const NO_PROC: u8 = 7;
    /// RLIMIT_NPROC counts the user's other processes too.
    pub const NPROC: u8 = 6;
    /// mount_setattr is missing: mounts are made read-only one by one.
    pub const ONE_BY_ONE: u8 = 8;
    /// Landlock's rules could not be put on.
    pub const LANDLOCK: u8 = 9;
}

/// What kind of thing a path is; the caller looks, so that the planning stays pure.
pub trait Look {
    /// `Some(true)` for a directory, `Some(false)` for anything else, `None` if it is not there.
    fn is_dir(&self, path: &Path) -> Option<bool>;

    /// What stands in it, if it is a symbolic link.
    fn read_link(&self, _path: &Path) -> Option<PathBuf> {
        None
    }

    /// Where it leads to, without symbolic links.
    fn canonical(&self, _path: &Path) -> Option<PathBuf> {
        None
    }
}

/// Looks at the real file system.
pub struct RealFiles;

impl Look for RealFiles {
    fn is_dir(&self, path: &Path) -> Option<bool> {
        path.metadata().ok().map(|m| m.is_dir())
    }

    fn read_link(&self, path: &Path) -> Option<PathBuf> {
        path.read_link().ok()
    }

    fn canonical(&self, path: &Path) -> Option<PathBuf> {
        path.canonicalize().ok()
    }
}

pub(crate) fn c(path: &Path) -> Result<CString, ViewError> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| ViewError::Nul { path: path.to_owned() })
}

pub(crate) fn text(s: &str) -> CString {
    CString::new(s).expect("no NUL byte in a literal or a number")
}

/// Slots kept for cgroups: v2, and the v1 hierarchies that can hold a limit or count.
pub(crate) const RESERVED: usize = 8;

/// So many can be shown elsewhere.
pub(crate) const MOST_BINDS: usize = SLOTS - RESERVED;

pub(crate) const TMP: [&str; 2] = ["/tmp", "/var/tmp"];

/// Refuses wishes that exclude each other.
pub fn check(view: &View, look: &dyn Look) -> Result<(), ViewError> {
    if view.hidden.iter().any(|p| p == Path::new("/")) {
        return Err(ViewError::HideRoot);
    }
    for path in &view.hidden {
        if view.read_only.contains(path) {
            return Err(ViewError::Conflict { path: path.clone(), first: "--hide", second: "--ro" });
        }
        if view.binds.iter().any(|b| &b.target == path) {
            return Err(ViewError::Conflict { path: path.clone(), first: "--hide", second: "--bind" });
        }
    }
    if view.binds.len() > MOST_BINDS {
        return Err(ViewError::TooManyBinds { count: view.binds.len() });
    }
    for (flag, path) in
        view.hidden.iter().map(|p| ("--hide", p)).chain(view.read_only.iter().map(|p| ("--ro", p)))
    {
        if ["/proc", "/dev/shm"].iter().any(|own| path.starts_with(own))
            || (flag == "--hide" && path == Path::new("/dev"))
        {
            return Err(ViewError::OwnAnyway { flag, path: path.clone() });
        }
    }
    if view.binds.iter().any(|b| b.target == Path::new("/")) {
        return Err(ViewError::OverRoot);
    }
    only::check(view)?;
    for Bind { source, target } in &view.binds {
        let inside_private = private_roots(view).iter().any(|p| target.starts_with(p) && target != p)
            || !only::holds(view, look, target);
        match (look.is_dir(source), look.is_dir(target)) {
            (_, None) if !inside_private => return Err(ViewError::NoTarget { target: target.clone() }),
            (Some(a), Some(b)) if a != b && !inside_private => {
                return Err(ViewError::Kinds { source_path: source.clone(), target: target.clone() });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Directories that the job gets empty and writable.
fn private_roots(view: &View) -> Vec<PathBuf> {
    let mut roots = Vec::new();
    roots.extend(private_tmps(view));
    if let Shm::Private(_) = view.shm {
        roots.push("/dev/shm".into());
    }
    roots.extend(opened(view).cloned());
    roots
}

/// Which of /tmp and /var/tmp are the job's own. With `--only` both are, unless a named path holds them.
pub(crate) fn private_tmps(view: &View) -> Vec<PathBuf> {
    let is_named = |tmp: &Path| view.only.is_empty() || view.only.iter().any(|o| tmp.starts_with(&o.path));
    TMP.map(PathBuf::from).into_iter().filter(|tmp| view.private_tmp || !is_named(tmp)).collect()
}

/// Hidden directories in which something is shown all the same.
fn opened(view: &View) -> impl Iterator<Item = &PathBuf> {
    view.hidden.iter().filter(|hidden| view.binds.iter().any(|b| b.target.starts_with(hidden)))
}

/// Whether [`steps`] needs to know the host's mounts for this view: reading them takes as long as
/// making a namespace.
pub fn needs_mounts(view: &View) -> bool {
    !view.read_only.is_empty() || !view.denied_devices.is_empty() || !view.only.is_empty()
}

/// The steps that make `view`, to be run by PID 1 of the new mount namespace.
pub fn steps(
    view: &View,
    tier: Tier,
    covers: &[Cover],
    mounts: &[Mount],
    look: &dyn Look,
) -> Result<Vec<Planned>, ViewError> {
    let mut steps: Vec<Planned> = Vec::new();
    steps.push(Planned::noting(Step::DetachMounts, note::CHROOT));
    // In a chroot, / is no mount that could be given a propagation of its own: it is made one.
    let chroot = [
        Planned::noting(Step::DetachMount { target: text("/proc") }, note::NO_PROC),
        Step::Bind { source: text("/"), target: text("/proc"), recursive: true }.into(),
        Step::ChangeRoot { path: text("/proc") }.into(),
        Step::DetachMounts.into(),
    ];
    steps.extend(chroot.map(|planned: Planned| Planned { when: When::Noted(note::CHROOT), ..planned }));
    // What is to be shown elsewhere is held before anything covers it.
    for (slot, bind) in view.binds.iter().enumerate() {
        steps.push(Step::Hold { path: c(&bind.source)?, slot }.into());
    }
    for (i, cover) in covers.iter().enumerate() {
        // Held first: the first cover may hide the path that the second would need.
        let slot = view.binds.len() + i;
        steps.push(Step::Hold { path: c(&cover.with)?, slot }.into());
        for mount in &cover.mounts {
            steps.push(Planned::noting(Step::BindHeld { slot, target: c(mount)? }, note::CGROUP));
        }
    }
    for device in &view.denied_devices {
        // A device node on a nodev mount cannot be opened, by root neither.
        let target = c(device)?;
        let flags = mount_of(mounts, device).map_or(0, Mount::flags) | flags::NODEV;
        steps.push(Step::Bind { source: target.clone(), target: target.clone(), recursive: false }.into());
        steps.push(Step::Remount { target, flags }.into());
    }
    hide(view, look, &mut steps)?;
    let (inner, outer): (Vec<&PathBuf>, Vec<&PathBuf>) =
        view.read_only.iter().partition(|p| view.binds.iter().any(|b| p.starts_with(&b.target)));
    for path in &outer {
        read_only(path, mounts, &mut steps)?;
    }
    if view.only.is_empty() {
        let proc = Step::Mount {
            kind: text("proc"),
            target: text("/proc"),
            flags: flags::NOSUID | flags::NODEV | flags::NOEXEC,
            options: text(""),
        };
        steps.push(Planned::noting(proc, note::PROC));
    } else {
        new_root::compose(view, tier, mounts, look, &mut steps)?;
    }
    private(view, mounts, look, &mut steps)?;
    for (slot, bind) in view.binds.iter().enumerate() {
        make_target(bind, view, look, &mut steps)?;
        steps.push(Step::BindHeld { slot, target: c(&bind.target)? }.into());
        if outer.iter().any(|path| bind.source.starts_with(path)) {
            // It came along read-only; what is shown by name is as it was.
            remount_bound(&bind.target, bind, 0, mounts, &mut steps)?;
        }
    }
    for path in opened(view).filter(|path| only::holds(view, look, path)) {
        steps.push(Step::Remount { target: c(path)?, flags: QUIET | flags::RDONLY }.into());
    }
    for path in inner {
        read_only_bound(path, &view.binds, mounts, &mut steps)?;
    }
    if !view.only.is_empty() {
        new_root::close(&mut steps);
    }
    if view.no_network {
        steps.push(Step::LoopbackUp.into());
    }
    Ok(steps)
}

const QUIET: u64 = flags::NOSUID | flags::NODEV | flags::NOEXEC;

/// An empty, unreadable directory or file, from a file system of its own, over each hidden path.
fn hide(view: &View, look: &dyn Look, steps: &mut Vec<Planned>) -> Result<(), ViewError> {
    for path in opened(view) {
        let (kind, target) = (text("tmpfs"), c(path)?);
        steps.push(Step::Mount { kind, target, flags: QUIET, options: text("size=64k,mode=755") }.into());
    }
    let closed = view.hidden.iter().filter(|hidden| !opened(view).any(|o| o == *hidden));
    let all = closed.map(|p| (p, None)).chain(view.sockets.iter().map(|p| (p, Some(note::SOCKET))));
    let all: Vec<_> = all.filter_map(|(p, note)| look.is_dir(p).map(|dir| (p, dir, note))).collect();
    if all.is_empty() {
        return Ok(());
    }
    // /proc is covered for a moment: it gets a new mount anyway. What is bound from the
    // scratch file system keeps it alive after it is unmounted there.
    steps.push(
        Step::Mount {
            kind: text("tmpfs"),
            target: text("/proc"),
            flags: QUIET,
            options: text("size=4k,mode=755"),
        }
        .into(),
    );
    steps.push(Step::MakeDir { path: text("/proc/directory"), mode: 0 }.into());
    steps.push(Step::MakeFile { path: text("/proc/file"), mode: 0 }.into());
    for (path, is_dir, note) in all {
        let source = text(if is_dir { "/proc/directory" } else { "/proc/file" });
        let target = c(path)?;
        let bind = Step::Bind { source, target: target.clone(), recursive: false };
        steps.push(Planned { step: bind, note, when: When::Always });
        steps.push(Planned {
            step: Step::Remount { target, flags: flags::RDONLY | QUIET },
            note,
            when: When::Always,
        });
    }
    steps.push(Step::Unmount { target: text("/proc") }.into());
    Ok(())
}

/// Makes a path of the host and every mount below it read-only.
fn read_only(path: &Path, mounts: &[Mount], steps: &mut Vec<Planned>) -> Result<(), ViewError> {
    let target = c(path)?;
    let own_flags = mount_of(mounts, path).map_or(0, Mount::flags);
    if !mounts.iter().any(|m| m.point == path) {
        steps.push(Step::Bind { source: target.clone(), target: target.clone(), recursive: true }.into());
    }
    steps.push(Step::Remount { target, flags: own_flags | flags::RDONLY }.into());
    let mut seen: Vec<&Path> = Vec::new();
    for below in mounts.iter().filter(|m| m.point.starts_with(path) && m.point != path) {
        // Mounts that are covered by a later one at the same place cannot be reached.
        if !seen.contains(&below.point.as_path()) {
            seen.push(&below.point);
            let flags = mount_of(mounts, &below.point).map_or(0, Mount::flags) | flags::RDONLY;
            // /proc gets a new mount; one below it may be out of reach. Neither can be written through.
            let note = below.point.starts_with("/proc").then_some(note::PROC);
            if note.is_none() {
                steps.push(Step::Remount { target: c(&below.point)?, flags }.into());
            }
        }
    }
    Ok(())
}

/// Makes a path in something bound read-only.
fn read_only_bound(
    path: &Path,
    binds: &[Bind],
    mounts: &[Mount],
    steps: &mut Vec<Planned>,
) -> Result<(), ViewError> {
    let bind = binds.iter().rev().find(|b| path.starts_with(&b.target)).expect("the caller looked for it");
    if path != bind.target {
        let target = c(path)?;
        steps.push(Step::Bind { source: target.clone(), target, recursive: true }.into());
    }
    remount_bound(path, bind, flags::RDONLY, mounts, steps)
}

/// Gives `path`, in something bound, and all below it the flags of where they came from, and `more`.
fn remount_bound(
    path: &Path,
    bind: &Bind,
    more: u64,
    mounts: &[Mount],
    steps: &mut Vec<Planned>,
) -> Result<(), ViewError> {
    let join = |base: &Path, rest: &Path| {
        if rest.as_os_str().is_empty() { base.to_owned() } else { base.join(rest) }
    };
    let origin = join(&bind.source, path.strip_prefix(&bind.target).unwrap_or(Path::new("")));
    let flags = mount_of(mounts, &origin).map_or(0, Mount::flags) | more;
    steps.push(Step::Remount { target: c(path)?, flags }.into());
    for below in mounts.iter().filter(|m| m.point.starts_with(&origin) && m.point != origin) {
        let inside = join(path, below.point.strip_prefix(&origin).unwrap_or(Path::new("")));
        steps.push(Step::Remount { target: c(&inside)?, flags: below.flags() | more }.into());
    }
    Ok(())
}

/// An empty directory in memory that everybody may write to; a /tmp has the size of /dev/shm.
pub(crate) fn tmpfs(target: &Path, view: &View) -> Result<Planned, ViewError> {
    let size = match view.shm {
        Shm::Private(size) => size,
        Shm::Host => Bytes::mib(1024),
    };
    let options = text(&format!("mode=1777,size={}", size.0));
    let flags = flags::NOSUID | flags::NODEV;
    Ok(Step::Mount { kind: text("tmpfs"), target: c(target)?, flags, options }.into())
}

/// The job's own /dev/shm, message queues and /tmp.
fn private(
    view: &View,
    mounts: &[Mount],
    look: &dyn Look,
    steps: &mut Vec<Planned>,
) -> Result<(), ViewError> {
    let is_dir = |path: &str| look.is_dir(Path::new(path)) == Some(true);
    if let Shm::Private(_) = view.shm {
        if is_dir("/dev/shm") {
            steps.push(tmpfs(Path::new("/dev/shm"), view)?);
        }
        if is_dir("/dev/mqueue") {
            let step = Step::Mount {
                kind: text("mqueue"),
                target: text("/dev/mqueue"),
                flags: flags::NOSUID | flags::NODEV | flags::NOEXEC,
                options: text(""),
            };
            steps.push(Planned::noting(step, note::MQUEUE));
        }
    }
    if !view.only.is_empty() {
        // A private /tmp is in the new root already, under what is named in it.
        return new_root::close_dev(view, mounts, steps);
    }
    for target in private_tmps(view) {
        if look.is_dir(&target) == Some(true) {
            steps.push(tmpfs(&target, view)?);
        }
    }
    Ok(())
}

/// A bind target inside a fresh, empty directory has to be made first.
fn make_target(bind: &Bind, view: &View, look: &dyn Look, steps: &mut Vec<Planned>) -> Result<(), ViewError> {
    if !only::holds(view, look, &bind.target) {
        return new_root::make_target(
            view,
            look,
            &bind.target,
            look.is_dir(&bind.source) != Some(false),
            steps,
        );
    }
    let Some(root) =
        private_roots(view).into_iter().find(|p| bind.target.starts_with(p) && &bind.target != p)
    else {
        return Ok(());
    };
    let below = bind.target.strip_prefix(&root).unwrap_or(Path::new(""));
    let mut path = root;
    let mut parts = below.components().peekable();
    while let Some(part) = parts.next() {
        path.push(part);
        let is_last = parts.peek().is_none();
        if is_last && look.is_dir(&bind.source) == Some(false) {
            steps.push(Step::MakeFile { path: c(&path)?, mode: 0o644 }.into());
        } else {
            steps.push(Step::MakeDir { path: c(&path)?, mode: 0o755 }.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::parse_mounts;

    struct Files(&'static [(&'static str, bool)]);

    impl Look for Files {
        fn is_dir(&self, path: &Path) -> Option<bool> {
            self.0.iter().find(|(p, _)| Path::new(p) == path).map(|(_, d)| *d)
        }
    }

    const FILES: Files = Files(&[
        ("/dev/shm", true),
        ("/tmp", true),
        ("/home/a", true),
        ("/home/a/.ssh", true),
        ("/data", true),
        ("/data/x", false),
        ("/run/bus", false),
    ]);

    fn plan(view: &View) -> Vec<String> {
        let mounts = parse_mounts(
            "1 1 0:1 / / rw,relatime - ext4 x rw\n\
             2 1 0:2 / /proc rw - proc x rw\n\
             3 1 0:3 / /data rw,nosuid - ext4 x rw\n\
             4 1 0:4 / /data/scratch rw,nodev - ext4 x rw\n",
        );
        check(view, &FILES).unwrap();
        let steps = steps(view, Tier::Userns, &[], &mounts, &FILES).unwrap();
        let always = steps.iter().filter(|p| p.when == When::Always);
        always.map(|p| p.step.to_string()).collect()
    }

    #[test]
    fn the_plain_view() {
        assert_eq!(
            plan(&View::default()),
            [
                "keep mounts from reaching the host",
                "mount proc on /proc (nosuid,nodev,noexec)",
                "mount tmpfs on /dev/shm (nosuid,nodev,mode=1777,size=67108864)",
            ]
        );
    }

    #[test]
    fn everything_at_once_is_in_the_right_order() {
        let view = View {
            binds: vec![Bind { source: "/data".into(), target: "/tmp/in/put".into() }],
            read_only: vec!["/tmp/in/put".into(), "/home/a".into()],
            hidden: vec!["/home/a/.ssh".into()],
            sockets: vec!["/run/bus".into(), "/run/none".into()],
            private_tmp: true,
            ..View::default()
        };
        assert_eq!(
            plan(&view),
            [
                "keep mounts from reaching the host",
                "hold /data as 0",
                "mount tmpfs on /proc (nosuid,nodev,noexec,size=4k,mode=755)",
                "make directory /proc/directory (000)",
                "make file /proc/file (000)",
                "bind /proc/directory on /home/a/.ssh",
                "make /home/a/.ssh ro,nosuid,nodev,noexec",
                "bind /proc/file on /run/bus",
                "make /run/bus ro,nosuid,nodev,noexec",
                "unmount /proc",
                "bind /home/a on /home/a with all below",
                "make /home/a ro,relatime",
                "mount proc on /proc (nosuid,nodev,noexec)",
                "mount tmpfs on /dev/shm (nosuid,nodev,mode=1777,size=67108864)",
                "mount tmpfs on /tmp (nosuid,nodev,mode=1777,size=67108864)",
                "make directory /tmp/in (755)",
                "make directory /tmp/in/put (755)",
                "bind held 0 on /tmp/in/put",
                "make /tmp/in/put ro,nosuid",
                "make /tmp/in/put/scratch ro,nodev",
            ]
        );
    }

    #[test]
    fn a_mount_point_is_made_read_only_where_it_is_and_keeps_its_flags() {
        let view = View { read_only: vec!["/data".into()], shm: Shm::Host, ..View::default() };
        assert_eq!(plan(&view)[1..3], ["make /data ro,nosuid", "make /data/scratch ro,nodev"]);
    }

    #[test]
    fn wishes_that_exclude_each_other() {
        let error = |view: View| check(&view, &FILES).unwrap_err().to_string();
        assert!(error(View { hidden: vec!["/".into()], ..View::default() }).contains("cannot be hidden"));
        let both = View { hidden: vec!["/data".into()], read_only: vec!["/data".into()], ..View::default() };
        assert_eq!(error(both), "/data is named in both --hide and --ro");
        let bind = |source: &str, target: &str| View {
            binds: vec![Bind { source: source.into(), target: target.into() }],
            ..View::default()
        };
        assert!(error(bind("/data", "/none")).contains("does not exist"));
        assert!(error(bind("/data", "/data/x")).contains("one is a directory"));
        check(&bind("/data/x", "/dev/shm/new/name"), &FILES).unwrap();
    }
}
