//! What the tests of the hook share: where things lie, what is compiled for them, and how a process is started and awaited.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
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

pub(crate) fn skip(reason: &str) {
    let required = std::env::var("TERRARIUM_REQUIRE_ALL").is_ok_and(|v| !v.is_empty());
    assert!(!required, "everything is required, but: {reason}");
    eprintln!("skipped: {reason}");
}

pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().parent().unwrap()
}

/// Where `make` puts what it builds.
pub(crate) fn target() -> PathBuf {
    workspace().join("target")
}

/// One directory for this test run that every user can read; gone with /tmp.
pub(crate) fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| fresh(Path::new("/tmp"), 0o755))
}

/// Where the spools of this test run are: in memory, as on a real node.
pub(crate) fn spools() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| fresh(Path::new("/dev/shm"), 0o755))
}

fn fresh(below: &Path, mode: u32) -> PathBuf {
    let path = below.join(format!("terrarium-hook-test-{}", std::process::id()));
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    afterwards(&format!("rm -rf {}", path.display()));
    path
}

/// Has a shell command carried out once this test run has ended, in whatever way: a child waits for the end of a pipe.
pub(crate) fn afterwards(command: &str) {
    static WAITING: Mutex<Vec<Child>> = Mutex::new(Vec::new());
    let child = Command::new("sh")
        .args(["-c", &format!("read -r _; {command}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    WAITING.lock().unwrap().push(child);
}

/// A new empty directory with this name and a number, below one of the above.
pub(crate) fn numbered(below: &Path, name: &str) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let path = below.join(format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir(&path).unwrap();
    path
}

/// A new spool, as an administrator makes one.
pub(crate) fn spool() -> PathBuf {
    let path = numbered(spools(), "spool");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o1733)).unwrap();
    path
}

/// The hook of the release build, or what `TERRARIUM_TEST_HOOK` names, copied to where every user can reach it.
pub(crate) fn hook() -> Option<&'static Path> {
    static HOOK: OnceLock<Option<PathBuf>> = OnceLock::new();
    HOOK.get_or_init(|| {
        let built = std::env::var_os("TERRARIUM_TEST_HOOK")
            .map(PathBuf::from)
            .unwrap_or_else(|| target().join("release/libterrarium_hook.so"));
        let own = directory().join("libterrarium_hook.so");
        built.exists().then(|| {
            copy(&built, &own);
            own
        })
    })
    .as_deref()
}

/// Copies by another process: a child that another thread forks meanwhile must not hold a program open for writing, or it
/// could not be executed ("text file busy").
fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").args(["-rL", "--"]).args([from, to]).status().unwrap();
    assert!(status.success(), "copying {}", from.display());
}

/// A copy of tests/python/hook that every user can read and nobody writes byte code into, with its extension modules in native/.
pub(crate) fn scripts() -> &'static Path {
    static SCRIPTS: OnceLock<PathBuf> = OnceLock::new();
    SCRIPTS.get_or_init(|| {
        let own = directory().join("scripts");
        copy(&workspace().join("tests/python/hook"), &own);
        let native = own.join("native");
        fs::create_dir(&native).unwrap();
        fs::rename(compiled("probe_native.c", &["-shared", "-fPIC"]), native.join("probe_native.so"))
            .unwrap();
        let refuses = compiled("probe_native.c", &["-shared", "-fPIC", "-DREFUSES"]);
        fs::rename(refuses, native.join("probe_refuses.so")).unwrap();
        fs::write(native.join("probe_garbage.so"), "no shared object\n").unwrap();
        own
    })
}

/// A program of tests/programs/hook, compiled with these flags.
pub(crate) fn compiled(source: &str, flags: &[&str]) -> PathBuf {
    let source = workspace().join("tests/programs/hook").join(source);
    let into = numbered(directory(), "program").join(source.file_stem().unwrap());
    let status = Command::new("cc")
        .args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror"])
        .arg(&source)
        .arg("-o")
        .arg(&into)
        .args(flags)
        .args(["-ldl", "-pthread"])
        .status()
        .unwrap();
    assert!(status.success(), "compiling {}", source.display());
    into
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) pid: i32,
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The exit code, or the signal as a negative number.
pub(crate) fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| -status.signal().unwrap_or(0))
}

/// How long anything may take before it counts as hung.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs it to its end, in a process group of its own, and ends what is left of that if it hangs.
pub(crate) fn run(command: &mut Command) -> Done {
    run_within(command, PATIENCE)
}

/// The same with another patience.
pub(crate) fn run_within(command: &mut Command, patience: Duration) -> Done {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|e| panic!("starting {command:?}: {e}"));
    let pid = child.id() as i32;
    let drain = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = from.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = drain(Box::new(child.stdout.take().unwrap()));
    let err = drain(Box::new(child.stderr.take().unwrap()));
    let deadline = Instant::now() + patience;
    // Daemons of multiprocessing may hold the pipes a moment longer than the child lives: the end of the pipes is awaited too.
    let mut hung = false;
    while child.try_wait().unwrap().is_none() || !out.is_finished() || !err.is_finished() {
        if Instant::now() > deadline && !hung {
            hung = true;
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{pid}")]).status();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let (out, mut err) = (out.join().unwrap(), err.join().unwrap());
    if hung {
        err += "\nit hung and was ended";
    }
    Done { pid, status: code(child.wait().unwrap()), out, err }
}

/// Whom our processes belong to.
pub(crate) fn own_user() -> u32 {
    fs::metadata("/proc/self").unwrap().uid()
}
