//! Asking the NVIDIA driver who holds GPU memory, through a helper process.
//!
//! The driver's library can hang in the kernel; a process can be given up where a thread could not, and the library's
//! memory and threads stay out of the supervisor. The helper, `terrarium-nvml`, prints JSON.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use terrarium_core::report::GpuUsage;
use terrarium_core::sample::{Metric, Sample};
use terrarium_core::{Bytes, Finding, JobId};
use terrarium_jail::host::Host;

/// How long one question may take.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// The inode number of the host's PID namespace, fixed in the kernel.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// How long a helper that was killed may take to die.
const DEATH: Duration = Duration::from_secs(2);

/// How long the driver may take to release what a dead process held.
const RELEASE: Duration = Duration::from_secs(5);

/// Memory that a process holds on a GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// Index in bus order.
    pub(crate) gpu: u32,
    /// PID as the driver knows it: on the host.
    pub(crate) pid: u32,
    /// How much; not known on some drivers.
    pub(crate) bytes: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    holders: Vec<Holder>,
    /// GPUs that could not be asked.
    #[serde(default)]
    unread: Vec<Unread>,
    /// How busy each is, where that was asked for and is told.
    #[serde(default)]
    gpus: Vec<Use>,
}

#[derive(Debug, Deserialize)]
struct Use {
    gpu: u32,
    percent: u32,
}

#[derive(Debug, Deserialize)]
struct Unread {
    gpu: u32,
    why: String,
}

/// Beside this program, or in ../libexec/terrarium.
fn helper() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let directory = own.parent()?;
    [directory.join("terrarium-nvml"), directory.join("../libexec/terrarium/terrarium-nvml")]
        .into_iter()
        .find(|p| p.is_file())
}

/// A line of the helper is never as long: a node has few GPUs, and a GPU some hundred processes.
const LONGEST_LINE: usize = 1 << 20;

/// The driver's figures are of the last second or less; looking more often shows the same again.
const SHORTEST: Duration = Duration::from_secs(1);

/// Asks the driver all the time that a job runs, through a helper that goes on by itself: reading what it said never waits.
pub(crate) struct GpuWatch {
    helper: Child,
    said: UnixStream,
    line: Vec<u8>,
    last: Option<(Instant, Answer)>,
    stale: Duration,
    /// GPUs that were asked for.
    asked: Option<u32>,
    used: BTreeSet<u32>,
    memory_peak: u64,
    percents: u64,
    looks: u64,
}

impl GpuWatch {
    /// `asked`: how many GPUs were asked for, if that is known.
    pub(crate) fn start(interval: Duration, asked: Option<u32>) -> Option<Self> {
        let interval = interval.max(SHORTEST);
        let (said, says) = UnixStream::pair().ok()?;
        said.set_nonblocking(true).ok()?;
        let child = Command::new(helper()?)
            .args(["--watch", &interval.as_millis().to_string()])
            // It ends when we do, for then this is closed.
            .stdin(Stdio::piped())
            .stdout(OwnedFd::from(says))
            .stderr(Stdio::null())
            // What is sent to the job by Ctrl-C is none of its business.
            .process_group(0)
            .spawn()
            .ok()?;
        Some(GpuWatch {
            helper: child,
            said,
            line: Vec::new(),
            last: None,
            stale: interval * 3,
            asked,
            used: BTreeSet::new(),
            memory_peak: 0,
            percents: 0,
            looks: 0,
        })
    }

    /// Adds what the driver said last to a look.
    pub(crate) fn look(&mut self, host: &Host, job: &JobId, sample: &mut Sample) {
        self.take_in();
        let Some((_, answer)) = self.last.as_ref().filter(|(when, _)| when.elapsed() < self.stale) else {
            return;
        };
        let ours: Vec<&Holder> = answer
            .holders
            .iter()
            .filter(|h| host.stat(h.pid).is_some() && is_of_job(host, h.pid, job))
            .collect();
        let gpus: BTreeSet<u32> = ours.iter().map(|h| h.gpu).collect();
        self.used.extend(&gpus);
        // A job that was given no GPU, and uses none, has no figures, also where there are GPUs.
        if self.used.is_empty() && self.asked.is_none() {
            return;
        }
        let uses = || answer.gpus.iter().filter(|u| gpus.contains(&u.gpu));
        // Not known for all that are used: not known.
        if uses().count() == gpus.len() {
            let percent: u64 = uses().map(|u| u64::from(u.percent)).sum();
            sample.set(Metric::GpuUse, Some(percent as i64));
            self.percents += percent;
            self.looks += 1;
        }
        if ours.iter().all(|h| h.bytes.is_some()) {
            let bytes = ours.iter().filter_map(|h| h.bytes).fold(0u64, u64::saturating_add);
            sample.set(Metric::GpuMemory, i64::try_from(bytes).ok());
            self.memory_peak = self.memory_peak.max(bytes);
        }
    }

