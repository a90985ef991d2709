//! Where the hook's records go: a site's spool, or one of the user's own on this node.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use terrarium_jail::host::Host;
use terrarium_jail::track::job_of;
use terrarium_sys::fds::{is_open_to_write, open_plain};
use terrarium_sys::places::{Kept, kept, may_write};

use crate::hook::Variable;
use crate::recorder::{InTime, in_time_of};

/// Names the spool; in a job, the directory that its run has in one.
pub(crate) const VARIABLE: &str = "TERRARIUM_SPOOL";

/// Where a site has its spool.
pub(crate) const OF_SITE: &str = "/run/terrarium/spool";

/// What is there belongs to this node, as every system has it: looking at it waits for nobody.
const OF_NODE: [&str; 4] = ["/run", "/dev/shm", "/tmp", "/var/tmp"];

/// A spool that does not answer for so long is none.
const PATIENCE: Duration = Duration::from_secs(2);

/// A user's own spool holds so many runs (and when it is cut, so many are kept: not each run is to cut it),
const MOST_RUNS: usize = 200;
const KEPT_RUNS: usize = 150;
/// so much in all,
const MOST_BYTES: u64 = 64 << 20;
/// and nothing that is older.
const OLDEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// What `track env` lets processes leave in it that are of no run: so many records, so many bytes.
const MOST_LOOSE: usize = 2_000;
const MOST_LOOSE_BYTES: u64 = 16 << 20;

/// How often a spool with few runs is looked through for large and old ones.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// A run of so many processes is reason enough to look.
const MANY: u64 = 50;

/// At the end of one run not more is removed, and not more looked at.
const MOST_REMOVED: usize = 100;
const MOST_LOOKED_AT: usize = 20_000;

/// When the spool was looked through.
const MARK: &str = ".looked-through";

/// A place for the directories of runs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Spool {
    /// Without symbolic links.
    pub(crate) path: PathBuf,
    /// This user's alone, and kept small by us.
    pub(crate) is_own: bool,
}

/// The spool for a run of this user, or why there is none.
pub(crate) fn find(variable: Variable<'_>, uid: u32) -> Result<Spool, String> {
    let in_time = |look: &dyn Fn() -> Result<(), String>| in_time_of(PATIENCE, look);
    find_in(variable, uid, (Path::new(OF_SITE), Path::new("/dev/shm")), &in_time)
}

fn find_in(
    variable: Variable<'_>,
    uid: u32,
    (of_site, shm): (&Path, &Path),
    in_time: InTime<'_>,
) -> Result<Spool, String> {
    let site = |path: PathBuf| Spool { path, is_own: false };
    if let Some(named) = variable(VARIABLE).map(PathBuf::from) {
        match usable(&named, in_time) {
            // A shell that `track env` was read into names the user's own: it is kept small all the same.
            Ok(path) => {
                let is_own = own_below(uid, Path::new("/run/user"), shm).contains(&path);
                return Ok(Spool { path, is_own });
            }
            // Of a run whose environment was carried elsewhere, by a batch system.
            Err(_) if named.file_name().and_then(job_of).is_some() => {}
            Err(why) => return Err(format!("{VARIABLE}={}: {why}", named.display())),
        }
    }
    if let Ok(meta) = fs::symlink_metadata(of_site)
        && meta.is_dir()
        && (meta.uid() == 0 || meta.uid() == uid)
        && let Ok(path) = usable(of_site, in_time)
    {
        return Ok(site(path));
    }
    own(variable, uid, shm).map(|path| Spool { path, is_own: true })
}

/// The directory without symbolic links, if records can be made in it without waiting for another machine.
fn usable(directory: &Path, in_time: InTime<'_>) -> Result<PathBuf, String> {
    if !directory.is_absolute() {
        return Err("is no absolute path".to_owned());
    }
    let look = || {
        let path = fs::canonicalize(directory).map_err(|e| e.to_string())?;
        let meta = fs::metadata(&path).map_err(|e| e.to_string())?;
        if !meta.is_dir() {
            return Err("is no directory".to_owned());
        }
        if meta.permissions().mode() & 0o1002 == 0o002 {
            return Err("everybody may remove what others have there (chmod +t helps)".to_owned());
        }
        match kept(&path).map_err(|e| e.to_string())? {
            Kept::InMemory | Kept::OnDisk => {}
            Kept::Elsewhere(kind) => {
                return Err(format!("is on no file system of this node (type {kind:#x})"));
            }
        }
        if may_write(&path) { Ok(path) } else { Err("cannot be written to".to_owned()) }
    };
    let goes_up = directory.components().any(|part| part == std::path::Component::ParentDir);
    if goes_up || !OF_NODE.iter().any(|node| directory.starts_with(node)) {
        in_time(&|| look().map(drop))?;
    }
    look()
}

