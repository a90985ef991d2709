//! What is tried with each contender.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::contenders::{Contender, Programs};
use super::job::{Job, surroundings};
use super::table::Value;
use crate::Result;

/// One row of the table: a few trials, whose results stand side by side.
pub(super) struct Case {
    /// To choose it by.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) trials: Vec<Trial>,
}

/// How a job is brought to its end.
#[derive(Clone, Copy)]
pub(super) enum End {
    Main,
    Kill,
    Term,
}

/// One thing that is measured.
#[derive(Clone, Copy)]
pub(super) enum Trial {
    /// What is left of a program of tests/programs.
    Left(&'static [&'static str], End),
    /// How often a signal to the launcher, or to its group, reaches a handler in the job.
    Signal(Signal),
    GroupSignal(Signal),
    /// What the launcher's status is after these words.
    Status(&'static [&'static str]),
    /// How many of 50 orphans that ended are still zombies.
    Zombies,
    /// Whether a shell script with the PID of an outside process of the same user has done what the second tells.
    Outside(&'static str, Effect),
}

impl Trial {
    /// How often it is tried in one run: what races with a signal is quick to try again.
    pub(super) fn tries(self) -> u32 {
        if matches!(self, Self::Left(..)) { 1 } else { 3 }
    }
}

/// What can be seen outside.
#[derive(Clone, Copy)]
pub(super) enum Effect {
    Killed,
    Written,
    FileLeft,
}

/// Stands for a file that is there as long as a program is to run.
const FILE: &str = "FILE";

/// Stands for a file that nobody may execute.
const NOT_EXECUTABLE: &str = "NOT-EXECUTABLE";

/// A file in /dev/shm, followed by the PID of the process outside.
const SHARED: &str = "/dev/shm/terrarium-compare-";

pub(super) fn all() -> Vec<Case> {
    let case = |id, title, trials: &[Trial]| Case { id, title, trials: trials.to_vec() };
    let left = |id, title, program: &'static [&'static str]| {
        case(id, title, &[End::Main, End::Kill, End::Term].map(|end| Trial::Left(program, end)))
    };
    let statuses = [
        ["sh", "-c", "exit 7"].as_slice(),
        &["sh", "-c", "kill -SEGV $$; exit 0"],
        &["sh", "-c", "kill -KILL $$; exit 0"],
        &["/nonexistent/program"],
        &[NOT_EXECUTABLE],
    ];
    let signals = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1];
    vec![
        left("daemons", "left of 1,000 daemons", &["daemons", "1000"]),
        left("closed", "left of 100 daemons that closed every file", &["daemons", "100", "--close-fds"]),
        left("bomb", "left of a fork bomb of 50", &["forkbomb", "--at-most", "50", "--while", FILE]),
        left("phoenix", "left of 8 lineages that respawn", &["phoenix", "8", "--while", FILE]),
        left("stopped", "left of 20 stopped processes", &["stopped", "20"]),
        left("clone", "left of one process for each way to make one", &["clone_flags"]),
        case(
            "signals",
            "times that TERM · INT · HUP · USR1 to the launcher reaches the job",
            &signals.map(Trial::Signal),
        ),
        case(
            "group",
            "times that INT · HUP to the process group does",
            &[Signal::SIGINT, Signal::SIGHUP].map(Trial::GroupSignal),
        ),
        case(
            "statuses",
            "status after exit 7 · SIGSEGV · SIGKILL · not found · not executable",
            &statuses.map(Trial::Status),
        ),
        case(
            "zombies",
            "zombies of 50 orphans 0.3 s after they ended (plain: collected by PID 1 of the machine)",
            &[Trial::Zombies],
        ),
        case(
            "outside",
            "the job can kill · write to a process of its user outside · leave a file in /dev/shm",
            &[
                Trial::Outside("kill -KILL \"$1\"", Effect::Killed),
                Trial::Outside("echo 321 > /proc/\"$1\"/oom_score_adj", Effect::Written),
                Trial::Outside("echo > /dev/shm/terrarium-compare-\"$1\"", Effect::FileLeft),
            ],
        ),
    ]
}

/// What trials need.
pub(super) struct Stage<'a> {
    pub(super) programs: &'a Programs,
    /// A directory that every user can read.
    pub(super) scratch: &'a Path,
    /// All marks begin with it.
    pub(super) prefix: &'a str,
    pub(super) count: u32,
}

