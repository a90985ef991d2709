//! `--only`: what the job sees if it sees nothing but what is named and what a dynamic program needs; and Landlock's rules
//! for it. The mounts are in `new_root.rs`.

use std::path::{Path, PathBuf};

use terrarium_sys::landlock::{ABI_TRUNCATE, Access, Landlock, Rule};
use terrarium_sys::step::{Planned, Step};

use crate::spec::View;
use crate::view::{Look, ViewError, c, note, private_tmps, text};

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
pub(crate) fn base(view: &View, look: &dyn Look) -> Vec<PathBuf> {
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
    all.extend(view.binds.iter().map(|bind| {
        let kept = view.read_only.iter().any(|ro| bind.target.starts_with(ro));
        Place { path: bind.target.clone(), access: if kept { Access::Read } else { Access::Write } }
    }));
    all
}

/// The same without what `--bind` brings in.
pub(crate) fn held(view: &View, look: &dyn Look) -> Vec<Place> {
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

/// Whether something is to be read-only in something that is not.
pub(crate) fn read_only_below_writable(view: &View) -> bool {
    let writable = |path: &Path| {
        view.only.iter().any(|only| !only.read_only && path != only.path && path.starts_with(&only.path))
    };
    view.only.iter().any(|only| only.read_only && writable(&only.path))
}

/// Whether a path of the host is there in the job, and not only as a way to something else. Everything is
/// without `--only`.
pub(crate) fn holds(view: &View, look: &dyn Look, path: &Path) -> bool {
    view.only.is_empty() || held(view, look).iter().any(|place| path.starts_with(&place.path))
}

fn rule(place: &Place) -> Result<Rule, ViewError> {
    Ok(Rule { path: c(&place.path)?, access: place.access })
}

/// The view by Landlock alone, for a tier without mounts; needs no_new_privs.
///
/// What lies below a named path cannot be hidden or made read-only by it. `tmp` is the job's own directory for temporary files,
/// instead of a /tmp of its own. A kernel without Landlock is a failure (`EOPNOTSUPP`).
pub(crate) fn landlock_step(view: &View, tmp: Option<&Path>, look: &dyn Look) -> Result<Planned, ViewError> {
    let not_there = private_tmps(view);
    let mut places = places(view, look);
    places.retain(|place| !not_there.contains(&place.path));
    places.extend(tmp.map(|path| Place { path: path.to_owned(), access: Access::Write }));
    let files = Some(places.iter().map(rule).collect::<Result<_, _>>()?);
    Ok(Step::Landlock(Landlock { files, least_abi: ABI_TRUNCATE, required: true, ..Landlock::default() })
        .into())
}

/// The same on top of the mounts: it also holds for a directory that a descriptor leads to, and for root. Nothing is
/// said where the kernel has none, for the mounts hold.
pub(crate) fn landlock_in_addition(view: &View, look: &dyn Look) -> Result<Planned, ViewError> {
    let mut files = places(view, look).iter().map(rule).collect::<Result<Vec<_>, _>>()?;
    // All that there is below the new root is shown.
    files.push(Rule { path: text("/"), access: Access::List });
    // With ABI 1 no file could be moved from one directory to another.
    let landlock = Landlock { files: Some(files), least_abi: 2, ..Landlock::default() };
    Ok(Planned::noting(Step::Landlock(landlock), note::LANDLOCK))
}