/// A directory of the user's own in memory, made if need be.
fn own(variable: Variable<'_>, uid: u32, shm: &Path) -> Result<PathBuf, String> {
    let runtime = variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    let runtime = runtime.filter(|path| OF_NODE.iter().any(|node| path.starts_with(node)));
    if let Some(runtime) = runtime
        && is_own_memory(&runtime, uid).is_ok()
        && let Ok(path) =
            make_own(&runtime.join("terrarium"), uid).and_then(|()| make_spool(&runtime, "terrarium", uid))
    {
        return Ok(path);
    }
    if kept(shm).map_err(|e| format!("{}: {e}", shm.display()))? != Kept::InMemory {
        return Err(format!("{} is not in memory", shm.display()));
    }
    let name = format!("terrarium-{uid}");
    make_own(&shm.join(&name), uid)?;
    make_spool(shm, &name, uid)
}

/// A user's own spools that are there. Others may have made what bears a user's name: it has to be the user's, without links.
pub(crate) fn own_of(uid: u32) -> Vec<PathBuf> {
    own_below(uid, Path::new("/run/user"), Path::new("/dev/shm"))
}

fn own_below(uid: u32, runtimes: &Path, shm: &Path) -> Vec<PathBuf> {
    let bases = [runtimes.join(uid.to_string()).join("terrarium"), shm.join(format!("terrarium-{uid}"))];
    let is_users =
        |path: &Path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir() && meta.uid() == uid);
    let spools = bases.into_iter().filter(|base| is_users(base)).map(|base| base.join("spool"));
    spools.filter(|spool| is_users(spool)).collect()
}

fn make_spool(base: &Path, name: &str, uid: u32) -> Result<PathBuf, String> {
    let spool = base.join(name).join("spool");
    make_own(&spool, uid)?;
    fs::canonicalize(&spool).map_err(|e| format!("{}: {e}", spool.display()))
}

fn is_own_memory(path: &Path, uid: u32) -> Result<(), String> {
    let meta = fs::symlink_metadata(path).map_err(|e| e.to_string())?;
    let is_memory = kept(path).is_ok_and(|kept| kept == Kept::InMemory);
    if meta.is_dir() && meta.uid() == uid && is_memory {
        Ok(())
    } else {
        Err("is not the user's own".to_owned())
    }
}

/// A directory that belongs to the user, and to nobody else.
fn make_own(path: &Path, uid: u32) -> Result<(), String> {
    let is_own = || -> Result<bool, std::io::Error> {
        let meta = fs::symlink_metadata(path)?;
        Ok(meta.is_dir() && meta.uid() == uid && meta.permissions().mode() & 0o777 == 0o700)
    };
    let found = match is_own() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let made = DirBuilder::new().mode(0o700).create(path);
            // Another run may have been quicker.
            match is_own() {
                Err(_) => made.map(|()| false),
                found => found,
            }
        }
        found => found,
    };
    match found {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("{} is not a directory of this user's alone (mode 0700)", path.display())),
        Err(error) => Err(format!("{} cannot be made: {error}", path.display())),
    }
}

/// One run's directory, as far as it matters for its removal.
struct Old {
    path: PathBuf,
    bytes: u64,
    changed: SystemTime,
}

