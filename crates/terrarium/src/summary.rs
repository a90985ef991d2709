//! What people read: notes while the job runs and the summary at its end.

use std::collections::BTreeMap;
use std::time::Duration;

use terrarium_core::report::{End, Enforcer, RunReport, Source};
use terrarium_core::{Bytes, Finding, HumanDuration, Tier};
use terrarium_jail::Notice;
use terrarium_jail::plan::enforcer_name;

use crate::out;

pub(crate) fn print_finding(finding: &Finding) {
    out::note(format_args!("note: {}", finding.message));
    if let Some(hint) = &finding.hint {
        out::err(format_args!("hint: {hint}"));
    }
}

pub(crate) fn print_notice(notice: &Notice) {
    let then = |grace: &Option<Duration>| match grace {
        Some(Duration::ZERO) => "killing it".to_owned(),
        Some(grace) => format!("asked it to end (SIGTERM); killing it in {}", HumanDuration(*grace)),
        None => "asked it to end (SIGTERM)".to_owned(),
    };
    match notice {
        Notice::TimeLimit(limit, grace) => {
            out::note(format_args!("the time limit of {} is over: {}", HumanDuration(*limit), then(grace)));
        }
        Notice::Terminating(grace) => match grace {
            Some(Duration::ZERO) => out::note("SIGTERM came: killing the job"),
            Some(grace) => out::note(format_args!(
                "SIGTERM was passed on to the job; killing what is left of it in {}",
                HumanDuration(*grace)
            )),
            None => out::note("SIGTERM was passed on to the job"),
        },
        Notice::GraceOver => out::note("the grace is over: killing what is left of the job"),
        Notice::OutOfMemory => out::note("the job is out of memory: ending all of it"),
        Notice::ParentEnded => out::note("the process that started it has ended: ending the job"),
        Notice::OrphansEnded(ended, names) => {
            out::note(format_args!("note: {}", orphans_line(*ended, names)))
        }
    }
}

fn processes(n: u64) -> String {
    if n == 1 { "1 process".to_owned() } else { format!("{n} processes") }
}

fn orphans_line(ended: u64, names: &[String]) -> String {
    format!("ended {} whose parent had died: {}", processes(ended), name_list(ended, &counted(names)))
}

/// Names with how often each, the most frequent first.
pub(crate) fn counted(names: &[String]) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<&String, u64> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().map(|(name, n)| (name.clone(), n)).collect();
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    counts
}

/// The first of `names`, of `all` processes.
fn name_list(all: u64, names: &[(String, u64)]) -> String {
    let shown = &names[..names.len().min(5)];
    let mut texts: Vec<String> = shown
        .iter()
        .map(|(name, n)| if *n == 1 { printable(name) } else { format!("{} × {n}", printable(name)) })
        .collect();
    if shown.iter().map(|(_, n)| n).sum::<u64>() < all {
        texts.push("…".to_owned());
    }
    texts.join(", ")
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        n => return format!("signal {n}"),
    };
    name.to_owned()
}

pub(crate) fn end_line(report: &RunReport) -> String {
    let how = match report.end {
        End::Exited { code } => format!("ended with status {code}"),
        End::Signaled { signal } => format!("was killed by {}", signal_name(signal)),
        End::TimeLimit => "was ended by its time limit".to_owned(),
        End::OutOfMemory => "ran out of memory".to_owned(),
        End::Terminated => "was killed after SIGTERM and its grace".to_owned(),
        End::Survivors => "could not be ended".to_owned(),
        End::InitKilled => "was killed from outside".to_owned(),
    };
    format!("{how} after {}", HumanDuration(Duration::from_secs_f64(report.wall_seconds.max(0.0))))
}

pub(crate) fn cpu_line(report: &RunReport) -> Option<String> {
    let cpu = report.usage.cpu_seconds?;
    let mut line = HumanDuration(Duration::from_secs_f64(cpu.value.max(0.0))).to_string();
    if report.wall_seconds >= 0.5 {
        line.push_str(&format!(", {:.1} CPUs busy on average", cpu.value / report.wall_seconds));
        if let Some(cpus) = &report.limits.cpus {
            line.push_str(&format!(" (has CPU {})", cpus.value));
        }
    }
    Some(line)
}

