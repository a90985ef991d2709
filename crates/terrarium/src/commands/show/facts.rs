//! What stands above the charts: what ran, where, how it ended; and what the reader should know.

use terrarium_chart::quantity::time;
use terrarium_core::report::{End, Enforcer, RunReport};
use terrarium_core::sample::Metric;
use terrarium_observe::series::Series;

use super::figures::{duration, figures};
use super::{clock, csv};
use crate::summary;

/// Name and text, in the order in which they are read.
pub(super) type Fact = (&'static str, String);

/// The command as one line; words that a shell would cut are in quotes.
pub(super) fn command(series: &Series) -> String {
    let words = series.start.command.iter().map(|word| summary::word(&summary::printable(word)));
    words.collect::<Vec<_>>().join(" ")
}

/// How it ended, in a sentence without its subject.
pub(super) fn end(series: &Series) -> String {
    match &series.report {
        Some(report) => summary::end_line(report),
        None => format!("no end is recorded; the last look is at {}", time(duration(series))),
    }
}

pub(super) fn facts(series: &Series) -> Vec<Fact> {
    let start = &series.start;
    let mut facts = vec![
        ("job", format!("{} on {}", start.job, summary::printable(&start.host))),
        ("directory", summary::printable(&start.directory)),
        ("started", clock::people(start.started)),
        ("end", end(series)),
    ];
    let mut limits = vec![format!("{} {}", start.cpus, if start.cpus == 1 { "CPU" } else { "CPUs" })];
    limits.push(match start.memory_limit {
        Some(limit) => format!("{limit} of memory (the node has {})", start.node_memory),
        None => format!("no memory limit of the job as a whole (the node has {})", start.node_memory),
    });
    let report = series.report.as_ref();
    if let Some(limit) = report.and_then(|report| report.limits.time_seconds.as_ref()) {
        limits.push(format!("{} of time", time(limit.value)));
    }
    facts.push(("may use", limits.join(", ")));
    if let Some(report) = report {
        facts.extend(summary::cpu_line(report).map(|text| ("cpu", text)));
        facts.extend(summary::memory_line(report).map(|text| ("memory", text)));
    } else if let Some(cpu) = figures(series, Metric::Cpu).and_then(|cpu| cpu.total) {
        facts.push(("cpu", format!("{} up to the last look", time(cpu as f64 / 1e3))));
    }
    facts
        .push(("looks", format!("{}, every {}", series.samples.len(), time(start.interval_ms as f64 / 1e3))));
    facts
}

/// What the reader should know of the series itself, and what the run found, with hints.
pub(super) fn notes(series: &Series) -> Vec<(String, Option<String>)> {
    let mut notes = Vec::new();
    if let Some(damage) = &series.damage {
        notes.push((
            format!("the file is damaged: {}; what could be read is shown", summary::printable(damage)),
            None,
        ));
    }
    let Some(report) = &series.report else {
        notes.push((
            "this series has no end: the run is still going on, or it was killed with terrarium, or the file was cut".to_owned(),
            None,
        ));
        return notes;
    };
    if series.samples.is_empty() {
        notes.push((
            "the job ended before the first look: what was counted at its end is all there is".to_owned(),
            None,
        ));
    }
    if saturated(report) {
        notes.push((
            "memory met its limit: what the job would have used without it is not known".to_owned(),
            None,
        ));
    }
    notes.extend(
        report
            .findings
            .iter()
            .map(|f| (summary::printable(&f.message), f.hint.as_deref().map(summary::printable))),
    );
    notes
}

fn saturated(report: &RunReport) -> bool {
    let whole =
        report.limits.memory.as_ref().is_none_or(|limit| limit.enforced_by != Some(Enforcer::RlimitData));
    report.usage.memory_saturated || report.end == End::OutOfMemory && report.limits.memory.is_some() && whole
}

/// Of one metric: name, then lowest, mean, 95th percentile, highest, total; a dash for what makes no sense.
pub(super) fn row(series: &Series, metric: Metric) -> [String; 6] {
    let name = super::figures::label(metric).to_owned();
    let Some(figures) = figures(series, metric) else {
        return [name, "no data".to_owned(), String::new(), String::new(), String::new(), String::new()];
    };
    let quantity = super::figures::quantity(metric);
    let dash = "-".to_owned();
    let total = figures.total.map_or(dash.clone(), |total| csv::total(metric, total));
    if metric == Metric::MainCpu {
        // A number that names something has no mean.
        return [name, quantity.format(figures.min), dash.clone(), dash, quantity.format(figures.max), total];
    }
    let say = |value| quantity.format(value);
    [name, say(figures.min), say(figures.mean), say(figures.p95), say(figures.max), total]
}

#[cfg(test)]
mod tests {
    use super::super::examples;
    use super::*;

    #[test]
    fn a_command_can_be_pasted_and_drives_no_terminal() {
        let text = command(&examples::leak());
        assert!(text.starts_with("python3 '</title><script>"), "{text}");
        assert!(text.contains(r"'\''") && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn what_is_not_known_is_said() {
        let notes = |series: &Series| notes(series).into_iter().map(|n| n.0).collect::<Vec<_>>().join("\n");
        assert!(
            notes(&examples::gaps()).contains("the last record is cut off; what could be read is shown\n")
        );
        assert!(notes(&examples::gaps()).contains("has no end"));
        assert!(notes(&examples::leak()).contains("met its limit"));
        assert_eq!(notes(&examples::steady()), "");
        let series = examples::steady();
        assert_eq!(row(&series, Metric::GpuUse)[1], "no data");
        assert_eq!(row(&series, Metric::MainCpu)[2], "-");
    }
}
