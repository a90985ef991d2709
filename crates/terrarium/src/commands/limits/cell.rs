//! One jail: starts it, reads what its process told, and decides what the limit did.

use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Serialize;
use terrarium_core::report::{End, RunReport};
use terrarium_sys::Errno;

/// How long one jail may take.
const PATIENCE: &str = "20s";

/// What came of one try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Came {
    /// It had all.
    All,
    /// A call failed; how is the name of the error.
    Refused { how: String },
    /// It, or a process of it, was killed: `out-of-memory`, or the number of a signal.
    Killed { how: String },
    /// It had all, and the kernel kept the memory below the limit by writing to disk what it could.
    Reclaimed,
    /// It could not be tried, or did not end in time.
    Unknown { why: String },
}

impl Came {
    pub(super) fn is_stop(&self) -> bool {
        matches!(self, Came::Refused { .. } | Came::Killed { .. })
    }
}

/// One try: how much was asked for, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Attempt {
    /// The limit.
    pub(super) limit: Option<u64>,
    pub(super) asked: u64,
    /// As far as was told: in steps of 16 MiB where it was killed.
    pub(super) had: u64,
    pub(super) came: Came,
}

/// Where and how jails are made.
#[derive(Debug)]
pub(super) struct Jails {
    /// terrarium itself.
    pub(super) program: PathBuf,
    /// An interpreter, and whether it has NumPy; else why not.
    pub(super) python: Result<(PathBuf, bool), String>,
    /// The job can have mounts, and so a /dev/shm of its own.
    pub(super) has_mounts: bool,
}

/// What is to happen in a jail.
#[derive(Debug, Default)]
pub(super) struct Job {
    /// Flags of `run`.
    pub(super) flags: Vec<String>,
    /// The worker's `what`.
    pub(super) what: String,
    pub(super) amount: u64,
    pub(super) unit: u64,
    /// A resource limit that the worker sets.
    pub(super) resource: Option<(char, u64)>,
    pub(super) cpus: Option<String>,
    /// More variables.
    pub(super) environment: Vec<(&'static str, &'static str)>,
}

/// What a jail told.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) out: String,
    /// The report of the run, or why there is none.
    pub(super) report: Result<RunReport, String>,
}

/// Nothing is said or kept of a measurement but its report.
const QUIETLY: [&str; 5] = ["-q", "--no-record", "--no-track", "--report", "/dev/stderr"];

