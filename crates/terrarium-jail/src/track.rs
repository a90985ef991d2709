//! What a job that is tracked needs: a directory of its own in a spool, which it sees and may write to, and the library
//! that writes there.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use terrarium_core::JobId;
use terrarium_sys::fds::open_plain;
use terrarium_sys::process::user;

use crate::only;
use crate::spec::{Bind, JailSpec, Shm, Track, View};
use crate::view::{Look, MOST_BINDS, private_tmps};

/// The run's name follows, which tells whether it lives.
const PREFIX: &str = "run-";

/// A file in which processes count what they could not record.
const DROPS: &str = "drops";

/// Its length: counters of 8 bytes each, little-endian.
const DROPS_LENGTH: usize = 64;

/// The run's report, for whoever collects the records. Hidden: it is none itself.
pub const REPORT: &str = ".run.json";

/// A run's directory in a spool. Removed when this is dropped, if nothing was written to it.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    /// Device and inode: the job could put something else in its place.
    identity: (u64, u64),
    is_made_here: bool,
}

/// What became of the wish to track a job.
#[derive(Debug, Default)]
pub enum Tracked {
    /// There was none, or another process sees to it.
    #[default]
    NotHere,
    /// Its processes write to this directory.
    To(RunDirectory),
    /// Nothing is recorded.
    Not {
        /// Why.
        why: String,
    },
}

/// The name of a run's directory.
fn name(job: &JobId) -> String {
    format!("{PREFIX}{job}")
}

/// The run to which a directory in a spool belongs, by its name.
pub fn job_of(name: &std::ffi::OsStr) -> Option<JobId> {
    name.to_str()?.strip_prefix(PREFIX)?.parse().ok()
}

impl RunDirectory {
    fn make(spool: &Path, job: &JobId) -> io::Result<RunDirectory> {
        let path = spool.join(name(job));
        DirBuilder::new().mode(0o700).create(&path)?;
        let meta = fs::symlink_metadata(&path)?;
        let made = RunDirectory { path, identity: (meta.dev(), meta.ino()), is_made_here: true };
        let mut drops =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(made.path.join(DROPS))?;
        drops.write_all(&[0; DROPS_LENGTH])?;
        Ok(made)
    }

    /// That of a job which this process is a rank of.
    fn of_rank(spool: &Path, job: &JobId) -> io::Result<RunDirectory> {
        let path = spool.join(name(job));
        let meta = fs::symlink_metadata(&path)?;
        if !meta.is_dir() || meta.uid() != user() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(RunDirectory { path, identity: (meta.dev(), meta.ino()), is_made_here: false })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is still the directory that was made.
    pub fn is_the_same(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.identity)
    }

    /// Whether a file in it is the one that counts what was not recorded.
    pub fn is_drops(name: &std::ffi::OsStr) -> bool {
        name == DROPS
    }

    /// How many processes could not record: for want of space, and for other reasons.
    pub fn dropped(&self) -> (u64, u64) {
        let mut bytes = [0; DROPS_LENGTH];
        let read = open_plain(&self.path.join(DROPS)).and_then(|mut file| file.read_exact(&mut bytes));
        let counter = |i: usize| u64::from_le_bytes(bytes[8 * i..8 * i + 8].try_into().unwrap_or_default());
        if read.is_ok() { (counter(0), counter(1)) } else { (0, 0) }
    }

    /// Leaves the run's report beside its records, if there are any. Whoever collects them takes it too; the run is none the worse
    /// for it if that fails.
    pub fn leave(&self, report: &[u8]) {
        if !self.is_the_same() || self.is_unused() {
            return;
        }
        // The job may have put something there.
        let new = self.path.join(format!("{REPORT}.new"));
        let _ = fs::remove_file(&new);
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
        if made
            .and_then(|mut file| file.write_all(report))
            .and_then(|()| fs::rename(&new, self.path.join(REPORT)))
            .is_err()
        {
            let _ = fs::remove_file(&new);
        }
    }

    fn is_unused(&self) -> bool {
        let entries = || fs::read_dir(&self.path).into_iter().flatten().flatten();
        self.dropped() == (0, 0) && entries().take(2).all(|entry| Self::is_drops(&entry.file_name()))
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        if self.is_made_here && self.is_the_same() && self.is_unused() {
            let _ = fs::remove_file(self.path.join(DROPS));
            let _ = fs::remove_dir(&self.path);
        }
    }
}

impl Tracked {
    /// For a job that this process supervises, with what its view must have for that.
    pub(crate) fn make(spec: &JailSpec, job: &JobId, look: &dyn Look) -> (Tracked, Option<View>) {
        let Some(track) = &spec.track else { return (Tracked::NotHere, None) };
        let not = |why: String| (Tracked::Not { why }, None);
        let view = match view_with(&spec.view, track, job, look) {
            Ok(view) => view,
            Err(why) => return not(why),
        };
        match RunDirectory::make(&track.spool, job) {
            Ok(directory) => (Tracked::To(directory), view),
            Err(error) => not(format!("no directory could be made in {}: {error}", track.spool.display())),
        }
    }

