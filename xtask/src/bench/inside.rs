//! What a process, a thread and a system call cost inside, for jobs that make many.

use std::process::Stdio;

use super::contender::{Contender, PLAIN, fit};
use super::place::Place;
use super::report::Report;
use super::samples::in_turn;
use crate::Result;

/// What is timed, and how often for one median.
const KINDS: [(&str, &str); 4] =
    [("fork", "500"), ("vfork-exec", "300"), ("thread", "2000"), ("syscall", "300")];

pub(super) fn measure(place: &Place, runs: u32) -> Result<Report> {
    let program = place.program("fork_cost");
    let (present, absent) = fit([Contender::plain(), Contender::terrarium(place, &[]), Contender::bwrap()])?;
    let mut report = Report::new(
        "inside",
        "one process or thread made and waited for, one system call: median of medians",
    );
    for (kind, count) in KINDS {
        let samples = in_turn(runs, &present, |contender| {
            let job = [program.as_os_str(), kind.as_ref(), count.as_ref()];
            let output = contender.command(job).stdout(Stdio::piped()).output();
            let output = output.map_err(|e| format!("{}: {e}", contender.name))?;
            let text = String::from_utf8_lossy(&output.stdout);
            nanoseconds(&text).map(|ns| ns / 1e3).ok_or_else(|| {
                format!("{}: fork_cost {kind} {count}: {} {}", contender.name, output.status, text.trim())
            })
        })?;
        report.add_samples(kind, "us", PLAIN, &present, &samples);
    }
    report.absent(&absent);
    Ok(report)
}

/// From `fork 12345 ns`.
fn nanoseconds(line: &str) -> Option<f64> {
    let mut words = line.split_whitespace();
    let ns = words.nth(1)?.parse().ok()?;
    (words.next() == Some("ns")).then_some(ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_fork_cost() {
        assert_eq!(nanoseconds("vfork-exec 12345 ns\n"), Some(12345.0));
        assert_eq!(nanoseconds(""), None);
    }
}
