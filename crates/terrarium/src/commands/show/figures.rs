//! Figures from the looks of a series: values over time, rates, and what is to be said of each metric.

use serde::Serialize;
use terrarium_chart::{Point, Quantity};
use terrarium_core::sample::{Kind, Metric};
use terrarium_observe::series::Series;

/// A look that comes later than this many intervals after the one before leaves a gap.
const GAP_INTERVALS: f64 = 3.0;

/// A rate over a time shorter than this part of the whole says nothing: the kernel counts in steps of its own.
const SHORTEST_PART: f64 = 1.0 / 20.0;

/// What the values of a metric become when they are drawn: rates for what was counted.
pub(super) fn quantity(metric: Metric) -> Quantity {
    match metric {
        Metric::Cpu => Quantity::Cpus,
        Metric::MemoryPeak | Metric::MemoryWorkingSet | Metric::MemoryAnonymousShared | Metric::GpuMemory => {
            Quantity::Bytes
        }
        Metric::Processes => Quantity::Count("processes"),
        Metric::Threads | Metric::ThreadsRunning => Quantity::Count("threads"),
        Metric::MainCpu => Quantity::Count("number of a CPU"),
        Metric::Read | Metric::Written => Quantity::BytesPerSecond,
        Metric::SwitchesVoluntary | Metric::SwitchesInvoluntary => Quantity::PerSecond("switches"),
        Metric::FaultsMinor | Metric::FaultsMajor => Quantity::PerSecond("faults"),
        Metric::CpuPressure | Metric::MemoryPressure | Metric::IoPressure => Quantity::Percent("the time"),
        Metric::GpuUse => Quantity::Percent("one GPU"),
    }
}

/// What a short name of the metric is.
pub(super) fn label(metric: Metric) -> &'static str {
    match metric {
        Metric::Cpu => "CPUs in use",
        Metric::MemoryPeak => "memory, peak",
        Metric::MemoryWorkingSet => "memory, working set",
        Metric::MemoryAnonymousShared => "memory, anon. + shared",
        Metric::Processes => "processes",
        Metric::Threads => "threads",
        Metric::ThreadsRunning => "threads that run",
        Metric::MainCpu => "CPU of the main process",
        Metric::Read => "read",
        Metric::Written => "written",
        Metric::SwitchesVoluntary => "switches, voluntary",
        Metric::SwitchesInvoluntary => "switches, involuntary",
        Metric::FaultsMinor => "page faults, minor",
        Metric::FaultsMajor => "page faults, major",
        Metric::CpuPressure => "waiting for a CPU",
        Metric::MemoryPressure => "waiting for memory",
        Metric::IoPressure => "waiting for I/O",
        Metric::GpuUse => "GPU use",
        Metric::GpuMemory => "GPU memory",
    }
}

/// Seconds from the start to each look; never backwards, whatever the clock of the node did.
fn times(series: &Series) -> Vec<f64> {
    let mut last = 0.0;
    // In whole milliseconds, which a difference of seconds since 1970 is not.
    let start = (series.start.started * 1e3).round() as i64;
    let since = |ms: i64| ms.saturating_sub(start) as f64 / 1e3;
    let times = series.samples.iter().map(|sample| {
        last = f64::max(last, since(sample.time_ms));
        last
    });
    times.collect()
}

/// How long the run was, or is known to have been, seconds.
pub(super) fn duration(series: &Series) -> f64 {
    let seen = times(series).last().copied().unwrap_or(0.0);
    series.report.as_ref().map_or(seen, |report| seen.max(report.wall_seconds))
}

/// Longer than this between two looks is a gap, seconds.
pub(super) fn gap(series: &Series) -> f64 {
    (series.start.interval_ms as f64 / 1e3 * GAP_INTERVALS).max(0.2)
}

/// A value, when it was so, and for how long it counts.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Value {
    at: f64,
    value: f64,
    weight: f64,
}

