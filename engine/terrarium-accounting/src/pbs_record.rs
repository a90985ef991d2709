//! A record of PBS's accounting log, and what its values mean.

use terrarium_segment::BatchJob;

use crate::options::epoch_text;
use crate::text::{clock_us, count, pbs_memory, seconds};

/// The values of a record that are used. Of a key that is there twice the first counts: what a user may
/// choose comes later.
#[derive(Default)]
pub(crate) struct Values<'a> {
    pub(crate) user: Option<&'a str>,
    pub(crate) account: Option<&'a str>,
    pub(crate) project: Option<&'a str>,
    pub(crate) queue: Option<&'a str>,
    pub(crate) ctime: Option<&'a str>,
    pub(crate) qtime: Option<&'a str>,
    pub(crate) start: Option<&'a str>,
    pub(crate) end: Option<&'a str>,
    pub(crate) exec_host: Option<&'a str>,
    pub(crate) exit_status: Option<&'a str>,
    pub(crate) run_count: Option<&'a str>,
    pub(crate) ncpus: Option<&'a str>,
    pub(crate) ngpus: Option<&'a str>,
    pub(crate) nodect: Option<&'a str>,
    pub(crate) memory: Option<&'a str>,
    pub(crate) limit: Option<&'a str>,
    pub(crate) cpu: Option<&'a str>,
    pub(crate) peak: Option<&'a str>,
    pub(crate) wall: Option<&'a str>,
}

impl<'a> Values<'a> {
    /// Reads `key=value key="value with blanks" …`.
    pub(crate) fn read(text: &'a str) -> Values<'a> {
        let mut values = Values::default();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let end = rest.find(['=', ' ']).unwrap_or(rest.len());
            let key = &rest[..end];
            let Some(after) = rest[end..].strip_prefix('=') else {
                rest = rest[end..].trim_start();
                continue;
            };
            let (value, after) = value(after);
            values.set(key, value);
            rest = after.trim_start();
        }
        values
    }

    fn set(&mut self, key: &str, value: &'a str) {
        let slot = match key {
            "user" => &mut self.user,
            "account" => &mut self.account,
            "project" => &mut self.project,
            "queue" => &mut self.queue,
            "ctime" => &mut self.ctime,
            "qtime" => &mut self.qtime,
            "start" => &mut self.start,
            "end" => &mut self.end,
            "exec_host" => &mut self.exec_host,
            "Exit_status" => &mut self.exit_status,
            "run_count" => &mut self.run_count,
            "Resource_List.ncpus" => &mut self.ncpus,
            "Resource_List.ngpus" => &mut self.ngpus,
            "Resource_List.nodect" => &mut self.nodect,
            "Resource_List.mem" => &mut self.memory,
            "Resource_List.walltime" => &mut self.limit,
            "resources_used.cput" => &mut self.cpu,
            "resources_used.mem" => &mut self.peak,
            "resources_used.walltime" => &mut self.wall,
            _ => return,
        };
        if !value.trim().is_empty() {
            slot.get_or_insert(value);
        }
    }

    /// Adds what this record knows to a job.
    pub(crate) fn add_to(&self, job: &mut BatchJob) {
        let keep = |slot: &mut Option<String>, value: Option<&str>| {
            if let Some(value) = value {
                *slot = Some(value.trim().to_owned());
            }
        };
        keep(&mut job.user, self.user);
        keep(&mut job.project, self.account.or(self.project.filter(|name| *name != "_pbs_project_default")));
        keep(&mut job.queue, self.queue);
        let submitted = self.ctime.or(self.qtime).and_then(epoch_text);
        job.submitted_us = submitted.or(job.submitted_us);
        job.started_us = self.start.and_then(epoch_text).or(job.started_us);
        job.ended_us = self.end.and_then(epoch_text).or(job.ended_us);
        job.cores = self.ncpus.and_then(count).or(job.cores);
        job.gpus = self.ngpus.and_then(|number| number.trim().parse().ok()).or(job.gpus);
        job.nodes = self.nodect.and_then(count).or(job.nodes);
        job.memory_bytes = self.memory.and_then(pbs_memory).or(job.memory_bytes);
        job.time_limit_s = self.limit.and_then(whole_s).or(job.time_limit_s);
        job.cpu_seconds =
            self.cpu.and_then(|text| clock_us(text, 1_000_000)).map(seconds).or(job.cpu_seconds);
        // A job that nobody looked at while it ran has 0.
        job.memory_peak_bytes =
            self.peak.and_then(pbs_memory).filter(|bytes| *bytes > 0).or(job.memory_peak_bytes);
        if let Some(runs) = self.run_count.and_then(|text| text.trim().parse::<u32>().ok()) {
            job.restarts = runs.saturating_sub(1);
        }
    }

