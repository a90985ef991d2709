//! `--only`: a root directory that holds nothing but what is named and what a dynamic program needs. Pure, as `view.rs` is.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use terrarium_core::Tier;
use terrarium_sys::landlock::{Access, Landlock, Rule};
use terrarium_sys::step::{Planned, Step, When, flags};

use crate::host::{Mount, mount_of};
use crate::spec::{Shm, View};
use crate::view::{Look, ViewError, c, note, private_tmps, text, tmpfs};

/// Where the host's root is while the new one is made.
const OLD: &str = "/.terrarium-host";

/// What programs are made of, read-only. Where one is a symbolic link on the host it is one in the job.
const BASE: [&str; 9] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/sys"];

/// What names of hosts and users are looked up in, what certificates are, and stores of packages that /usr or
/// /etc may point to; read-only, where they are there.
const LOOKED_UP: [&str; 12] = [
    "/run/systemd/resolve",
    "/run/systemd/userdb",
    "/run/resolvconf",
    "/run/NetworkManager/resolv.conf",
    "/run/nscd",
    "/run/nslcd",
    "/var/lib/sss/mc",
    "/var/lib/sss/pipes",
    "/var/lib/sss/pubconf",
    "/var/lib/ca-certificates",
    "/nix/store",
    "/gnu/store",
];

/// Old names that programs use.
const OLD_NAMES: [&str; 2] = ["/var/run", "/var/lock"];

/// What the job has of its own, or needs whole.
const KERNEL: [&str; 2] = ["/dev", "/proc"];

/// Something that the job sees, with all below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where.
    pub path: PathBuf,
    /// What may be done there.
    pub access: Access,
}

/// A symbolic link in the job's root directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where.
    pub path: PathBuf,
    /// What stands in it.
    pub to: PathBuf,
}

/// Where programs are, and what they look things up in.
fn base(view: &View, look: &dyn Look) -> Vec<PathBuf> {
    let is_link = |path: &&str| look.read_link(Path::new(path)).is_some();
    let mut all: Vec<PathBuf> =
        BASE.iter().filter(|path| !is_link(path)).chain(&LOOKED_UP).map(PathBuf::from).collect();
    // It may lead to where the tool that writes it keeps it.
    let resolver = look
        .read_link(Path::new("/etc/resolv.conf"))
        .and_then(|link| look.canonical(&Path::new("/etc").join(link)));
    all.extend(resolver.filter(|path| !all.iter().any(|p| path.starts_with(p))));
    all.retain(|path| {
        let named = view.only.iter().any(|only| path.starts_with(&only.path));
        !named && look.is_dir(path).is_some()
    });
    all
}

/// Everything that the job sees of files, the base first. Empty without `--only`: then it sees everything.
pub fn places(view: &View, look: &dyn Look) -> Vec<Place> {
    if view.only.is_empty() {
        return Vec::new();
    }
    let mut all = held(view, look);
    let targets = view.binds.iter().map(|bind| bind.target.clone());
    all.extend(targets.map(|path| Place { path, access: Access::Write }));
    all
}

/// The same without what `--bind` brings in.
fn held(view: &View, look: &dyn Look) -> Vec<Place> {
    let place = |access: Access| move |path: PathBuf| Place { path, access };
    let mut all: Vec<Place> = base(view, look).into_iter().map(place(Access::Read)).collect();
    all.extend(KERNEL.map(PathBuf::from).map(place(Access::Use)));
    all.extend(["/dev/shm", "/dev/mqueue"].map(PathBuf::from).map(place(Access::Write)));
    all.extend(private_tmps(view).into_iter().map(place(Access::Write)));
    for only in &view.only {
        let kept = only.read_only || view.read_only.iter().any(|ro| only.path.starts_with(ro));
        let access = if kept { Access::Read } else { Access::Write };
        all.push(Place { path: only.path.clone(), access });
    }
    all
}

