//! The accounting log of PBS Pro, OpenPBS and Torque.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead};

use terrarium_segment::{BatchJob, job_id};

use crate::hosts::exec_host;
use crate::lines::{Lines, TOO_LONG};
use crate::options::Options;
use crate::pbs_record::{Values, exit};
use crate::text::short;
use crate::{Found, Sink, broken};

/// So many jobs may be open.
const MOST: usize = 1_000_000;

/// So many bytes of text may belong to them.
const MOST_BYTES: usize = 512 << 20;

/// No name of a job is longer.
const LONGEST_ID: usize = 512;

/// Reads an accounting log: `11/22/2026 01:49:50;E;0.pbs1;user=lab …`.
///
/// A job is put together from its records. One that was put back into the queue is handed on for each time it
/// ran, and one whose end is not in the log as it stood last. The log's own times are without a zone; those
/// of the jobs are not.
pub fn pbs_log(input: &mut dyn BufRead, options: &Options, sink: Sink<'_>) -> io::Result<()> {
    read(input, options, MOST, sink)
}

fn read(input: &mut dyn BufRead, options: &Options, most: usize, sink: Sink<'_>) -> io::Result<()> {
    let mut lines = Lines::new(input);
    let mut jobs = Jobs::default();
    while let Some(line) = lines.next()? {
        let Some(text) = &line.text else {
            broken(sink, line.offset, TOO_LONG)?;
            continue;
        };
        if text.trim().is_empty() {
            continue;
        }
        match Record::read(text, options) {
            Ok(record) => jobs.take(&record, line.offset, options, sink)?,
            Err(why) => broken(sink, line.offset, why)?,
        }
        while jobs.open.len() > most || jobs.bytes > MOST_BYTES {
            let Some(oldest) = jobs.order.first_key_value().map(|(_, id)| id.clone()) else {
                break;
            };
            jobs.leave(&oldest, sink)?;
        }
    }
    while let Some(oldest) = jobs.order.first_key_value().map(|(_, id)| id.clone()) {
        jobs.leave(&oldest, sink)?;
    }
    Ok(())
}

/// A line.
struct Record<'a> {
    when_us: i64,
    kind: u8,
    id: &'a str,
    rest: &'a str,
}

impl<'a> Record<'a> {
    fn read(line: &'a str, options: &Options) -> Result<Record<'a>, String> {
        let mut parts = line.splitn(4, ';');
        let (Some(when), Some(kind), Some(id)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("it is no record of the form date;type;job;values".to_owned());
        };
        let when_us =
            options.zone.american_us(when).ok_or_else(|| format!("'{}' is no time", short(when)))?;
        let (id, rest) = (id.trim(), parts.next().unwrap_or_default());
        let &[kind] = kind.as_bytes() else {
            return Err(format!("'{}' is no type of a record", short(kind)));
        };
        if id.len() > LONGEST_ID {
            return Err("the job's name is too long".to_owned());
        }
        Ok(Record { when_us, kind, id, rest })
    }
}

/// A job without its end.
#[derive(Default)]
struct Open {
    job: BatchJob,
    cluster: Option<String>,
    exec_host: String,
    /// When it came; the oldest goes first.
    order: u64,
    bytes: usize,
    /// What happened to it that may be its end, and when.
    fate: Option<(&'static str, i64)>,
}

impl Open {
    fn new(id: &str, options: &Options) -> Open {
        let name = job_id("pbs", id);
        let mut job = BatchJob { system: "pbs".to_owned(), ..BatchJob::default() };
        (job.array, job.array_task) = array(&name);
        job.id = name;
        let cluster = options.cluster_of_server.then(|| id.split('.').nth(1)).flatten();
        Open { job, cluster: cluster.filter(|name| !name.is_empty()).map(str::to_owned), ..Open::default() }
    }