impl Stage<'_> {
    /// Tries once. What the contender itself does wrong is a value; an error is one of this program.
    pub(super) fn measure(&mut self, contender: &Contender, trial: Trial) -> Result<Value> {
        self.count += 1;
        let mark = format!("{}{}-", self.prefix, self.count);
        match trial {
            Trial::Left(program, end) => self.left(contender, &mark, program, end),
            Trial::Signal(signal) => self.signals(contender, &mark, signal, |job| job.signal(signal)),
            Trial::GroupSignal(signal) => {
                self.signals(contender, &mark, signal, |job| job.signal_group(signal))
            }
            Trial::Status(words) => {
                let words: Vec<OsString> = words.iter().map(|word| self.word(word)).collect();
                Ok(Job::start(contender, &mark, &words)?.wait().map_or(Value::Hangs, Value::Status))
            }
            Trial::Zombies => {
                let words = [self.programs.path("zombies").into(), "50".into()];
                let job = Job::start(contender, &mark, &words)?;
                let line = job.ready().unwrap_or_default();
                let count = line.strip_prefix("zombies ").and_then(|count| count.parse().ok());
                Ok(count.map_or_else(|| Value::Failed(line.clone()), Value::Count))
            }
            Trial::Outside(script, effect) => self.outside(contender, &mark, script, effect),
        }
    }

    fn word(&self, word: &str) -> OsString {
        match word {
            FILE => self.file().into(),
            NOT_EXECUTABLE => self.scratch.join("not-executable").into(),
            word => word.into(),
        }
    }

    fn file(&self) -> PathBuf {
        self.scratch.join("while")
    }

    fn left(&self, contender: &Contender, mark: &str, program: &[&str], end: End) -> Result<Value> {
        let file = self.file();
        std::fs::write(&file, "").map_err(|e| format!("{}: {e}", file.display()))?;
        // The main process waits for the end of its input, so that there is a time to look before the end.
        let script = "\"$@\" & read -r line; exit 0";
        let mut words = ["sh", "-c", script, "sh"].map(OsString::from).to_vec();
        words.push(self.programs.path(program[0]).into());
        words.extend(program[1..].iter().map(|word| self.word(word)));
        let mut job = Job::start(contender, mark, &words)?;
        let value = match job.ready() {
            Some(line) if line.starts_with(program[0]) => {
                // A bomb and lineages need a moment to grow.
                std::thread::sleep(Duration::from_millis(300));
                left(&mut job, end)
            }
            line => Value::Failed(line.unwrap_or_default()),
        };
        let _ = std::fs::remove_file(&file);
        Ok(value)
    }

    fn signals(
        &self,
        contender: &Contender,
        mark: &str,
        signal: Signal,
        send: impl Fn(&Job),
    ) -> Result<Value> {
        let words = [self.programs.path("sigcount").into(), "30".into(), "--stay".into()];
        let job = Job::start(contender, mark, &words)?;
        match job.ready() {
            Some(line) if line == "ready" => {}
            line => return Ok(Value::Failed(line.unwrap_or_default())),
        }
        send(&job);
        let wanted = format!("{} ", signal.as_str());
        let counts = job.lines_within(Duration::from_millis(400));
        let last = counts.iter().rev().find_map(|line| line.strip_prefix(&wanted)?.parse().ok());
        Ok(Value::Count(last.unwrap_or(0)))
    }

    fn outside(&self, contender: &Contender, mark: &str, script: &str, effect: Effect) -> Result<Value> {
        let mut command = contender.runs_as.command("sleep");
        surroundings(&mut command);
        let mut sleep = command.arg("60").spawn().map_err(|e| format!("sleep: {e}"))?;
        let pid = sleep.id();
        // While it becomes another user its files in /proc are root's.
        while std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() != "sleep") {
            std::thread::sleep(Duration::from_millis(1));
        }
        let words = ["sh", "-c", script, "sh"].map(OsString::from).to_vec();
        let words = words.into_iter().chain([pid.to_string().into()]).collect::<Vec<_>>();
        let status = Job::start(contender, mark, &words).map(|mut job| job.wait());
        let shared = format!("{SHARED}{pid}");
        let done = match effect {
            Effect::Killed => {
                std::thread::sleep(Duration::from_millis(50));
                sleep.try_wait().is_ok_and(|status| status.is_some())
            }
            Effect::Written => std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj"))
                .is_ok_and(|text| text.trim() == "321"),
            Effect::FileLeft => Path::new(&shared).exists(),
        };
        let _ = sleep.kill();
        let _ = sleep.wait();
        let _ = std::fs::remove_file(shared);
        Ok(status?.map_or(Value::Hangs, |_| Value::Done(done)))
    }
}

fn left(job: &mut Job, end: End) -> Value {
    let known = job.processes(&[]);
    match end {
        End::Main => job.close_input(),
        End::Kill => job.signal(Signal::SIGKILL),
        End::Term => job.signal(Signal::SIGTERM),
    }
    let returned = job.wait().is_some();
    let at_once = job.processes(&known).len();
    if !returned {
        return Value::LeftHanging { started: known.len(), left: job.most() };
    }
    let left = at_once > 0 || job.most() > 0;
    let later = if left {
        std::thread::sleep(Duration::from_secs(2));
        job.most()
    } else {
        0
    };
    Value::Left { started: known.len(), at_once, later }
}

/// A file that exists and cannot be executed, for everybody.
pub(super) fn prepare(scratch: &Path) -> Result {
    let path = scratch.join("not-executable");
    std::fs::write(&path, "x\n").map_err(|e| format!("{}: {e}", path.display()))
}
