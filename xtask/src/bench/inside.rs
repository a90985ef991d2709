//! What a process, a thread and a system call cost inside, for jobs that make many.

use std::process::Stdio;

use super::contender::{Contender, PLAIN, TRACED, fit};
use super::place::Place;
use super::report::{Report, Row};
use super::samples::{in_turn, paired};
use crate::Result;

/// A deed that is timed.
struct Kind {
    name: &'static str,
    /// How often for one median.
    count: &'static str,
    /// What tier ptrace may add to it.
    most: f64,
    /// Of what is added.
    unit: &'static str,
    /// How many of that unit are 1 us.
    scale: f64,
}

const KINDS: [Kind; 4] = [
    Kind { name: "fork", count: "500", most: 10.0, unit: "us", scale: 1.0 },
    Kind { name: "vfork-exec", count: "300", most: 15.0, unit: "us", scale: 1.0 },
    Kind { name: "thread", count: "2000", most: 8.0, unit: "us", scale: 1.0 },
    Kind { name: "syscall", count: "300", most: 10.0, unit: "ns", scale: 1e3 },
];

/// The command by itself, where no user namespace can be made.
const PLAIN_WITHOUT: &str = "plain, no userns";

/// A tracer that does nothing else.
const MINI: &str = "mini_tracer";

pub(super) fn measure(place: &Place, runs: u32) -> Result<Report> {
    let (present, absent) = fit([Contender::plain(), Contender::terrarium(place, &[]), Contender::bwrap()])?;
    let mut report = Report::new(
        "inside",
        "one process or thread made and waited for, one system call: median of medians",
    );
    for kind in &KINDS {
        let samples = in_turn(runs, &present, |contender| microseconds(contender, place, kind))?;
        report.add_samples(kind.name, "us", PLAIN, &present, &samples);
    }
    report.absent(&absent);
    traced(place, runs, &mut report)?;
    Ok(report)
}

/// Tier ptrace: what it adds, and what a tracer adds that does nothing else.
fn traced(place: &Place, runs: u32, report: &mut Report) -> Result {
    let ours = match Contender::traced(place) {
        Ok(contender) => contender,
        Err(absent) => {
            report.absent(&[absent]);
            return Ok(());
        }
    };
    let without = [place.program("without_userns")];
    let plain = Contender::new(PLAIN_WITHOUT, &without);
    let mini = Contender::new(MINI, [place.program("mini_tracer")]).behind(&without);
    let (present, absent) = fit([plain, ours, mini])?;
    report.absent(&absent);
    for kind in &KINDS {
        let samples = in_turn(runs, &present, |contender| microseconds(contender, place, kind))?;
        report.add_samples(kind.name, "us", PLAIN_WITHOUT, &present, &samples);
        let of = |name: &str| {
            let place = present.iter().position(|contender| contender.name == name)?;
            Some(samples[place].as_slice())
        };
        let most = format!("at most {:.0}", kind.most);
        for (who, base, remark) in [
            (TRACED, PLAIN_WITHOUT, most.as_str()),
            (MINI, PLAIN_WITHOUT, "a tracer with a filter that does nothing else"),
            (TRACED, MINI, ""),
        ] {
            let (Some(samples), Some(base_samples)) = (of(who), of(base)) else { continue };
            let scaled: Vec<f64> =
                paired(samples, base_samples, |a, b| a - b).iter().map(|us| us * kind.scale).collect();
            let case = format!("{}, more than {base}", kind.name);
            report.add(None, vec![Row::new(&case, who, kind.unit, &scaled).remark(remark)]);
        }
    }
    report.note("more than: median of the differences of neighbouring runs");
    Ok(())
}

fn microseconds(contender: &Contender, place: &Place, kind: &Kind) -> Result<f64> {
    let program = place.program("fork_cost");
    let job = [program.as_os_str(), kind.name.as_ref(), kind.count.as_ref()];
    let output = contender.command(job).stdout(Stdio::piped()).output();
    let output = output.map_err(|e| format!("{}: {e}", contender.name))?;
    let text = String::from_utf8_lossy(&output.stdout);
    nanoseconds(&text).map(|ns| ns / 1e3).ok_or_else(|| {
        let deed = format!("fork_cost {} {}", kind.name, kind.count);
        format!("{}: {deed}: {} {}", contender.name, output.status, text.trim())
    })
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