/// The symbolic links that are made in the new root.
pub fn links(view: &View, look: &dyn Look) -> Vec<Link> {
    let base = BASE.iter().chain(&OLD_NAMES).filter_map(|path| {
        let path = PathBuf::from(path);
        Some(Link { to: look.read_link(&path)?, path })
    });
    let inside = |path: &Path| view.only.iter().any(|only| path.starts_with(&only.path));
    base.chain(view.links.iter().cloned()).filter(|link| !inside(&link.path)).collect()
}

/// Refuses wishes that exclude each other.
pub(crate) fn check(view: &View) -> Result<(), ViewError> {
    for (i, only) in view.only.iter().enumerate() {
        let path = only.path.clone();
        if path == Path::new("/") {
            return Err(ViewError::OnlyEverything);
        }
        if KERNEL.iter().chain(&["/sys"]).any(|own| path.starts_with(own)) {
            return Err(ViewError::ShownAnyway { path });
        }
        if view.only[..i].iter().any(|other| other.path == path && other.read_only != only.read_only) {
            return Err(ViewError::OnlyTwice { path });
        }
        if let Some(hidden) = view.hidden.iter().find(|hidden| path.starts_with(hidden)) {
            return Err(ViewError::OnlyHidden { path, hidden: hidden.clone() });
        }
        if let Some(bind) = view.binds.iter().find(|bind| path.starts_with(&bind.target)) {
            return Err(ViewError::OnlyCovered { path, target: bind.target.clone() });
        }
        if view.private_tmp && crate::view::TMP.iter().any(|tmp| path == Path::new(tmp)) {
            return Err(ViewError::Conflict { path, first: "--private-tmp", second: "--only" });
        }
    }
    Ok(())
}

/// Makes directories up to a path, and something to mount on at it.
struct Way<'a> {
    /// Mounted already: what lies below is there.
    shown: Vec<PathBuf>,
    /// Made already.
    made: Vec<PathBuf>,
    steps: &'a mut Vec<Planned>,
}

impl Way<'_> {
    fn is_shown(&self, path: &Path) -> bool {
        self.shown.iter().any(|shown| path.starts_with(shown))
    }

    fn parents(&mut self, path: &Path) -> Result<(), ViewError> {
        let mut all: Vec<&Path> = path.ancestors().skip(1).filter(|p| p.parent().is_some()).collect();
        all.reverse();
        for parent in all {
            self.directory(parent)?;
        }
        Ok(())
    }

    fn directory(&mut self, path: &Path) -> Result<(), ViewError> {
        if !self.is_shown(path) && !self.made.iter().any(|made| made == path) {
            self.steps.push(Step::MakeDir { path: c(path)?, mode: 0o755 }.into());
            self.made.push(path.to_owned());
        }
        Ok(())
    }

    fn to(&mut self, path: &Path, is_dir: bool) -> Result<(), ViewError> {
        if self.is_shown(path) {
            return Ok(());
        }
        self.parents(path)?;
        if is_dir {
            return self.directory(path);
        }
        self.steps.push(Step::MakeFile { path: c(path)?, mode: 0o644 }.into());
        Ok(())
    }
}

fn old(path: &Path) -> Result<CString, ViewError> {
    c(&Path::new(OLD).join(path.strip_prefix("/").unwrap_or(path)))
}

