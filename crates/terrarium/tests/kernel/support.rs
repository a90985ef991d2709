//! Starting jobs in a tier, and looking for what they left.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Skips a test with a reason; a failure where everything is required.
macro_rules! requires {
    ($condition:expr, $($reason:tt)*) => {
        if !$condition {
            $crate::support::skip(&format!($($reason)*));
            return;
        }
    };
}
pub(crate) use requires;

/// Leaves a test out in the virtual machine: what it shows does not depend on the cgroup version, and needs
/// more speed or other devices than an emulated machine has.
macro_rules! not_in_the_virtual_machine {
    () => {
        if $crate::support::is_small() {
            eprintln!("left out here: tried on the machine itself");
            return;
        }
    };
}
pub(crate) use not_in_the_virtual_machine;

pub(crate) fn skip(reason: &str) {
    let required = std::env::var("TERRARIUM_REQUIRE_ALL").is_ok_and(|v| !v.is_empty());
    assert!(!required, "everything is required, but: {reason}");
    eprintln!("skipped: {reason}");
}

/// Who runs a job, with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    Root,
    User,
    /// A user who owns a cgroup with a memory and a pids controller.
    Delegated,
    /// A user where no user namespace can be made: held by ptrace.
    Traced,
}

/// This machine is slow (emulated): make less of everything.
pub(crate) fn is_small() -> bool {
    std::env::var_os("TERRARIUM_TEST_SMALL").is_some()
}

pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

pub(crate) fn tiers() -> Vec<Tier> {
    if is_root() {
        vec![Tier::Root, Tier::User, Tier::Delegated, Tier::Traced]
    } else {
        vec![Tier::User, Tier::Traced]
    }
}

/// Tiers in which the job gets namespaces, and so mounts of its own.
pub(crate) fn tiers_with_mounts() -> Vec<Tier> {
    tiers().into_iter().filter(|t| *t != Tier::Traced).collect()
}

/// Tiers in which the job as a whole has a memory limit.
pub(crate) fn tiers_with_memory() -> Vec<Tier> {
    tiers().into_iter().filter(|t| matches!(t, Tier::Root | Tier::Delegated)).collect()
}

pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().parent().unwrap()
}

/// The release build that users get, or what `TERRARIUM_BIN` names; copied to where every user can reach it.
pub(crate) fn terrarium() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let built = std::env::var_os("TERRARIUM_BIN")
            .map(PathBuf::from)
            .unwrap_or_else(|| workspace().join("target/release/terrarium"));
        let built = if built.exists() { built } else { env!("CARGO_BIN_EXE_terrarium").into() };
        let own = directory().join("terrarium");
        copy(&built, &own);
        for beside in ["terrarium-nvml", HOOK] {
            let beside = built.with_file_name(beside);
            if beside.exists() {
                copy(&beside, &own.with_file_name(beside.file_name().unwrap()));
            }
        }
        own
    })
}

const HOOK: &str = "libterrarium_hook.so";

/// The library that records what is loaded, where every user can reach it; `None` if it was not built.
pub(crate) fn hook() -> Option<PathBuf> {
    Some(terrarium().with_file_name(HOOK)).filter(|hook| hook.exists())
}

/// Where the jobs of these tests are recorded: a place that every user may write to, as a site's.
pub(crate) fn spool() -> &'static Path {
    static SPOOL: OnceLock<PathBuf> = OnceLock::new();
    SPOOL.get_or_init(|| {
        let spool = directory().join("spool");
        fs::create_dir(&spool).unwrap();
        fs::set_permissions(&spool, fs::Permissions::from_mode(0o1777)).unwrap();
        spool
    })
}

/// Copies by another process: a child that another thread forks meanwhile must not hold the
/// program open for writing, or it could not be executed ("text file busy").
fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").args([from, to]).status().unwrap();
    assert!(status.success(), "copying {}", from.display());
}