impl Jails {
    /// The command line of a jail, for people and for ourselves.
    pub(super) fn words(&self, job: &Job) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["run".into()];
        for word in QUIETLY.into_iter().chain(["--time", PATIENCE, "--grace", "0", "--kill-wait", "5s"]) {
            words.push(word.into());
        }
        words.extend(job.flags.iter().map(OsString::from));
        words.extend(["--".into(), self.program.clone().into(), "limits-worker".into()]);
        words.extend([(&job.what).into(), job.amount.to_string().into()]);
        words.extend(["--unit".into(), job.unit.to_string().into()]);
        if let Some((letter, value)) = job.resource {
            words.extend(["--resource".into(), letter.to_string().into()]);
            words.extend(["--value".into(), value.to_string().into()]);
        }
        if let Some(cpus) = &job.cpus {
            words.extend(["--cpus".into(), cpus.into()]);
        }
        if let (true, Ok((python, _))) = (["python", "numpy"].contains(&job.what.as_str()), &self.python) {
            words.extend(["--python".into(), python.into()]);
        }
        words
    }

    /// Runs it to its end.
    pub(super) fn run(&self, job: &Job) -> Told {
        self.start(self.words(job), &job.environment)
    }

    /// A Python in PATH, asked in a jail which it really is: what PATH shows may be a script.
    pub(super) fn find_python(&mut self) {
        let script = "import sys\ntry:\n import numpy\nexcept Exception:\n numpy = None\nprint('python', int(numpy is not None), sys.executable)";
        let mut words: Vec<OsString> = vec!["run".into()];
        for word in QUIETLY.into_iter().chain(["--time", "10s", "--grace", "0", "--"]) {
            words.push(word.into());
        }
        words.extend(["python3".into(), "-c".into(), script.into()]);
        let told = self.start(words, &[]);
        let mut found = told.out.lines().filter_map(|l| l.strip_prefix("python "));
        self.python = found
            .find_map(|line| line.split_once(' '))
            .filter(|(_, path)| path.starts_with('/'))
            .map(|(numpy, path)| (PathBuf::from(path), numpy == "1"))
            .ok_or_else(|| "there is no python3 in PATH".to_owned());
    }

    fn start(&self, words: Vec<OsString>, environment: &[(&str, &str)]) -> Told {
        let failed = |why: String| Told { out: String::new(), report: Err(why) };
        let mut command = Command::new(&self.program);
        // A launcher's variables would make each jail one rank of a job of many.
        command.args(words).env_clear().envs(environment.iter().copied());
        let kept = ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "TERRARIUM_JOB"];
        let keeps = |name: &str| kept.contains(&name) || name.starts_with("PYTHON");
        command.envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(keeps)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return failed(error.to_string()),
        };
        // One after the other: the report comes when the job has ended, and a job writes only a few lines here.
        let mut bytes = (Vec::new(), Vec::new());
        if let Some(mut out) = child.stdout.take() {
            let _ = out.read_to_end(&mut bytes.0);
        }
        if let Some(mut err) = child.stderr.take() {
            let _ = err.read_to_end(&mut bytes.1);
        }
        let _ = child.wait();
        let err = String::from_utf8_lossy(&bytes.1);
        let report = err.find("{\n").and_then(|at| serde_json::from_str(&err[at..]).ok());
        Told {
            out: String::from_utf8_lossy(&bytes.0).into_owned(),
            report: report.ok_or_else(|| err.trim().to_owned()),
        }
    }
}

impl Told {
    /// How far the worker came, and how its last line says that it ended.
    fn lines(&self) -> (u64, Option<Came>) {
        let (mut had, mut came) = (0, None);
        for line in self.out.lines() {
            let mut words = line.split(' ');
            let (word, number) = (words.next(), words.next().and_then(|n| n.parse().ok()));
            match word {
                Some("had") => had = had.max(number.unwrap_or(0)),
                Some("all") => (had, came) = (number.unwrap_or(had), Some(Came::All)),
                Some("refused") => {
                    had = number.unwrap_or(had);
                    let errno = words.next().and_then(|n| n.parse().ok()).map(Errno::from_raw);
                    came = Some(Came::Refused { how: errno.map_or("?".into(), |e| format!("{e:?}")) });
                }
                Some("skip") => {
                    came = Some(Came::Unknown { why: line.trim_start_matches("skip ").to_owned() });
                }
                _ => {}
            }
        }
        (had, came)
    }

    /// What came of it. `limit`: what a memory cgroup was to hold it to.
    pub(super) fn came(&self, limit: Option<u64>) -> (u64, Came) {
        let (had, line) = self.lines();
        let report = match &self.report {
            Ok(report) => report,
            Err(why) => return (had, Came::Unknown { why: short(why) }),
        };
        let came = match (report.end, line) {
            (End::OutOfMemory, _) => Came::Killed { how: "out-of-memory".to_owned() },
            (End::TimeLimit, _) => Came::Unknown { why: format!("it took longer than {PATIENCE}") },
            (End::Signaled { signal }, _) => Came::Killed { how: signal.to_string() },
            // A process of it was killed, and it said so.
            (End::Exited { code: 137 }, _) => Came::Killed { how: "9".to_owned() },
            (End::Exited { .. }, Some(Came::All)) => {
                let peak = report.usage.memory_peak.map(|p| p.value.0);
                let by_cgroup = report.limits.memory.as_ref().is_some_and(|l| {
                    use terrarium_core::report::Enforcer::{CgroupV1, CgroupV2};
                    matches!(l.enforced_by, Some(CgroupV1 | CgroupV2))
                });
                match (limit, peak) {
                    (Some(limit), Some(peak)) if by_cgroup && had > limit && peak <= limit => Came::Reclaimed,
                    _ => Came::All,
                }
            }
            (End::Exited { .. }, Some(came)) => came,
            (End::Exited { code }, None) => Came::Killed { how: format!("status {code}") },
            _ => Came::Unknown { why: "the jail was ended from outside".to_owned() },
        };
        (had, came)
    }
}