pub(crate) fn memory_line(report: &RunReport) -> Option<String> {
    let peak = report.usage.memory_peak?;
    let mut line = format!("peak {}", peak.value);
    if let Some(limit) = &report.limits.memory {
        match limit.enforced_by {
            Some(Enforcer::RlimitData) => line.push_str(&format!("; each process may have {}", limit.value)),
            _ => line.push_str(&format!(" of {} ({} %)", limit.value, percent(peak.value, limit.value))),
        }
    }
    match peak.source {
        Source::Sampled => line.push_str(", seen in samples: short peaks are missing"),
        Source::SampledSum => {
            line.push_str(
                ", added up over processes: what they share may count several times, short peaks are missing",
            );
        }
        Source::Cgroup | Source::Wait4 => {}
    }
    if report.end != End::OutOfMemory && report.usage.memory_saturated {
        line.push_str("; it met the limit, so what it would have used is not known");
    }
    Some(line)
}

fn percent(part: Bytes, whole: Bytes) -> u64 {
    (part.0 as f64 * 100.0 / whole.0.max(1) as f64).round() as u64
}

fn most_line(report: &RunReport) -> Option<String> {
    let count = |n: u64, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    let parts: Vec<String> = [
        report.usage.processes_peak.map(|p| count(p.value, "process", "processes")),
        report.usage.threads_peak.map(|t| count(t.value, "thread", "threads")),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!parts.is_empty()).then(|| format!("{} at once", parts.join(", ")))
}

/// A word as a shell would have it: where it ends is to be seen.
pub(crate) fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@%,:=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Names in it, at most.
const NAMES: usize = 8;

/// Only of a job in which a Python ran.
fn loaded_line(report: &RunReport) -> Option<String> {
    let tracking = report.tracking.as_ref().filter(|tracking| tracking.python_processes > 0)?;
    let count = |n: u64, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    let shown = &tracking.direct[..tracking.direct.len().min(NAMES)];
    let names: Vec<String> = shown.iter().map(|name| printable(name)).collect();
    let more = if tracking.direct.len() > NAMES { ", …" } else { "" };
    let names =
        if names.is_empty() { String::new() } else { format!("{}{more} (direct), ", names.join(", ")) };
    let pythons = tracking.python_processes;
    let mut line = format!(
        "{names}{} in {pythons} Python {}",
        count(tracking.modules, "module"),
        if pythons == 1 { "process" } else { "processes" }
    );
    let lost = tracking.dropped + tracking.unread;
    if lost > 0 {
        line.push_str(&format!("; of {} nothing is known", processes(lost)));
    }
    Some(line)
}

fn left_lines(report: &RunReport) -> Vec<String> {
    let left = &report.left_behind;
    let mut lines = Vec::new();
    if left.processes > 0 {
        lines.push(format!(
            "{}, ended: {}",
            processes(left.processes),
            name_list(left.processes, &left.names)
        ));
    }
    for object in &left.shared {
        let state = match (object.deleted, object.held) {
            (true, _) => "deleted",
            (_, true) => "in use by a process outside the job, kept",
            _ => "kept; --shm host --clean-shm deletes it",
        };
        lines.push(format!("{} ({}), {state}", printable(&object.name), object.bytes));
    }
    if lines.is_empty() {
        lines.push("nothing".to_owned());
    }
    lines
}

/// A process chooses its own name, and a file's: no control characters reach the terminal, nor the marks that turn the
/// direction of text, by which one name could look like another.
pub(crate) fn printable(name: &str) -> String {
    name.chars().map(|c| if shows(c) { c } else { '?' }).collect()
}

