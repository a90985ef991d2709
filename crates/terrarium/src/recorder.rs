//! Records a series while the job runs, in a process of its own: the supervisor must not wait for a file system.
//!
//! The file is replaced whole at each flush, so that it can be read at any time and is complete up to the last flush
//! whatever is killed. Flushes come every 10 s, and less often as the file grows: at most 0.3 % of the run is lost.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use terrarium_core::report::RunReport;
use terrarium_core::sample::{Metric, Sample, SeriesStart};
use terrarium_observe::series::Encoder;
use terrarium_sys::fds::{Channel, Incoming, close_from, let_go_of_standard_files};
use terrarium_sys::process::{Forked, Namespaces, clone_process, exit_now, set_name, signal_one, wait_for};

use crate::error::CliError;
use crate::whole_file::{Destination, replace};

/// Jobs shorter than this have no series that was not asked for.
pub(crate) const UNASKED_FROM: Duration = Duration::from_secs(10);

const FLUSH: Duration = Duration::from_secs(10);

/// A part of the run that may be lost, if that is longer.
const FLUSH_SHARE: u32 = 360;

/// A file system that does not answer for so long, when the job is over, is not waited for any more.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks that wait for the writer, at most: 18 hours at one a second, some 20 MB.
const PENDING: usize = 1 << 16;

/// Of a report, in one message.
const PART: usize = 16 << 10;

/// Where the samples of a run go.
pub(crate) struct Recorder {
    path: PathBuf,
    start: SeriesStart,
    /// Jobs shorter than this are not worth a process, nor a file unless one was asked for.
    from: Duration,
    asked_for: bool,
    began: Instant,
    pending: VecDeque<Sample>,
    writer: Option<(Channel, i32)>,
}

impl Recorder {
    /// `asked_for`: by name, so that there will be a file however short the job is.
    pub(crate) fn new(path: PathBuf, start: SeriesStart, asked_for: bool) -> Self {
        let from = if asked_for { Duration::from_secs(1) } else { UNASKED_FROM };
        Recorder {
            path,
            start,
            from,
            asked_for,
            began: Instant::now(),
            pending: VecDeque::new(),
            writer: None,
        }
    }

    /// Takes a sample. Never waits: what the writer has no room for now is kept for the next time.
    pub(crate) fn push(&mut self, sample: Sample) {
        // A writer that does not take them any more is not worth the node's memory.
        if self.pending.len() < PENDING {
            self.pending.push_back(sample);
        }
        if self.writer.is_none() && self.began.elapsed() >= self.from {
            self.writer = start_writer(&self.path, &self.start);
        }
        self.send_pending();
    }

    fn send_pending(&mut self) {
        let Some((channel, _)) = &self.writer else { return };
        while let Some(sample) = self.pending.front() {
            if channel.try_send(&encode(sample)).is_err() {
                return;
            }
            self.pending.pop_front();
        }
    }

    /// Ends the series with the report. The file, if there is one; or why not.
    pub(crate) fn finish(mut self, report: &RunReport) -> Result<Option<PathBuf>, String> {
        if self.writer.is_none() {
            if !self.asked_for {
                return Ok(None);
            }
            self.writer = start_writer(&self.path, &self.start);
        }
        let deadline = Instant::now() + PATIENCE;
        let Some((channel, pid)) = self.writer.take() else {
            return Err("no process could be started".to_owned());
        };
        let mut parts: VecDeque<Vec<u8>> = self.pending.iter().map(encode).collect();
        let json = serde_json::to_vec(report).unwrap_or_default();
        parts.extend(json.chunks(PART).map(|part| [b"r", part].concat()));
        parts.push_back(b"f".to_vec());
        while let Some(part) = parts.front() {
            match channel.try_send(part) {
                Ok(()) => drop(parts.pop_front()),
                Err(_) if Instant::now() > deadline => break,
                // Its buffer is full, or it has gone; then there is an answer.
                Err(_) => {
                    if channel.wait(Duration::from_millis(2)) {
                        break;
                    }
                }
            }
        }
        answer(&channel, pid, deadline, PATIENCE).map(|()| Some(self.path))
    }
}

/// Forks the process that writes.
fn start_writer(path: &Path, start: &SeriesStart) -> Option<(Channel, i32)> {
    start_process(&|channel| write_series(channel, path, start))
}

/// Forks a process that does something, says how that went, and ends.
fn start_process(work: &dyn Fn(&Channel) -> Result<(), String>) -> Option<(Channel, i32)> {
    let (ours, theirs) = Channel::pair().ok()?;
    match clone_process(Namespaces::default()).ok()? {
        Forked::Child => {
            drop(ours);
            // Nothing else of the supervisor's: init sees by a closed channel that its supervisor is gone.
            let_go_of_standard_files(true);
            close_from(3, &[theirs.as_fd().as_raw_fd()]);
            set_name("terrarium-rec");
            let why = work(&theirs).err().unwrap_or_default();
            let answer = [b"a", &why.as_bytes()[..why.len().min(1000)]].concat();
            let _ = theirs.send(&answer, None);
            exit_now(0)
        }
        Forked::Parent(pid) => Some((ours, pid)),
    }
}