/// The first line of what a failed run said, without our name.
fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or("no report came");
    line.trim_start_matches("terrarium: ").trim_start_matches("error: ").to_owned()
}

/// What a limit did to one way of taking memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// More than the limit was refused; half of it was not.
    Stopped,
    /// More than the limit was answered by killing; half of it was not.
    Killed,
    /// More was taken than the limit says, but not kept in memory: the kernel wrote it to disk.
    Reclaimed,
    /// It had this much: bytes, CPUs or processes.
    NotStopped { count: u64 },
    /// It had twice the limit or more before it was stopped.
    Late,
    /// Half of the limit was stopped as well.
    TooEarly,
    /// Not tried, or not known.
    NotTried { why: String },
}

/// From the tries of a cell: several times the limit, in steps; and if that was stopped, half of it.
pub(super) fn verdict(attempts: &[Attempt]) -> Verdict {
    let Some(first) = attempts.first() else {
        return Verdict::NotTried { why: "nothing was tried".to_owned() };
    };
    let is_late = first.limit.is_some_and(|limit| first.had >= 2 * limit);
    let half_was_stopped = attempts.get(1).is_some_and(|a| a.came.is_stop());
    match &first.came {
        Came::Unknown { why } => Verdict::NotTried { why: why.clone() },
        Came::Reclaimed => Verdict::Reclaimed,
        Came::All => Verdict::NotStopped { count: first.had },
        _ if half_was_stopped => Verdict::TooEarly,
        _ if is_late => Verdict::Late,
        Came::Refused { .. } => Verdict::Stopped,
        Came::Killed { .. } => Verdict::Killed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(came: Came) -> Attempt {
        Attempt { limit: Some(10), asked: 40, had: 9, came }
    }

    fn refused() -> Came {
        Came::Refused { how: "ENOMEM".to_owned() }
    }

    fn killed() -> Came {
        Came::Killed { how: "out-of-memory".to_owned() }
    }

    #[test]
    fn verdicts() {
        let unknown = || Came::Unknown { why: "x".to_owned() };
        for (came, expected) in [
            (vec![refused(), Came::All], Verdict::Stopped),
            (vec![killed(), Came::All], Verdict::Killed),
            (vec![refused(), unknown()], Verdict::Stopped),
            (vec![refused(), refused()], Verdict::TooEarly),
            (vec![Came::All], Verdict::NotStopped { count: 9 }),
            (vec![Came::Reclaimed], Verdict::Reclaimed),
            (vec![unknown()], Verdict::NotTried { why: "x".to_owned() }),
        ] {
            let attempts: Vec<_> = came.into_iter().map(attempt).collect();
            assert_eq!(verdict(&attempts), expected, "{attempts:?}");
        }
        let late = Attempt { had: 25, ..attempt(refused()) };
        assert_eq!(verdict(&[late]), Verdict::Late);
        assert!(matches!(verdict(&[]), Verdict::NotTried { .. }));
    }

    #[test]
    fn what_the_worker_tells() {
        let told = |out: &str| Told { out: out.to_owned(), report: Err(String::new()) }.lines();
        assert_eq!(told("had 0\nhad 16\nhad 8\n"), (16, None));
        assert_eq!(told("had 0\nhad 16\nall 20\n"), (20, Some(Came::All)));
        assert_eq!(told("had 0\nrefused 12 12\n"), (12, Some(refused())));
        assert_eq!(told("skip no room\n"), (0, Some(Came::Unknown { why: "no room".to_owned() })));
        assert_eq!(told("had x\n\nall\nnonsense 1\n"), (0, Some(Came::All)));
    }

    #[test]
    fn a_run_that_failed_is_not_a_limit_that_held() {
        let told = Told { out: String::new(), report: Err("terrarium: error: no\nhint: x".to_owned()) };
        assert_eq!(told.came(None), (0, Came::Unknown { why: "no".to_owned() }));
    }
}