/// The steps that make the new root the root, with all places in it, from what the host's tree looks like by then.
///
/// The old root stays reachable at a place of its own until [`close`], so that more can be mounted.
pub(crate) fn compose(
    view: &View,
    tier: Tier,
    mounts: &[Mount],
    look: &dyn Look,
    steps: &mut Vec<Planned>,
) -> Result<(), ViewError> {
    if !mounts.iter().any(|m| m.point == Path::new("/")) {
        return Err(ViewError::OnlyInChroot);
    }
    // On /proc, because that is there on every host and the job gets another one.
    steps.push(
        Step::Mount {
            kind: text("tmpfs"),
            target: text("/proc"),
            flags: flags::NOSUID | flags::NODEV,
            options: text("size=1m,mode=755"),
        }
        .into(),
    );
    steps.push(Step::MakeDir { path: text(&format!("/proc{OLD}")), mode: 0o755 }.into());
    steps.push(Step::PivotRoot { new_root: text("/proc"), old: text(&format!("/proc{OLD}")) }.into());
    own_proc(tier, steps)?;
    let mut way = Way { shown: vec!["/proc".into()], made: Vec::new(), steps };
    // Many programs take it for granted.
    way.directory(Path::new("/run"))?;
    let mut entries: Vec<Entry> = base(view, look)
        .into_iter()
        .map(|path| Entry { path, kind: Kind::Bind { read_only: true } })
        .chain([Entry { path: "/dev".into(), kind: Kind::Bind { read_only: false } }])
        .chain(links(view, look).into_iter().map(|link| Entry { path: link.path, kind: Kind::Link(link.to) }))
        .chain(private_tmps(view).into_iter().map(|path| Entry { path, kind: Kind::Tmpfs }))
        .chain(
            view.only.iter().map(|only| Entry {
                path: only.path.clone(),
                kind: Kind::Bind { read_only: only.read_only },
            }),
        )
        .collect();
    // What lies below something is mounted after it; at one place, what was named is on top.
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    for entry in entries {
        entry.make(view, mounts, look, &mut way)?;
    }
    Ok(())
}

/// The job's /proc, while the old one can be seen: the kernel lets a user namespace have one only then.
fn own_proc(tier: Tier, steps: &mut Vec<Planned>) -> Result<(), ViewError> {
    let target = text("/proc");
    steps.push(Step::MakeDir { path: target.clone(), mode: 0o555 }.into());
    let step = Step::Mount {
        kind: text("proc"),
        target: target.clone(),
        flags: flags::NOSUID | flags::NODEV | flags::NOEXEC,
        options: text(""),
    };
    // Through the host's /proc, root could reach the host's root.
    let note = (tier != Tier::Root).then_some(note::PROC);
    steps.push(Planned { step, note, when: When::Always });
    if let Some(note) = note {
        let step = Step::Bind { source: old(Path::new("/proc"))?, target, recursive: true };
        steps.push(Planned { step, note: None, when: When::Noted(note) });
    }
    Ok(())
}

struct Entry {
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    /// From the host, with all that is mounted below.
    Bind {
        read_only: bool,
    },
    /// Empty and writable.
    Tmpfs,
    Link(PathBuf),
}

impl Entry {
    fn make(
        self,
        view: &View,
        mounts: &[Mount],
        look: &dyn Look,
        way: &mut Way<'_>,
    ) -> Result<(), ViewError> {
        let path = self.path;
        match self.kind {
            Kind::Link(to) => {
                if way.is_shown(&path) {
                    return Ok(());
                }
                way.parents(&path)?;
                way.steps.push(Step::MakeLink { path: c(&path)?, to: c(&to)? }.into());
            }
            Kind::Tmpfs => {
                // Often one of the two leads to the other.
                if let Some(to) = look.read_link(&path).filter(|to| to.ends_with("tmp")) {
                    way.parents(&path)?;
                    way.steps.push(Step::MakeLink { path: c(&path)?, to: c(&to)? }.into());
                    return Ok(());
                }
                way.to(&path, true)?;
                way.steps.push(tmpfs(&path, view)?);
            }
            Kind::Bind { read_only } => {
                way.to(&path, look.is_dir(&path) != Some(false))?;
                let (source, target) = (old(&path)?, c(&path)?);
                way.steps.push(Step::Bind { source, target, recursive: true }.into());
                if read_only {
                    read_only_tree(&path, mounts, way.steps)?;
                }
                way.shown.push(path);
            }
        }
        Ok(())
    }
}

