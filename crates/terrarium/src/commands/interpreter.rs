//! Asks the Python that ran what it does with memory.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use terrarium_observe::advice::command;
use terrarium_observe::advice::python::{self, PythonMemory};
use terrarium_sys::process::user;

const PATIENCE: Duration = Duration::from_secs(5);

/// More than its figures need.
const LONGEST: u64 = 60 << 10;

/// What this interpreter says, which ran at this time (seconds since 1970); `None` if it is not to be trusted, is another by
/// now, or does not answer.
///
/// It is a program from the past that we start on our own account: only if it is ours or root's and nobody else can write
/// to it, without any environment, in isolated mode and without `site`, so that no file of the user is imported.
pub(super) fn ask(executable: &str, ran: f64) -> Option<PythonMemory> {
    let path = std::fs::canonicalize(executable).ok()?;
    let is_python = command::interpreter(path.to_str()?) == Some("python");
    let metadata = std::fs::metadata(&path).ok().filter(|m| m.is_file())?;
    // The time of the last change is set by whoever puts a file there, whatever times the file itself claims.
    if !is_python
        || !is_trusted(metadata.uid(), metadata.gid(), metadata.mode())
        || metadata.ctime() as f64 > ran
    {
        return None;
    }
    // What it starts may hold the other end for as long as it likes: we read what is there, and wait for no end.
    let (mut stdout, theirs) = channel()?;
    let (mut stderr, theirs_too) = channel()?;
    let mut child = Command::new(&path)
        .args(["-I", "-S", "-c", python::QUESTION])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(theirs)
        .stderr(theirs_too)
        .spawn()
        .ok()?;
    let end = Instant::now() + PATIENCE;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = loop {
        // The end is looked for first, so that nothing is left when it is there.
        let ended = child.try_wait();
        take(&mut stdout, &mut out);
        take(&mut stderr, &mut err);
        match ended {
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
    python::parse(executable, &String::from_utf8_lossy(&out), &String::from_utf8_lossy(&err))
}

fn channel() -> Option<(UnixStream, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair().ok()?;
    ours.set_nonblocking(true).ok()?;
    Some((ours, theirs.into()))
}

/// Reads what is there; from [`LONGEST`] on nothing more, and the interpreter waits until its time is over.
fn take(stream: &mut UnixStream, text: &mut Vec<u8>) {
    let room = LONGEST.saturating_sub(text.len() as u64);
    // That nothing more is there is an error of its own; what was read before is kept.
    let _ = stream.take(room).read_to_end(text);
}

/// Not one that everybody can write to, nor a group but root's and the one that is the user's own on many systems; and none
/// that runs with the rights of somebody else.
fn is_trusted(owner: u32, group: u32, mode: u32) -> bool {
    let ours = owner == 0 || owner == user();
    let group_is_ours = group == 0 || group == user();
    ours && mode & 0o6002 == 0 && (mode & 0o020 == 0 || group_is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    const GOOD: &str = "echo cpython 3.13.1; echo 2000 10 10; echo '5 arenas * 1048576 bytes/arena' >&2";

    /// A script that is called as Python is.
    fn python(directory: &Path, text: &str) -> String {
        let path = directory.join("python3");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn it_is_asked_and_does_not_keep_us() {
        let directory = tempfile::tempdir().unwrap();
        let later = f64::MAX;
        let path = python(directory.path(), GOOD);
        assert_eq!(ask(&path, later).unwrap().gc_thresholds, [2000, 10, 10]);
        assert_eq!(ask(&path, 1e9), None, "it was put there after the run");
        for bad in ["exit 1", "yes", "printf '\\033[2J 3.1\\n1\\n'", "kill -9 $$"] {
            assert_eq!(ask(&python(directory.path(), bad), later), None, "{bad}");
        }
        // As the real one does: many small writes.
        let chatty = format!("i=0; while [ $i -lt 2000 ]; do echo x >&2; i=$((i+1)); done; {GOOD}");
        assert!(ask(&python(directory.path(), &chatty), later).is_some());
        let begin = Instant::now();
        let path = python(directory.path(), &format!("/bin/sleep 30 & {GOOD}"));
        assert!(ask(&path, later).is_some());
        assert!(begin.elapsed() < Duration::from_secs(20), "it waited for what was left behind");
    }

    #[test]
    fn only_python_and_only_what_nobody_else_can_change() {
        let directory = tempfile::tempdir().unwrap();
        let path = python(directory.path(), GOOD);
        let other = directory.path().join("other");
        fs::rename(&path, &other).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert_eq!(ask(&path, f64::MAX), None, "a link to another program");
        let me = user();
        assert!(is_trusted(me, me, 0o100775) && is_trusted(0, 0, 0o100755));
        assert!(!is_trusted(me, me + 1, 0o100775) && !is_trusted(me, me, 0o100757));
        assert!(!is_trusted(me + 1, me, 0o100755) && !is_trusted(0, 0, 0o104755));
    }
}