/// Whether a character neither moves the cursor nor turns the direction of writing.
pub(crate) fn shows(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn held_line(report: &RunReport) -> String {
    let mut by = vec![match report.tier {
        Tier::Root => "PID namespace made by root".to_owned(),
        Tier::Userns => "user and PID namespace".to_owned(),
        Tier::Ptrace => "ptrace, no namespaces".to_owned(),
    }];
    if let Some(ranks) = report.ranks {
        by.push(format!("shared by {ranks} {}", if ranks == 1 { "rank" } else { "ranks" }));
    }
    let l = &report.limits;
    let limits = [
        ("memory", l.memory.as_ref().map(|x| x.enforced_by)),
        ("CPUs", l.cpus.as_ref().map(|x| x.enforced_by)),
        ("pids", l.pids.as_ref().map(|x| x.enforced_by)),
    ];
    for (name, enforcer) in limits {
        if let Some(enforcer) = enforcer {
            by.push(format!("{name} by {}", enforcer.map_or("nothing", enforcer_name)));
        }
    }
    format!("tier {}: {}", report.tier, by.join(", "))
}

/// After an out-of-memory end: what happened, and what to ask for.
fn oom_lines(report: &RunReport) -> Vec<String> {
    if report.end != End::OutOfMemory {
        return Vec::new();
    }
    // A peak that was only sampled says nothing about whether the limit was met (no memory.peak before Linux 5.19).
    let peak = report.usage.memory_peak.filter(|p| p.source == Source::Cgroup).map(|p| p.value);
    match (&report.limits.memory, peak) {
        (Some(limit), Some(peak))
            if !report.usage.memory_saturated && limit.enforced_by != Some(Enforcer::RlimitData) =>
        {
            vec![format!(
                "the kernel killed processes at {peak}, below the limit of {}: an outer limit was met, or the node itself was out of memory",
                limit.value
            )]
        }
        (Some(limit), _) => vec![format!(
            "it met its limit of {}; what it needs is not known, so ask for twice as much next time: --mem {}",
            limit.value,
            Bytes(limit.value.0.saturating_mul(2)).as_argument()
        )],
        (None, _) => {
            vec!["a limit outside of terrarium was met (the batch system's, or the node's memory)".to_owned()]
        }
    }
}

pub(crate) fn print_survivors(report: &RunReport) {
    for survivor in &report.survivors {
        out::note(format_args!(
            "error: process {} ({}) cannot be killed: state {}{}",
            survivor.pid,
            printable(&survivor.name),
            survivor.state,
            if survivor.state == 'D' { ", waits in the kernel (often for a file server)" } else { "" }
        ));
    }
}

/// The summary in one line: for the log of a server, in which many of them stand.
fn line(report: &RunReport) -> String {
    let mut parts = Vec::new();
    if let Some(cpu) = report.usage.cpu_seconds {
        parts.push(format!("cpu {}", HumanDuration(Duration::from_secs_f64(cpu.value.max(0.0)))));
    }
    if let Some(peak) = report.usage.memory_peak {
        parts.push(format!("memory peak {}", peak.value));
    }
    if report.orphans_ended > 0 {
        parts.push(format!("{} ended whose parent had died", processes(report.orphans_ended)));
    }
    let left = &report.left_behind;
    if left.processes > 0 {
        parts.push(format!("left {}", left_lines(report).join(", ")));
    }
    let end = end_line(report);
    if parts.is_empty() { end } else { format!("{end}: {}", parts.join("; ")) }
}

/// [`line`], printed.
pub(crate) fn print_line(report: &RunReport) {
    out::note(line(report));
    print_survivors(report);
}

/// The summary at the end of a run.
pub(crate) fn print(report: &RunReport) {
    out::note(end_line(report));
    let mut lines: Vec<(&str, String)> = Vec::new();
    let mut add = |name, text: Vec<String>| {
        for (i, line) in text.into_iter().enumerate() {
            lines.push((if i == 0 { name } else { "" }, line));
        }
    };
    add("cpu", cpu_line(report).into_iter().collect());
    add("memory", memory_line(report).into_iter().chain(oom_lines(report)).collect());
    add("most", most_line(report).into_iter().collect());
    if report.orphans_ended > 0 {
        add("orphans", vec![format!("{}, ended while the job ran", processes(report.orphans_ended))]);
    }
    add("loaded", loaded_line(report).into_iter().collect());
    add("left", left_lines(report));
    add("held by", vec![held_line(report)]);
    for (name, text) in lines {
        out::err(format_args!("  {name:<8} {text}"));
    }
    print_survivors(report);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_drive_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a?[2Jb?");
    }

    #[test]
    fn orphans_are_named() {
        let names = |n: &[&str]| n.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let line = |n, list: &[&str]| orphans_line(n, &names(list));
        assert_eq!(line(1, &["sh"]), "ended 1 process whose parent had died: sh");
        assert_eq!(
            line(40, &["a", "python3", "a\n", "python3"]),
            "ended 40 processes whose parent had died: python3 × 2, a, a?, …"
        );
    }

    #[test]
    fn percentages() {
        assert_eq!(percent(Bytes(1), Bytes(3)), 33);
        assert_eq!(percent(Bytes(1), Bytes(0)), 100);
    }
}
