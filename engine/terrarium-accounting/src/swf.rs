//! The Standard Workload Format, version 2.2, in which the Parallel Workloads Archive keeps its logs.

use std::io::{self, BufRead};

use terrarium_segment::{BatchJob, job_id};

use crate::lines::{Lines, TOO_LONG};
use crate::options::{Options, epoch_us};
use crate::text::{known, short, whole};
use crate::{Found, Sink, broken};

/// Fields of a line.
const FIELDS: usize = 18;

/// The header's comments.
#[derive(Default)]
struct Header {
    start_us: Option<i64>,
    cluster: Option<String>,
}

impl Header {
    /// `; UnixStartTime: 1100000000`. The zone that it names does not matter: the start is in UTC.
    fn take(&mut self, comment: &str) {
        let Some((name, value)) = comment.trim_start_matches(';').split_once(':') else {
            return;
        };
        match name.trim() {
            "UnixStartTime" => {
                let seconds = value.split_whitespace().next().and_then(|word| word.parse().ok());
                self.start_us = seconds.and_then(epoch_us).or(self.start_us);
            }
            "Computer" => self.cluster = known(value).map(short).or_else(|| self.cluster.take()),
            _ => {}
        }
    }
}

/// Reads a log in the Standard Workload Format. Its times count from a start that the header gives; if it
/// does not, and [`Options::start_us`] does not either, nothing can be made of it and one [`Found::Broken`]
/// says so.
pub fn swf(input: &mut dyn BufRead, options: &Options, sink: Sink<'_>) -> io::Result<()> {
    let mut lines = Lines::new(input);
    let mut header = Header::default();
    while let Some(line) = lines.next()? {
        let Some(text) = &line.text else {
            broken(sink, line.offset, TOO_LONG)?;
            continue;
        };
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        if text.starts_with(';') {
            header.take(text);
            continue;
        }
        let Some(start_us) = header.start_us.or(options.start_us) else {
            let why = "times count from a start that is not there: no line '; UnixStartTime: …' comes before \
                       the jobs, so it must be given";
            return broken(sink, line.offset, why);
        };
        match job(text, start_us) {
            Ok(Some(job)) => sink(Found::Job { cluster: header.cluster.clone(), job: Box::new(job) })?,
            Ok(None) => sink(Found::Passed("parts of jobs"))?,
            Err(why) => broken(sink, line.offset, why)?,
        }
    }
    Ok(())
}

fn job(line: &str, start_us: i64) -> Result<Option<BatchJob>, String> {
    let mut fields = [None; FIELDS];
    let mut found = 0;
    for word in line.split_ascii_whitespace() {
        if let Some(field) = fields.get_mut(found) {
            let number: f64 = word
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
                .ok_or_else(|| format!("field {} is '{}' and no number", found + 1, short(word)))?;
            *field = Some(number).filter(|number| *number >= 0.0);
        }
        found += 1;
    }
    if found != FIELDS {
        return Err(format!("{found} fields instead of {FIELDS}"));
    }
    let [id, submit, wait, run, processors, cpu, peak_kib, _, limit, memory_kib, status, rest @ ..] = fields;
    let [user, group, _, queue, partition, ..] = rest;
    let number = |field: Option<f64>| field.and_then(whole);
    let id = number(id).ok_or("the job has no number")?;
    let state = match number(status) {
        Some(0) => Some("FAILED"),
        Some(1) => Some("COMPLETED"),
        Some(5) => Some("CANCELLED"),
        // The job itself has a line of its own.
        Some(2..=4) => return Ok(None),
        _ => None,
    };
    let us = |seconds: Option<f64>| whole(seconds? * 1e6).and_then(|us| i64::try_from(us).ok());
    let later = |from: Option<i64>, by: Option<i64>| from?.checked_add(by?);
    let submitted_us = later(Some(start_us), us(submit));
    // One that was cancelled while it waited did not start.
    let has_run = state != Some("CANCELLED") || run.is_some_and(|run| run > 0.0);
    let started_us = later(submitted_us, us(wait)).filter(|_| has_run);
    let processors =
        number(processors).and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0);
    let bytes = |kib: Option<f64>| number(kib).filter(|kib| *kib > 0).and_then(|kib| kib.checked_mul(1024));
    let named = |what: &str, number: Option<u64>| number.map(|number| format!("{what}{number}"));
    Ok(Some(BatchJob {
        system: "swf".to_owned(),
        id: job_id("swf", &id.to_string()),
        user: named("user", number(user)),
        project: named("group", number(group)),
        queue: named("queue", number(queue)).or_else(|| named("partition", number(partition))),
        submitted_us,
        started_us,
        ended_us: later(started_us, us(run)),
        state: state.map(str::to_owned),
        cores: processors,
        memory_bytes: bytes(memory_kib).zip(processors).and_then(|(each, n)| each.checked_mul(n.into())),
        time_limit_s: number(limit).filter(|limit| *limit > 0),
        cpu_seconds: cpu.zip(processors).map(|(each, processors)| each * f64::from(processors)),
        memory_peak_bytes: bytes(peak_kib),
        ..BatchJob::default()
    }))
}