/// Makes what was just bound to its own place read-only, with all that is mounted below.
fn read_only_tree(path: &Path, mounts: &[Mount], steps: &mut Vec<Planned>) -> Result<(), ViewError> {
    steps.push(Planned::noting(Step::ReadOnly { target: c(path)? }, note::ONE_BY_ONE));
    let flags = mount_of(mounts, path).map_or(0, Mount::flags) | flags::RDONLY;
    let mut all = vec![(path, flags)];
    // Below /sys there are mounts that even root cannot reach by path, and nothing that a user may write to.
    let below =
        mounts.iter().filter(|m| m.point.starts_with(path) && m.point != path && path != Path::new("/sys"));
    for mount in below {
        // Of several at one place the last can be reached.
        if !all.iter().any(|(point, _)| *point == mount.point) {
            let last = mount_of(mounts, &mount.point).unwrap_or(mount);
            all.push((&mount.point, last.flags() | flags::RDONLY));
        }
    }
    for (point, flags) in all {
        let step = Step::Remount { target: c(point)?, flags };
        steps.push(Planned { step, note: None, when: When::Noted(note::ONE_BY_ONE) });
    }
    Ok(())
}

/// Nothing can be made in /dev itself; what is mounted there stays as it is.
pub(crate) fn close_dev(view: &View, mounts: &[Mount], steps: &mut Vec<Planned>) -> Result<(), ViewError> {
    let shm = Path::new("/dev/shm");
    // The host's shared memory may be a plain directory there.
    if view.shm != Shm::Host || mount_of(mounts, shm).is_some_and(|m| m.point == shm) {
        let flags = mount_of(mounts, Path::new("/dev")).map_or(0, Mount::flags) | flags::RDONLY;
        steps.push(Step::Remount { target: text("/dev"), flags }.into());
    }
    Ok(())
}

/// Whether a path of the host is there in the job, and not only as a way to something else. Everything is
/// without `--only`.
pub(crate) fn holds(view: &View, look: &dyn Look, path: &Path) -> bool {
    view.only.is_empty() || held(view, look).iter().any(|place| path.starts_with(&place.path))
}

/// What a bind is to be mounted on, where nothing is there yet.
pub(crate) fn make_target(
    view: &View,
    look: &dyn Look,
    target: &Path,
    is_dir: bool,
    steps: &mut Vec<Planned>,
) -> Result<(), ViewError> {
    let shown = held(view, look).into_iter().map(|place| place.path).collect();
    Way { shown, made: Vec::new(), steps }.to(target, is_dir)
}

/// Lets go of the host's root, and closes the new one.
pub(crate) fn close(steps: &mut Vec<Planned>) {
    steps.push(Step::Unmount { target: text(OLD) }.into());
    steps.push(Step::RemoveDir { path: text(OLD) }.into());
    // A file that is written to a place that was not named must not seem to be kept.
    let flags = flags::NOSUID | flags::NODEV | flags::RDONLY;
    steps.push(Step::Remount { target: text("/"), flags }.into());
}

fn rules(view: &View, look: &dyn Look) -> Result<Vec<Rule>, ViewError> {
    places(view, look).iter().map(|place| Ok(Rule { path: c(&place.path)?, access: place.access })).collect()
}

/// The view by Landlock alone, for a tier without mounts; needs no_new_privs.
///
/// What lies below a named path cannot be hidden or made read-only by it. /tmp and /var/tmp are allowed as
/// [`places`] has them: there they are the host's. A kernel without Landlock is a failure (`EOPNOTSUPP`).
pub fn landlock_step(view: &View, look: &dyn Look) -> Result<Planned, ViewError> {
    let files = Some(rules(view, look)?);
    Ok(Step::Landlock(Landlock { files, least_abi: 1, required: true, ..Landlock::default() }).into())
}

/// The same on top of the mounts: it also holds for a directory that a descriptor leads to, and for root. Nothing is
/// said where the kernel has none, for the mounts hold.
pub(crate) fn landlock_in_addition(view: &View, look: &dyn Look) -> Result<Planned, ViewError> {
    let mut files = rules(view, look)?;
    // All that there is below the new root is shown.
    files.push(Rule { path: text("/"), access: Access::List });
    // With ABI 1 no file could be moved from one directory to another.
    let landlock = Landlock { files: Some(files), least_abi: 2, ..Landlock::default() };
    Ok(Planned::noting(Step::Landlock(landlock), note::LANDLOCK))
}