/// The values of a metric, as they are drawn.
pub(super) fn points(series: &Series, metric: Metric) -> Vec<Point> {
    let values = values(series, metric);
    // A rate is so from the value before on, and before the first is the start.
    let first = values.iter().find_map(|(_, value)| *value).filter(|_| metric.kind() == Kind::Delta);
    let start = first.filter(|first| first.at <= gap(series)).map(|first| (0.0, Some(first.value)));
    // That value covers the looks before it, too.
    let from = start.and_then(|_| values.iter().position(|(_, value)| value.is_some())).unwrap_or(0);
    let later = values.into_iter().skip(from);
    start.into_iter().chain(later.map(|(at, value)| (at, value.map(|v| v.value)))).collect()
}

fn values(series: &Series, metric: Metric) -> Vec<(f64, Option<Value>)> {
    match metric.kind() {
        Kind::Gauge => gauge(series, metric),
        Kind::Delta => rates(series, metric),
    }
}

fn gauge(series: &Series, metric: Metric) -> Vec<(f64, Option<Value>)> {
    let gap = gap(series);
    let mut before = 0.0;
    let looks = times(series).into_iter().zip(&series.samples);
    looks
        .map(|(at, sample)| {
            let value = sample.get(metric).map(|value| {
                let weight = (at - before).clamp(1e-3, gap);
                before = at;
                Value { at, value: value as f64, weight }
            });
            (at, value)
        })
        .collect()
}

/// What was counted, over the time since the value before. Looks that follow each other closely count together.
fn rates(series: &Series, metric: Metric) -> Vec<(f64, Option<Value>)> {
    // Milliseconds of CPU time in a second are thousandths of a CPU; of waiting, tenths of a percent.
    let factor = match quantity(metric) {
        Quantity::Cpus => 1e-3,
        Quantity::Percent(_) => 0.1,
        _ => 1.0,
    };
    let interval = series.start.interval_ms as f64 / 1e3;
    let shortest = (interval / 2.0).min(duration(series) * SHORTEST_PART).max(0.01);
    let mut points: Vec<(f64, Option<Value>)> = Vec::new();
    let (mut from, mut counted, mut sum) = (0.0, 0.0, 0.0);
    for (at, sample) in times(series).into_iter().zip(&series.samples) {
        let Some(added) = sample.get(metric) else {
            points.push((at, None));
            continue;
        };
        sum += added as f64;
        counted = at;
        let span = at - from;
        if span < shortest {
            continue;
        }
        points.push((at, Some(Value { at, value: sum * factor / span, weight: span })));
        (from, sum) = (at, 0.0);
    }
    // What came in the moment after the last point belongs to it, and so does that moment: a rate is never more than was counted
    // in its time.
    let rest = counted - from;
    if sum > 0.0
        && let Some(value) = points.iter_mut().rev().find_map(|(_, value)| value.as_mut())
    {
        value.value = (value.value * value.weight + sum * factor) / (value.weight + rest);
        value.weight += rest;
    }
    points
}

/// What is to be said of a metric. Means and percentiles count each value for the time since the one before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Figures {
    /// Values, not looks.
    pub(super) values: usize,
    pub(super) min: f64,
    pub(super) mean: f64,
    pub(super) p95: f64,
    pub(super) max: f64,
    /// When it was highest first, seconds since the start.
    pub(super) max_at_seconds: f64,
    /// What was counted in all, in the unit of the column.
    pub(super) total: Option<i64>,
}

/// `None` without any value.
pub(super) fn figures(series: &Series, metric: Metric) -> Option<Figures> {
    let mut values: Vec<Value> = values(series, metric).into_iter().filter_map(|(_, value)| value).collect();
    let counted =
        || series.samples.iter().filter_map(|sample| sample.get(metric)).fold(0, i64::saturating_add);
    let total = (metric.kind() == Kind::Delta).then(counted);
    let weights: f64 = values.iter().map(|v| v.weight).sum();
    let mean = values.iter().map(|v| v.value * v.weight).sum::<f64>() / weights;
    let count = values.len();
    values.sort_by(|a, b| a.value.total_cmp(&b.value).then(b.at.total_cmp(&a.at)));
    let (min, max) = (values.first()?, *values.last()?);
    let mut below = 0.0;
    let p95 = values.iter().find(|v| {
        below += v.weight;
        below >= weights * 0.95
    });
    Some(Figures {
        values: count,
        min: min.value,
        mean,
        p95: p95.unwrap_or(&max).value,
        max: max.value,
        max_at_seconds: max.at,
        total,
    })
}

