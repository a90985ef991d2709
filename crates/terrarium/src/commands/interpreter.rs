//! Asks the Python that ran what it does with memory.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use terrarium_observe::advice::python::{self, PythonMemory};
use terrarium_sys::process::user;

const PATIENCE: Duration = Duration::from_secs(5);

/// More than its figures need, and less than a pipe holds: it never waits for us to read.
const LONGEST: u64 = 60 << 10;

/// What this interpreter says; `None` if it is not to be trusted, or does not answer.
///
/// It is a program from the past that we start on our own account: only if it is ours or root's and nobody else can write
/// to it, without any environment, in isolated mode and without `site`, so that no file of the user is imported.
pub(super) fn ask(executable: &str) -> Option<PythonMemory> {
    let path = std::fs::canonicalize(executable).ok()?;
    if !is_trusted(&path) {
        return None;
    }
    let mut child = Command::new(&path)
        .args(["-I", "-S", "-c", python::QUESTION])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let end = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
        }
    };
    if !status?.success() {
        return None;
    }
    let read = |stream: &mut dyn Read| {
        let mut bytes = Vec::new();
        stream.take(LONGEST).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let stdout = read(child.stdout.as_mut()?)?;
    let stderr = read(child.stderr.as_mut()?)?;
    python::parse(executable, &stdout, &stderr)
}

fn is_trusted(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|m| m.is_file() && (m.uid() == 0 || m.uid() == user()) && m.mode() & 0o002 == 0)
}
