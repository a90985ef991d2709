//! The root directory that `--only` makes: a small file system in memory, with what is to be seen bound into it. Pure, as
//! `view.rs` is.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use terrarium_core::Tier;
use terrarium_sys::step::{Planned, Step, When, flags};

use crate::host::{Mount, mount_of};
use crate::only::{base, held, links};
use crate::spec::{Shm, View};
use crate::view::{Look, ViewError, c, note, private_tmps, text, tmpfs};

/// Where the host's root is while the new one is made.
const OLD: &str = "/.terrarium-host";

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::parse_mounts;
    use crate::only::{landlock_in_addition, landlock_step, places};
    use crate::spec::{Bind, Only};
    use crate::view;

    /// Paths that are there: a directory, a file, or a link to something.
    struct Files(Vec<(&'static str, &'static str)>);

    impl Look for Files {
        fn is_dir(&self, path: &Path) -> Option<bool> {
            let kind = self.0.iter().find(|(p, _)| Path::new(p) == path).map(|(_, kind)| *kind)?;
            match kind {
                "dir" => Some(true),
                "file" => Some(false),
                to => self.is_dir(&path.parent()?.join(to)),
            }
        }

        fn read_link(&self, path: &Path) -> Option<PathBuf> {
            let kind = self.0.iter().find(|(p, _)| Path::new(p) == path).map(|(_, kind)| *kind);
            kind.filter(|kind| !["dir", "file"].contains(kind)).map(PathBuf::from)
        }

        fn canonical(&self, path: &Path) -> Option<PathBuf> {
            Some(path.parent()?.join(self.read_link(path).unwrap_or(path.to_owned())))
        }
    }

    fn files() -> Files {
        Files(vec![
            ("/usr", "dir"),
            ("/bin", "usr/bin"),
            ("/usr/bin", "dir"),
            ("/lib", "dir"),
            ("/etc", "dir"),
            ("/etc/resolv.conf", "/run/dns/resolv.conf"),
            ("/run/dns/resolv.conf", "file"),
            ("/var/run", "/run"),
            ("/dev/shm", "dir"),
            ("/home/u/p", "dir"),
            ("/home/u/p/.keys", "dir"),
            ("/data", "dir"),
            ("/data/f", "file"),
            ("/tmp/t", "dir"),
            ("/tmp", "dir"),
            ("/var", "dir"),
        ])
    }

    const MOUNTS: &str = "1 1 0:1 / / rw,relatime - ext4 x rw\n2 1 0:2 / /proc rw - proc x rw\n\
                          3 1 0:3 / /dev rw,nosuid - devtmpfs x rw\n4 1 0:4 / /usr/local rw,nodev - ext4 x rw\n";

    fn steps(view: &View, tier: Tier) -> Result<Vec<Planned>, ViewError> {
        view::check(view, &files())?;
        view::steps(view, tier, &[], &parse_mounts(MOUNTS), &files())
    }

    fn only(paths: &[&str]) -> View {
        let named = |path: &&str| match path.strip_suffix(":ro") {
            Some(path) => Only { path: path.into(), read_only: true },
            None => Only { path: path.into(), read_only: false },
        };
        View { only: paths.iter().map(named).collect(), ..View::default() }
    }

    fn texts(steps: &[Planned]) -> Vec<String> {
        let chroot = |p: &&Planned| p.when != When::Noted(note::CHROOT);
        steps.iter().filter(chroot).map(|p| p.step.to_string()).collect()
    }

    #[test]
    fn the_whole_root() {
        let got = texts(&steps(&only(&["/home/u/p", "/data/f:ro", "/tmp/t"]), Tier::Userns).unwrap());
        let tmpfs = "(nosuid,nodev,mode=1777,size=67108864)";
        assert_eq!(
            got,
            [
                "keep mounts from reaching the host",
                "mount tmpfs on /proc (nosuid,nodev,size=1m,mode=755)",
                "make directory /proc/.terrarium-host (755)",
                "make /proc the root, with the old one at /proc/.terrarium-host",
                "make directory /proc (555)",
                "mount proc on /proc (nosuid,nodev,noexec)",
                "bind /.terrarium-host/proc on /proc with all below",
                "make directory /run (755)",
                "make link /bin to usr/bin",
                "make directory /data (755)",
                "make file /data/f (644)",
                "bind /.terrarium-host/data/f on /data/f with all below",
                "make /data/f and all below ro",
                "make /data/f ro,relatime",
                "make directory /dev (755)",
                "bind /.terrarium-host/dev on /dev with all below",
                "make directory /etc (755)",
                "bind /.terrarium-host/etc on /etc with all below",
                "make /etc and all below ro",
                "make /etc ro,relatime",
                "make directory /home (755)",
                "make directory /home/u (755)",
                "make directory /home/u/p (755)",
                "bind /.terrarium-host/home/u/p on /home/u/p with all below",
                "make directory /lib (755)",
                "bind /.terrarium-host/lib on /lib with all below",
                "make /lib and all below ro",
                "make /lib ro,relatime",
                "make directory /run/dns (755)",
                "make file /run/dns/resolv.conf (644)",
                "bind /.terrarium-host/run/dns/resolv.conf on /run/dns/resolv.conf with all below",
                "make /run/dns/resolv.conf and all below ro",
                "make /run/dns/resolv.conf ro,relatime",
                "make directory /tmp (755)",
                &format!("mount tmpfs on /tmp {tmpfs}"),
                "make directory /tmp/t (755)",
                "bind /.terrarium-host/tmp/t on /tmp/t with all below",
                "make directory /usr (755)",
                "bind /.terrarium-host/usr on /usr with all below",
                "make /usr and all below ro",
                "make /usr ro,relatime",
                "make /usr/local ro,nodev",
                "make directory /var (755)",
                "make link /var/run to /run",
                "make directory /var/tmp (755)",
                &format!("mount tmpfs on /var/tmp {tmpfs}"),
                &format!("mount tmpfs on /dev/shm {tmpfs}"),
                "make /dev ro,nosuid",
                "unmount /.terrarium-host",
                "remove directory /.terrarium-host",
                "make / ro,nosuid,nodev",
            ]
        );
    }

    #[test]
    fn root_has_a_proc_of_its_own_or_none() {
        let plan = |tier| steps(&only(&["/data"]), tier).unwrap();
        let notes = |steps: &[Planned]| steps.iter().any(|p| p.note == Some(note::PROC));
        assert!(notes(&plan(Tier::Userns)));
        assert!(!notes(&plan(Tier::Root)));
        assert!(!texts(&plan(Tier::Root)).iter().any(|s| s.contains("host/proc on")));
    }

    #[test]
    fn a_named_tmp_is_the_hosts() {
        let tmps = |paths: &[&str]| private_tmps(&only(paths)).len();
        assert_eq!((tmps(&["/data"]), tmps(&["/tmp/t"]), tmps(&["/tmp"]), tmps(&["/var"])), (2, 2, 1, 1));
        assert!(private_tmps(&View::default()).is_empty());
        let both = View { private_tmp: true, ..only(&["/var"]) };
        assert_eq!(private_tmps(&both).len(), 2);
    }

    #[test]
    fn what_is_bound_gets_a_place_and_what_is_hidden_below_stays_hidden() {
        let view = View {
            binds: vec![Bind { source: "/data".into(), target: "/new/place".into() }],
            hidden: vec!["/home/u/p/.keys".into()],
            ..only(&["/home/u/p"])
        };
        let got = texts(&steps(&view, Tier::Userns).unwrap());
        let at =
            |text: &str| got.iter().position(|s| s == text).unwrap_or_else(|| panic!("{text}: {got:#?}"));
        assert!(at("hold /data as 0") < at("mount tmpfs on /proc (nosuid,nodev,size=1m,mode=755)"));
        assert!(at("bind /proc/directory on /home/u/p/.keys") < at("make directory /home/u/p (755)"));
        assert!(at("make directory /new/place (755)") < at("bind held 0 on /new/place"));
        assert!(at("bind held 0 on /new/place") < at("unmount /.terrarium-host"));
        // Where something is shown, the target must be there, as without --only.
        let binds = vec![Bind { source: "/data".into(), target: "/home/u/p/none".into() }];
        assert!(matches!(steps(&View { binds, ..view }, Tier::Userns), Err(ViewError::NoTarget { .. })));
    }

    #[test]
    fn wishes_that_exclude_each_other() {
        let error = |view: View| steps(&view, Tier::Userns).unwrap_err().to_string();
        assert!(error(only(&["/"])).contains("shows everything"));
        assert!(error(only(&["/dev/null"])).contains("anyway"));
        assert!(error(only(&["/data", "/data:ro"])).contains("which one"));
        assert!(error(View { private_tmp: true, ..only(&["/tmp"]) }).contains("both"));
        assert!(
            error(View { hidden: vec!["/home".into()], ..only(&["/home/u/p"]) }).contains("leave it out")
        );
        let binds = vec![Bind { source: "/data".into(), target: "/home/u".into() }];
        assert!(error(View { binds, ..only(&["/home/u/p"]) }).contains("covers"));
        let chroot = view::steps(&only(&["/data"]), Tier::Root, &[], &[], &files());
        assert_eq!(chroot.unwrap_err(), ViewError::OnlyInChroot);
    }

    #[test]
    fn landlock_says_the_same() {
        let view = View { read_only: vec!["/data".into()], ..only(&["/home/u/p", "/data", "/tmp/t:ro"]) };
        let rules = "write to /dev/shm /dev/mqueue /tmp /var/tmp /home/u/p; use /dev /proc; \
                     read /usr /lib /etc /run/dns/resolv.conf /data /tmp/t";
        let step = landlock_step(&view, Some(Path::new("/tmp/own")), &files()).unwrap();
        let without = rules.replace(" /tmp /var/tmp", "").replace("/home/u/p;", "/home/u/p /tmp/own;");
        assert_eq!((step.note, step.step.to_string()), (None, format!("Landlock: {without}")));
        let step = landlock_in_addition(&view, &files()).unwrap();
        let text = format!("Landlock: {rules}; list /");
        assert_eq!((step.note, step.step.to_string()), (Some(note::LANDLOCK), text));
        assert!(places(&View::default(), &files()).is_empty());
    }
}