#[cfg(test)]
mod tests {
    use super::super::examples;
    use super::*;
    use terrarium_core::sample::Sample;

    fn series(looks: &[(i64, Option<i64>)], metric: Metric) -> Series {
        let mut series = examples::empty();
        let start = (series.start.started * 1e3) as i64;
        for (ms, value) in looks {
            let mut sample = Sample::at(start + ms);
            sample.set(metric, *value);
            series.samples.push(sample);
        }
        series
    }

    #[test]
    fn a_rate_is_over_the_time_since_the_value_before() {
        let looks = [(1000, Some(2000)), (2000, None), (3000, Some(3000)), (4000, Some(0))];
        let series = series(&looks, Metric::Cpu);
        assert_eq!(
            points(&series, Metric::Cpu),
            [(0.0, Some(2.0)), (1.0, Some(2.0)), (2.0, None), (3.0, Some(1.5)), (4.0, Some(0.0))]
        );
        let figures = figures(&series, Metric::Cpu).unwrap();
        assert_eq!((figures.mean, figures.total, figures.max_at_seconds), (1.25, Some(5000), 1.0));
    }

    #[test]
    fn looks_that_follow_closely_make_no_spikes() {
        let mut looks: Vec<_> = (1..=100).map(|i| (i * 1000, Some(1000))).collect();
        looks.push((100_002, Some(20)));
        let series = series(&looks, Metric::Cpu);
        let figures = figures(&series, Metric::Cpu).unwrap();
        assert!(figures.max < 1.03, "{figures:?}");
        assert_eq!(figures.total, Some(100_020));
    }

    #[test]
    fn the_last_look_makes_no_peak() {
        // It comes when the job ends, here almost half an interval after the one before: one CPU, busy throughout.
        let mut looks: Vec<_> = (1..=20).map(|i| (i * 1000, Some(1000))).collect();
        looks.push((20_450, Some(450)));
        let figures = figures(&series(&looks, Metric::Cpu), Metric::Cpu).unwrap();
        assert!((figures.max - 1.0).abs() < 1e-9 && (figures.mean - 1.0).abs() < 1e-9, "{figures:?}");
    }

    #[test]
    fn a_job_of_a_moment_has_rates_too() {
        let series = series(&[(40, Some(30)), (80, Some(50))], Metric::Cpu);
        assert_eq!(points(&series, Metric::Cpu), [(0.0, Some(0.75)), (0.04, Some(0.75)), (0.08, Some(1.25))]);
    }

    #[test]
    fn a_rate_has_no_gap_before_its_first_value() {
        let series = series(&[(100, None), (300, None), (1000, Some(500))], Metric::Cpu);
        assert_eq!(points(&series, Metric::Cpu), [(0.0, Some(0.5)), (1.0, Some(0.5))]);
    }

    #[test]
    fn long_times_count_for_more() {
        let series = series(&[(100, Some(10)), (1000, Some(0)), (2000, None)], Metric::Threads);
        let figures = figures(&series, Metric::Threads).unwrap();
        assert_eq!((figures.values, figures.min, figures.max, figures.total), (2, 0.0, 10.0, None));
        assert!((figures.mean - 1.0).abs() < 1e-9 && figures.p95 == 10.0);
        assert_eq!(super::figures(&series, Metric::Cpu), None);
    }

    #[test]
    fn a_clock_that_goes_back_breaks_nothing() {
        let series = series(&[(1000, Some(1)), (-5000, Some(1)), (2000, Some(1))], Metric::Read);
        assert_eq!(points(&series, Metric::Read), [(0.0, Some(1.0)), (1.0, Some(1.0)), (2.0, Some(2.0))]);
    }
}