    fn take_in(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(n) = self.said.read(&mut buffer) {
            if n == 0 {
                return;
            }
            self.line.extend(&buffer[..n]);
            while let Some(end) = self.line.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.line.drain(..=end).collect();
                if let Ok(answer) = serde_json::from_slice(&line) {
                    self.last = Some((Instant::now(), answer));
                }
            }
            if self.line.len() > LONGEST_LINE {
                self.line.clear();
            }
        }
    }

    /// What was seen; `None` if the driver never answered, or the job had nothing to do with GPUs.
    pub(crate) fn usage(&self) -> Option<GpuUsage> {
        let (_, answer) = self.last.as_ref()?;
        if self.used.is_empty() && self.asked.is_none() {
            return None;
        }
        let used = self.used.len() as u32;
        let all = self.looks * u64::from(used.max(1));
        Some(GpuUsage {
            devices: self.asked.unwrap_or(answer.gpus.len() as u32),
            used,
            use_percent: (all > 0).then(|| self.percents as f64 / all as f64),
            memory_peak: (self.looks > 0).then_some(Bytes(self.memory_peak)),
        })
    }
}

impl Drop for GpuWatch {
    fn drop(&mut self) {
        end(&mut self.helper);
    }
}

/// Kills a helper. Killed is not gone: on a busy node it dies a little later, and a run leaves nothing. One that hangs in
/// the driver is left to it.
fn end(helper: &mut Child) {
    let _ = helper.kill();
    let start = Instant::now();
    while matches!(helper.try_wait(), Ok(None)) && start.elapsed() < DEATH {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn wait(child: &mut Child) -> bool {
    let start = Instant::now();
    while start.elapsed() < TIME_LIMIT {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Err(_) => return false,
        }
    }
    // If it hangs in the driver it stays behind until the driver lets go; it holds nothing of ours.
    end(child);
    false
}

/// Who holds GPU memory now, or why that cannot be said.
pub(crate) fn holders() -> Result<Vec<Holder>, String> {
    let helper = helper().ok_or("the helper terrarium-nvml is not installed")?;
    let mut child = Command::new(&helper)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot start {}: {e}", helper.display()))?;
    let ended_well = wait(&mut child);
    let mut text = String::new();
    if ended_well {
        if let Some(mut out) = child.stdout.take() {
            let _ = out.read_to_string(&mut text);
        }
        let answer = serde_json::from_str::<Answer>(&text)
            .map_err(|_| "terrarium-nvml gave no sensible answer".to_owned())?;
        return match answer.unread.first() {
            Some(unread) if answer.holders.is_empty() => Err(format!("GPU {}: {}", unread.gpu, unread.why)),
            _ => Ok(answer.holders),
        };
    }
    match child.try_wait() {
        Ok(Some(status)) if status.code().is_some() => {
            if let Some(mut err) = child.stderr.take() {
                let _ = err.read_to_string(&mut text);
            }
            Err(text.trim().to_owned())
        }
        _ => Err(format!("the NVIDIA driver did not answer within {} s", TIME_LIMIT.as_secs())),
    }
}

/// Waits until no process of the job holds GPU memory; otherwise says who does.
///
/// The job's are those that carry its mark, and those that no longer exist: the driver may take a
/// moment after a process's death.
pub(crate) fn check_released(host: &Host, job: &JobId, asked: bool) -> Option<Finding> {
    let start = Instant::now();
    loop {
        let held: Vec<Holder> = match holders() {
            Ok(holders) => holders.into_iter().filter(|h| is_of_job(host, h.pid, job)).collect(),
            Err(why) => {
                return asked.then(|| {
                    Finding::new(
                        "gpu-not-checked",
                        format!("whether GPU memory was released is not known: {why}"),
                    )
                });
            }
        };
        if held.is_empty() {
            return None;
        }
        if start.elapsed() > RELEASE {
            let list: Vec<String> = held.iter().map(describe).collect();
            return Some(
                Finding::new("gpu-memory-held", format!("GPU memory is still held after the job: {}", list.join(", ")))
                    .hint("tell the administrators: the driver has not released it, and the next job may not find it free"),
            );
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// `GPU 0: PID 12 (1.5 GiB)`.
pub(crate) fn describe(holder: &Holder) -> String {
    let size = holder.bytes.map_or("size not known".to_owned(), |b| Bytes(b).to_string());
    format!("GPU {}: PID {} ({size})", holder.gpu, holder.pid)
}

fn is_of_job(host: &Host, pid: u32, job: &JobId) -> bool {
    // Where all processes of the host are to be seen, one that is not is dead.
    let sees_all = host.pid_namespace() == Some(INITIAL_PID_NAMESPACE) && host.stat(1).is_some();
    if host.stat(pid).is_none() {
        return sees_all;
    }
    let mark = format!("TERRARIUM_JOB={job}");
    fs::read(host.path(format!("/proc/{pid}/environ")))
        .is_ok_and(|text| text.split(|b| *b == 0).any(|v| v == mark.as_bytes()))
}