    /// For one rank of a job.
    pub(crate) fn join(spec: &JailSpec, job: &JobId) -> Tracked {
        let Some(track) = &spec.track else { return Tracked::NotHere };
        match RunDirectory::of_rank(&track.spool, job) {
            Ok(directory) => Tracked::To(directory),
            Err(error) => Tracked::Not { why: format!("the job's spool is not there: {error}") },
        }
    }

    /// The variables that the job gets.
    pub(crate) fn variables(&self, spec: &JailSpec, job: &JobId) -> Vec<(&'static str, OsString)> {
        match (self, &spec.track) {
            (Tracked::To(directory), Some(track)) => variables(track, directory.path.clone(), job),
            _ => Vec::new(),
        }
    }
}

fn variables(track: &Track, directory: PathBuf, job: &JobId) -> Vec<(&'static str, OsString)> {
    vec![
        ("LD_PRELOAD", track.preload.clone()),
        ("TERRARIUM_SPOOL", directory.into()),
        ("TERRARIUM_RUN", job.to_string().into()),
    ]
}

impl Track {
    /// The variables that a job of this name would get.
    pub fn variables(&self, job: &JobId) -> Vec<(&'static str, OsString)> {
        variables(self, self.spool.join(name(job)), job)
    }
}

/// The view in which the run's directory and the library are to be seen, if that is another than `view`. An error: what
/// was asked for stands in the way.
pub(crate) fn view_with(
    view: &View,
    track: &Track,
    job: &JobId,
    look: &dyn Look,
) -> Result<Option<View>, String> {
    let directory = track.spool.join(name(job));
    let mut with: Option<View> = None;
    for (path, on_host, writable) in
        [(&directory, &track.spool, true), (&track.library, &track.library, false)]
    {
        match seen(view, path, on_host, writable, look) {
            Seen::Yes => {}
            Seen::IfBound => {
                let with = with.get_or_insert_with(|| view.clone());
                with.binds.push(Bind { source: path.clone(), target: path.clone() });
                if !writable {
                    with.read_only.push(path.clone());
                }
            }
            Seen::No(flag) => return Err(format!("{flag} covers {}", path.display())),
        }
    }
    if with.as_ref().is_some_and(|with| with.binds.len() > MOST_BINDS) {
        return Err("there are too many --bind".to_owned());
    }
    Ok(with)
}