/// Removes ended runs from a user's own spool: the oldest first, until it holds neither too many nor too much.
/// `processes` have just left their records. `keep` is called before anything goes: it may take in what is there.
pub(crate) fn trim(host: &Host, spool: &Path, processes: u64, keep: &dyn Fn()) {
    let now = SystemTime::now();
    let mark = spool.join(MARK);
    // A directory has a link for each directory in it, and two more.
    let runs = fs::symlink_metadata(spool).map_or(0, |meta| meta.nlink().saturating_sub(2));
    let looked = fs::symlink_metadata(&mark).and_then(|meta| meta.modified()).ok();
    let is_recent =
        looked.and_then(|then| now.duration_since(then).ok()).is_some_and(|since| since < LOOK_EVERY);
    if runs <= MOST_RUNS as u64 && processes < MANY && is_recent {
        return;
    }
    let _ = fs::remove_file(&mark);
    let _ = fs::OpenOptions::new().write(true).create_new(true).open(&mark);
    let mut left = MOST_LOOKED_AT;
    let (mut all, mut loose): (Vec<Old>, Vec<Old>) = Default::default();
    for entry in fs::read_dir(spool).into_iter().flatten().flatten() {
        let Some(job) = job_of(&entry.file_name()) else {
            if left > 0 && entry.file_name().as_encoded_bytes().ends_with(b".spool") {
                left -= 1;
                loose.extend(look_at_record(entry.path()));
            }
            continue;
        };
        // A run of another PID namespace may be alive.
        if left > 0 && host.is_supervised(&job) == Some(false) {
            all.extend(look_at(entry.path(), &mut left));
        }
    }
    let (runs, records) = (too_much(all, now), too_many_loose(loose, now));
    if !runs.is_empty() || !records.is_empty() {
        keep();
    }
    for path in runs {
        // Follows no link.
        let _ = fs::remove_dir_all(path);
    }
    for path in records {
        let _ = fs::remove_file(path);
    }
}

/// A record of a process that does not run any more.
fn look_at_record(path: PathBuf) -> Option<Old> {
    let file = open_plain(&path).ok()?;
    let meta = file.metadata().ok()?;
    let old = Old { path, bytes: meta.blocks().saturating_mul(512), changed: meta.modified().ok()? };
    (is_open_to_write(&file) == Some(false)).then_some(old)
}

/// All but the newest records.
fn too_many_loose(mut all: Vec<Old>, now: SystemTime) -> Vec<PathBuf> {
    all.sort_by_key(|old| std::cmp::Reverse(old.changed));
    let (mut count, mut bytes) = (0, 0_u64);
    all.retain(|old| {
        count += 1;
        bytes = bytes.saturating_add(old.bytes);
        let age = now.duration_since(old.changed).unwrap_or_default();
        count > MOST_LOOSE || bytes > MOST_LOOSE_BYTES || age > OLDEST
    });
    all.into_iter().map(|old| old.path).collect()
}

fn look_at(path: PathBuf, left: &mut usize) -> Option<Old> {
    let meta = fs::symlink_metadata(&path).ok().filter(|meta| meta.is_dir())?;
    let mut bytes = 0;
    for entry in fs::read_dir(&path).ok()?.flatten().take(*left) {
        *left -= 1;
        bytes += entry.metadata().map_or(0, |meta| meta.blocks().saturating_mul(512));
    }
    Some(Old { path, bytes, changed: meta.modified().ok()? })
}