/// One directory for this test run that every user can read; gone with /tmp.
pub(crate) fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<tempfile::TempDir> = OnceLock::new();
    DIRECTORY
        .get_or_init(|| {
            let directory = tempfile::Builder::new().prefix("terrarium-test-").tempdir().unwrap();
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
            directory
        })
        .path()
}

/// A test program (tests/programs), compiled on first use.
pub(crate) fn program(name: &str) -> String {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let built = DIRECTORY.get_or_init(|| {
        let into = std::env::var_os("TERRARIUM_TEST_PROGRAMS")
            .map(PathBuf::from)
            .unwrap_or_else(|| workspace().join("target/test-programs"));
        if !into.join("daemons").exists() || std::env::var_os("TERRARIUM_TEST_PROGRAMS").is_none() {
            let status = Command::new(workspace().join("tests/programs/build")).arg(&into).status().unwrap();
            assert!(status.success(), "tests/programs/build failed");
        }
        let own = directory().join("programs");
        fs::create_dir(&own).unwrap();
        for entry in fs::read_dir(&into).unwrap().flatten().filter(|e| e.path().is_file()) {
            copy(&entry.path(), &own.join(entry.file_name()));
        }
        own
    });
    let path = built.join(name);
    assert!(path.exists(), "there is no test program {name}");
    path.to_str().unwrap().to_owned()
}

/// (uid, gid) of the ordinary user.
pub(crate) fn user() -> (u32, u32) {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|l| l.starts_with("terrarium-test:"));
    let line = line.expect("no user terrarium-test: run scripts/setup");
    let fields: Vec<&str> = line.split(':').collect();
    (fields[2].parse().unwrap(), fields[3].parse().unwrap())
}

/// A cgroup that belongs to the ordinary user, in every hierarchy that matters. Removed when dropped.
pub(crate) struct Delegation {
    directories: Vec<PathBuf>,
    procs: Vec<PathBuf>,
}

impl Delegation {
    pub(crate) fn new() -> Delegation {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("delegated-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut made = Delegation { directories: Vec::new(), procs: Vec::new() };
        let (uid, gid) = user();
        let own = |path: &Path| std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
        if is_v2() {
            let top = Path::new("/sys/fs/cgroup").join(&name);
            let leaf = top.join("session");
            fs::create_dir(&top).unwrap();
            made.directories.push(top.clone());
            fs::write(top.join("cgroup.subtree_control"), "+memory +pids +cpu +cpuset").unwrap();
            fs::create_dir(&leaf).unwrap();
            made.directories.insert(0, leaf.clone());
            for path in [&top, &leaf] {
                own(path);
                for file in ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
                    own(&path.join(file));
                }
            }
            made.procs.push(leaf.join("cgroup.procs"));
        } else {
            for (controller, path) in v1_cgroups() {
                let directory = path.join(&name);
                fs::create_dir(&directory).unwrap();
                made.directories.push(directory.clone());
                if controller == "cpuset" {
                    for file in ["cpuset.cpus", "cpuset.mems"] {
                        fs::write(directory.join(file), fs::read(path.join(file)).unwrap()).unwrap();
                    }
                }
                own(&directory);
                for file in ["cgroup.procs", "tasks"] {
                    own(&directory.join(file));
                }
                made.procs.push(directory.join("cgroup.procs"));
            }
        }
        made
    }

    /// `sh -c` text that moves the shell into it.
    fn enter(&self) -> String {
        self.procs.iter().map(|p| format!("echo $$ > {}; ", p.display())).collect()
    }
}

impl Delegation {
    pub(crate) fn directories_for_tests(&self) -> &[PathBuf] {
        &self.directories
    }

    pub(crate) fn enter_for_tests(&self) -> String {
        self.enter()
    }
}