    /// The name of a whole array, `123[]`. Its tasks have records of their own.
    fn is_array(&self) -> bool {
        self.job.array.is_some() && self.job.array_task.is_none()
    }

    fn add(&mut self, values: &Values<'_>) {
        values.add_to(&mut self.job);
        if let Some(hosts) = values.exec_host {
            hosts.clone_into(&mut self.exec_host);
        }
    }

    fn weigh(&self) -> usize {
        let job = &self.job;
        let texts = [&job.user, &job.project, &job.queue, &job.array, &job.array_task, &self.cluster];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        texts + 3 * job.id.len() + self.exec_host.len()
    }

    fn found(mut self) -> Found {
        if !self.exec_host.is_empty() {
            let places = exec_host(&self.exec_host);
            self.job.nodes = Some(places.nodes).filter(|nodes| *nodes > 0).or(self.job.nodes);
            self.job.cores = self.job.cores.or(Some(places.slots).filter(|slots| *slots > 0));
            self.job.hosts = places.hosts;
        } else if self.job.started_us.is_none() {
            // It was asked for, and never allocated.
            (self.job.nodes, self.job.cores, self.job.gpus, self.job.memory_bytes) = (None, None, None, None);
        }
        Found::Job { cluster: self.cluster, job: Box::new(self.job) }
    }

    /// As it stands when no more is known of it.
    fn leave(mut self) -> Found {
        match self.fate {
            // Its end would have followed the request to delete it.
            Some(("D", _)) if self.job.started_us.is_some() => self.job.state = Some("R".to_owned()),
            Some((word, when)) => {
                self.job.state = Some(word.to_owned());
                self.job.ended_us = Some(when);
            }
            None => {
                let word = if self.job.started_us.is_some() { "R" } else { "Q" };
                self.job.state = Some(word.to_owned());
            }
        }
        if self.is_array() && self.job.started_us.is_some() {
            return Found::Passed("job arrays");
        }
        self.found()
    }
}

/// The array and the task of `123[4]`.
pub(crate) fn array(id: &str) -> (Option<String>, Option<String>) {
    let Some((number, task)) = id.strip_suffix(']').and_then(|id| id.split_once('[')) else {
        return (None, None);
    };
    (Some(format!("{number}[]")), (!task.is_empty()).then(|| task.to_owned()))
}

/// All jobs without their ends.
#[derive(Default)]
struct Jobs {
    open: HashMap<String, Open>,
    order: BTreeMap<u64, String>,
    next: u64,
    bytes: usize,
}

impl Jobs {
    fn take(
        &mut self,
        record: &Record<'_>,
        offset: u64,
        options: &Options,
        sink: Sink<'_>,
    ) -> io::Result<()> {
        let passed = match record.kind {
            b'Q' | b'S' | b's' | b'E' | b'D' | b'A' | b'R' | b'a' | b'M' => None,
            b'L' => Some("licences"),
            b'Y' | b'U' | b'B' | b'F' | b'K' | b'k' => Some("reservations"),
            b'P' | b'p' => Some("provisioning"),
            b'C' | b'T' => Some("checkpoints"),
            b'c' | b'e' | b'u' => Some("parts of jobs"),
            b'z' | b'r' => Some("suspensions"),
            _ => Some("records of other types"),
        };
        if let Some(passed) = passed {
            return sink(Found::Passed(passed));
        }
        if !record.id.starts_with(|letter: char| letter.is_ascii_digit()) {
            let why = format!("'{}' is no job of PBS", short(record.id));
            return broken(sink, offset, why);
        }
        let values = Values::read(record.rest);
        if record.kind == b'Q' && self.open.get(record.id).is_some_and(Self::is_another) {
            // The same number came round again.
            self.leave(record.id, sink)?;
        }
        let mut open = self.remove(record.id).unwrap_or_else(|| Open::new(record.id, options));
        open.add(&values);
        match record.kind {
            b'Q' => {
                open.job.submitted_us = open.job.submitted_us.or(Some(record.when_us));
            }
            b'S' => {
                open.fate = None;
                open.job.started_us = open.job.started_us.or(Some(record.when_us));
            }
            b'E' => return sink(Self::ended(open, &values, record.when_us)),
            b'R' => {
                let restarts = open.job.restarts.saturating_add(1);
                let mut again = Open::new(record.id, options);
                again.job = BatchJob {
                    restarts,
                    user: open.job.user.clone(),
                    project: open.job.project.clone(),
                    queue: open.job.queue.clone(),
                    submitted_us: open.job.submitted_us,
                    cores: open.job.cores,
                    gpus: open.job.gpus,
                    nodes: open.job.nodes,
                    memory_bytes: open.job.memory_bytes,
                    time_limit_s: open.job.time_limit_s,
                    ..again.job
                };
                take_exit(&mut open.job, &values);
                open.job.state = Some("RERUN".to_owned());
                open.job.ended_us = Some(record.when_us);
                self.insert(record.id, again);
                let found = if open.is_array() { Found::Passed("job arrays") } else { open.found() };
                return sink(found);
            }
            b'A' => open.fate = Some(("A", record.when_us)),
            b'M' => open.fate = Some(("M", record.when_us)),
            b'D' => open.fate = open.fate.or(Some(("D", record.when_us))),
            _ => {}
        }
        self.insert(record.id, open);
        Ok(())
    }