enum Seen {
    Yes,
    IfBound,
    /// Because of this option.
    No(&'static str),
}

/// Whether a job with this view sees a path; `on_host` is the part of it that is there already.
fn seen(view: &View, path: &Path, on_host: &Path, writable: bool, look: &dyn Look) -> Seen {
    let is_below = |roots: &[PathBuf]| roots.iter().any(|root| path.starts_with(root));
    if let Some(bind) = view.binds.iter().rev().find(|bind| path.starts_with(&bind.target)) {
        let inside = on_host.strip_prefix(&bind.target).map(|rest| bind.source.join(rest));
        let is_same = inside.is_ok_and(|inside| look.canonical(&inside).is_some_and(|at| at == on_host));
        return if is_same && !(writable && is_below(&view.read_only)) {
            Seen::Yes
        } else {
            Seen::No("--bind")
        };
    }
    if view.hidden.iter().any(|hidden| hidden == path) {
        return Seen::No("--hide");
    }
    let own_shm = view.shm != Shm::Host && path.starts_with("/dev/shm");
    if own_shm || is_below(&view.hidden) || writable && is_below(&view.read_only) {
        return Seen::IfBound;
    }
    let tmps = private_tmps(view);
    let named =
        view.only.iter().filter(|only| path.starts_with(&only.path)).max_by_key(|o| o.path.as_os_str().len());
    match named {
        // What is named in a /tmp of the job's own is the host's.
        Some(only) if !(writable && only.read_only) => Seen::Yes,
        Some(_) => Seen::IfBound,
        None if is_below(&tmps) => Seen::IfBound,
        None if view.only.is_empty() => Seen::Yes,
        None if !writable && only::base(view, look).iter().any(|base| path.starts_with(base)) => Seen::Yes,
        None => Seen::IfBound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Only;
    use terrarium_core::Bytes;

    /// Everything is there, and nothing is a link.
    struct All;

    impl Look for All {
        fn is_dir(&self, path: &Path) -> Option<bool> {
            Some(path.extension().is_none())
        }

        fn canonical(&self, path: &Path) -> Option<PathBuf> {
            Some(path.to_owned())
        }
    }

    const JOB: JobId = JobId { pid: 1, start_ticks: 2, pid_namespace: 3 };

    /// What is bound besides.
    fn bound(view: &View, spool: &str, library: &str) -> Result<Vec<String>, String> {
        let track = Track { library: library.into(), preload: library.into(), spool: spool.into() };
        let binds = view.binds.len();
        let with = view_with(view, &track, &JOB, &All)?;
        let texts = with.iter().flat_map(|with| &with.binds[binds..]).map(|b| b.target.display().to_string());
        Ok(texts.collect())
    }

    const LIBRARY: &str = "/usr/local/lib/terrarium/hook.so";
    const SPOOL: &str = "/run/terrarium/spool";

    #[test]
    fn what_is_seen_anyway_is_not_bound() {
        let host = View { shm: Shm::Host, ..View::default() };
        assert_eq!(bound(&View::default(), SPOOL, LIBRARY), Ok(vec![]));
        assert_eq!(bound(&host, "/dev/shm/terrarium-1/spool", LIBRARY), Ok(vec![]));
        let tmp = View { private_tmp: true, ..View::default() };
        assert_eq!(bound(&tmp, SPOOL, LIBRARY), Ok(vec![]));
    }

    #[test]
    fn what_is_covered_is_bound() {
        let own = View { shm: Shm::Private(Bytes(1)), ..View::default() };
        let shm = "/dev/shm/terrarium-1/spool/run-1-2-3".to_owned();
        assert_eq!(bound(&own, "/dev/shm/terrarium-1/spool", LIBRARY), Ok(vec![shm]));
        let tmp = View { private_tmp: true, ..View::default() };
        assert_eq!(
            bound(&tmp, "/tmp/s", "/tmp/h.so"),
            Ok(vec!["/tmp/s/run-1-2-3".into(), "/tmp/h.so".into()])
        );
        let run = "/run/terrarium/spool/run-1-2-3".to_owned();
        let hidden = View { hidden: vec!["/run".into()], ..View::default() };
        assert_eq!(bound(&hidden, SPOOL, LIBRARY), Ok(vec![run.clone()]));
        let kept = View { read_only: vec!["/".into()], ..View::default() };
        assert_eq!(bound(&kept, SPOOL, LIBRARY), Ok(vec![run.clone()]));
        let only = |path: &str, read_only| View {
            only: vec![Only { path: path.into(), read_only }],
            ..View::default()
        };
        assert_eq!(bound(&only("/data", false), SPOOL, LIBRARY), Ok(vec![run.clone()]));
        assert_eq!(bound(&only("/run", true), SPOOL, "/opt/h.so"), Ok(vec![run, "/opt/h.so".into()]));
        assert_eq!(bound(&only("/run", false), SPOOL, LIBRARY), Ok(vec![]));
        // The library cannot be written to.
        let track = Track { library: "/opt/h.so".into(), preload: "x".into(), spool: SPOOL.into() };
        let with = view_with(&only("/data", false), &track, &JOB, &All).unwrap().unwrap();
        assert_eq!(with.read_only, [PathBuf::from("/opt/h.so")]);
    }

    #[test]
    fn what_the_user_puts_there_wins() {
        let bind = |source: &str, target: &str| View {
            binds: vec![Bind { source: source.into(), target: target.into() }],
            ..View::default()
        };
        assert!(bound(&bind("/scratch", "/run"), SPOOL, LIBRARY).unwrap_err().contains("--bind"));
        assert_eq!(bound(&bind("/usr", "/usr"), SPOOL, LIBRARY), Ok(vec![]));
        let hidden = View { hidden: vec![LIBRARY.into()], ..View::default() };
        assert!(bound(&hidden, SPOOL, LIBRARY).unwrap_err().contains("--hide"));
        let many = View {
            shm: Shm::Private(Bytes(1)),
            binds: vec![Bind { source: "/a".into(), target: "/b".into() }; MOST_BINDS],
            ..View::default()
        };
        assert!(bound(&many, "/dev/shm/s", LIBRARY).unwrap_err().contains("too many"));
    }

    #[test]
    fn a_directory_without_records_goes_and_one_with_records_stays() {
        let spool = tempfile::tempdir().unwrap();
        let path = spool.path().join("run-1-2-3");
        drop(RunDirectory::make(spool.path(), &JOB).unwrap());
        assert!(!path.exists());
        let directory = RunDirectory::make(spool.path(), &JOB).unwrap();
        assert!(RunDirectory::make(spool.path(), &JOB).is_err());
        assert_eq!((fs::metadata(&path).unwrap().mode() & 0o777, directory.dropped()), (0o700, (0, 0)));
        fs::write(path.join("1.trk"), "x").unwrap();
        drop(directory);
        assert!(path.exists());
        assert_eq!(job_of(path.file_name().unwrap()), Some(JOB));
        let rank = RunDirectory::of_rank(spool.path(), &JOB).unwrap();
        fs::remove_file(path.join("1.trk")).unwrap();
        drop(rank);
        assert!(path.exists(), "it belongs to the holder");
    }

    #[test]
    fn what_was_dropped_is_read_and_kept() {
        let spool = tempfile::tempdir().unwrap();
        let directory = RunDirectory::make(spool.path(), &JOB).unwrap();
        let drops = directory.path().join(DROPS);
        let mut counters = [0; DROPS_LENGTH];
        (counters[0], counters[9]) = (5, 1);
        fs::write(&drops, counters).unwrap();
        assert_eq!(directory.dropped(), (5, 256));
        fs::write(&drops, "short").unwrap();
        assert_eq!(directory.dropped(), (0, 0));
        fs::remove_file(&drops).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &drops).unwrap();
        assert_eq!(directory.dropped(), (0, 0));
        fs::write(directory.path().join("x"), "").unwrap();
    }
}