impl Drop for Delegation {
    fn drop(&mut self) {
        for directory in &self.directories {
            let deadline = Instant::now() + Duration::from_secs(5);
            while !remove(directory) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// Removes a cgroup with what runs that were killed left in it; whether it is gone.
fn remove(directory: &Path) -> bool {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove(&entry.path());
        }
    }
    fs::remove_dir(directory).is_ok() || !directory.exists()
}

pub(crate) fn is_v2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// This process's memory, pids and cpuset groups in v1.
pub(crate) fn v1_cgroups() -> Vec<(String, PathBuf)> {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap();
    text.lines()
        .filter_map(|l| {
            let mut parts = l.splitn(3, ':').skip(1);
            let (controller, path) = (parts.next()?, parts.next()?);
            ["memory", "pids", "cpuset"]
                .contains(&controller)
                .then(|| (controller.to_owned(), PathBuf::from(format!("/sys/fs/cgroup/{controller}{path}"))))
        })
        .collect()
}

/// A run that is being prepared.
pub(crate) struct Job {
    tier: Tier,
    flags: Vec<String>,
    command: Vec<String>,
    env: Vec<(String, String)>,
    directory: PathBuf,
    mark: String,
    delegation: Option<Delegation>,
    quiet: bool,
    launcher: Option<Vec<String>>,
}

/// `job(tier, ["--mem", "1G"], ["python3", "x.py"])`.
pub(crate) fn job<F: AsRef<str>, C: AsRef<str>>(
    tier: Tier,
    flags: impl IntoIterator<Item = F>,
    command: impl IntoIterator<Item = C>,
) -> Job {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mark = format!("terrarium-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    Job {
        tier,
        flags: flags.into_iter().map(|s| s.as_ref().to_owned()).collect(),
        command: command.into_iter().map(|s| s.as_ref().to_owned()).collect(),
        env: Vec::new(),
        directory: "/".into(),
        delegation: (tier == Tier::Delegated).then(Delegation::new),
        mark,
        quiet: false,
        launcher: None,
    }
}

pub(crate) fn sh(tier: Tier, flags: &[&str], script: &str) -> Job {
    job(tier, flags, ["sh", "-c", script])
}

impl Job {
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.directory = path.into();
        self
    }

    pub(crate) fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Something else than terrarium, as an oracle: gets the command as its last arguments.
    pub(crate) fn launcher(mut self, words: &[&str]) -> Self {
        self.launcher = Some(words.iter().map(|w| (*w).to_owned()).collect());
        self
    }

    fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.tier == Tier::Traced {
            words.push(program("without_userns"));
            if is_root() {
                let (uid, gid) = user();
                words.extend([uid.to_string(), gid.to_string()]);
            }
        } else if self.tier != Tier::Root && is_root() {
            let (uid, gid) = user();
            words.extend(["setpriv".to_owned(), format!("--reuid={uid}"), format!("--regid={gid}")]);
            words.extend(["--clear-groups".to_owned(), "--".to_owned()]);
        }
        match &self.launcher {
            Some(launcher) => words.extend(launcher.iter().cloned()),
            None => {
                words.extend([terrarium().to_str().unwrap().to_owned(), "run".to_owned()]);
                if self.quiet {
                    words.push("--quiet".to_owned());
                }
                words.extend(self.flags.iter().cloned());
                words.push("--".to_owned());
            }
        }
        words.extend(self.command.iter().cloned());
        words
    }

    pub(crate) fn command(&self) -> Command {
        let words = self.words();
        let mut command = match &self.delegation {
            Some(delegation) => {
                let mut command = Command::new("sh");
                command.arg("-c").arg(format!("{}exec \"$@\"", delegation.enter())).arg("sh").args(&words);
                command
            }
            None => {
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]);
                command
            }
        };
        command
            .current_dir(&self.directory)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()))
            .env("HOME", "/nonexistent")
            .env("TERRARIUM_HISTORY", "off")
            .env("TERRARIUM_SPOOL", spool())
            .env("LC_ALL", "C.UTF-8")
            .env("TERRARIUM_TEST_MARK", &self.mark)
            .envs(untracked())
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, as a shell with job control gives.
            .process_group(0);
        command
    }

    pub(crate) fn mark_for_tests(&self) -> String {
        self.mark.clone()
    }

    /// Runs it to its end, and checks that nothing is left.
    pub(crate) fn run(self) -> Done {
        let child = self.command().spawn().unwrap();
        Started { child, job: self }.finish()
    }

    pub(crate) fn start(self) -> Started {
        Started { child: self.command().spawn().unwrap(), job: self }
    }
}

