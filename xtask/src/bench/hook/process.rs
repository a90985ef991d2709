//! One process that is looked at: how long it takes, what it says, how many instructions it has.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::scratch::Scratch;
use super::watch::Watcher;
use crate::Result;

/// What one process took, in ms.
pub(super) struct Took {
    pub(super) wall: f64,
    /// User and system time, with that of all children that were waited for.
    pub(super) cpu: f64,
}

/// Runs a command to its end.
pub(super) fn timed<S: AsRef<OsStr>>(watcher: &Watcher, scratch: &Scratch, words: &[S]) -> Result<Took> {
    let mut command = watcher.command(scratch, words);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let (before, start) = (cpu_of_children()?, Instant::now());
    let status = command.status().map_err(|e| format!("{}: {e}", watcher.name))?;
    let wall = start.elapsed().as_secs_f64() * 1e3;
    let cpu = cpu_of_children()? - before;
    if !status.success() {
        return Err(format!("{}: {}: {status}", watcher.name, command.get_program().display()));
    }
    Ok(Took { wall, cpu })
}

/// CPU time of all children that were waited for, in ms.
fn cpu_of_children() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|e| format!("getrusage: {e}"))?;
    Ok((usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e3)
}

/// The number that a command prints.
pub(super) fn number<S: AsRef<OsStr>>(watcher: &Watcher, scratch: &Scratch, words: &[S]) -> Result<f64> {
    let output = watcher.command(scratch, words).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|e| format!("{}: {e}", watcher.name))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|e| format!("{}: {}: {}: {e}", watcher.name, output.status, text.trim()))
}

/// Valgrind's callgrind, started without valgrind's own launcher: a library that is preloaded must look at the program,
/// not at what comes before it in the same process.
pub(super) struct Callgrind {
    libraries: PathBuf,
    tool: PathBuf,
}

impl Callgrind {
    /// Where Debian, others, and an own build have it.
    pub(super) fn find() -> Option<Self> {
        let own = std::env::var_os("VALGRIND_LIB").map(PathBuf::from);
        let places = [
            "/usr/libexec/valgrind",
            "/usr/lib/valgrind",
            "/usr/lib64/valgrind",
            "/usr/local/libexec/valgrind",
        ];
        own.into_iter().chain(places.map(PathBuf::from)).find_map(|libraries| {
            let tool = libraries.join("callgrind-amd64-linux");
            tool.is_file().then_some(Self { libraries, tool })
        })
    }

    /// Instructions of a command in user mode, without those of its children.
    pub(super) fn instructions<S: AsRef<OsStr>>(
        &self,
        watcher: &Watcher,
        scratch: &Scratch,
        words: &[S],
    ) -> Result<f64> {
        let out = scratch.path().join("callgrind.out");
        let inner = watcher.command(scratch, words);
        let mut command = Command::new(&self.tool);
        command.args(["--tool=callgrind", "--quiet"]);
        let mut flag = std::ffi::OsString::from("--callgrind-out-file=");
        flag.push(&out);
        command.arg(flag).arg(inner.get_program()).args(inner.get_args()).env_clear();
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("VALGRIND_LIB", &self.libraries).env("VALGRIND_LAUNCHER", &self.tool);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status().map_err(|e| format!("{}: {e}", self.tool.display()))?;
        if !status.success() {
            return Err(format!("{} under callgrind: {status}", watcher.name));
        }
        total(&out)
    }
}

/// All instructions of a file of callgrind's.
fn total(path: &Path) -> Result<f64> {
    let text = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let _ = std::fs::remove_file(path);
    totals(&String::from_utf8_lossy(&text)).ok_or_else(|| format!("{}: no totals", path.display()))
}

fn totals(text: &str) -> Option<f64> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("totals:"));
    lines.filter_map(|value| value.trim().parse().ok()).reduce(|a: f64, b| a + b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_totals_of_callgrind() {
        assert_eq!(totals("events: Ir\n1 2\nsummary: 5\n\ntotals: 123\n"), Some(123.0));
        assert_eq!(totals("events: Ir\n"), None);
        assert_eq!(totals("totals: many\n"), None);
    }
}