/// The directories to be removed.
fn too_much(mut all: Vec<Old>, now: SystemTime) -> Vec<PathBuf> {
    all.sort_by_key(|old| old.changed);
    let (mut runs, mut bytes) = (all.len(), all.iter().map(|old| old.bytes).sum::<u64>());
    let most = if runs > MOST_RUNS { KEPT_RUNS } else { MOST_RUNS };
    let is_too_much = |old: &Old| {
        let age = now.duration_since(old.changed).unwrap_or_default();
        let goes = runs > most || bytes > MOST_BYTES || age > OLDEST;
        if goes {
            runs -= 1;
            bytes -= old.bytes;
        }
        goes
    };
    let mut is_too_much = is_too_much;
    all.into_iter().take_while(|old| is_too_much(old)).take(MOST_REMOVED).map(|old| old.path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::os::unix::fs::symlink;

    use terrarium_sys::process::user;

    fn with(pairs: &[(&str, &Path)]) -> impl Fn(&str) -> Option<OsString> {
        let pairs: Vec<(String, OsString)> =
            pairs.iter().map(|(name, path)| ((*name).to_owned(), path.as_os_str().to_owned())).collect();
        move |asked| pairs.iter().find(|(name, _)| name == asked).map(|(_, value)| value.clone())
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    /// In memory, as the real one.
    fn memory() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").unwrap()
    }

    #[test]
    fn the_named_one_then_the_sites_then_the_users() {
        let (base, shm) = (tempfile::tempdir().unwrap(), memory());
        let (named, site) = (base.path().join("named"), base.path().join("site"));
        let find = |variable: Variable<'_>| find_in(variable, user(), (&site, shm.path()), &|look| look());
        fs::create_dir(&named).unwrap();
        let own = find(&with(&[])).unwrap();
        assert!(own.is_own && own.path.ends_with(format!("terrarium-{}/spool", user())), "{own:?}");
        assert_eq!((mode(&own.path), mode(own.path.parent().unwrap())), (0o700, 0o700));
        assert_eq!(find(&with(&[])).unwrap(), own);
        assert_eq!(find(&with(&[(VARIABLE, &own.path)])).unwrap(), own);
        fs::create_dir(&site).unwrap();
        assert_eq!(find(&with(&[])).unwrap(), Spool { path: site.clone(), is_own: false });
        let found = find(&with(&[(VARIABLE, &named)])).unwrap();
        assert_eq!(found, Spool { path: named.clone(), is_own: false });
        // The name of a run that is not here is no reason to have no spool; any other is.
        assert!(find(&with(&[(VARIABLE, &base.path().join("none"))])).unwrap_err().contains("none"));
        assert_eq!(find(&with(&[(VARIABLE, &base.path().join("run-1-2-3"))])).unwrap().path, site);
        // Others could put a link in the place of a run's directory.
        fs::set_permissions(&named, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(find(&with(&[(VARIABLE, &named)])).unwrap_err().contains("chmod +t"));
        fs::set_permissions(&named, fs::Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(find(&with(&[(VARIABLE, &named)])).unwrap().path, named);
        assert!(find(&with(&[(VARIABLE, Path::new("relative"))])).unwrap_err().contains("absolute"));
        assert!(
            find(&with(&[(VARIABLE, Path::new("/proc"))]))
                .unwrap_err()
                .contains("no file system of this node")
        );
    }

    #[test]
    fn the_runtime_directory_if_it_is_the_users_and_in_memory() {
        let (shm, runtime) = (memory(), memory());
        let find = |uid: u32, runtime: &Path| {
            find_in(&with(&[("XDG_RUNTIME_DIR", runtime)]), uid, (Path::new("/none"), shm.path()), &|look| {
                look()
            })
        };
        let spool = runtime.path().canonicalize().unwrap().join("terrarium/spool");
        assert_eq!(find(user(), runtime.path()), Ok(Spool { path: spool, is_own: true }));
        assert!(find(user(), Path::new("/dev/shm/no-such-directory")).unwrap().path.starts_with(shm.path()));
        assert!(find(user(), Path::new("/home/somebody/run")).unwrap().path.starts_with(shm.path()));
        assert!(find(user() + 1, runtime.path()).unwrap_err().contains("this user's alone"));
    }

    #[test]
    fn what_others_have_put_there_is_not_used() {
        let shm = memory();
        let find = || find_in(&with(&[]), user(), (Path::new("/none"), shm.path()), &|look| look());
        let own = shm.path().join(format!("terrarium-{}", user()));
        symlink("/tmp", &own).unwrap();
        assert!(find().unwrap_err().contains("this user's alone"));
        fs::remove_file(&own).unwrap();
        fs::create_dir(&own).unwrap();
        fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(find().unwrap_err().contains("0700"));
        fs::remove_dir(&own).unwrap();
        fs::write(&own, "").unwrap();
        assert!(find().is_err());
    }

    #[test]
    fn the_spools_that_are_a_users_own() {
        let (runtimes, shm) = (memory(), memory());
        let of = |uid: u32| own_below(uid, runtimes.path(), shm.path());
        assert!(of(user()).is_empty());
        let in_shm = shm.path().join(format!("terrarium-{}/spool", user()));
        fs::create_dir_all(&in_shm).unwrap();
        assert_eq!(of(user()), std::slice::from_ref(&in_shm));
        let in_runtime = runtimes.path().join(format!("{}/terrarium/spool", user()));
        fs::create_dir_all(&in_runtime).unwrap();
        assert_eq!(of(user()), [in_runtime.clone(), in_shm.clone()]);
        fs::remove_dir(&in_runtime).unwrap();
        symlink("/tmp", &in_runtime).unwrap();
        assert_eq!(of(user()).len(), 1);
        // Another's, under this name.
        fs::rename(shm.path().join(format!("terrarium-{}", user())), shm.path().join("terrarium-4242"))
            .unwrap();
        assert!(of(4242).is_empty());
    }

    #[test]
    fn the_oldest_go_first_and_not_more_than_needed() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30);
        let old = |i: u64, bytes: u64| Old {
            path: i.to_string().into(),
            bytes,
            changed: now - Duration::from_secs(i),
        };
        let numbers = |all: Vec<Old>| -> Vec<u64> {
            too_much(all, now).iter().map(|path| path.to_str().unwrap().parse().unwrap()).collect()
        };
        assert_eq!(numbers((1..=200).map(|i| old(i, 1)).collect()), [0; 0]);
        let cut = numbers((1..=203).map(|i| old(i, 1)).collect());
        assert_eq!(cut, (KEPT_RUNS as u64 + 1..=203).rev().collect::<Vec<_>>());
        assert_eq!(numbers(vec![old(1, 40 << 20), old(2, 20 << 20), old(3, 5 << 20)]), [3]);
        assert_eq!(numbers(vec![old(1, 65 << 20)]), [1]);
        let month = OLDEST.as_secs();
        assert_eq!(numbers(vec![old(1, 1), old(month + 9, 1), old(month + 1, 1)]), [month + 9, month + 1]);
        assert_eq!(numbers((1..=900).map(|i| old(i, 1)).collect()).len(), MOST_REMOVED);
    }

    #[test]
    fn records_of_no_run_do_not_fill_the_memory() {
        let spool = memory();
        let at = |name: &str| spool.path().join(name);
        fs::write(at("1-1.spool"), vec![1; MOST_LOOSE_BYTES as usize + 1]).unwrap();
        fs::write(at("notes"), "").unwrap();
        let running = fs::File::create(at("2-1.spool")).unwrap();
        running.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let old = fs::File::create(at("3-1.spool")).unwrap();
        old.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        drop(old);
        fs::write(at("4-1.spool"), [1; 4096]).unwrap();
        fs::File::options()
            .write(true)
            .open(at("1-1.spool"))
            .unwrap()
            .set_modified(SystemTime::now() - Duration::from_secs(60))
            .unwrap();
        trim(&Host::default(), spool.path(), 0, &|| {});
        let is_there = |name: &str| at(name).exists();
        assert!(!is_there("1-1.spool") && !is_there("3-1.spool"));
        assert!(is_there("2-1.spool") && is_there("4-1.spool") && is_there("notes"));
        drop(running);
        let now = SystemTime::now();
        let many = (0..MOST_LOOSE as u64 + 3).map(|i| Old {
            path: i.to_string().into(),
            bytes: 1,
            changed: now - Duration::from_secs(i),
        });
        assert_eq!(too_many_loose(many.collect(), now).len(), 3);
    }

    #[test]
    fn only_ended_runs_are_removed() {
        let host = Host::default();
        let spool = memory();
        let living = host.job_id(std::process::id()).unwrap();
        let dead = format!("{}-1-{}", std::process::id(), living.pid_namespace);
        let elsewhere = format!("{}-1-1", std::process::id());
        let big = vec![1; (MOST_BYTES / 2 + (1 << 20)) as usize];
        for name in [living.to_string(), dead.clone(), elsewhere.clone()] {
            let directory = spool.path().join(format!("run-{name}"));
            fs::create_dir(&directory).unwrap();
            let bytes = if name == dead { [big.clone(), big.clone()].concat() } else { vec![1; 10] };
            fs::write(directory.join("1.spool"), bytes).unwrap();
        }
        fs::create_dir(spool.path().join("other")).unwrap();
        trim(&host, spool.path(), 0, &|| {});
        let is_there = |name: &str| spool.path().join(name).exists();
        assert!(!is_there(&format!("run-{dead}")));
        assert!(
            is_there(&format!("run-{living}")) && is_there(&format!("run-{elsewhere}")) && is_there("other")
        );
        // Not looked through again so soon.
        fs::create_dir(spool.path().join(format!("run-{dead}"))).unwrap();
        fs::write(spool.path().join(format!("run-{dead}/1.spool")), [big.clone(), big].concat()).unwrap();
        trim(&host, spool.path(), 0, &|| {});
        assert!(is_there(&format!("run-{dead}")));
        trim(&host, spool.path(), MANY, &|| {});
        assert!(!is_there(&format!("run-{dead}")));
    }
}