pub(crate) struct Started {
    pub(crate) child: Child,
    pub(crate) job: Job,
}

pub(crate) struct Done {
    pub(crate) status: ExitStatus,
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// In the emulated machine, where each program takes its time to load the hook, only the tests of tracking are tracked: the others
/// are on this kernel as well, with it.
fn untracked() -> Option<(&'static str, &'static str)> {
    let is_of_tracking = std::thread::current().name().is_some_and(|test| test.starts_with("track::"));
    (is_small() && !is_of_tracking).then_some(("TERRARIUM_TRACK", "off"))
}

/// How long anything may take before the test counts as hung.
pub(crate) fn patience() -> Duration {
    Duration::from_secs(if is_small() { 240 } else { 60 })
}

impl Started {
    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Sends a signal to the launcher alone.
    pub(crate) fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Sends a signal to its whole process group, as Ctrl-C in a terminal does.
    pub(crate) fn signal_group(&self, name: &str) {
        let group = format!("-{}", self.pid());
        let status = Command::new("kill").args([&format!("-{name}"), "--", &group]).status().unwrap();
        assert!(status.success());
    }

    /// Waits until the marked processes are at least `n`, the launcher not counted.
    pub(crate) fn wait_for_processes(&self, n: usize) {
        wait_until(&format!("{n} processes of the job"), || self.marked().len() >= n);
    }

    pub(crate) fn job_mark(&self) -> String {
        self.job.mark.clone()
    }

    pub(crate) fn marked(&self) -> Vec<u32> {
        marked(&self.job.mark).into_iter().filter(|pid| *pid != self.child.id()).collect()
    }

    /// Waits for the end of the launcher alone.
    pub(crate) fn wait(self) {
        wait_with_patience(self.child);
    }

    /// Waits for its end; fails if it takes too long or anything of it is left.
    pub(crate) fn finish(self) -> Done {
        let mark = self.job.mark.clone();
        let output = wait_with_patience(self.child);
        // At the moment of return, not a little later.
        let left = marked(&mark);
        let done = Done {
            status: output.status,
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        let names: Vec<String> =
            left.iter().map(|p| fs::read_to_string(format!("/proc/{p}/stat")).unwrap_or_default()).collect();
        if self.job.launcher.is_none() {
            assert!(left.is_empty(), "left behind: {names:?}\nstdout: {}\nstderr: {}", done.out, done.err);
        }
        done
    }
}

fn wait_with_patience(child: Child) -> Output {
    let pid = child.id();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(patience()) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
            panic!("process {pid} did not end within {:?}", patience());
        }
    }
}

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience();
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Living processes that carry a mark in their environment. Zombies have none: they are dead.
pub(crate) fn marked(mark: &str) -> Vec<u32> {
    let wanted = format!("TERRARIUM_TEST_MARK={mark}");
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != std::process::id())
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|text| text.split(|b| *b == 0).any(|v| v == wanted.as_bytes()))
        })
        .collect()
}

impl Done {
    #[track_caller]
    pub(crate) fn code_is(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{:?}\nstdout: {}\nstderr: {}", self.status, self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn out_has(&self, text: &str) -> &Self {
        assert!(self.out.contains(text), "no `{text}` in\nstdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn err_has(&self, text: &str) -> &Self {
        assert!(self.err.contains(text), "no `{text}` in\nstdout: {}\nstderr: {}", self.out, self.err);
        self
    }
}

/// cgroups named like ours, anywhere: a sign that a run left one.
pub(crate) fn cgroups_of_ours() -> Vec<PathBuf> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                if entry.file_name().to_str().is_some_and(|n| n.starts_with("terrarium-")) {
                    found.push(entry.path());
                }
                walk(&entry.path(), found);
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), &mut found);
    found
}
