//! The charts of a series.

use terrarium_chart::{Limit, Line, Quantity, TimeChart};
use terrarium_core::sample::Metric;
use terrarium_observe::series::Series;

use super::figures::{duration, gap, points, quantity};

/// Name for files, title, metrics with what they are called beside their line.
type Plan = (&'static str, &'static str, &'static [(Metric, &'static str)]);

/// In the order in which they are read; the first line of each is the most important.
const PLANS: &[Plan] = &[
    ("cpu", "CPU use", &[(Metric::Cpu, "in use")]),
    (
        "memory",
        "Memory",
        &[
            (Metric::MemoryWorkingSet, "working set"),
            (Metric::MemoryAnonymousShared, "anon. + shared"),
            (Metric::MemoryPeak, "peak up to now"),
        ],
    ),
    (
        "threads",
        "Processes and threads",
        &[
            (Metric::Threads, "threads"),
            (Metric::Processes, "processes"),
            (Metric::ThreadsRunning, "threads that run"),
        ],
    ),
    ("io", "Reading and writing", &[(Metric::Read, "read"), (Metric::Written, "written")]),
    (
        "pressure",
        "Waiting for something (PSI)",
        &[
            (Metric::CpuPressure, "for a CPU"),
            (Metric::MemoryPressure, "for memory"),
            (Metric::IoPressure, "for I/O"),
        ],
    ),
    ("gpu", "GPU use", &[(Metric::GpuUse, "in use")]),
    ("gpu-memory", "GPU memory", &[(Metric::GpuMemory, "of the job")]),
    (
        "switches",
        "Context switches",
        &[(Metric::SwitchesVoluntary, "voluntary"), (Metric::SwitchesInvoluntary, "involuntary")],
    ),
    ("faults", "Page faults", &[(Metric::FaultsMinor, "minor"), (Metric::FaultsMajor, "major")]),
];

/// A chart with the metrics of its lines.
pub(super) struct Drawn {
    pub(super) chart: TimeChart,
    pub(super) metrics: Vec<Metric>,
}

/// The charts for which there is data, and the titles of the others.
pub(super) fn charts(series: &Series) -> (Vec<Drawn>, Vec<&'static str>) {
    let (mut drawn, mut missing) = (Vec::new(), Vec::new());
    for plan in PLANS {
        match chart(series, plan) {
            Some(chart) => drawn.push(chart),
            None => missing.push(plan.1),
        }
    }
    (drawn, missing)
}

fn chart(series: &Series, (id, title, metrics): &Plan) -> Option<Drawn> {
    let mut chart = TimeChart {
        id: (*id).to_owned(),
        title: (*title).to_owned(),
        quantity: if *id == "threads" { Quantity::Count("number") } else { quantity(metrics[0].0) },
        duration: duration(series),
        gap: gap(series),
        lines: Vec::new(),
        limits: limits(series, id),
    };
    let mut shown = Vec::new();
    for (metric, name) in *metrics {
        let line =
            Line { name: (*name).to_owned(), points: points(series, *metric), filled: shown.is_empty() };
        if line.has_data() {
            chart.lines.push(line);
            shown.push(*metric);
        }
    }
    (!shown.is_empty()).then_some(Drawn { chart, metrics: shown })
}

fn limits(series: &Series, id: &str) -> Vec<Limit> {
    let limit = |name: &str, value: u64| Limit { name: name.to_owned(), value: value as f64 };
    match id {
        "cpu" => vec![limit("available", series.start.cpus)],
        "memory" => series.start.memory_limit.map(|l| limit("limit", l.0)).into_iter().collect(),
        _ => vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples;
    use super::*;

    #[test]
    fn what_has_no_data_is_named_and_not_drawn() {
        let (drawn, missing) = charts(&examples::leak());
        let ids: Vec<_> = drawn.iter().map(|d| d.chart.id.as_str()).collect();
        assert_eq!(ids, ["cpu", "memory", "threads", "io", "switches", "faults"]);
        assert_eq!(missing, ["Waiting for something (PSI)", "GPU use", "GPU memory"]);
        assert_eq!(drawn[1].chart.limits[0].value, 4.0 * 1024f64.powi(3));
    }

    #[test]
    fn every_metric_is_drawn_but_the_number_of_a_cpu() {
        for metric in Metric::ALL {
            let plans = PLANS.iter().filter(|plan| plan.2.iter().any(|(m, _)| *m == metric)).count();
            assert_eq!(plans, usize::from(metric != Metric::MainCpu), "{metric:?}");
        }
        for (_, title, metrics) in PLANS {
            let first = quantity(metrics[0].0);
            let same = |m: &Metric| quantity(*m).axis() == first.axis() || *title == "Processes and threads";
            assert!(metrics.iter().all(|(m, _)| same(m)), "{title}");
        }
    }
}