    fn is_another(open: &Open) -> bool {
        open.fate.is_some() || open.job.started_us.is_some()
    }

    fn ended(mut open: Open, values: &Values<'_>, when_us: i64) -> Found {
        if open.is_array() && open.job.started_us.is_some() {
            return Found::Passed("job arrays");
        }
        open.job.state = Some("E".to_owned());
        take_exit(&mut open.job, values);
        let by_wall =
            open.job.started_us.zip(values.wall_us()).and_then(|(start, wall)| start.checked_add(wall));
        open.job.ended_us = open.job.ended_us.or(by_wall).or(Some(when_us));
        open.found()
    }

    fn insert(&mut self, id: &str, mut open: Open) {
        if open.order == 0 {
            self.next += 1;
            open.order = self.next;
        }
        open.bytes = open.weigh();
        self.bytes += open.bytes;
        self.order.insert(open.order, id.to_owned());
        self.open.insert(id.to_owned(), open);
    }

    fn remove(&mut self, id: &str) -> Option<Open> {
        let open = self.open.remove(id)?;
        self.order.remove(&open.order);
        self.bytes = self.bytes.saturating_sub(open.bytes);
        Some(open)
    }

    /// Hands on a job as it stands.
    fn leave(&mut self, id: &str, sink: Sink<'_>) -> io::Result<()> {
        self.remove(id).map_or(Ok(()), |open| sink(open.leave()))
    }
}

fn take_exit(job: &mut BatchJob, values: &Values<'_>) {
    let exit = values.exit_status.map(exit).unwrap_or_default();
    (job.exit_status, job.signal) = (exit.status, exit.signal);
    if let Some(word) = exit.word {
        job.state = Some(word.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Zone;

    #[test]
    fn open_jobs_are_bounded() {
        let log: String =
            (1..=5).map(|id| format!("11/22/2026 01:49:50;Q;{id}.pbs1;queue=workq\n")).collect();
        let options = Options { zone: Zone::Utc, ..Options::default() };
        let mut seen = Vec::new();
        let mut rest = log.as_bytes();
        let first = {
            let mut sink = |found| {
                if let Found::Job { job, .. } = found {
                    seen.push(job.id);
                }
                if seen.len() == 3 { Err(io::Error::other("enough")) } else { Ok(()) }
            };
            read(&mut rest, &options, 2, &mut sink)
        };
        // The third left when the fifth came, and none before the log was at its end.
        assert!(first.is_err());
        assert_eq!(seen, ["1", "2", "3"]);
    }
}