    /// How long the job ran, microseconds.
    pub(crate) fn wall_us(&self) -> Option<i64> {
        clock_us(self.wall?, 1_000_000)?.try_into().ok()
    }
}

fn whole_s(text: &str) -> Option<u64> {
    Some(clock_us(text, 1_000_000)? / 1_000_000)
}

/// Splits off a value, which may be quoted and hold blanks then.
fn value(text: &str) -> (&str, &str) {
    if let Some(quote) = text.chars().next().filter(|letter| matches!(letter, '"' | '\'')) {
        let inner = &text[1..];
        let mut from = 0;
        // The quote that ends a value has a blank or nothing after it.
        while let Some(at) = inner[from..].find(quote) {
            let end = from + at;
            let after = &inner[end + 1..];
            if after.is_empty() || after.starts_with(' ') {
                return (&inner[..end], after);
            }
            from = end + 1;
        }
    }
    text.split_at(text.find(' ').unwrap_or(text.len()))
}

/// What PBS's `Exit_status` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) status: Option<i32>,
    pub(crate) signal: Option<i32>,
    /// A word for what PBS did.
    pub(crate) word: Option<&'static str>,
}

/// Signals end at 64; what is above is a status of its own, such as 255.
const LAST_SIGNAL: i32 = 64;

/// Reads `Exit_status`.
pub(crate) fn exit(text: &str) -> Exit {
    let Ok(code) = text.trim().parse::<i32>() else {
        return Exit::default();
    };
    let signal = [128, 256].map(|base| code.saturating_sub(base));
    if let Some(signal) = signal.into_iter().find(|signal| (1..=LAST_SIGNAL).contains(signal)) {
        return Exit { signal: Some(signal), ..Exit::default() };
    }
    let word = match code {
        -24 | -25 => Some("KILLED-ncpus"),
        -26 => Some("KILLED-vmem"),
        -27 => Some("KILLED-mem"),
        -28 => Some("KILLED-cput"),
        -29 => Some("KILLED-walltime"),
        _ => None,
    };
    Exit { status: Some(code), signal: None, word }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_be_quoted() {
        let text =
            "user=lab account=\"phys group\" diag='{\"n1\": \"too much\"}' jobname=x queue=q user=root junk";
        let values = Values::read(text);
        assert_eq!((values.user, values.account, values.queue), (Some("lab"), Some("phys group"), Some("q")));
        let cut = Values::read("account=\"no end queue=q");
        assert_eq!((cut.account, cut.queue), (Some("\"no"), Some("q")));
        assert_eq!(Values::read("account=\"a\"b\" queue=q").account, Some("a\"b"));
    }

    #[test]
    fn exits() {
        let status = |text| (exit(text).status, exit(text).signal, exit(text).word);
        assert_eq!(status("0"), (Some(0), None, None));
        assert_eq!(status("127"), (Some(127), None, None));
        assert_eq!(status("137"), (None, Some(9), None));
        assert_eq!(status("271"), (None, Some(15), None));
        assert_eq!(status("255"), (Some(255), None, None));
        assert_eq!(status("-27"), (Some(-27), None, Some("KILLED-mem")));
        assert_eq!(status("-24").2, Some("KILLED-ncpus"));
        assert_eq!(status("-2147483648"), (Some(i32::MIN), None, None));
        assert_eq!(status("99999999999"), (None, None, None));
    }
}
