//! One job under one contender: started, ended from outside, and waited for only so long.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::contenders::Contender;
use super::marks::{VARIABLE, marked};
use crate::Result;

/// More than the ten seconds that terrarium gives a job after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(12);

/// Until a job has started what it starts.
const START: Duration = Duration::from_secs(20);

/// A launcher that runs, in a process group of its own, as a shell with job control makes one.
pub(super) struct Job {
    launcher: Child,
    lines: Receiver<String>,
    mark: String,
}

/// Little, and the same for all.
pub(super) fn surroundings(command: &mut Command) {
    command
        .current_dir("/")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()))
        .env("HOME", "/")
        // firejail starts commands by it, if it is set.
        .env("SHELL", "/bin/sh")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
}

impl Job {
    /// Starts it; its standard input stays open until it is told to end.
    pub(super) fn start(contender: &Contender, mark: &str, words: &[OsString]) -> Result<Self> {
        let mut all = contender.before.iter().chain(words);
        let mut command = Command::new(all.next().map(OsString::as_os_str).unwrap_or_default());
        command.args(all);
        surroundings(&mut command);
        command.env(VARIABLE, mark).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut launcher = command.spawn().map_err(|e| format!("{}: {e}", contender.name))?;
        let (sender, lines) = channel();
        if let Some(stdout) = launcher.stdout.take() {
            // Ends when the last process that has the pipe does.
            std::thread::spawn(move || {
                BufReader::new(stdout)
                    .lines()
                    .map_while(std::result::Result::ok)
                    .try_for_each(|line| sender.send(line).map_err(drop))
            });
        }
        Ok(Self { launcher, lines, mark: mark.to_owned() })
    }

    /// The first line that it prints.
    pub(super) fn ready(&self) -> Option<String> {
        self.lines.recv_timeout(START).ok()
    }

    /// What it prints within this time.
    pub(super) fn lines_within(&self, time: Duration) -> Vec<String> {
        let deadline = Instant::now() + time;
        let next = || self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok();
        std::iter::from_fn(next).collect()
    }

    /// How many of its processes are seen at most within 100 ms: one that takes another's place while /proc is read is
    /// missed at times.
    pub(super) fn most(&self) -> usize {
        let count = |k: u64| {
            std::thread::sleep(Duration::from_millis(if k == 0 { 0 } else { 10 }));
            self.processes(&[]).len()
        };
        (0..10).map(count).max().unwrap_or(0)
    }

    /// Its processes, the launcher not counted; those of `first` are looked at first.
    pub(super) fn processes(&self, first: &[u32]) -> Vec<u32> {
        let mut all = marked(&self.mark, first);
        all.retain(|pid| *pid != self.launcher.id());
        all
    }

    /// Has the main process end.
    pub(super) fn close_input(&mut self) {
        self.launcher.stdin = None;
    }

    pub(super) fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.launcher.id() as i32), signal);
    }

    pub(super) fn signal_group(&self, signal: Signal) {
        let _ = killpg(Pid::from_raw(self.launcher.id() as i32), signal);
    }

    /// Its status as a shell tells it, unless it hangs.
    pub(super) fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.launcher.try_wait() {
                Ok(Some(status)) => {
                    return status.code().or_else(|| status.signal().map(|signal| 128 + signal));
                }
                Ok(None) => std::thread::sleep(Duration::from_micros(200)),
                Err(_) => return None,
            }
        }
        None
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        super::marks::sweep(&self.mark);
        let _ = self.launcher.kill();
        let _ = self.launcher.wait();
    }
}