/// What such a process said; one that says nothing in time is given up.
fn answer(channel: &Channel, pid: i32, deadline: Instant, patience: Duration) -> Result<(), String> {
    let answered = channel.wait(deadline.saturating_duration_since(Instant::now()));
    let mut buffer = [0; 1024];
    let answer = match channel.receive(&mut buffer) {
        Ok(Incoming::Message(n, _)) if answered => Some(String::from_utf8_lossy(&buffer[1..n]).into_owned()),
        Ok(Incoming::Nothing) => None,
        _ => Some("its writer was killed".to_owned()),
    };
    if answer.is_none() {
        let _ = signal_one(pid, 9);
    }
    // One that waits in the kernel cannot be killed, and is left to it.
    let _ = wait_for(pid, answer.is_some());
    match answer {
        Some(answer) if answer.is_empty() => Ok(()),
        Some(why) => Err(why),
        None => Err(format!("the file system did not answer within {} s", patience.as_secs())),
    }
}

/// Does something with files in a process of its own, so that a file system that hangs holds nobody up for long.
pub(crate) fn in_time(work: &dyn Fn() -> Result<(), String>) -> Result<(), String> {
    in_time_of(PATIENCE, work)
}

/// How a look at files is done by those who must not wait: [`in_time_of`], but for tests.
pub(crate) type InTime<'a> = &'a dyn Fn(&dyn Fn() -> Result<(), String>) -> Result<(), String>;

/// The same, within another time.
pub(crate) fn in_time_of(patience: Duration, work: &dyn Fn() -> Result<(), String>) -> Result<(), String> {
    match start_process(&|_| work()) {
        Some((channel, pid)) => answer(&channel, pid, Instant::now() + patience, patience),
        // No more processes may be started.
        None => work(),
    }
}

/// Until the supervisor has no more to say, or is gone.
fn write_series(channel: &Channel, path: &Path, start: &SeriesStart) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let began = Instant::now();
    if let Some(directory) = path.parent() {
        // That of the history, or there already.
        let _ = terrarium_observe::history::make(directory);
    }
    let mut encoder = Encoder::new(start.clone()).map_err(|e| text(&e))?;
    let mut json: Vec<u8> = Vec::new();
    // What came before this process was there comes first.
    let mut flush_at = Duration::from_millis(100);
    let mut buffer = vec![0; PART + 1];
    loop {
        let now = began.elapsed();
        if now >= flush_at {
            // What fails now (a full disk) may work at the next time, or at the end.
            let _ = encoder.file(None).map(|bytes| replace(path, &bytes, false));
            let now = began.elapsed();
            flush_at = now + FLUSH.max(now / FLUSH_SHARE);
        }
        channel.wait(flush_at.saturating_sub(began.elapsed()));
        let report = loop {
            match channel.receive(&mut buffer) {
                Ok(Incoming::Message(n, _)) => match buffer[..n].split_first() {
                    Some((b's', rest)) => {
                        if let Some(sample) = decode(rest) {
                            encoder.push(sample).map_err(|e| text(&e))?;
                        }
                    }
                    Some((b'r', part)) => json.extend(part),
                    _ => break Some(serde_json::from_slice::<RunReport>(&json).ok()),
                },
                Ok(Incoming::Nothing) => break None,
                // Killed: the file has no report, and all that was seen.
                Ok(Incoming::Closed) | Err(_) => break Some(None),
            }
        };
        if let Some(report) = report {
            let bytes = encoder.file(report.as_ref()).map_err(|e| text(&e))?;
            return replace(path, &bytes, false).map_err(|e| text(&e));
        }
    }
}

/// Writes a series again with another report.
pub(crate) fn replace_report(path: &Path, report: &RunReport) -> Result<(), String> {
    let series = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let series = terrarium_observe::series::read(series).map_err(|e| e.to_string())?;
    // Not what an earlier run has left there.
    if series.start.job != report.job || series.damage.is_some() {
        return Ok(());
    }
    let mut encoder = Encoder::new(series.start).map_err(|e| e.to_string())?;
    series.samples.into_iter().try_for_each(|sample| encoder.push(sample)).map_err(|e| e.to_string())?;
    let bytes = encoder.file(Some(report)).map_err(|e| e.to_string())?;
    replace(path, &bytes, false).map_err(|e| e.to_string())
}

fn encode(sample: &Sample) -> Vec<u8> {
    let mut bytes = vec![b's'];
    bytes.extend(sample.time_ms.to_le_bytes());
    for metric in Metric::ALL {
        match sample.get(metric) {
            Some(value) => {
                bytes.push(1);
                bytes.extend(value.to_le_bytes());
            }
            None => bytes.push(0),
        }
    }
    bytes
}

fn decode(bytes: &[u8]) -> Option<Sample> {
    let (time, mut rest) = bytes.split_first_chunk()?;
    let mut sample = Sample::at(i64::from_le_bytes(*time));
    for metric in Metric::ALL {
        let (has, after) = rest.split_first()?;
        rest = after;
        if *has == 1 {
            let (value, after) = rest.split_first_chunk()?;
            sample.set(metric, Some(i64::from_le_bytes(*value)));
            rest = after;
        }
    }
    Some(sample)
}

/// Refuses a file that could not be written, before the job has run for a day.
pub(crate) fn check(path: &Path) -> Result<PathBuf, CliError> {
    let refuse = |why: &str| CliError::Path { flag: "--record", path: path.to_owned(), why: why.to_owned() };
    match Destination::of("--record", path)? {
        Destination::File(path) => std::path::absolute(path).map_err(|e| refuse(&e.to_string())),
        Destination::Open(..) => Err(refuse("is no plain file: a series is replaced whole while it grows")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_pass_through_a_channel() {
        let mut sample = Sample::at(-5);
        sample.set(Metric::Cpu, Some(7));
        sample.set(Metric::GpuMemory, Some(i64::MAX));
        assert_eq!(decode(&encode(&sample)[1..]), Some(sample));
        assert_eq!(decode(b"short"), None);
    }
}
